"""Three servers on three ZooKeeper servers, tasks on a real Mesos cluster: whatever is killed, frozen or cut off, each
due time runs once, and every answer is honest."""

from __future__ import annotations

import getpass
from collections.abc import Iterator

import pytest

from compat_tests import ha_suite
from compat_tests.mesos_rig import QUICK
from compat_tests.servers.mesos import AgentSpec, MesosCluster, missing
from compat_tests.servers.zookeeper import missing as missing_zookeeper
from compat_tests.trio import Trio

pytestmark = [pytest.mark.external, pytest.mark.timeout(3600)]

BIG = AgentSpec(resources="cpus:8;mem:8192;disk:10240")


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Trio]:
    if pytestconfig.getoption("--url", default=None):
        pytest.skip("has servers of its own")
    if missing() or missing_zookeeper():
        pytest.skip(missing() or missing_zookeeper())
    with MesosCluster([BIG, BIG], master_flags=QUICK) as cluster:
        options = ["--master", cluster.master_address, "--user", getpass.getuser(), "--failure_retry", "500"]
        with Trio(tmp_path_factory.mktemp("mesos"), *options) as trio:
            yield trio


class TestTasksOnMesos(ha_suite.Scenarios):
    """Agents of a real cluster run them."""

    kills, stops = 1, 1
