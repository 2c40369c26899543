"""A group whose nodes are several agents each: tasks run on all of them, and are known to whoever leads."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import requests

from compat_tests.group import Group, agent_of
from compat_tests.mortal import MortalServer, until
from compat_tests.servers.zookeeper import ZooKeeperEnsemble, missing

pytestmark = [pytest.mark.external, pytest.mark.timeout(300)]

AGENTS = "name:a;cpus:1;mem:512;disk:512;attributes:rack:r1|name:b;cpus:1;mem:512;disk:512;attributes:rack:r2"


def test_each_agent_of_each_node_takes_tasks_and_a_new_leader_knows_them(tmp_path: Path) -> None:
    if missing():
        pytest.skip(missing())
    with ZooKeeperEnsemble() as zookeeper:
        group = Group.started(tmp_path / "group", zookeeper.hosts, 2, resources=AGENTS)
        try:
            _whole(group)
        finally:
            group.close()


def _whole(group: Group) -> None:
    leader = group.leader()
    (other,) = group.others(leader)
    job = {"command": "echo here; sleep 300", "cpus": 0.6, "mem": 8, "disk": 8, "retries": 0, "name": "spread"}
    sent = requests.post(f"{other.url}/api/jobs/immediate", json=[job] * 5, timeout=30)  # one more than there is room
    assert sent.status_code == 200, sent.text
    runs = [one["run"] for one in sent.json()["jobs"]]
    until(lambda: sum(_state(leader, run, "running") for run in runs) == 4, "all agents are in use")
    running = [run for run in runs if _state(leader, run, "running")]
    (waiting,) = set(runs) - set(running)
    on = {run: agent_of(leader, run) for run in running}
    assert Counter(on.values()) == {f"{group.agent(node)}.{name}": 1 for node in group.nodes for name in "ab"}
    why = leader.get(f"/api/runs/{waiting}/why")
    assert (why["code"], why["detail"]["refusals"]) == ("no_fit", {"not enough cpus free": 4})
    racks = {one["value"]: one["agents"] for one in leader.get("/api/resources", attribute="rack")["byAttribute"]}
    assert racks == {"r1": 2, "r2": 2}
    for run in running:  # of both nodes, through either
        for node in group.nodes:
            until(lambda node=node, run=run: _output(node.url, run) == "here\n", "its output is read")  # type: ignore[misc]
    leader.kill()
    new = group.leader(other)
    own = [run for run in running if on[run].startswith(group.agent(other))]
    far = [run for run in running if run not in own]
    assert len(own) == len(far) == 2
    until(lambda: all(_state(new, run, "running") for run in own), "the new leader knows its own tasks")
    leader.start()
    group.wait_for(2, other)
    for run in running:
        until(lambda run=run: _state(new, run, "running"), "all tasks are known again")  # type: ignore[misc]
        assert agent_of(new, run) == on[run]
    assert requests.delete(f"{new.url}/api/runs/{far[0]}", timeout=10).status_code == 204
    until(lambda: _state(new, waiting, "running"), "the one that waited got the room")
    assert agent_of(new, waiting) == on[far[0]]
    stopped = requests.post(f"{new.url}/api/jobs/immediate/kill", json={"ids": _ids(new.url)}, timeout=30)
    assert stopped.status_code == 200, stopped.text
    until(lambda: new.get("/api/jobs/immediate", state="active", limit="0")["total"] == 0, "all were stopped")


def _state(node: MortalServer, run: int, state: str) -> bool:
    return bool(node.get(f"/api/runs/{run}")["state"] == state)


def _ids(url: str) -> list[str]:
    jobs = requests.get(f"{url}/api/jobs/immediate", timeout=10).json()["jobs"]
    return [str(job["id"]) for job in jobs]


def _output(url: str, run: int) -> str:
    answer = requests.get(f"{url}/api/runs/{run}/attempts/0/stdout", timeout=10)
    return answer.text if answer.status_code == 200 else ""
