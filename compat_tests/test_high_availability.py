"""Three servers on three ZooKeeper servers, tasks on the servers' own machines: whatever is killed, frozen or cut off,
each due time runs once, and every answer is honest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from compat_tests import ha_suite
from compat_tests.servers.zookeeper import missing
from compat_tests.trio import Trio

pytestmark = [pytest.mark.external, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Trio]:
    if pytestconfig.getoption("--url", default=None):
        pytest.skip("has servers of its own")
    if missing():
        pytest.skip(missing())
    with Trio(tmp_path_factory.mktemp("trio"), "--resources", "cpus:4;mem:4096;disk:10000") as trio:
        yield trio


class TestTasksOnTheNodes(ha_suite.Scenarios):
    """Each node runs tasks itself."""
