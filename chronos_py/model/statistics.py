"""Statistics of ended runs and attempts: what is counted, in which roll-ups, and how percentiles are kept.

A run counts in the minute, hour and day (UTC) in which it *ended*, an attempt in those in which it ended itself: so
buckets that have passed never change, and one that runs is in no bucket yet.

A row of history for several due times (skipped or merged ones) counts as that many. So in any set of runs `due` is the
sum of the eight outcomes.

Durations are counted in bins with fixed bounds, so that bins of any rows can be added up. A bin's upper bound is at
most 10 % above its smallest value (exact up to 10 ms), and percentiles are upper bounds: never less than the true
value, at most 10 % more; beyond a hundred days they say a hundred days.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add
from typing import NamedTuple

from chronos_py.clock import Millis
from chronos_py.errors import InvalidInput
from chronos_py.model.history import HistoryRecord, RunRecord
from chronos_py.model.run import Outcome

# --- durations

GROWTH, LONGEST = 1.1, 100 * 86_400_000
BOUNDS: tuple[Millis, ...] = (0, *sorted({int(GROWTH**n) for n in range(242)}))  # the largest value of each bin
BOUNDS = (*(bound for bound in BOUNDS if bound < LONGEST), LONGEST)

Spread = dict[int, int]  # bin number -> how many values


def bin_of(duration: Millis) -> int:
    """Return the number of the bin that counts a duration; what cannot be goes to the first or the last."""
    return min(bisect_left(BOUNDS, duration), len(BOUNDS) - 1)


def percentile(spread: Mapping[int, int], share: float) -> Millis | None:
    """Return the upper bound of the bin that holds a percentile (nearest rank); None when there are no values."""
    count = sum(spread.values())
    if count <= 0:
        return None
    rank, seen = max(1, -int(-share * count // 1)), 0
    for number in sorted(spread):
        seen += spread[number]
        if seen >= rank:
            return BOUNDS[number]
    return None


def within(spread: Mapping[int, int], limit: Millis) -> int:
    """Return how many values are at most `limit`, with `limit` raised to the bound of the bin it falls into."""
    last = bin_of(limit)
    return sum(count for number, count in spread.items() if number <= last)


# --- figures

COUNTS = (
    "due", "success", "failed", "timed_out", "lost", "killed", "preempted", "skipped", "merged", "started", "launched",
    "attempts_failed",
)  # fmt: skip
SPREADS = ("wait", "finish", "run")
JUDGED = frozenset({Outcome.SUCCESS, Outcome.FAILED, Outcome.TIMED_OUT, Outcome.LOST})
_PLACE = {name: place for place, name in enumerate(COUNTS)}
_WAIT, _FINISH, _RUN = range(3)
_HARMLESS = frozenset({Outcome.SUCCESS, Outcome.KILLED})


@dataclass(slots=True)
class Figures:
    """Sums over some runs and attempts.

    `counts` by COUNTS: `due` to `merged` and `started` count runs; `launched` and `attempts_failed` attempts. `spreads`
    by SPREADS: `wait` from due to the first start and `finish` from due to the end of successes, both of runs that were
    neither killed nor left out; `run` from start to end of attempts.
    """

    counts: list[int] = field(default_factory=lambda: [0] * len(COUNTS))
    spreads: list[Spread] = field(default_factory=lambda: [{}, {}, {}])

    def __getitem__(self, name: str) -> int:
        return self.counts[_PLACE[name]]

    @property
    def judged(self) -> int:
        """Return how many runs tell something about how well jobs are served."""
        return sum(self[outcome.value] for outcome in JUDGED)

    def take(self, counted: Counted, times: int = 1) -> None:
        """Add what one record counts for; with `times` -1 take it back."""
        for place, count in counted.counts:
            self.counts[place] += times * count
        for place, number in counted.bins:
            add_bin(self.spreads[place], number, times)

    def copy(self) -> Figures:
        return Figures(self.counts.copy(), [spread.copy() for spread in self.spreads])

    def add(self, other: Figures) -> None:
        self.counts = list(map(add, self.counts, other.counts))
        for mine, theirs in zip(self.spreads, other.spreads, strict=True):
            for number, count in theirs.items():
                add_bin(mine, number, count)


def add_bin(spread: Spread, number: int, count: int) -> None:
    """Add to a bin; empty ones are not kept."""
    total = spread.get(number, 0) + count
    if total:
        spread[number] = total
    else:
        spread.pop(number, None)


class Counted(NamedTuple):
    """What one record counts for: where, when, and (place, amount) of counts, (place, bin) of spreads."""

    job: str
    owner: str
    host: str
    exit: str
    at: Millis
    counts: tuple[tuple[int, int], ...]
    bins: tuple[tuple[int, int], ...]


def counted(record: HistoryRecord) -> Counted:
    """Return what a record counts for."""
    return _run(record) if isinstance(record, RunRecord) else _attempt(record)


def _run(run: RunRecord) -> Counted:
    due = run.last_index - run.index + 1 if run.index is not None and run.last_index is not None else 1
    counts = [(0, due), (_PLACE[run.outcome.value], due)]
    started = run.first_started if run.first_started is not None else run.started
    bins = []
    if started is not None:
        counts.append((_PLACE["started"], 1))
        if run.outcome in JUDGED:
            bins.append((_WAIT, bin_of(started - run.due)))
    if run.outcome is Outcome.SUCCESS and run.attempts:
        bins.append((_FINISH, bin_of(run.ended - run.due)))
    exit_reason = run.exit_reason or ("" if run.attempts else run.reason[:64]) or run.outcome.value
    return Counted(run.job, run.owner, run.host, exit_reason, run.ended, tuple(counts), tuple(bins))


def _attempt(attempt: HistoryRecord) -> Counted:
    assert not isinstance(attempt, RunRecord)
    counts = [(_PLACE["launched"], 1)]
    if attempt.outcome not in _HARMLESS:
        counts.append((_PLACE["attempts_failed"], 1))
    bins = () if attempt.started is None else ((_RUN, bin_of(attempt.ended - attempt.started)),)
    return Counted(attempt.job, attempt.owner, attempt.host, attempt.exit_reason, attempt.ended, tuple(counts), bins)


# --- roll-ups

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
LEVELS = {"minute": MINUTE, "hour": HOUR, "day": DAY}
KEPT = {"minute": 2 * DAY, "hour": 14 * DAY, "day": 400 * DAY}
DETAIL_KEPT = 31 * DAY
DIMENSIONS = ("job", "owner", "host", "exit")

# Each roll-up keeps some dimensions and has '' for the others; a question goes to the first that keeps what it asks.
ROLLUPS: Mapping[str, frozenset[str]] = {
    "all": frozenset(),
    "owner": frozenset({"owner"}),
    "host": frozenset({"host"}),
    "exit": frozenset({"exit"}),
    "job": frozenset({"job", "owner"}),
    "detail": frozenset(DIMENSIONS),
}


def levels_of(rollup: str) -> tuple[str, ...]:
    """Return the levels that a roll-up is kept by; every combination of everything would be as many rows as runs."""
    return ("day",) if rollup == "detail" else tuple(LEVELS)


def kept_for(rollup: str, level: str) -> Millis:
    """Return for how long buckets are kept."""
    return DETAIL_KEPT if rollup == "detail" else KEPT[level]


class Cell(NamedTuple):
    """One row of a roll-up. `grain` is roll-up and level, such as `job/day`; `bucket` its beginning."""

    grain: str
    job: str
    owner: str
    host: str
    exit: str
    bucket: Millis


# From which roll-up's finest cells another is made: the fewer the better. None: from those that keep everything.
_SOURCES: Mapping[str, str | None] = {
    "detail": None, "host": None, "exit": None, "job": None, "owner": "job", "all": "exit",
}  # fmt: skip
_Key = tuple[str, str, str, str, Millis]  # as Cell, without the grain


def tally(records: Iterable[HistoryRecord], times: int, into: dict[Cell, Figures]) -> None:
    """Add records to the rows of all roll-ups; with `times` -1 take them back.

    Each record is counted once, in a minute that keeps all dimensions; everything else is made of those sums.
    """
    whole: dict[_Key, Figures] = {}
    for record in records:
        one = counted(record)
        key = (one.job, one.owner, one.host, one.exit, one.at - one.at % MINUTE)
        figures = whole.get(key)
        if figures is None:
            figures = whole[key] = Figures()
        figures.take(one, times)
    finest: dict[str | None, dict[_Key, Figures]] = {None: whole}
    for rollup, source in _SOURCES.items():
        cells, kept = finest[source], ROLLUPS[rollup]
        for level in levels_of(rollup):
            cells = _rolled_up(cells, kept, LEVELS[level])
            finest.setdefault(rollup, cells)
            grain = f"{rollup}/{level}"
            for key, figures in cells.items():
                cell = Cell(grain, *key)
                known = into.get(cell)
                if known is None:
                    into[cell] = figures
                else:
                    known.add(figures)


def _rolled_up(cells: Mapping[_Key, Figures], kept: frozenset[str], length: Millis) -> dict[_Key, Figures]:
    """Return the sums of cells over buckets of this length, by the dimensions that are kept."""
    job, owner, host, exit_reason = (name in kept for name in DIMENSIONS)
    found: dict[_Key, Figures] = {}
    for (of_job, of_owner, of_host, of_exit, at), figures in cells.items():
        key = (
            of_job if job else "", of_owner if owner else "", of_host if host else "",
            of_exit if exit_reason else "", at - at % length,
        )  # fmt: skip
        known = found.get(key)
        if known is None:
            found[key] = figures.copy()
        else:
            known.add(figures)
    return found


# --- questions


@dataclass(frozen=True, slots=True)
class StatisticsQuery:
    """Which runs and attempts to sum up: those that ended from `start` to before `end`.

    `by` are dimensions and `per` a level, None for one sum over the span; `where` are pairs of dimension and value.
    """

    start: Millis
    end: Millis
    by: tuple[str, ...] = ()
    per: str | None = None
    where: tuple[tuple[str, str], ...] = ()
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the answer lies: a roll-up, a level of it, and the span in whole buckets."""

    rollup: str
    level: str
    start: Millis
    end: Millis

    @property
    def grain(self) -> str:
        return f"{self.rollup}/{self.level}"


