"""What may go wrong with a Mesos cluster, on a real one: each due time is done once all the same, and is counted once.

Tasks wait at gates, so that each is where a test wants it when something is killed. What they did is read in files of
their own, and compared with the server's counters and its list of runs.
"""

from __future__ import annotations

import json
import threading
import time

import pytest
import requests

from compat_tests.mesos_rig import QUICK, a_rig
from compat_tests.mini_framework import MiniFramework
from compat_tests.mortal import PATIENCE_S, MortalServer, until
from compat_tests.servers.mesos import AgentSpec, MesosCluster, missing
from compat_tests.servers.mesos.zookeeper import missing_zookeeper
from compat_tests.servers.simulated_mesos import SimulatedMesos

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
        until(lambda: rig.work.states()["running"] == 15, "the other half is adopted")
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
        assert rig.driver["master"] == rig.cluster.master_address
        assert rig.framework_id == framework_id
        rig.cluster.wait_for_agents()
        rig.finish()


def test_zookeeper_may_be_away_for_a_while(tmp_path):
    lacking = missing_zookeeper()
    if lacking:
        pytest.skip(lacking)
    with a_rig(tmp_path, MesosCluster([BIG], zookeeper=True, master_flags=QUICK)) as rig:
        rig.work.add_many("job", 5)
        rig.work.wait_until_running(5)
        framework_id, (master,) = rig.framework_id, rig.cluster.masters
        assert master is not None
        rig.cluster.stop_zookeeper()
        until(lambda: master.exit_code() is not None, "the master has ended: it cannot lead")
        until(lambda: not rig.live, "the server noticed")
        rig.work.add("due-meanwhile")
        rig.cluster.start_zookeeper()
        rig.cluster.start_master()
        until(lambda: rig.live, "the server is subscribed again")
        assert rig.framework_id == framework_id
        rig.cluster.wait_for_agents()
        rig.finish()


# --- agents


def test_runs_of_a_lost_machine_are_done_elsewhere_at_no_cost_in_retries(tmp_path):
    agents = [AgentSpec(hostname=name, resources="cpus:1;mem:2048;disk:4096") for name in "ab"]
    with a_rig(tmp_path, MesosCluster(agents, master_flags=QUICK), "--unknown_task_timeout", "2") as rig:
        rig.work.add_many("job", 10)
        rig.work.wait_until_running(10)
        hosts = {run["run"]: run["host"] for run in rig.server.active_runs()}
        rig.cluster.stop_agent(0)
        until(lambda: {run["host"] for run in rig.server.active_runs()} == {"b"}, "all runs are on the other machine")
        rig.work.wait_until_running(10)
        rig.cluster.start_agent(0)
        rig.work.add_many("late", 5)
        rig.finish(attempts=2)
        assert rig.work.begun() - rig.work.ended() == sum(host == "a" for host in hosts.values()) > 0


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


def test_a_machine_that_boots_anew_has_lost_its_tasks_and_gets_them_again(tmp_path):
    with a_rig(tmp_path, MesosCluster([BIG], master_flags=QUICK)) as rig:
        rig.work.add_many("job", 5, retries=0)
        rig.work.wait_until_running(5)
        rig.cluster.stop_agent(0)
        (rig.cluster.work_dir / "agent-0" / "work" / "meta" / "boot_id").write_text("of the boot before")
        rig.cluster.start_agent(0)
        rig.finish(attempts=2)
        assert rig.work.begun() == 10


def test_tasks_on_a_machine_out_of_reach_go_on_when_it_is_back_in_time(tmp_path):
    agents = [AgentSpec(hostname=name, resources="cpus:1;mem:2048;disk:4096") for name in "ab"]
    with a_rig(tmp_path, MesosCluster(agents, master_flags=QUICK)) as rig:
        rig.work.add_many("job", 10)
        rig.work.wait_until_running(10)
        rig.cluster.pause_agent(0)
        until(lambda: rig.cluster.get("/master/state")["activated_slaves"] == 1, "the master gave the agent up")
        rig.cluster.resume_agent(0)
        rig.cluster.wait_for_agents()
        rig.finish()


def test_tasks_on_a_machine_out_of_reach_for_too_long_are_stopped_when_it_is_back(tmp_path):
    agents = [AgentSpec(hostname=name, resources="cpus:1;mem:2048;disk:4096") for name in "ab"]
    with a_rig(tmp_path, MesosCluster(agents, master_flags=QUICK), "--unknown_task_timeout", "2") as rig:
        rig.work.add_many("job", 10)
        rig.work.wait_until_running(10)
        rig.cluster.pause_agent(0)
        until(lambda: {run["host"] for run in rig.server.active_runs()} == {"b"}, "all runs are on the other machine")
        rig.cluster.resume_agent(0)
        rig.cluster.wait_for_agents()
        until(lambda: rig.tasks_on("a") == 0, "the tasks that were given up are stopped")
        rig.finish(attempts=2)


