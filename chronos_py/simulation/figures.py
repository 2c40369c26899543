"""What a simulation shows: how much ran, waited, came late or not at all, by job and over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chronos_py.clock import Millis, iso_utc
from chronos_py.model.history import AttemptRecord, RunRecord
from chronos_py.model.run import Outcome, Run
from chronos_py.model.statistics import Spread, add_bin, bin_of, percentile
from chronos_py.model.view import Cause, Waiting
from chronos_py.simulation.world import Observer, World

LEFT_OUT = frozenset({Outcome.SKIPPED, Outcome.MERGED})
NAMES = {Outcome.TIMED_OUT: "timedOut"}
OUTCOMES = tuple(outcome for outcome in Outcome if outcome is not Outcome.PREEMPTED)


@dataclass(slots=True)
class JobFigures:
    """Sums over some runs. `outcomes` counts due times by how they ended, `causes` runs that waited by the first cause;
    `late` those that started later than allowed."""

    outcomes: Counter[str] = field(default_factory=Counter)
    launched: int = 0
    attempts_failed: int = 0
    preempted: int = 0
    late: int = 0
    waits: Spread = field(default_factory=dict)
    causes: Counter[str] = field(default_factory=Counter)

    def form(self) -> dict[str, Any]:
        waits = {name: percentile(self.waits, share) for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}
        return {
            **{NAMES.get(outcome, outcome.value): self.outcomes[outcome] for outcome in OUTCOMES},
            "started": sum(self.waits.values()),
            "launched": self.launched,
            "attemptsFailed": self.attempts_failed,
            "preempted": self.preempted,
            "late": self.late,
            "wait": waits,
            "causes": dict(sorted(self.causes.items())),
        }


@dataclass(slots=True)
class Bucket:
    """Thousandths of cores and of MiB, times milliseconds."""

    used: list[int] = field(default_factory=lambda: [0, 0])
    total: list[int] = field(default_factory=lambda: [0, 0])
    most_waiting: int = 0


class Figures(Observer):
    """Sums up what happens from `start` up to `end`, in buckets of `bucket` ms. `late_after` says from which wait on
    a run is late; `promised` the same, in ms, for some jobs. Keeps the first `most` starts and rows of what was left
    out."""

    def __init__(
        self,
        start: Millis,
        end: Millis,
        bucket: Millis,
        *,
        late_after: Millis = 60_000,
        promised: Mapping[str, Millis] | None = None,
        most: int = 1000,
    ) -> None:
        self.start, self.end, self.bucket = start, end, bucket
        self.jobs: dict[str, JobFigures] = {}
        self.total = JobFigures()
        self.starts: list[dict[str, Any]] = []
        self.left_out: list[dict[str, Any]] = []
        self.starts_seen = self.left_out_seen = 0
        self.waiting = self.running = 0
        self._late_after = late_after
        self._promised = promised or {}
        self._most = most
        self._buckets = [Bucket() for _ in range(max(1, -(-(end - start) // bucket)))]
        self._causes: dict[int, str] = {}
        self._last: Millis | None = None
        self._amounts = ((0, 0), (0, 0))

    def _of(self, job: str) -> tuple[JobFigures, JobFigures]:
        found = self.jobs.get(job)
        if found is None:
            found = self.jobs[job] = JobFigures()
        return found, self.total

    def _counts(self, at: Millis) -> bool:
        return self.start <= at < self.end

    # --- what happens

    def waits(self, at: Millis, run: Run, waiting: Waiting) -> None:
        self._causes.setdefault(run.id, waiting.code.value)

    def launched(self, at: Millis, run: Run, agent: str) -> None:
        cause = self._causes.pop(run.id, "")
        if not self._counts(at):
            return
        first = run.attempt == 0
        wait = at - run.due
        late = first and wait > self._promised.get(run.job, self._late_after)
        if first and wait > 0 and not cause:
            cause = Cause.JOB_RUNNING.value if run.created > run.due else Cause.NEXT_TURN.value
        for figures in self._of(run.job):
            figures.launched += 1
            if first:
                add_bin(figures.waits, bin_of(wait), 1)
                figures.late += late
            if cause:
                figures.causes[cause] += 1
        self.starts_seen += 1
        if len(self.starts) < self._most:
            self.starts.append(
                {
                    "at": iso_utc(at), "job": run.job, "due": iso_utc(run.due), "attempt": run.attempt, "wait": wait,
                    "late": late, "cause": cause or None, "agent": agent,
                }
            )  # fmt: skip

    def attempt_ended(self, at: Millis, record: AttemptRecord) -> None:
        if not self._counts(at):
            return
        for figures in self._of(record.job):
            if record.outcome is Outcome.PREEMPTED:
                figures.preempted += 1
            elif record.outcome not in (Outcome.SUCCESS, Outcome.KILLED):
                figures.attempts_failed += 1

    def run_ended(self, at: Millis, record: RunRecord) -> None:
        self._causes.pop(record.run, None)
        if not self._counts(at):
            return
        ranged = record.index is not None and record.last_index is not None
        count = record.last_index - record.index + 1 if ranged else 1  # type: ignore[operator]
        for figures in self._of(record.job):
            figures.outcomes[record.outcome] += count
        if record.outcome in LEFT_OUT:
            self.left_out_seen += 1
            if len(self.left_out) < self._most:
                self.left_out.append(
                    {
                        "at": iso_utc(at), "job": record.job, "due": iso_utc(record.due),
                        "lastDue": iso_utc(record.last_due or record.due), "count": count,
                        "outcome": record.outcome.value, "reason": record.reason,
                    }
                )  # fmt: skip

    def turned(self, world: World) -> None:
        now = world.at
        if self._last is not None and now > self._last:
            self._integrate(self._last, now)
        self._last = now
        self._amounts = (world.used_cpus, world.used_mem), (world.total_cpus, world.total_mem)
        if self._counts(now):
            bucket = self._buckets[(now - self.start) // self.bucket]
            bucket.most_waiting = max(bucket.most_waiting, len(world.engine.book.queue))
        self.waiting, self.running = len(world.engine.book.queue), world.running

    def _integrate(self, begin: Millis, end: Millis) -> None:
        begin, end = max(begin, self.start), min(end, self.end)
        while begin < end:
            number = (begin - self.start) // self.bucket
            until = min(end, self.start + (number + 1) * self.bucket)
            bucket = self._buckets[number]
            for sums, amounts in zip((bucket.used, bucket.total), self._amounts, strict=True):
                for place, amount in enumerate(amounts):
                    sums[place] += amount * (until - begin)
            begin = until

    # --- what is shown

    def shares(self) -> list[dict[str, Any]]:
        """Return which share of cores and memory was used in each bucket, and the most runs that waited at once."""
        return [
            {
                "at": iso_utc(self.start + number * self.bucket),
                "cpus": _share(bucket, 0),
                "mem": _share(bucket, 1),
                "waiting": bucket.most_waiting,
            }
            for number, bucket in enumerate(self._buckets)
        ]

    def form(self) -> dict[str, Any]:
        """Return the sums over all jobs, and how things stand at the end."""
        return {**self.total.form(), "waitingAtEnd": self.waiting, "runningAtEnd": self.running}


def _share(bucket: Bucket, place: int) -> float | None:
    return round(bucket.used[place] / bucket.total[place], 4) if bucket.total[place] else None