def plan(query: StatisticsQuery, now: Millis) -> Plan:
    """Choose the roll-up and the level. Raises InvalidInput when what is asked is not kept.

    Without `per` the level is the finest that makes at most some dozens of buckets of the span and is still kept; the
    span is widened to whole buckets.
    """
    asked = set(query.by) | {name for name, _ in query.where}
    rollup = next(name for name, kept in ROLLUPS.items() if asked <= kept)
    levels = levels_of(rollup)
    if query.per is not None:
        if query.per not in levels:
            raise InvalidInput("per", query.per, f"{' with '.join(sorted(asked))} is kept by {', '.join(levels)} only")
        level = query.per
        if query.start < now - kept_for(rollup, level):
            days = kept_for(rollup, level) // DAY
            raise InvalidInput(
                "per", level, f"buckets of this length are kept for {days} days, less than was asked for"
            )
    else:
        span = query.end - query.start
        fine = "minute" if span <= 2 * HOUR else "hour" if span <= 2 * DAY else "day"
        candidates = levels[levels.index(fine) :] if fine in levels else levels[-1:]
        level = next((name for name in candidates if query.start >= now - kept_for(rollup, name)), candidates[-1])
    length = LEVELS[level]
    return Plan(rollup, level, query.start - query.start % length, -(-query.end // length) * length)


class Group(NamedTuple):
    """One row of an answer: the bucket's beginning (None without `per`), the values of `by`, and the sums."""

    bucket: Millis | None
    values: tuple[str, ...]
    figures: Figures


def in_order(groups: Iterable[Group], limit: int) -> Sequence[Group]:
    """Return groups, earliest bucket first, then most runs first; at most `limit`."""
    return sorted(groups, key=lambda g: (g.bucket or 0, -g.figures["due"], -g.figures["launched"], g.values))[:limit]


def recount(records: Iterable[HistoryRecord], query: StatisticsQuery, now: Millis) -> Sequence[Group]:
    """Answer a question from the records themselves; roll-ups must agree with this."""
    chosen, found = plan(query, now), dict[tuple[Millis | None, tuple[str, ...]], Figures]()
    length = LEVELS[query.per] if query.per else 0
    for record in records:
        one = counted(record)
        if not chosen.start <= one.at < chosen.end or any(getattr(one, name) != value for name, value in query.where):
            continue
        bucket = one.at - one.at % length if length else None
        values = tuple(str(getattr(one, name)) for name in query.by)
        found.setdefault((bucket, values), Figures()).take(one)
    return in_order((Group(bucket, values, figures) for (bucket, values), figures in found.items()), query.limit)


# --- service levels


@dataclass(frozen=True, slots=True)
class Level:
    """How often a promise was kept: `limit` is what was measured against, the promise raised to its bin's bound."""

    limit: Millis
    judged: int
    good: int
    target: float  # share

    @property
    def share(self) -> float | None:
        return self.good / self.judged if self.judged else None

    @property
    def budget(self) -> float:
        """Return how many misses the target allows."""
        return (1 - self.target) * self.judged

    @property
    def left(self) -> float | None:
        """Return the share of the error budget that is left; below 0 when it is overdrawn, None when there is none."""
        return 1 - (self.judged - self.good) / self.budget if self.budget else None


def service_level(figures: Figures, measure: str, seconds: float, target: float) -> Level:
    """Return how often runs started (`wait`) or succeeded (`finish`) within `seconds` of their due time."""
    limit = min(round(seconds * 1000), LONGEST)
    return Level(BOUNDS[bin_of(limit)], figures.judged, within(figures.spreads[SPREADS.index(measure)], limit), target)