# --- a frozen master


class Visitor:
    """Asks the API all the time; keeps how long it took to answer, in seconds."""

    def __init__(self, rig):
        self.rig = rig
        self.took: list[float] = []
        self.problems: list[str] = []
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._leaving.set()
        self._thread.join()

    def _run(self):
        while not self._leaving.wait(0.2):
            began = time.monotonic()
            try:
                assert "job-0" in self.rig.server.jobs()
                self.rig.server.post_job(
                    {"name": f"some-day-{len(self.took)}", "command": "true", "schedule": "R/2100-01-01T00:00:00Z/P1D"}
                )
            except (requests.RequestException, AssertionError) as error:
                self.problems.append(repr(error))
            self.took.append(time.monotonic() - began)


def test_a_frozen_master_stops_nothing_but_launches(tmp_path):
    """Missing heartbeats tell, which takes three times 15 seconds, or a call that was made all the same."""
    with a_rig(tmp_path, MesosCluster([BIG], master_flags=QUICK)) as rig:
        rig.work.add_many("job", 5)
        rig.work.wait_until_running(5)
        framework_id = rig.framework_id
        until(lambda: rig.driver["callsQueued"] == 0, "all calls are made")
        with Visitor(rig) as visitor:
            rig.cluster.pause_master()
            until(lambda: not rig.live, "the server noticed", 75)
            assert "no heartbeat" in rig.problem or "no answer in time" in rig.problem
            rig.work.add_many("due-meanwhile", 5)
            rig.cluster.resume_master()
            until(lambda: rig.live, "the server is subscribed again")
        assert visitor.problems == []
        assert max(visitor.took) < 5
        assert len(visitor.took) > 60
        assert rig.framework_id == framework_id
        rig.finish()


def test_a_launch_that_a_frozen_master_may_have_taken(tmp_path):
    with a_rig(tmp_path, MesosCluster([BIG], master_flags=QUICK), "--offer_hold", "5000") as rig:
        rig.work.add("before")
        rig.work.wait_until_running(1)
        began = time.monotonic()
        rig.work.add("launched", in_s=4)
        until(lambda: rig.driver["sinceLastOffer"] < time.monotonic() - began, "an offer is held for the coming run")
        rig.cluster.pause_master()
        rig.work.open_gates()
        until(lambda: "launching" in rig.work.states(), "it is launched into the void")
        until(lambda: not rig.live, "a call that is not answered tells that the master is no good")
        assert "call failed" in rig.problem
        rig.cluster.resume_master()
        until(lambda: rig.live, "the server is subscribed again")
        rig.finish(attempts=2)


# --- other frameworks


def test_another_framework_gets_what_we_do_not_use(tmp_path):
    agents = [AgentSpec(hostname=name, resources="cpus:2;mem:2048;disk:4096") for name in "ab"]
    with a_rig(tmp_path, MesosCluster(agents, master_flags=QUICK)) as rig:
        with MiniFramework(rig.cluster.master_url) as other:
            assert set(other.offers(2)) == {"a", "b"}
        rig.server.post_job({"name": "too-big", "command": "true", "schedule": "R1//PT1S", "cpus": 64})
        until(lambda: any(run["job"] == "too-big" for run in rig.server.active_runs()), "it waits")
        with MiniFramework(rig.cluster.master_url) as other:
            offers = other.offers(2)
            other.call("SUPPRESS")  # it does not want more: a framework that holds all it gets starves any other
            other.launch(offers["a"], "theirs", "sleep 1000", cpus=1.5)
            other.call("DECLINE", offer_ids=[offers["b"]["id"]], filters={"refuse_seconds": 0.1})
            rig.work.add("ours", runs=3, every_s=2, gate="")
            rig.work.wait_until_done()
            for row in rig.server.all_runs("ours"):
                late = rig.server.moment(row["started"]) - rig.server.moment(row["due"])
                assert late < 10, f"a run began {late} seconds late: {row}"
        (waiting,) = rig.server.active_runs()
        assert waiting["job"] == "too-big"
        rig.finish()


# --- a framework that the operator has removed


def tear_down(rig):
    rig.cluster.operator({"type": "TEARDOWN", "teardown": {"framework_id": {"value": rig.framework_id}}})


def test_a_framework_that_was_torn_down_registers_anew(tmp_path):
    with a_rig(tmp_path, MesosCluster([BIG], master_flags=QUICK), "--unknown_task_timeout", "5") as rig:
        rig.work.add_many("job", 5)
        rig.work.wait_until_running(5)
        first = rig.framework_id
        tear_down(rig)
        until(lambda: rig.live and rig.framework_id != first, "the server is registered anew")
        assert rig.driver["removedFrameworkIds"] == [first]
        assert "Mesos has removed the framework" in rig.server.log.read_text()
        rig.finish(attempts=2)
        assert rig.work.begun() == 10


