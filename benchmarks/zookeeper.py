"""The job store in a real ZooKeeper: committed changes a second, against bare requests of the same size; loading."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial

from kazoo.client import KazooClient

from benchmarks.rows import Row
from chronos_py.clock import SystemClock
from chronos_py.model.history import RunRecord
from chronos_py.model.job import Job, JobState
from chronos_py.model.messages import Change, Delete, Put
from chronos_py.model.run import Outcome, Phase, Run, Trigger
from chronos_py.persistence.zookeeper import ZooKeeperJobStore
from compat_tests.servers.zookeeper import ZooKeeperEnsemble, missing

JOBS = 15_000
BATCH = 100  # changes in a turn
SECONDS = 4.0


def rows() -> Iterator[Row]:
    lacking = missing()
    if lacking:
        print(f"no ZooKeeper: {lacking}")
        return
    with ZooKeeperEnsemble(memory="1g") as server:
        yield from _changes(server.hosts)
        yield from _loading(server.hosts)


def _changes(hosts: str) -> Iterator[Row]:
    """Compare with requests of as many bare operations, of the bytes that a stored run takes."""
    with closing(ZooKeeperJobStore(hosts, "/bench/changes")) as store:
        store.load()
        epoch = store.open_epoch()
        run = Run(id=1, job="a-job", trigger=Trigger.SCHEDULE, due=1_700_000_000_000, stamp=1, created=1, index=7)
        number = 0

        def runs() -> None:
            nonlocal number
            changes: list[Change] = [
                Put("run", number + at, replace(run, id=number + at, phase=Phase.LAUNCHING)) for at in range(BATCH)
            ]
            number += BATCH // 2  # half of them again: most changes are of runs that exist
            store.commit(epoch, changes)

        names = [f"job-{at}" for at in range(BATCH)]
        store.commit(epoch, [Put("job", name, a_job(name)) for name in names])

        def states() -> None:
            nonlocal number
            number += 1
            store.commit(epoch, [Put("state", name, JobState(success_count=number)) for name in names])

        def ends() -> None:
            nonlocal number
            number += 1
            changes: list[Change] = []
            for at, name in enumerate(names[: BATCH // 3]):
                record = RunRecord(number * BATCH + at, name, Trigger.SCHEDULE, 1, 1, 2, Outcome.SUCCESS)
                changes.append(Put("outbox", number * BATCH + at, record))
                changes.append(Put("state", name, JobState(success_count=number)))
                changes.append(Delete("run", number * BATCH + at))
            store.commit(epoch, [*changes, Delete("outbox", number * BATCH - 1)])

        bare = _bare(hosts)
        for name, action, size in (
            ("launches", runs, 150),
            ("runs' ends", ends, 400),
            ("jobs' states alone", states, 900),
        ):
            reference, figure = _rates(partial(bare, size), action)
            yield Row(
                f"ZooKeeper: committed changes a second, {name}, {BATCH} a turn", figure, reference / 2, "1/s",
                higher=True, note=f"bare kazoo requests of {BATCH} x {size} bytes: {reference:,.0f}/s",
            )  # fmt: skip


def _bare(hosts: str) -> Callable[[int], None]:
    client = KazooClient(hosts)
    client.start()
    client.ensure_path("/bench/bare")
    client.create("/bench/bare/epoch", b"")
    paths = [f"/bench/bare/{at}" for at in range(BATCH)]
    for path in paths:
        client.create(path, b"")

    def request(size: int) -> None:
        transaction = client.transaction()
        transaction.check("/bench/bare/epoch", 0)
        for path in paths:
            transaction.set_data(path, b"x" * size)
        transaction.commit()

    return request


def _rates(*actions: Callable[[], None]) -> list[float]:
    """Return how many changes a second each makes; by turns, so that whatever else the machine does hits all alike."""
    took = [0.0] * len(actions)
    for action in actions:
        for _ in range(5):
            action()
    rounds = 0
    while max(took) < SECONDS:
        rounds += 1
        for number, action in enumerate(actions):
            began = time.perf_counter()
            for _ in range(5):
                action()
            took[number] += time.perf_counter() - began
    return [rounds * 5 * BATCH / seconds for seconds in took]


def a_job(name: str) -> Job:
    return Job(
        name=name, command="/usr/local/bin/report --date today --full", schedule="R/2026-01-01T00:00:00Z/PT1H",
        owner="team@example.com", description="a job of usual size",
    )  # fmt: skip


def _loading(hosts: str) -> Iterator[Row]:
    names = [f"job-{number:05}" for number in range(JOBS)]
    now = SystemClock().now()
    with closing(ZooKeeperJobStore(hosts, "/bench/loading")) as store:
        epoch = store.open_epoch()
        for start in range(0, JOBS, 500):
            changes: list[Change] = []
            for number, name in enumerate(names[start : start + 500], start):
                changes.append(Put("job", name, a_job(name)))
                changes.append(Put("state", name, JobState(sequence=number, version=number, anchor=now)))
                changes.append(Put("run", number, Run(number, name, Trigger.SCHEDULE, now, now, now)))
            store.commit(epoch, changes)
    with closing(ZooKeeperJobStore(hosts, "/bench/loading")) as store:
        began = time.perf_counter()
        store.open_epoch()
        snapshot = store.load()
        took = time.perf_counter() - began
        assert len(snapshot.jobs) == len(snapshot.runs) == JOBS
    yield Row(f"ZooKeeper: take over {JOBS:,} jobs and as many runs", took, 5.0, "s")
