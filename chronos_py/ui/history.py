"""What pages show of ended runs: strips of marks, means, figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chronos_py.api.backend import Backend
from chronos_py.clock import Millis
from chronos_py.model.history import RunRecord
from chronos_py.model.run import Outcome
from chronos_py.persistence.base import RunQuery
from chronos_py.ui.i18n import gettext

MARKS = {
    Outcome.SUCCESS: "s", Outcome.FAILED: "f", Outcome.TIMED_OUT: "f", Outcome.LOST: "f", Outcome.KILLED: "k",
    Outcome.PREEMPTED: "k", Outcome.SKIPPED: "n", Outcome.MERGED: "n",
}  # fmt: skip
STRIP = 12  # runs


@dataclass(frozen=True, slots=True)
class Strip:
    """A job's last results, oldest first: `marks` for the style sheet, `label` for who does not see them. `mean` is
    the successes' mean time from start to end, in milliseconds."""

    marks: tuple[str, ...]
    label: str
    mean: float | None


def run_time(row: RunRecord) -> Millis | None:
    """Return how long a run's last attempt ran."""
    return None if row.started is None else max(0, row.ended - row.started)


def strip(rows: Sequence[RunRecord]) -> Strip:
    """Sum up runs, given newest first."""
    times = [spent for row in rows if row.outcome is Outcome.SUCCESS and (spent := run_time(row)) is not None]
    good = sum(row.outcome is Outcome.SUCCESS for row in rows)
    bad = sum(MARKS[row.outcome] == "f" for row in rows)
    label = gettext("of the last {n}: {good} succeeded, {bad} failed", n=len(rows), good=good, bad=bad)
    return Strip(tuple(MARKS[row.outcome] for row in reversed(rows)), label, sum(times) / len(times) if times else None)


def strip_of(backend: Backend, job: str) -> Strip:
    """Return a job's last results."""
    return strip(backend.history.runs(RunQuery(job=job, limit=STRIP)))
