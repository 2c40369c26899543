"""From the job store's outbox to the history store: a thread that writes behind, a reader that need not wait for it.

A record is committed with the turn that made it, handed in here, written to history some moment later, and only then
forgotten by the job store. So the history store may be slow or away for hours: nothing is lost, and scheduling goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

import structlog

from chronos_py.clock import Millis
from chronos_py.errors import StoreUnavailable
from chronos_py.model.history import AttemptRecord, HistoryRecord, RunRecord
from chronos_py.model.statistics import Group, StatisticsQuery
from chronos_py.persistence.base import HistoryStore, RunQuery
from chronos_py.persistence.codec import BadRecord, encode_record
from chronos_py.persistence.ledger import matches
from chronos_py.persistence.spans import NOT_RUN

log = structlog.get_logger(__name__)

Item = tuple[int, HistoryRecord]  # an outbox number and its record
Reload = Callable[[int, int], Sequence[Item]]  # (after, limit) -> committed records with higher numbers, lowest first

LIMIT = 50_000  # records in memory, some 50 MB
BATCH = 2_000  # records per transaction
GATHER_S = 0.1  # how long records are gathered: fewer syncs, and nobody waits, for readers see them at once
FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 0.1, 10.0


class HistoryWriter:
    """Writes committed records to history, in the order of their numbers, in a thread of its own.

    `written(n)` is called from that thread once all committed records up to number n are in history. `reload` reads
    records back from the job store when more came in than `limit` allows to keep in memory.
    """

    def __init__(
        self,
        store: HistoryStore,
        written: Callable[[int], None],
        reload: Reload,
        *,
        limit: int = LIMIT,
        batch: int = BATCH,
        gather: float = GATHER_S,
    ) -> None:
        self._store = store
        self._written = written
        self._reload = reload
        self._limit = limit
        self._batch = batch
        self._gather = gather
        self._changed = threading.Condition()
        self._pending: dict[int, HistoryRecord] = {}  # lowest number first
        self._newest = 0  # all records up to this number have been in `_pending`
        self._overflowed = False  # the job store has committed records above `_newest` that are not in memory
        self._meanwhile: dict[int, HistoryRecord] | None = None  # what is handed in while a reload is under way
        self._left_out = 0  # about how many records are not in memory
        self._hurried = False
        self._stopping = False
        self._problem = ""
        self._thread: threading.Thread | None = None

    # --- life

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="history-writer", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Write what is waiting if that takes no longer than `timeout` seconds, and end the thread. The rest lies in
        the job store and is handed in again after the next start."""
        if self._thread is None or not self._thread.is_alive():
            return
        began = time.monotonic()
        self.flush(timeout)
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(max(1.0, timeout - (time.monotonic() - began)))

    # --- any thread

    def submit(self, items: Sequence[Item]) -> None:
        """Hand in committed records, lowest number first. Never waits for the history store."""
        if not items:
            return
        with self._changed:
            room = 0 if self._overflowed else max(0, self._limit - len(self._pending))
            self._take(items[:room])
            if len(items) > room:
                self._leave_out(items[room:])
            self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Write without gathering; tell whether all that was handed in is in history within `timeout` seconds."""
        with self._changed:
            self._hurried = True
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: not self._pending and not self._overflowed, timeout)
            self._hurried = False
            return done

    def lag(self) -> int:
        """Return how many committed records are not yet in history; a guess for those that are not in memory."""
        return len(self._pending) + self._left_out

    @property
    def problem(self) -> str:
        """Say why nothing can be written at present; empty when all is well."""
        return self._problem

    @property
    def pending(self) -> list[HistoryRecord]:
        """Return the records in memory that may not be in history yet, oldest first."""
        with self._changed:
            return list(self._pending.values())

    # --- the thread

    def _run(self) -> None:
        back_off = FIRST_BACK_OFF_S
        while self._wait_for_work():
            try:
                if self._overflowed and len(self._pending) <= self._limit // 2:
                    self._catch_up()
                self._write_batch()
                if self._problem:
                    log.info("history is written again", waiting=self.lag())
                self._problem, back_off = "", FIRST_BACK_OFF_S
            except Exception as error:
                if not isinstance(error, StoreUnavailable):
                    log.exception("the history writer failed and tries again")
                elif not self._problem:
                    log.error("history cannot be written: records wait in the job store", reason=str(error))
                self._problem = str(error)
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, back_off)
                back_off = min(back_off * 2, LONGEST_BACK_OFF_S)

    def _wait_for_work(self) -> bool:
        """Return once there is a batch worth writing; False: stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._overflowed or self._stopping)
            if not self._stopping and not self._overflowed:
                enough = self._batch
                self._changed.wait_for(
                    lambda: len(self._pending) >= enough or self._hurried or self._stopping, self._gather
                )
            return not self._stopping

    def _write_batch(self) -> None:
        with self._changed:
            items = list(islice(self._pending.items(), self._batch))
        if not items:
            return
        self._write([record for _, record in items])
        last = items[-1][0]
        self._written(last)
        with self._changed:
            for number, record in items:
                if self._pending.get(number) is record:  # else it was handed in again, and may have changed
                    del self._pending[number]
            self._changed.notify_all()

    def _write(self, records: list[HistoryRecord]) -> None:
        try:
            self._store.write(records)
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("a batch of history records was refused; writing them one by one")
            for record in records:
                self._write_one(record)

    def _write_one(self, record: HistoryRecord) -> None:
        """Write a record; one that can never be written goes to the log instead, for it must not hold up the others."""
        try:
            self._store.write([record])
        except StoreUnavailable:
            raise
        except Exception as error:
            try:
                text = encode_record(record).decode()
            except BadRecord:
                text = repr(record)
            log.critical("a history record was refused and is kept here only", record=text, reason=str(error))

    def _catch_up(self) -> None:
        """Read records from the job store that found no room; with the last of them, `submit` is as ever again.

        A record that was committed before the reload is read by it; one committed later is in `_meanwhile`.
        """
        with self._changed:
            self._meanwhile = {}
            after, limit = self._newest, self._limit - len(self._pending)
        try:
            found = self._reload(after, limit)
        except BaseException:
            with self._changed:
                self._meanwhile = None
            raise
        with self._changed:
            meanwhile, self._meanwhile = self._meanwhile, None
            self._take(found)
            self._left_out = max(0, self._left_out - len(found))
            if len(found) < limit and len(self._pending) + len(meanwhile) <= self._limit:
                self._take(sorted(meanwhile.items()))
                self._overflowed, self._left_out = False, 0
                log.info("history has room for all records again", waiting=len(self._pending))
            self._changed.notify_all()

    def _take(self, items: Sequence[Item]) -> None:
        if not items:
            return
        again = items[0][0] <= self._newest  # handed in once more, after a new start of the engine
        self._pending.update(items)
        self._newest = max(self._newest, items[-1][0])
        if again:
            self._pending = dict(sorted(self._pending.items()))

    def _leave_out(self, items: Sequence[Item]) -> None:
        """Let records wait in the job store until there is room."""
        if not self._overflowed:
            log.warning("history does not keep up: further records wait in the job store", waiting=len(self._pending))
        self._overflowed = True
        self._left_out += len(items)
        self._newest = min(self._newest, items[0][0] - 1)
        if self._meanwhile is not None:
            self._meanwhile.update(items)


