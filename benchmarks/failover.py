"""How long nobody leads: a leader of three nodes is killed, or stops, on three ZooKeeper servers; jobs are due
twice a second. Real processes, tasks on the nodes' own machines, sessions of 4 seconds."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.rows import Row
from compat_tests.due_work import DueWork, now_ms
from compat_tests.mortal import MortalServer
from compat_tests.servers.zookeeper import missing
from compat_tests.trio import Trio

TIMES = 20


def rows() -> Iterator[Row]:
    lacking = missing()
    if lacking:
        print(f"no ZooKeeper: {lacking}")
        return
    options = ["--resources", "cpus:4;mem:4096;disk:10000"]
    with tempfile.TemporaryDirectory(prefix="failover-") as name, Trio(Path(name) / "trio", *options) as trio:
        work = DueWork(Path(name) / "work")
        work.begin(trio.nodes[0])
        yield from _rows("leader killed to first run that was due since", _often(trio, work, _killed), 7000)
        yield from _rows("leader told to stop to next one leading", _often(trio, work, _stopped), 500)


def _rows(what: str, took: list[float], bar: float) -> Iterator[Row]:
    yield Row(f"failover: {what}, median of {len(took)}", statistics.median(took), bar, "ms")
    yield Row(f"failover: {what}, worst of {len(took)}", max(took), bar, "ms")


def _often(trio: Trio, work: DueWork, go: Callable[[Trio, DueWork, MortalServer], float]) -> list[float]:
    took = []
    for _ in range(TIMES):
        leader = trio.wait_until_whole()
        work.wait_until_calm()
        took.append(go(trio, work, leader))
        leader.start()
    trio.wait_until_whole()
    return took


def _killed(trio: Trio, work: DueWork, leader: MortalServer) -> float:
    leader.kill()
    return work.wait_for_start(now_ms())


def _stopped(trio: Trio, work: DueWork, leader: MortalServer) -> float:
    took = trio.hand_over(leader) * 1000
    leader.stop()
    return took