def test_a_framework_that_was_torn_down_while_no_server_was_there_registers_anew(tmp_path):
    with a_rig(tmp_path, MesosCluster([BIG], master_flags=QUICK), "--unknown_task_timeout", "5") as rig:
        rig.work.add_many("job", 5)
        rig.work.wait_until_running(5)
        first = rig.framework_id
        rig.server.kill()
        rig.cluster.operator({"type": "TEARDOWN", "teardown": {"framework_id": {"value": first}}})
        rig.server.start()
        rig.server.wait()
        second = rig.framework_id
        assert second not in ("", first)
        rig.server.kill()
        rig.server.start()
        rig.server.wait()
        assert rig.framework_id == second, "the new id is kept"
        assert rig.driver["removedFrameworkIds"] == []
        rig.finish(attempts=2)


# --- authentication


def test_a_framework_that_the_master_does_not_believe_says_so_and_goes_on_when_it_does(tmp_path):
    secret, credentials = tmp_path / "secret", tmp_path / "credentials"
    secret.write_text("ours\n")
    credentials.write_text(json.dumps({"credentials": [{"principal": "us", "secret": "another"}]}))
    flags = {"authenticate_http_frameworks": True, "http_framework_authenticators": "basic"}
    cluster = MesosCluster([BIG], master_flags={**QUICK, **flags, "credentials": str(credentials)})
    options = ("--mesos_authentication_principal", "us", "--mesos_authentication_secret_file", str(secret))
    with a_rig(tmp_path, cluster, *options, ready=False) as rig:
        until(lambda: "does not accept" in rig.problem, "the server says what is wrong")
        assert "principal" in rig.problem
        assert "HTTP 401" in rig.server.log.read_text()
        rig.work.add("while-nobody-lets-us-in", gate="")
        workers = rig.server.pids()
        rig.cluster.stop_master()
        credentials.write_text(json.dumps({"credentials": [{"principal": "us", "secret": "ours"}]}))
        rig.cluster.start_master()
        rig.server.wait()
        assert rig.server.pids() == workers, "it was the same server all the time"
        (framework,) = rig.cluster.get("/master/state")["frameworks"]
        assert framework["principal"] == "us"
        rig.finish()


# --- updates, on a simulated master: a real one sends no wrong ones


def acknowledgements(master):
    return master.trace()["calls"].get("ACKNOWLEDGE", 0)


def test_five_thousand_updates_twice_and_in_any_order_count_once(tmp_path):
    jobs = [f"job-{number}" for number in range(50)]
    with SimulatedMesos(agents=5, allocation_interval=0.1) as master:
        server = MortalServer(tmp_path, "--master", master.address, "--failure_retry", "500")
        server.start()
        try:
            server.wait()
            for name in jobs:
                server.post_job({"name": name, "command": "sleep 1000", "schedule": "R1//PT1S", "retries": 0})
            until(lambda: sum(task["told"] == "TASK_RUNNING" for task in master.tasks()) == 50, "all tasks run")
            tasks = {task["id"]: {"value": task["agent_id"]} for task in master.tasks()}
            until(lambda: acknowledgements(master) == 2 * len(jobs), "their starts are acknowledged")
            acknowledged = acknowledgements(master)
            began = time.monotonic()
            master.burst(count=5000)
            answered = time.monotonic()
            assert len(server.jobs()) == 50
            assert time.monotonic() - answered < 5
            until(lambda: acknowledgements(master) == acknowledged + 5000, "all are acknowledged")
            assert time.monotonic() - began < PATIENCE_S
            assert len(server.active_runs()) == 50
            master.hold_updates()
            master.burst(count=500)
            for task in tasks:
                master.finish(task_id=task, state="TASK_FINISHED")
                master.duplicate(task_id=task, count=3)
            master.release_updates(order="reversed")
            until(lambda: all(job["disabled"] for job in server.jobs().values()), "all jobs are done")
            acknowledged = acknowledgements(master)
            for state in ("TASK_FINISHED", "TASK_RUNNING", "TASK_FAILED"):
                for task, agent in tasks.items():
                    master.send_status(task_id=task, state=state, agent_id=agent)
            until(lambda: acknowledgements(master) >= acknowledged + 150, "all of it is acknowledged")
            until(lambda: server.active_runs() == [], "nothing runs")
            for name, job in server.jobs().items():
                assert (job["successCount"], job["errorCount"]) == (1, 0), job
                assert [row["outcome"] for row in server.all_runs(name)] == ["success"]
            assert master.trace()["launches"] == 50
            assert server.health()["driver"]["failedCallbacks"] == 0
            assert server.health()["driver"]["subscriptions"] == 1
        finally:
            server.stop()
