"""ISO 8601 repeating intervals as Chronos takes them: `R5/2026-01-31T02:30:00Z/P1M`.

The grammar is Chronos's own to the letter, down to what its date library lets pass. The arithmetic is not: Chronos
wrote each start from the one before and so drifted at month ends and summer time. Here due time number i is always
counted from the schedule's original start: start + i periods, months clipped at their ends, wall time kept in the
zone, a wall time that does not exist moved forward for that one time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, tzinfo

from chronos_py.clock import Millis
from chronos_py.errors import InvalidSchedule, UnusableSchedule
from chronos_py.scheduler.joda import read_start
from chronos_py.scheduler.moments import (
    DAY,
    FIRST_INSTANT,
    LAST_INSTANT,
    add_months,
    is_fixed,
    printed,
    required_zone,
    to_utc,
    zone_named,
)
from chronos_py.scheduler.period import Period, parse_period

_OUTER = re.compile(r"R(\d*)/(.*)/(P.*)", re.ASCII | re.DOTALL)
_LARGEST_COUNT = 2**63 - 1
_MOST_RUNS = 2**31
_SHORTEST = 1000  # milliseconds


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as it was read. `count` None: no end. `start` on the clock of `zone`, None: when it is accepted."""

    text: str
    count: int | None
    start: Millis | None
    zone: tzinfo
    period: Period

    def anchored(self, at: Millis) -> Occurrences:
        """Return the due times; `at` is the start of a schedule that names none."""
        if self.start is None:
            return Occurrences(self, at, UTC)
        return Occurrences(self, self.start, self.zone)

    def start_millis(self, at: Millis) -> Millis:
        """Return the instant of the first due time."""
        return self.anchored(at).at_sure(0)


class Occurrences:
    """The due times of a schedule, by number from 0."""

    __slots__ = ("_days", "_exact", "_local", "_mean", "_months", "_start", "_step", "_years", "_zone", "schedule")

    def __init__(self, schedule: Schedule, local: Millis, zone: tzinfo) -> None:
        period = schedule.period
        self.schedule = schedule
        self._local = local
        self._zone = zone
        self._start = to_utc(local, zone)
        self._years, self._months = period.years * 12, period.months
        self._days, self._exact, self._mean = period.all_days * DAY, period.exact, period.mean
        same_length = not period.is_calendar or (is_fixed(zone) and not self._years and not self._months)
        self._step = self._days + self._exact if same_length else None  # what lies between any two due times

    @property
    def step(self) -> Millis | None:
        """Return what lies between any two due times, None where that differs."""
        return self._step

    def at(self, index: int) -> Millis | None:
        """Return due time number `index`, or None when it lies beyond any date.

        Years are added before months, so February 29 and P1Y1M make March 28, as in the original.
        """
        if self._step is not None:
            instant = self._start + index * self._step
        else:
            local = self._local
            if self._years:
                local = add_months(local, self._years * index)
            if self._months:
                local = add_months(local, self._months * index)
            instant = to_utc(local + self._days * index, self._zone) + self._exact * index
        return instant if FIRST_INSTANT <= instant <= LAST_INSTANT else None

    def at_sure(self, index: int) -> Millis:
        """Return due time number `index`; one beyond any date becomes the last instant."""
        instant = self.at(index)
        return LAST_INSTANT if instant is None else instant

    def last_due(self, now: Millis) -> int:
        """Return the number of the newest due time up to `now`, -1 when there was none.

        Steps of no length, or backwards on the whole, never move: then only number 0 is ever due. Where a period mixes
        signs so that single steps go back, the answer is one after which none is due.
        """
        now = min(now, LAST_INSTANT)
        if self._start > now:
            return -1
        if self._mean <= 0:
            return 0
        if self._step is not None:
            return (now - self._start) // self._step
        index = (now - self._start) // self._mean
        if self._has_come(index, now):
            low, high = index, index + 1
            while self._has_come(high, now):
                low, high = high, high + 2 * (high - index)
        else:
            low, high = index - 1, index
            while low > 0 and not self._has_come(low, now):
                low, high = max(0, low - 2 * (index - low)), low
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._has_come(middle, now) else (low, middle)
        return low

    def _has_come(self, index: int, now: Millis) -> bool:
        instant = self.at(index)
        return instant is not None and instant <= now

    def text(self, remaining: int | None, index: int) -> str:
        """Return what is left of the schedule in Chronos's form, from due time number `index` on."""
        count = "" if remaining is None else str(remaining)
        return f"R{count}/{printed(self.at_sure(index), self._zone)}/{self.schedule.period}"


def parse_schedule(text: str, zone: str = "", *, default_zone: tzinfo = UTC, strict_zone: bool = True) -> Schedule:
    """Read a schedule. Raises InvalidSchedule.

    A `zone` replaces whatever offset the start has, keeping its wall clock; an unknown one is refused, or taken as UTC
    like the original with `strict_zone` off. A start without offset and zone is on `default_zone`'s clock.
    """
    outer = _OUTER.fullmatch(text)
    if outer is None:
        raise InvalidSchedule("schedule", text, "not of the form R<runs>/<start>/P<period>", "R5/2026-01-01T00:00Z/P1D")
    digits, start, period = outer.groups()
    count = _count(text, digits)
    try:
        step = parse_period(period)
    except InvalidSchedule as error:
        raise InvalidSchedule("schedule", text, f"the period {_quoted(period)} cannot be read", error.hint) from None
    named = None
    if zone:
        named = required_zone(zone) if strict_zone else zone_named(zone) or UTC
    if start == "":
        return Schedule(text, count, None, named or UTC, step)
    try:
        local, own = read_start(start)
    except ValueError as error:
        reason = f"the start {_quoted(start)} cannot be read: {error}"
        raise InvalidSchedule("schedule", text, reason, "for example 2026-01-01T00:00:00Z") from None
    return Schedule(text, count, local, named or own or default_zone, step)


def _count(text: str, digits: str) -> int | None:
    digits = digits.lstrip("0") or digits[:1]
    if len(digits) > 19 or int(digits or 0) > _LARGEST_COUNT:
        raise InvalidSchedule("schedule", text, "the number of runs is too large")
    return int(digits) if digits else None


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:80]}...")


def check_schedule(schedule: Schedule, anchor: Millis) -> None:
    """Refuse what Chronos accepted and then could not run: see docs/compatibility.md. Raises InvalidSchedule.

    Schedules that never step (R0, R1) may have any period: clients use `R1//P` for "once, now".
    """
    count, period = schedule.count, schedule.period
    if count is not None and count > _MOST_RUNS:
        raise UnusableSchedule("schedule", schedule.text, f"more than {_MOST_RUNS} runs", "R alone means without end")
    if count is not None and count <= 1:
        return
    if any(value < 0 for value in period.fields):
        raise UnusableSchedule("schedule", schedule.text, "a period of a repeating schedule may not be negative")
    if period.mean < _SHORTEST:
        raise UnusableSchedule("schedule", schedule.text, "a repeating schedule needs a period of at least one second")
