"""What a store must do, whatever it is made of. One test suite runs over every implementation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from chronos_py.clock import Millis
from chronos_py.model.history import AttemptRecord, HistoryRecord, RunRecord
from chronos_py.model.job import Counters, Job, JobState
from chronos_py.model.messages import Change
from chronos_py.model.run import Run
from chronos_py.model.statistics import Group, StatisticsQuery


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record that could not be read: left where it is, reported, never fatal."""

    kind: str
    key: str
    reason: str


@dataclass(slots=True)
class Snapshot:
    """All that the engine needs to go on where the last leader stopped.

    `counters` are of jobs without a state that someone else has written: what their documents say of their past.
    `pending` are the ids of tasks that a Chronos 2 had made and not started; Delete("pending", id) ends that.
    """

    jobs: dict[str, Job] = field(default_factory=dict)
    states: dict[str, JobState] = field(default_factory=dict)
    runs: dict[int, Run] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    outbox: dict[int, HistoryRecord] = field(default_factory=dict)
    quarantined: list[Quarantined] = field(default_factory=list)
    counters: dict[str, Counters] = field(default_factory=dict)
    pending: tuple[str, ...] = ()


class JobStore(Protocol):
    """Where jobs, their state, and runs in flight outlive the process."""

    def open_epoch(self) -> int:
        """Become the writer: every later commit of an older epoch is refused. Raises StoreUnavailable."""

    def load(self) -> Snapshot:
        """Read everything. A record that cannot be read is quarantined. Raises StoreUnavailable."""

    def commit(self, epoch: int, changes: Sequence[Change]) -> None:
        """Make all changes durable, or none. Raises StaleLeader (a newer epoch) or StoreUnavailable."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which ended runs to list, newest first. Instants bound `due`, from inclusive to exclusive."""

    job: str | None = None
    outcome: str | None = None
    trigger: str | None = None
    owner: str | None = None
    due_from: Millis | None = None
    due_to: Millis | None = None
    before_run: int | None = None  # runs with a lower number only: the next page
    limit: int = 100


class HistoryStore(Protocol):
    """Ended runs and attempts: large, queryable, prunable. All writes are idempotent by (run) and (run, attempt)."""

    def write(self, records: Iterable[HistoryRecord]) -> None:
        """Keep all; a record written again replaces itself. Raises StoreUnavailable."""

    def runs(self, query: RunQuery) -> list[RunRecord]: ...

    def run(self, number: int) -> RunRecord | None: ...

    def attempts(self, run: int) -> list[AttemptRecord]: ...

    def recent_attempts(self, job: str, limit: int) -> list[AttemptRecord]:
        """Return the newest attempts of a job, newest start first."""

    def durations(self, limit_per_job: int) -> Mapping[str, Sequence[int]]:
        """Return for each job the newest successes' milliseconds from due time to end, oldest first."""

    def prune(self, older_than: Millis, keep_per_job: int) -> int:
        """Remove runs that ended before `older_than`, but keep each job's newest; return how many went."""

    def overlapping(self, begin: Millis, end: Millis, latest: Millis, limit: int) -> list[RunRecord]:
        """Return runs made before `end` that ended from `begin` on and before `latest`, the first to end first."""

    def newest_of(self, jobs: Sequence[str]) -> list[RunRecord]:
        """Return the newest run of each of these jobs, of those that ran."""

    def statistics(self, query: StatisticsQuery, now: Millis) -> Sequence[Group]:
        """Sum up what was ever written, each record once, pruned or not. Raises InvalidInput: see statistics.plan."""

    def close(self) -> None: ...
