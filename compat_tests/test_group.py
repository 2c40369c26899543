"""Three servers that share a ZooKeeper: tasks run on all their machines, and what a node has run counts once, whoever
leads, and whichever node is killed meanwhile."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from compat_tests.group import Group, by_agent
from compat_tests.mortal import MortalServer, until
from compat_tests.servers.zookeeper import ZooKeeperEnsemble, missing
from compat_tests.work import Work

pytestmark = [pytest.mark.external, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def zookeeper() -> Iterator[ZooKeeperEnsemble]:
    if missing():
        pytest.skip(missing())
    with ZooKeeperEnsemble() as server:
        yield server


@pytest.fixture
def group(zookeeper: ZooKeeperEnsemble, tmp_path: Path) -> Iterator[Group]:
    group = Group(tmp_path / "group", zookeeper.hosts, 3, resources="cpus:2;mem:2048;disk:10000")
    group.start()
    yield group
    group.close()


def work_of(group: Group, folder: Path) -> Work:
    return Work(group.nodes[0], folder / "work")


def tasks_on_each(group: Group, work: Work) -> None:
    """Have six tasks running, two on each node."""
    work.add_many("job", 6, cpus=1)
    work.wait_until_running(6)
    counts = by_agent(work.server)
    assert counts == dict.fromkeys(map(group.agent, group.nodes), 2)


def test_tasks_run_on_all_nodes(group: Group, tmp_path: Path):
    work = work_of(group, tmp_path)
    tasks_on_each(group, work)
    work.add("waits", cpus=1)
    work.wait_until_done()
    work.check()
    for node in group.nodes:
        for run in node.all_runs("job-0") + node.all_runs("job-5"):
            text = requests.get(f"{node.url}/api/runs/{run['run']}/attempts/0/stdout", timeout=10)
            assert text.status_code == 200, text.text


def test_a_leader_that_is_killed_comes_back_with_its_tasks_results(group: Group, tmp_path: Path):
    work = work_of(group, tmp_path)
    tasks_on_each(group, work)
    leader = group.leader()
    leader.kill()
    work.server = group.others(leader)[0]
    group.wait_for(2, *group.others(leader))
    work.open_gates()
    until(lambda: work.ended() == 6, "all tasks end, watched or not")
    until(lambda: len(work.server.active_runs()) == 2, "those of the node that is away are open")
    assert set(by_agent(work.server)) == {group.agent(leader)}
    leader.start()
    work.wait_until_done()
    work.check()


def test_a_leader_that_stops_leaves_its_tasks_running(group: Group, tmp_path: Path):
    work = work_of(group, tmp_path)
    tasks_on_each(group, work)
    leader = group.leader()
    leader.stop()
    work.server = group.others(leader)[0]
    group.wait_for(2, *group.others(leader))
    assert len(work.server.active_runs()) == 6
    leader.start()
    group.wait_for(3)
    work.wait_until_done()
    work.check()


def test_a_follower_that_is_killed_comes_back(group: Group, tmp_path: Path):
    work = work_of(group, tmp_path)
    leader = group.leader()
    work.server = leader
    tasks_on_each(group, work)
    follower = group.others(leader)[0]
    follower.kill()
    group.wait_for(2, leader)
    work.add("elsewhere", cpus=1, gate="")
    work.open_gates()
    until(lambda: len(leader.active_runs()) == 2, "what runs on the others ends, and what came is run")
    follower.start()
    work.wait_until_done()
    work.check()


def test_each_due_time_runs_once_while_nodes_are_killed(group: Group, tmp_path: Path):
    """Nodes are killed at random moments, the leader as likely as any; at the end the jobs' own files, the counters
    and the ledger agree. An attempt that never began may have been tried elsewhere."""
    rng = random.Random(20_261_124)
    work = work_of(group, tmp_path)
    work.add_many("job", 8, runs=10, every_s=2, in_s=1, gate="", cpus=0.2)
    for _ in range(6):
        time.sleep(rng.uniform(0.0, 3.0))  # the moment of death is what is tested
        node = rng.choice(group.nodes)
        node.kill(workers=rng.random() < 0.5)
        node.start()
        if rng.random() < 0.5:
            group.wait_for(3)
    work.server = group.wait_for(3)
    work.wait_until_done(120)
    work.check(attempts=None)


def test_nobody_else_is_heard_below_internal(group: Group):
    node: MortalServer = group.nodes[0]
    url = f"{node.url}/internal/node"
    ask = {"epoch": 99, "session": 99, "begin": True}
    assert requests.get(url, timeout=10).status_code == 405
    assert requests.post(url, json=ask, timeout=10).status_code == 401
    signed = {"X-Chronos-Signature": "0" * 64}
    assert requests.post(url, json=ask, headers=signed, timeout=10).status_code == 401
    assert requests.post(f"{node.url}/internal/output", json={}, headers=signed, timeout=10).status_code == 401
    assert group.wait_for(3).health()["ready"]
