from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from chronos_py.errors import StoreUnavailable
from chronos_py.model.history import HistoryRecord, RunRecord
from chronos_py.model.messages import Delete, Put
from chronos_py.persistence.base import RunQuery
from chronos_py.persistence.memory import MemoryHistoryStore, MemoryJobStore
from chronos_py.persistence.outbox import HistoryReader, HistoryWriter
from tests import strategies
from tests.persistence.test_history_store_suite import ended, numbers, tried
from tests.waiting import until

LONG = 20.0  # seconds: only a failing test waits so long


class FaultyStore(MemoryHistoryStore):
    """A history store that is away while `away` is set, refuses the runs in `refused`, and can be held up."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.refused: set[int] = set()
        self.go = threading.Event()
        self.go.set()
        self.tries = 0

    def write(self, records: Iterable[HistoryRecord]) -> None:
        self.tries += 1
        assert self.go.wait(LONG)
        kept = list(records)
        if self.away:
            raise StoreUnavailable("away")
        if any(record.run in self.refused for record in kept):
            raise ValueError("refused")
        super().write(kept)


class Rig:
    """A writer between a job store and a history store, as in the program."""

    def __init__(self, **settings: Any) -> None:
        self.jobs = MemoryJobStore()
        self.history = FaultyStore()
        self.written: list[int] = []
        self.epoch = self.jobs.open_epoch()
        self.last = 0
        self.writer = HistoryWriter(self.history, self._written, self.jobs.read_outbox, gather=0.001, **settings)
        self.reader = HistoryReader(self.history, self.writer)

    def _written(self, up_to: int) -> None:
        self.written.append(up_to)

    def turn(self, count: int = 1) -> None:
        """Commit `count` new records, forgetting those that are in history, and hand them in."""
        items = [(number, ended(number)) for number in range(self.last + 1, self.last + 1 + count)]
        self.last += count
        forget = [Delete("outbox", self.written[-1])] if self.written else []
        self.jobs.commit(self.epoch, [*forget, *(Put("outbox", number, record) for number, record in items)])
        self.writer.submit(items)

    @property
    def kept(self) -> list[int]:
        return sorted(numbers(self.history, limit=10**6))


@pytest.fixture
def make() -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def build(**settings: Any) -> Rig:
        rigs.append(Rig(**settings))
        return rigs[-1]

    yield build
    for rig in rigs:
        rig.history.away = False
        rig.history.go.set()
        rig.writer.stop(1)


def test_records_are_written_in_order_and_reported(make: Callable[..., Rig]) -> None:
    rig = make(batch=10)
    rig.writer.start()
    for _ in range(25):
        rig.turn(3)
    assert rig.writer.flush(LONG)
    assert rig.kept == list(range(1, 76))
    assert rig.written == sorted(rig.written)
    assert rig.written[-1] == 75
    assert (rig.writer.lag(), rig.writer.pending, rig.writer.problem) == (0, [], "")


def test_nothing_is_reported_before_it_is_written(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.history.go.clear()
    rig.writer.start()
    rig.turn(5)
    until(lambda: rig.history.tries > 0)
    assert (rig.written, rig.writer.lag()) == ([], 5)
    assert not rig.writer.flush(0.01)
    rig.history.go.set()
    assert rig.writer.flush(LONG)
    assert rig.written[-1] == 5


def test_an_ended_run_is_seen_before_it_is_written(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.history.write([ended(1), tried(1), ended(2, "b")])
    rig.writer.submit([(1, tried(3)), (2, ended(3)), (3, tried(2, 1, job="b")), (4, ended(2, "b", reason="again"))])
    assert [record.run for record in rig.reader.runs(RunQuery())] == [3, 2, 1]
    assert [record.run for record in rig.reader.runs(RunQuery(job="a", limit=1))] == [3]
    assert rig.reader.run(2) == ended(2, "b", reason="again")
    assert rig.reader.run(1) == ended(1)
    assert rig.reader.run(9) is None
    assert rig.reader.attempts(3) == [tried(3)]
    assert rig.reader.attempts(2) == [tried(2, 1, job="b")]
    assert rig.reader.recent_attempts("a", 5) == [tried(3), tried(1)]
    assert rig.reader.recent_attempts("a", 1) == [tried(3)]


def test_while_history_is_away_nothing_is_lost(make: Callable[..., Rig]) -> None:
    rig = make(batch=4)
    rig.history.away = True
    rig.writer.start()
    with capture_logs() as logs:
        for _ in range(10):
            rig.turn()
        until(lambda: rig.history.tries >= 2)
    assert [entry["log_level"] for entry in logs] == ["error"]  # once, not at each try
    assert (rig.written, rig.kept, rig.writer.problem, rig.writer.lag()) == ([], [], "away", 10)
    rig.history.away = False
    assert rig.writer.flush(LONG)
    assert rig.kept == list(range(1, 11))
    assert rig.writer.problem == ""


def test_what_finds_no_room_in_memory_is_read_again_from_the_job_store(make: Callable[..., Rig]) -> None:
    rig = make(limit=50, batch=20)
    rig.history.away = True
    rig.writer.start()
    for _ in range(100):
        rig.turn(7)
    assert len(rig.writer.pending) <= 50
    assert rig.writer.lag() == 700
    rig.history.away = False
    assert rig.writer.flush(LONG)
    assert rig.kept == list(range(1, 701))
    assert (rig.written[-1], rig.writer.lag()) == (700, 0)
    rig.turn()
    assert rig.writer.flush(LONG)
    assert rig.kept[-1] == 701


def test_a_first_batch_larger_than_memory_is_no_problem(make: Callable[..., Rig]) -> None:
    rig = make(limit=50, batch=20)
    rig.turn(1000)
    rig.writer.start()
    assert rig.writer.flush(LONG)
    assert rig.kept == list(range(1, 1001))


def test_records_that_come_while_others_are_read_again_are_not_lost(make: Callable[..., Rig]) -> None:
    rig = make(limit=30, batch=10)
    rig.writer.start()
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        rig.turn(20)
        time.sleep(0.0001)
    assert rig.writer.flush(LONG)
    assert rig.kept == list(range(1, rig.last + 1))
    assert rig.written == sorted(rig.written)


def test_a_job_store_that_is_away_is_asked_again(make: Callable[..., Rig]) -> None:
    rig = make(limit=5, batch=5)
    calls = []

    def reload(after: int, limit: int) -> list[tuple[int, HistoryRecord]]:
        calls.append(after)
        if len(calls) < 3:
            raise StoreUnavailable("the job store is away")
        return rig.jobs.read_outbox(after, limit)

    rig.writer._reload = reload
    rig.turn(12)
    rig.writer.start()
    assert rig.writer.flush(LONG)
    assert rig.kept == list(range(1, 13))


def test_records_handed_in_again_are_written_again_in_order(make: Callable[..., Rig]) -> None:
    rig = make(batch=3)
    rig.turn(6)
    rig.writer.start()
    assert rig.writer.flush(LONG)
    rig.history.go.clear()
    rig.turn(4)
    rig.writer.submit(sorted(rig.jobs.load().outbox.items()))  # the engine started anew
    until(lambda: rig.history.tries > 2)
    del rig.written[:]
    rig.history.go.set()
    assert rig.writer.flush(LONG)
    assert rig.kept == list(range(1, 11))
    assert rig.written[-1] == 10


def test_a_record_that_is_always_refused_holds_up_nobody(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.history.refused = {3}
    with capture_logs() as logs:
        rig.turn(5)
        rig.writer.start()
        assert rig.writer.flush(LONG)
    assert rig.kept == [1, 2, 4, 5]
    assert rig.written[-1] == 5
    (kept,) = [entry for entry in logs if entry["log_level"] == "critical"]
    assert '"run":3' in kept["record"]


def test_an_error_of_the_callback_does_not_end_the_thread(make: Callable[..., Rig]) -> None:
    rig = make()
    calls = []

    def written(up_to: int) -> None:
        calls.append(up_to)
        if len(calls) == 1:
            raise RuntimeError("a bug elsewhere")

    rig.writer._written = written
    rig.turn(2)
    rig.writer.start()
    assert rig.writer.flush(LONG)
    assert calls == [2, 2]


def test_handing_in_never_waits_for_history(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.history.go.clear()
    rig.writer.start()
    rig.turn()
    until(lambda: rig.history.tries > 0)
    began = time.monotonic()
    rig.turn(1000)
    assert time.monotonic() - began < 1  # the store would hold it up for LONG
    rig.history.go.set()


def test_stopping_leaves_the_rest_to_the_next_start(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.history.away = True
    rig.writer.start()
    rig.turn(3)
    rig.writer.stop(0.05)
    assert rig.written == []
    assert sorted(rig.jobs.load().outbox) == [1, 2, 3]
    rig.writer.stop()


def test_a_writer_that_never_started_can_be_stopped(make: Callable[..., Rig]) -> None:
    writer = make().writer
    writer.stop()
    assert writer.lag() == 0


def _key(record: HistoryRecord) -> tuple[int, int | None]:
    return record.run, None if isinstance(record, RunRecord) else record.attempt


@settings(max_examples=40, deadline=None)
@given(
    st.lists(strategies.ledger_rows | strategies.tries, max_size=10),
    st.lists(strategies.ledger_rows | strategies.tries, max_size=10, unique_by=_key),
    strategies.queries,
)
def test_the_reader_answers_as_if_all_were_written(
    stored: list[HistoryRecord], waiting: list[HistoryRecord], query: RunQuery
) -> None:
    whole, part = MemoryHistoryStore(), MemoryHistoryStore()
    whole.write(stored)
    whole.write(waiting)
    part.write([record for record in stored if _key(record) not in set(map(_key, waiting))])
    writer = HistoryWriter(part, lambda up_to: None, lambda after, limit: [])
    writer.submit(list(enumerate(waiting, 1)))
    reader = HistoryReader(part, writer)
    assert reader.runs(query) == whole.runs(query)
    for number in range(1, 31):
        assert reader.run(number) == whole.run(number)
        assert reader.attempts(number) == whole.attempts(number)
    assert reader.recent_attempts("a", 3) == whole.recent_attempts("a", 3)
