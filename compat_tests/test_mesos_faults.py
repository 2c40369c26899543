"""What may go wrong with a Mesos cluster, on a real one: each due time is done once all the same, and is counted once.

Tasks wait at gates, so that each is where a test wants it when something is killed. What they did is read in files of
their own, and compared with the server's counters and its list of runs.
"""

from __future__ import annotations

import pytest

from compat_tests.mesos_rig import QUICK, a_rig
from compat_tests.mortal import until
from compat_tests.servers.mesos import AgentSpec, MesosCluster, missing
from compat_tests.servers.mesos.zookeeper import missing_zookeeper

pytestmark = [pytest.mark.external, pytest.mark.timeout(180)]

BIG = AgentSpec(resources="cpus:8;mem:8192;disk:10240")


@pytest.fixture(scope="module", autouse=True)
def mesos(pytestconfig):
    if pytestconfig.getoption("--url", default=None):
        pytest.skip("has servers of its own")
    lacking = missing()
    if lacking:
        pytest.skip(lacking)


# --- our server


def test_a_killed_server_finds_its_tasks_again(tmp_path):
    with a_rig(tmp_path, MesosCluster([BIG], master_flags=QUICK)) as rig:
        rig.work.add_many("ends-meanwhile", 15, gate="first")
        rig.work.add_many("runs-on", 15, gate="second")
        rig.work.wait_until_running(30)
        framework_id = rig.framework_id
        rig.server.kill()
        rig.work.gate("first").open()
        until(lambda: rig.work.ended() == 15, "half of the tasks ended while no server was there")
        rig.server.start()
        rig.server.wait()
        until(lambda: rig.work.running() == 15, "the other half is adopted")
        assert rig.framework_id == framework_id
        rig.finish()


# --- the master


def test_a_master_that_is_started_again(tmp_path):
    agents = [AgentSpec(resources="cpus:1;mem:4096;disk:10240")]
    with a_rig(tmp_path, MesosCluster(agents, master_flags=QUICK)) as rig:
        rig.work.add_many("job", 15)  # ten of them find room
        rig.work.wait_until_running(10)
        framework_id = rig.framework_id
        rig.cluster.stop_master()
        until(lambda: not rig.live, "the server noticed that the master is gone")
        rig.work.add("due-while-no-master-is-there")
        rig.cluster.start_master()
        until(lambda: rig.live, "the server is subscribed again")
        assert rig.framework_id == framework_id
        rig.cluster.wait_for_agents()
        rig.finish()


def test_a_leading_master_that_dies_is_followed_by_another(tmp_path):
    lacking = missing_zookeeper()
    if lacking:
        pytest.skip(lacking)
    with a_rig(tmp_path, MesosCluster([BIG], masters=3, zookeeper=True, master_flags=QUICK)) as rig:
        rig.work.add_many("job", 10)
        rig.work.wait_until_running(10)
        framework_id, first = rig.framework_id, rig.cluster.leader()
        rig.cluster.stop_master(first)
        rig.work.add("due-while-nobody-leads")
        rig.cluster.wait_for_master()
        until(lambda: rig.live, "the server is subscribed again")
        assert rig.cluster.leader() != first
        assert rig.server.health()["driver"]["master"] == rig.cluster.master_address
        assert rig.framework_id == framework_id
        rig.cluster.wait_for_agents()
        rig.finish()


# --- agents


def test_runs_of_a_lost_machine_are_done_elsewhere_at_no_cost_in_retries(tmp_path):
    agents = [AgentSpec(hostname=name, resources="cpus:1;mem:2048;disk:4096") for name in "ab"]
    with a_rig(tmp_path, MesosCluster(agents, master_flags=QUICK), "--unknown_task_timeout", "2") as rig:
        rig.work.add_many("job", 10)
        rig.work.wait_until_running(10)
        hosts = {run["host"] for run in rig.server.active_runs()}
        assert hosts == {"a", "b"}
        rig.cluster.stop_agent(0)
        until(lambda: {run["host"] for run in rig.server.active_runs()} == {"b"}, "all runs are on the other machine")
        rig.work.wait_until_running(10)
        rig.cluster.start_agent(0)
        rig.work.add_many("late", 5)
        rig.finish(attempts=2)


def test_an_agent_that_is_started_again_has_its_tasks_still(tmp_path):
    with a_rig(tmp_path, MesosCluster([BIG], master_flags=QUICK)) as rig:
        rig.work.add_many("ends-meanwhile", 5, gate="first")
        rig.work.add_many("runs-on", 5, gate="second")
        rig.work.wait_until_running(10)
        rig.cluster.stop_agent(0, tasks=False)
        rig.work.gate("first").open()
        until(lambda: rig.work.ended() == 5, "some tasks ended while their agent was away")
        rig.cluster.start_agent(0)
        rig.finish()
