"""ISO 8601 repeating intervals as Chronos takes them: `R5/2026-01-31T02:30:00Z/P1M`.

The grammar is Chronos's own to the letter, down to what its date library lets pass. The arithmetic is not: Chronos
wrote each start from the one before and so drifted at month ends and summer time. Here due time number i is always
counted from the schedule's original start: start + i periods, months clipped at their ends, wall time kept in the
zone, a wall time that does not exist moved forward for that one time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, timedelta, timezone, tzinfo

from chronos_py.clock import Millis
from chronos_py.errors import InvalidSchedule, UnusableSchedule
from chronos_py.scheduler.moments import (
    DAY,
    add_months,
    days_from_civil,
    days_in_month,
    offset_at,
    printed,
    required_zone,
    to_utc,
    zone_named,
)
from chronos_py.scheduler.period import Period, parse_period

_OUTER = re.compile(r"R(\d*)/(.*)/(P.*)", re.ASCII | re.DOTALL)
_START = re.compile(
    r"(?:(?P<year>[+-]?\d{1,9})"
    r"(?:-(?:W(?P<week>\d{1,2})(?:-(?P<weekday>\d))?|(?P<month>\d{1,2})(?:-(?P<day>\d{1,2}))?|(?P<yearday>\d{3})))?)?"
    r"(?P<t>T(?:(?P<hour>\d{1,2})"
    r"(?:[.,](?P<hours>\d+)|:(?P<minute>\d{1,2})"
    r"(?:[.,](?P<minutes>\d+)|:(?P<second>\d{1,2})(?:[.,](?P<seconds>\d+))?)?)?)?"
    r"(?P<offset>Z|[+-]\d{2}(?::?\d{2}(?::?\d{2}(?:[.,]?\d{1,3})?)?)?)?)?",
    re.IGNORECASE | re.ASCII,
)
_LARGEST_COUNT = 2**63 - 1
_MOST_RUNS = 2**31
_LAST_INSTANT = 2**62  # no due time is ever looked for beyond
_SHORTEST = 1000


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

    __slots__ = ("_days", "_exact", "_local", "_mean", "_months", "_start", "_zone", "schedule")

    def __init__(self, schedule: Schedule, local: Millis, zone: tzinfo) -> None:
        period = schedule.period
        self.schedule = schedule
        self._local = local
        self._zone = zone
        self._start = to_utc(local, zone)
        self._months, self._days, self._exact = period.all_months, period.all_days * DAY, period.exact
        self._mean = period.mean

    def at(self, index: int) -> Millis | None:
        """Return due time number `index`, or None when it lies beyond any date."""
        if not self._months and not self._days:
            instant = self._start + index * self._exact
        else:
            local = self._local
            if self._months:
                local = add_months(local, self._months * index)
            instant = to_utc(local + self._days * index, self._zone) + self._exact * index
        return instant if -_LAST_INSTANT < instant < _LAST_INSTANT else None

    def at_sure(self, index: int) -> Millis:
        """Return due time number `index`; one beyond any date becomes the last instant."""
        instant = self.at(index)
        return _LAST_INSTANT if instant is None else instant

    def last_due(self, now: Millis) -> int:
        """Return the number of the newest due time up to `now`, -1 when there was none.

        Steps of no length, or backwards, never move: then only number 0 is ever due.
        """
        if self._start > now:
            return -1
        if self._mean <= 0:
            return 0
        index = max(0, int((now - self._start) / self._mean))
        while index > 0 and self.at_sure(index) > now:
            index -= 1
        while self.at_sure(index + 1) <= now:
            index += 1
        return index

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
    if digits and int(digits[:30]) > _LARGEST_COUNT:
        raise InvalidSchedule("schedule", text, "the number of runs is too large")
    try:
        step = parse_period(period)
    except InvalidSchedule as error:
        raise InvalidSchedule("schedule", text, f"the period {period!r} cannot be read", error.hint) from None
    named = None
    if zone:
        named = required_zone(zone) if strict_zone else zone_named(zone) or UTC
    local, own = (None, UTC) if start == "" else _parse_start(text, start, default_zone)
    return Schedule(text, int(digits) if digits else None, local, named or own, step)


def _parse_start(text: str, start: str, default_zone: tzinfo) -> tuple[Millis, tzinfo]:
    """Return (wall clock, zone) of a start by the rules of Joda-Time's dateTimeParser."""
    match = _START.fullmatch(start)
    if match is None or not _complete(match):
        raise InvalidSchedule("schedule", text, f"the start {start!r} cannot be read", "2026-01-01T00:00:00Z")
    try:
        return _date(match) * DAY + _time(match), _offset(match["offset"]) or default_zone
    except ValueError as error:
        raise InvalidSchedule("schedule", text, f"the start {start!r}: {error}") from None


def _complete(match: re.Match[str]) -> bool:
    """Tell whether there is a date, or a time of day alone."""
    return match["year"] is not None or match["hour"] is not None


def _number(text: str | None, default: int, low: int, high: int, name: str) -> int:
    value = default if text is None else int(text)
    if not low <= value <= high:
        raise ValueError(f"{name} {value} is out of range")
    return value


def _date(match: re.Match[str]) -> int:
    """Return the days from 1970-01-01."""
    year = _number(match["year"], 1970, -292_000_000, 292_000_000, "year")
    if match["week"] is not None:
        first_thursday = days_from_civil(year, 1, 4)
        monday = first_thursday - (first_thursday + 3) % 7
        weeks = 53 if _weeks(year) == 53 else 52
        week = _number(match["week"], 1, 1, weeks, "week")
        weekday = _number(match["weekday"], 1, 1, 7, "day of the week")
        return monday + (week - 1) * 7 + weekday - 1
    if match["yearday"] is not None:
        length = 337 + days_in_month(year, 2)
        return days_from_civil(year, 1, 1) + _number(match["yearday"], 1, 1, length, "day of the year") - 1
    month = _number(match["month"], 1, 1, 12, "month")
    return days_from_civil(year, month, _number(match["day"], 1, 1, days_in_month(year, month), "day"))


def _weeks(year: int) -> int:
    """Return how many ISO weeks a year has."""
    monday = [day - (day + 3) % 7 for day in (days_from_civil(year, 1, 4), days_from_civil(year + 1, 1, 4))]
    return (monday[1] - monday[0]) // 7


def _time(match: re.Match[str]) -> Millis:
    """Return the milliseconds from midnight."""
    hour = _number(match["hour"], 0, 0, 23, "hour")
    minute = _number(match["minute"], 0, 0, 59, "minute")
    second = _number(match["second"], 0, 0, 59, "second")
    exact = ((hour * 60 + minute) * 60 + second) * 1000
    for digits, unit in (("hours", 3_600_000), ("minutes", 60_000), ("seconds", 1000)):
        if match[digits] is not None:
            exact += int(match[digits][:18]) * unit // 10 ** min(18, len(match[digits]))
    return exact


def _offset(text: str | None) -> tzinfo | None:
    if text is None:
        return None
    if text in "Zz":
        return UTC
    digits = re.sub(r"\D", "", text)
    hours, minutes, seconds = (int(digits[at : at + 2] or 0) for at in (0, 2, 4))
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError(f"offset {text} is out of range")
    offset = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return timezone(-offset if text[0] == "-" else offset)


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


__all__ = ["Occurrences", "Schedule", "check_schedule", "offset_at", "parse_schedule"]
