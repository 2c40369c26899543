"""What is done to a group of three nodes, and what must hold then: with tasks on the nodes themselves, and on Mesos.

All the time jobs are due twice a second, and a client asks and changes something on every node. In the end the tasks'
own files, the ledger, the counters, ZooKeeper's logs and what the client was told all have to agree.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import requests

from compat_tests.due_work import DueWork, now_ms
from compat_tests.honest_client import FAR, HonestClient
from compat_tests.mortal import MortalServer, until
from compat_tests.trio import SESSION_MS, Trio

KILLS = "CHRONOS_PY_KILLS"  # how often leaders are killed, in place of the few times that will do for every day
FIRST_RUN_MS = 7000  # from a leader's death to the first run that was due since
HAND_OVER_S = 0.5  # from the signal to a leader that stops to the next leader
FROZEN_S = 30


@contextmanager
def under_load(trio: Trio, name: str) -> Iterator[DueWork]:
    """Have work done and questions asked meanwhile; check both in the end, when all nodes are there."""
    work = DueWork(trio.folder / name)
    try:
        work.begin(trio.nodes[0])
        with HonestClient(trio.nodes) as client:
            yield work
        leader = trio.wait_until_whole()
        work.finish(leader)
        client.check(trio.nodes)
        trio.check_writers()
    except BaseException:
        trio.show_logs()
        raise


def recover(trio: Trio, work: DueWork, since: int) -> None:
    """Return when all is as it was; what was due meanwhile may have been late."""
    trio.wait_until_whole()
    work.wait_until_calm()
    work.excuse(since)


def share() -> float:
    """Return how many processes there are for each core, 1 at least: what is promised is promised of a machine that
    has time for it, and everything takes so many times as long on one that has not."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def leaders_are_killed(trio: Trio, times: int) -> None:
    """`times` is how often if the environment does not say. Prints how long it took."""
    times = int(os.environ.get(KILLS) or times)
    took, slow = [], []
    with under_load(trio, "killed") as work:
        for _ in range(times):
            leader, at = trio.leader(), now_ms()
            leader.kill()
            took.append(work.wait_for_start(now_ms()))  # on a busy machine it lives on for a while
            if took[-1] > SESSION_MS + (FIRST_RUN_MS - SESSION_MS) * share():
                slow.append((took[-1], share()))
            leader.start()
            recover(trio, work, at)
    print(f"failover after {times} kills: median {statistics.median(took):.0f} ms, worst {max(took)} ms; all: {took}")
    assert not slow, slow


def leaders_stop(trio: Trio, times: int = 3) -> None:
    """The next one leads at once, not when clients let go, nor when a session ends."""
    took: list[float] = []
    with under_load(trio, "stopped") as work:
        while len(took) < times:
            leader, at = trio.leader(), now_ms()
            took.append(trio.hand_over(leader))
            leader.stop()
            leader.start()
            recover(trio, work, at)
    print(f"graceful hand-over: {took} s")
    assert statistics.median(took) <= HAND_OVER_S * share(), (took, share())
    assert max(took) < SESSION_MS / 1000 * share(), took


def a_leader_is_frozen(trio: Trio) -> None:
    """It is replaced, and when it wakes it launches nothing and writes nothing, but follows."""
    with under_load(trio, "frozen") as work:
        leader, at = trio.leader(), now_ms()
        epochs = len(trio.epochs())
        pids = trio.freeze(leader)
        frozen = now_ms()
        try:
            took = work.wait_for_start(frozen)
            successor = trio.leader(*trio.others(leader))
            time.sleep(max(0.0, frozen / 1000 + FROZEN_S - time.time()))  # how long it is frozen is what is tested
        finally:
            trio.thaw(pids)
        until(lambda: leader.health().get("election", {}).get("role") == "follower", "it follows")
        recover(trio, work, at)
        assert trio.leader() is successor
        assert len(trio.epochs()) == epochs + 1
        seen = work.first_start(now_ms() - 1000)
        until(lambda: work.first_start(now_ms() - 1000) != seen, "work goes on")
    print(f"first run after a leader froze: {took} ms")


