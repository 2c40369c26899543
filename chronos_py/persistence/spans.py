"""What the timeline and the graph ask of history: runs by the span that they took, and the newest of each job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from chronos_py.clock import Millis
from chronos_py.model.run import Outcome

NOT_RUN = (Outcome.SKIPPED.value, Outcome.MERGED.value)
JOBS_AT_ONCE = 500


def overlapping(runs: sa.Table, begin: Millis, end: Millis, latest: Millis, limit: int) -> sa.Select[Any]:
    """Return the question for runs that were made before `end` and ended from `begin` on, the first to end first; those
    that ended after `latest` are left out, which keeps the question small."""
    c = runs.c
    return (
        sa.select(runs)
        .where(c.ended >= begin, c.ended < latest, c.created < end, c.outcome.not_in(NOT_RUN))
        .order_by(c.ended, c.run)
        .limit(limit)
    )


def newest_of(runs: sa.Table, jobs: Sequence[str]) -> sa.Select[Any]:
    """Return the question for the newest run of each of some jobs, of those that ran."""
    c = runs.c
    newest = sa.select(sa.func.max(c.run)).where(c.job.in_(jobs), c.outcome.not_in(NOT_RUN)).group_by(c.job)
    return sa.select(runs).where(c.run.in_(newest))
