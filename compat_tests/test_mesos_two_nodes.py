"""Two nodes on a real Mesos cluster: when the leader goes, its tasks run on, and each due time is done once.

What the tasks did is read in files of their own, and compared with the counters and the list of runs of the node that
leads in the end. Both nodes write one history.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from compat_tests.mesos_rig import LOG_TAIL, QUICK, Rig, a_rig
from compat_tests.mortal import MortalServer, until
from compat_tests.servers.mesos import AgentSpec, MesosCluster, missing
from compat_tests.servers.zookeeper import ZooKeeperEnsemble
from compat_tests.servers.zookeeper import missing as missing_zookeeper

pytestmark = [pytest.mark.external, pytest.mark.timeout(240)]

BIG = AgentSpec(resources="cpus:8;mem:8192;disk:10240")


@pytest.fixture(scope="module", autouse=True)
def mesos(pytestconfig):
    if pytestconfig.getoption("--url", default=None):
        pytest.skip("has servers of its own")
    if missing() or missing_zookeeper():
        pytest.skip(missing() or missing_zookeeper())


def leads(node: MortalServer) -> bool:
    return bool(node.health().get("leading"))


@contextmanager
def two_nodes(folder: Path) -> Iterator[tuple[Rig, MortalServer]]:
    """Start a cluster, a node that leads, and a node that follows."""
    cluster = MesosCluster([BIG], master_flags=QUICK)
    history = f"sqlite:///{folder / 'history.sqlite'}"
    options = ["--zk_timeout", "4000", "--hostname", "127.0.0.1", "--history_url", history]
    (folder / "first").mkdir()
    (folder / "second").mkdir()
    with (
        ZooKeeperEnsemble() as zookeeper,
        a_rig(folder / "first", cluster, "--zk_hosts", zookeeper.hosts, *options) as rig,
    ):
        second = MortalServer(folder / "second", *rig.server.options)
        second.start()
        try:
            second.wait()
            assert leads(rig.server)
            assert not leads(second)
            yield rig, second
        except BaseException:
            print(second.log.read_text(errors="replace")[-LOG_TAIL:], file=sys.stderr)
            raise
        finally:
            second.stop()


@pytest.mark.parametrize("how", ["stops", "is killed", "hangs"])
def test_a_leader_goes_while_tasks_run(tmp_path, how):
    with two_nodes(tmp_path) as (rig, second):
        first = rig.server
        rig.work.add_many("ends-meanwhile", 5, gate="first")
        rig.work.add_many("runs-on", 5, gate="second")
        rig.work.add("goes-on", runs=8, gate="")
        rig.work.wait_until_running(10)
        framework_id, pids = rig.framework_id, first.pids()
        if how == "stops":
            first.stop()
        elif how == "is killed":
            first.kill()
        else:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
        rig.work.gate("first").open()
        try:
            until(lambda: leads(second), "the other leads")
            rig.server = rig.work.server = second
            until(lambda: rig.live, "it is subscribed")
            assert rig.framework_id == framework_id
            rig.work.add("posted-later")
        finally:
            if how == "hangs":
                for pid in pids:
                    os.kill(pid, signal.SIGCONT)
        if how == "hangs":
            until(lambda: first.health().get("election", {}).get("role") == "follower", "it follows")
        else:
            first.start()
            first.wait()
        assert leads(second)
        rig.finish()
        assert set(first.jobs()) == set(second.jobs())


def test_leadership_goes_back_and_forth(tmp_path):
    with two_nodes(tmp_path) as (rig, second):
        nodes = [rig.server, second]
        rig.work.add_many("runs-on", 5)
        rig.work.add("goes-on", runs=12, gate="")
        rig.work.wait_until_running(5)
        framework_id = rig.framework_id
        for _ in range(3):
            leader, other = nodes
            leader.stop()
            until(partial(leads, other), "the other leads")
            leader.start()
            leader.wait()
            nodes.reverse()
        rig.server = rig.work.server = nodes[0]
        until(lambda: rig.live, "it is subscribed")
        assert rig.framework_id == framework_id
        rig.finish()
