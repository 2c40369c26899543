"""Questions about ended runs that need no database: which a query means, which due times have no row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from chronos_py.model.history import RunRecord
from chronos_py.persistence.base import RunQuery


@dataclass(frozen=True, slots=True)
class Gap:
    """Due times number `first` to `last` have `rows` rows in the ledger each: 0, or more than 1."""

    first: int
    last: int
    rows: int


def find_gaps(spans: Iterable[tuple[int, int]], start: int, up_to: int) -> list[Gap]:
    """Return where `spans` (first and last index of each row) do not cover each of `start` to `up_to` exactly once.

    The empty list is the proof that every due time ended exactly once. In order, neighbours of equal `rows` as one.
    """
    steps: dict[int, int] = {}
    for first, last in spans:
        first, last = max(first, start), min(last, up_to)
        if first <= last:
            steps[first] = steps.get(first, 0) + 1
            steps[last + 1] = steps.get(last + 1, 0) - 1
    found: list[Gap] = []
    at, rows = start, 0
    for edge in sorted({edge for edge, step in steps.items() if step} | {up_to + 1}):
        if edge > at:
            if rows != 1:
                found.append(Gap(at, edge - 1, rows))
            at = edge
        rows += steps.get(edge, 0)
    return found


def matches(record: RunRecord, query: RunQuery) -> bool:
    """Tell whether the query means this run; its limit is not looked at."""
    return (
        (query.job is None or record.job == query.job)
        and (query.outcome is None or record.outcome == query.outcome)
        and (query.trigger is None or record.trigger == query.trigger)
        and (query.owner is None or record.owner == query.owner)
        and (query.due_from is None or record.due >= query.due_from)
        and (query.due_to is None or record.due < query.due_to)
        and (query.before_run is None or record.run < query.before_run)
    )
