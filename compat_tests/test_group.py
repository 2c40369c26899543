"""Three servers that share a ZooKeeper: tasks run on all their machines, and what a node has run counts once, whoever
leads, and whichever node is killed meanwhile."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from compat_tests.group import Group, agent_of, by_agent
from compat_tests.mortal import MortalServer, until
from compat_tests.servers.zookeeper import ZooKeeperEnsemble, missing
from compat_tests.work import Work, account_of

pytestmark = [pytest.mark.external, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def zookeeper() -> Iterator[ZooKeeperEnsemble]:
    if missing():
        pytest.skip(missing())
    with ZooKeeperEnsemble() as server:
        yield server


@pytest.fixture
def group(zookeeper: ZooKeeperEnsemble, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Group]:
    options: tuple[str, ...] = getattr(request, "param", ())
    group = Group.started(tmp_path / "group", zookeeper.hosts, 3, *options, resources="cpus:2;mem:2048;disk:10000")
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


def test_a_leader_that_hangs_does_nothing_more_when_it_wakes(group: Group, tmp_path: Path):
    """It hangs in the middle of launching. What it gives when it wakes is of an epoch that is over."""
    work = work_of(group, tmp_path)
    work.server = leader = group.leader()
    work.add_many("before", 3, cpus=1)
    work.wait_until_running(3)
    work.add_many("while", 6, runs=5, in_s=0.5, gate="", cpus=0.1)
    until(lambda: work.begun() >= 3 + 6, "some have begun")
    pids = leader.pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        work.server = group.others(leader)[0]
        group.wait_for(2, *group.others(leader))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    group.wait_for(3, *group.others(leader))
    work.wait_until_done()
    work.check(attempts=None)


@pytest.mark.parametrize("group", [("--unknown_task_timeout", "4")], indirect=True)
def test_a_node_that_is_away_for_too_long_finds_its_tasks_run_elsewhere(group: Group, tmp_path: Path):
    """The run is tried again, at no cost, and ends once, whatever the node says later of the first attempt."""
    work = work_of(group, tmp_path)
    work.server = leader = group.leader()
    work.add_many("job", 3, cpus=1)
    work.wait_until_running(3)
    follower = group.others(leader)[0]
    away = group.agent(follower)
    (run,) = [run for run in leader.active_runs() if agent_of(leader, run["run"]) == away]
    follower.kill()
    until(lambda: agent_of(leader, run["run"]) not in ("", away), "it is tried elsewhere", 60)
    follower.start()
    group.wait_for(3, leader)
    first = f"/api/runs/{run['run']}/attempts/0/stdout"
    until(lambda: requests.get(f"{leader.url}{first}", timeout=10).status_code == 200, "its output is there again")
    work.wait_until_done()
    (row,) = leader.all_runs(run["job"])
    assert (row["outcome"], row["attempts"]) == ("success", 2)
    assert leader.jobs()[run["job"]]["successCount"] == 1
    assert account_of(work.folder / run["job"]).begun.total() == 2


@pytest.mark.parametrize("group", [("--zk_auth", "chronos:secret", "--http_threads", "4")], indirect=True)
def test_the_key_is_nobody_elses_with_credentials_for_zookeeper(group: Group, tmp_path: Path):
    work = work_of(group, tmp_path)
    tasks_on_each(group, work)
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
