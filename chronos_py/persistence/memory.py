"""Stores that forget everything when the process ends: for trials and tests.

They keep the promises of `base.py` but for durability. Nouns are immutable and kept as they are.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chronos_py.clock import Millis
from chronos_py.errors import StaleLeader
from chronos_py.model.history import AttemptRecord, HistoryRecord, RunRecord
from chronos_py.model.messages import Change, Kind
from chronos_py.model.run import Outcome
from chronos_py.model.statistics import Group, StatisticsQuery, recount
from chronos_py.persistence.base import RunQuery, Snapshot
from chronos_py.persistence.batch import KINDS, Batch, settle
from chronos_py.persistence.codec import dump, load
from chronos_py.persistence.ledger import Gap, find_gaps, matches
from chronos_py.persistence.spans import NOT_RUN

_NOTHING = object()


class MemoryJobStore:
    """A JobStore in memory. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._epoch = 0
        self._values: dict[Kind, dict[Any, Any]] = {kind: {} for kind in KINDS}

    def open_epoch(self) -> int:
        with self._lock:
            self._epoch += 1
            return self._epoch

    def load(self) -> Snapshot:
        with self._lock:
            values = self._values
            return Snapshot(
                jobs=dict(values["job"]),
                states=dict(values["state"]),
                runs=dict(values["run"]),
                meta={key: load(value) for key, value in values["meta"].items()},
                outbox=dict(values["outbox"]),
            )

    def commit(self, epoch: int, changes: Sequence[Change]) -> None:
        batch = settle(changes)
        batch.puts["meta"] = {key: dump(value) for key, value in batch.puts["meta"].items()}  # they can be changed
        with self._lock:
            if epoch != self._epoch:
                raise StaleLeader(f"epoch {epoch} is over: the store is in epoch {self._epoch}")
            undo = self._before(batch)
            try:
                for kind, values in self._values.items():
                    for key in batch.deletes[kind]:
                        values.pop(key, None)
                for number in self._forgotten(batch):
                    del self._values["outbox"][number]
                for kind, values in self._values.items():
                    values.update(batch.puts[kind])
            except BaseException:
                for values, was in undo:
                    for key, value in was.items():
                        if value is _NOTHING:
                            values.pop(key, None)
                        else:
                            values[key] = value
                raise

    def _before(self, batch: Batch) -> list[tuple[dict[Any, Any], dict[Any, Any]]]:
        """Return what a batch is about to change, to be put back if that fails on its way (memory may be full)."""
        undo = []
        for kind, values in self._values.items():
            keys = [*batch.puts[kind], *batch.deletes[kind], *(self._forgotten(batch) if kind == "outbox" else ())]
            undo.append((values, {key: values.get(key, _NOTHING) for key in keys}))
        return undo

    def _forgotten(self, batch: Batch) -> list[int]:
        """Return the numbers of the outbox that a batch lets go."""
        last = batch.outbox_up_to
        return [] if last is None else [number for number in self._values["outbox"] if number <= last]

    def read_outbox(self, after: int, limit: int) -> list[tuple[int, HistoryRecord]]:
        """Return records with numbers above `after`, lowest first."""
        with self._lock:
            outbox = self._values["outbox"]
            return [(number, outbox[number]) for number in sorted(n for n in outbox if n > after)[:limit]]

    def close(self) -> None:
        """Do nothing: what was kept can still be read."""


class MemoryHistoryStore:
    """A HistoryStore in memory. All methods may be called from any thread; queries read everything."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[int, RunRecord] = {}
        self._attempts: dict[int, dict[int, AttemptRecord]] = {}
        self._pruned: list[HistoryRecord] = []  # still counted by statistics

    def write(self, records: Iterable[HistoryRecord]) -> None:
        with self._lock:
            for record in records:
                if isinstance(record, RunRecord):
                    self._runs[record.run] = record
                else:
                    self._attempts.setdefault(record.run, {})[record.attempt] = record

    def runs(self, query: RunQuery) -> list[RunRecord]:
        with self._lock:
            found = [record for record in self._runs.values() if matches(record, query)]
        return sorted(found, key=lambda record: -record.run)[: max(0, query.limit)]

    def run(self, number: int) -> RunRecord | None:
        return self._runs.get(number)

    def attempts(self, run: int) -> list[AttemptRecord]:
        with self._lock:
            return [record for _, record in sorted(self._attempts.get(run, {}).items())]

    def recent_attempts(self, job: str, limit: int) -> list[AttemptRecord]:
        with self._lock:
            found = [a for attempts in self._attempts.values() for a in attempts.values() if a.job == job]
        return sorted(found, key=lambda a: (a.launched, a.run, a.attempt), reverse=True)[: max(0, limit)]

    def durations(self, limit_per_job: int) -> Mapping[str, Sequence[int]]:
        values: dict[str, list[int]] = defaultdict(list)
        with self._lock:
            for _, record in sorted(self._runs.items()):
                if record.outcome is Outcome.SUCCESS and record.attempts:
                    values[record.job].append(max(0, record.ended - record.due))
        return {job: found[-limit_per_job:] for job, found in values.items()} if limit_per_job > 0 else {}

    def overlapping(self, begin: Millis, end: Millis, latest: Millis, limit: int) -> list[RunRecord]:
        with self._lock:
            found = [
                record
                for record in self._runs.values()
                if begin <= record.ended < latest and record.created < end and record.outcome.value not in NOT_RUN
            ]
        return sorted(found, key=lambda record: (record.ended, record.run))[:limit]

    def newest_of(self, jobs: Sequence[str]) -> list[RunRecord]:
        wanted = set(jobs)
        with self._lock:
            ran = [r for _, r in sorted(self._runs.items()) if r.job in wanted and r.outcome.value not in NOT_RUN]
        return list({record.job: record for record in ran}.values())

    def prune(self, older_than: Millis, keep_per_job: int) -> int:
        with self._lock:
            seen: dict[str, int] = defaultdict(int)
            gone = []
            for number, record in sorted(self._runs.items(), reverse=True):
                seen[record.job] += 1
                if seen[record.job] > keep_per_job and record.ended < older_than:
                    gone.append(number)
            for number in gone:
                self._pruned += [self._runs.pop(number), *self._attempts.pop(number, {}).values()]
            return len(gone)

    def statistics(self, query: StatisticsQuery, now: Millis) -> Sequence[Group]:
        with self._lock:
            tries = [attempt for attempts in self._attempts.values() for attempt in attempts.values()]
            return recount([*self._runs.values(), *tries, *self._pruned], query, now)

    def gaps(self, job: str, version: int, up_to: int, start: int = 0) -> list[Gap]:
        """Return which due times `start` to `up_to` of a job's schedule have not exactly one row: see find_gaps."""
        with self._lock:
            spans = [
                (record.index, record.index if record.last_index is None else record.last_index)
                for record in self._runs.values()
                if record.job == job and record.version == version and record.index is not None
            ]
        return find_gaps(spans, start, up_to)

    def close(self) -> None:
        """Do nothing: what was kept can still be read."""
