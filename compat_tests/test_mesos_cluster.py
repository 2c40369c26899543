"""The cluster of real Mesos that other tests stand on: its agents, a task, losses and returns, and a clean end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from compat_tests.mini_framework import TERMINAL, MiniFramework
from compat_tests.mortal import until
from compat_tests.servers import docker_engine
from compat_tests.servers.mesos import AgentSpec, MesosCluster, MesosError, missing, missing_zookeeper

pytestmark = pytest.mark.external

PATIENCE_S = 30
OWNER = """
import sys
from compat_tests.servers.mesos import MesosCluster
cluster = MesosCluster(1).start()
print(cluster.work_dir, *cluster.processes(), flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module", autouse=True)
def mesos():
    lacking = missing()
    if lacking:
        pytest.skip(lacking)


@pytest.fixture(scope="module")
def cluster(mesos):
    agents = [
        AgentSpec(hostname="a", attributes={"rack": "1", "zone": "east"}),
        AgentSpec(hostname="b", resources="cpus:8;mem:4096;cpus(prod):2;mem(prod):512"),
        AgentSpec(hostname="c", resources={"cpus": 2, "mem": 1024, "ports": "[31000-31010]"}),
    ]
    with MesosCluster(agents, master_flags={"allocation_interval": "100ms"}) as cluster:
        yield cluster


def has_ended(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def scalars(offer) -> dict[str, float]:
    found = [item for item in offer["resources"] if "scalar" in item]
    return {item["name"]: item["scalar"]["value"] for item in found}


def test_three_agents_offer_what_they_were_given(cluster):
    with MiniFramework(cluster.master_url) as framework:
        offers = framework.offers(3)
    attributes = {item["name"]: item["text"]["value"] for item in offers["a"]["attributes"] if "text" in item}
    attributes |= {item["name"]: item["scalar"]["value"] for item in offers["a"]["attributes"] if "scalar" in item}
    assert attributes == {"rack": 1, "zone": "east"}
    assert not offers["b"].get("attributes")
    assert scalars(offers["b"]) == {"cpus": 8, "mem": 4096} | {"disk": scalars(offers["b"])["disk"]}
    assert {item["allocation_info"]["role"] for item in offers["b"]["resources"]} == {"*"}
    ports = next(item for item in offers["c"]["resources"] if item["name"] == "ports")
    assert ports["ranges"]["range"] == [{"begin": 31000, "end": 31010}]


def test_a_reserved_resource_is_for_its_role(cluster):
    with MiniFramework(cluster.master_url, role="prod") as framework:
        resources = framework.offers(3)["b"]["resources"]
    reserved = {(item["name"], item["scalar"]["value"]) for item in resources if item["role"] == "prod"}
    assert reserved == {("cpus", 2), ("mem", 512)}


def test_what_a_task_writes_can_be_read(cluster):
    with MiniFramework(cluster.master_url) as framework:
        offer = next(iter(framework.offers(1).values()))
        framework.launch(offer, "writer", 'echo out; echo err >&2; echo "$PWD"')
        assert framework.status("writer", TERMINAL)["state"] == "TASK_FINISHED"
    (sandbox,) = cluster.sandboxes("writer")
    assert cluster.read_sandbox("writer").splitlines() == ["out", str(sandbox)]
    assert "err" in cluster.read_sandbox("writer", "stderr").splitlines()
    done = cluster.operator({"type": "GET_TASKS"})["get_tasks"]["completed_tasks"]
    assert "writer" in {task["task_id"]["value"] for task in done}


def test_a_lost_agent_takes_its_tasks_along_and_comes_back(cluster):
    identity = cluster.agent_id(0)
    with MiniFramework(cluster.master_url) as framework:
        framework.launch(framework.offers(3)["a"], "lost", 'echo "$$"; exec sleep 1000')
        framework.status("lost", {"TASK_RUNNING"})
        until(lambda: cluster.read_sandbox("lost").strip() != "", "the task's pid")
        pid = int(cluster.read_sandbox("lost"))
        assert pid in cluster.processes()
        cluster.stop_agent(0)
        until(lambda: has_ended(pid), "the end of the task")
        until(lambda: cluster.agent_id(0) is None, "the master noticed")
        cluster.start_agent(0)
        assert cluster.agent_id(0) == identity
        assert framework.status("lost", TERMINAL)["state"] in {"TASK_LOST", "TASK_FAILED"}


def test_a_frozen_master_answers_when_it_goes_on(cluster):
    cluster.pause_master()
    try:
        with pytest.raises(requests.Timeout):
            cluster.get("/master/state", timeout=0.5)
    finally:
        cluster.resume_master()
    assert cluster.get("/master/state", timeout=PATIENCE_S)["activated_slaves"] == 3


def test_another_master_leads_when_the_leader_is_killed():
    lacking = missing_zookeeper()
    if lacking:
        pytest.skip(lacking)
    with MesosCluster(1, masters=3, zookeeper=True) as cluster:
        identity, killed = cluster.agent_id(0), cluster.leader()
        cluster.stop_master(killed)
        cluster.wait_for_master()
        cluster.wait_for_agents()
        assert cluster.leader() != killed
        assert cluster.agent_id(0) == identity


def test_an_agent_with_an_engine_runs_containers_and_removes_them():
    lacking = docker_engine.missing()
    if lacking:
        pytest.skip(lacking)
    container = {"type": "DOCKER", "docker": {"image": docker_engine.IMAGE, "network": "HOST"}}
    with docker_engine.DockerEngine() as engine:
        with (
            MesosCluster([AgentSpec(docker_host=engine.host)]) as cluster,
            MiniFramework(cluster.master_url, tear_down=False) as framework,
        ):
            offer = framework.offers(1)["agent-0"]
            framework.launch(offer, "boxed", 'echo "$MESOS_CONTAINER_NAME"; sleep 1000', container=container)
            framework.status("boxed", {"TASK_RUNNING"})
            until(lambda: cluster.read_sandbox("boxed").strip() != "", "the container's name")
            name = cluster.read_sandbox("boxed").strip()
            assert name in engine.run("ps", "--format", "{{.Names}}").stdout.split()
        assert engine.run("ps", "--all", "--quiet").stdout == ""


def test_a_process_that_cannot_start_is_reported_with_its_log():
    cluster = MesosCluster(1, master_flags={"nonsense": "1"})
    with pytest.raises(MesosError, match=r"master-0 ended with 1(.|\n)*nonsense"):
        cluster.start()
    assert not cluster.work_dir.exists()


def test_nothing_is_left_after_the_end():
    with MesosCluster(1) as cluster, MiniFramework(cluster.master_url, tear_down=False) as framework:
        offer = framework.offers(1)["agent-0"]
        framework.launch(offer, "daemon", "setsid sh -c 'echo \"$$\"; exec sleep 1000' & wait")
        framework.status("daemon", {"TASK_RUNNING"})
        until(lambda: cluster.read_sandbox("daemon").strip() != "", "the detached process")
        pids = {*cluster.processes(), int(cluster.read_sandbox("daemon"))}
        assert len(pids) >= 5, "master, agent, executor, shell, daemon"
        cluster.stop()
    assert [pid for pid in pids if not has_ended(pid)] == []
    assert not cluster.work_dir.exists()


def test_nothing_is_left_after_the_owner_was_killed():
    with subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        folder, *pids = owner.stdout.readline().decode().split()
        assert len(pids) == 2
        os.kill(owner.pid, signal.SIGKILL)
    until(lambda: all(has_ended(int(pid)) for pid in pids), "the end of master and agent")
    until(lambda: not Path(folder).exists(), "the end of the work folder")