class HistoryReader:
    """History as readers should see it: what is stored, and over it the committed records still on their way.

    The pending records are taken before the store is asked: a record that moves meanwhile is seen twice, never missed.
    Only records that found no room in memory (see HistoryWriter) appear late.
    """

    def __init__(self, store: HistoryStore, writer: HistoryWriter) -> None:
        self._store = store
        self._writer = writer

    def runs(self, query: RunQuery) -> list[RunRecord]:
        """See HistoryStore."""
        pending = {record.run: record for record in self._writer.pending if isinstance(record, RunRecord)}
        found = {record.run: record for record in self._store.runs(query)}
        for number, record in pending.items():
            if matches(record, query):
                found[number] = record
            else:
                found.pop(number, None)
        return [found[number] for number in sorted(found, reverse=True)[: max(0, query.limit)]]

    def run(self, number: int) -> RunRecord | None:
        """See HistoryStore."""
        for record in reversed(self._writer.pending):
            if isinstance(record, RunRecord) and record.run == number:
                return record
        return self._store.run(number)

    def attempts(self, run: int) -> list[AttemptRecord]:
        """See HistoryStore."""
        pending = [record for record in self._writer.pending if isinstance(record, AttemptRecord) and record.run == run]
        found = {record.attempt: record for record in self._store.attempts(run)}
        found.update((record.attempt, record) for record in pending)
        return [found[attempt] for attempt in sorted(found)]

    def recent_attempts(self, job: str, limit: int) -> list[AttemptRecord]:
        """See HistoryStore."""
        pending = [record for record in self._writer.pending if isinstance(record, AttemptRecord) and record.job == job]
        found = {(record.run, record.attempt): record for record in self._store.recent_attempts(job, limit)}
        found.update(((record.run, record.attempt), record) for record in pending)
        newest = sorted(found.values(), key=lambda a: (a.launched, a.run, a.attempt), reverse=True)
        return newest[: max(0, limit)]

    def durations(self, limit_per_job: int) -> Mapping[str, Sequence[int]]:
        """See HistoryStore. What is still on its way is left out: the service counts that itself."""
        return self._store.durations(limit_per_job)

    def overlapping(self, begin: Millis, end: Millis, latest: Millis, limit: int) -> list[RunRecord]:
        """See HistoryStore."""
        pending = [record for record in self._writer.pending if isinstance(record, RunRecord)]
        found = {record.run: record for record in self._store.overlapping(begin, end, latest, limit)}
        for record in pending:
            if begin <= record.ended < latest and record.created < end and record.outcome.value not in NOT_RUN:
                found[record.run] = record
        return sorted(found.values(), key=lambda record: (record.ended, record.run))[:limit]

    def newest_of(self, jobs: Sequence[str]) -> list[RunRecord]:
        """See HistoryStore."""
        wanted = set(jobs)
        pending = [record for record in self._writer.pending if isinstance(record, RunRecord)]
        found = {record.job: record for record in self._store.newest_of(jobs)}
        for record in pending:
            known = found.get(record.job)
            ran = record.outcome.value not in NOT_RUN
            if record.job in wanted and ran and (known is None or record.run >= known.run):
                found[record.job] = record
        return list(found.values())

    def statistics(self, query: StatisticsQuery, now: Millis) -> Sequence[Group]:
        """See HistoryStore. What is still on its way is left out."""
        return self._store.statistics(query, now)

    def prune(self, older_than: Millis, keep_per_job: int) -> int:
        """See HistoryStore."""
        return self._store.prune(older_than, keep_per_job)