def zookeeper_servers_are_killed(trio: Trio) -> None:
    """One of three is not missed; without two nobody leads, and nothing is launched, until one is back."""
    with under_load(trio, "servers") as work:
        at, first = now_ms(), trio.zookeeper.leader()
        trio.zookeeper.kill(first)
        work.wait_for_start(at)
        trio.wait_until_whole()
        trio.zookeeper.start(first)
        recover(trio, work, at)
        until(lambda: _all_serve(trio), "all servers serve")

        at, pair = now_ms(), [trio.zookeeper.leader(), (trio.zookeeper.leader() + 1) % 3]
        for index in pair:
            trio.zookeeper.kill(index)
        until(lambda: not any(_leads(node) for node in trio.nodes), "nobody leads")
        quiet = now_ms()
        until(lambda: now_ms() > quiet + 5 * 1000, "some runs are due")
        assert work.first_start(quiet + 100) is None, "launched without a leader"
        for node in trio.nodes:
            assert node.process is not None and node.process.poll() is None
        trio.zookeeper.start(pair[0])
        work.wait_for_start(quiet + 100)
        trio.zookeeper.start(pair[1])
        recover(trio, work, at)
        until(lambda: _all_serve(trio), "all servers serve")


def a_leader_is_cut_off(trio: Trio) -> None:
    """From ZooKeeper only: it steps down before another one leads, and follows when the way is free again."""
    with under_load(trio, "cut") as work, ThreadPoolExecutor(1) as pool:
        leader, at = trio.leader(), now_ms()
        trio.gate(leader).shut()
        try:
            asked = pool.submit(_ask_who_is_cut_off, leader)
            until(lambda: not _leads(leader), "it steps down")
            assert not any(map(_leads, trio.others(leader))), "two lead at a time"
            took = work.wait_for_start(at + 4000)
            trio.leader(*trio.others(leader))
            assert not _leads(leader)
            waited, answer = asked.result(60)
        finally:
            trio.gate(leader).open()
        until(lambda: leader.health().get("election", {}).get("role") == "follower", "it follows")
        recover(trio, work, at)
    print(f"first run after a leader was cut off: {took + 4000} ms; it answered after {waited:.1f} s")
    assert answer.status_code == (502 if "not known" in answer.text else 503), answer.text
    assert waited < (SESSION_MS / 1000 + 1) * share(), (waited, share())


def _ask_who_is_cut_off(leader: MortalServer) -> tuple[float, requests.Response]:
    """Return how many seconds it took to say that it cannot tell whether a job was made, and the answer."""
    began = time.monotonic()
    job = {"name": "asked-of-who-is-cut-off", "command": "true", "schedule": FAR}
    answer = requests.post(f"{leader.url}/v1/scheduler/iso8601", json=job, timeout=50)
    return time.monotonic() - began, answer


def _leads(node: MortalServer) -> bool:
    return bool(node.health().get("leading"))


def _all_serve(trio: Trio) -> bool:
    return trio.zookeeper.serving() == trio.zookeeper.size


class Scenarios:
    """All of it as tests: a class in a test module says by its fixture `trio` what the nodes are, and how often."""

    kills, stops = 6, 3

    def test_leaders_are_killed(self, trio: Trio) -> None:
        leaders_are_killed(trio, self.kills)

    def test_leaders_stop(self, trio: Trio) -> None:
        leaders_stop(trio, self.stops)

    def test_a_leader_is_frozen(self, trio: Trio) -> None:
        a_leader_is_frozen(trio)

    def test_zookeeper_servers_are_killed(self, trio: Trio) -> None:
        zookeeper_servers_are_killed(trio)

    def test_a_leader_is_cut_off_from_zookeeper(self, trio: Trio) -> None:
        a_leader_is_cut_off(trio)
