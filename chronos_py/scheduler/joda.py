"""The start of a schedule, read as the original's date library reads it: Joda-Time 2.10, `dateTimeParser`.

It is no ISO 8601 parser: it takes `2014-3-8T1:2:3Z`, `T10:00`, `2014T+08`, week and ordinal dates and nine-digit years,
and refuses the basic form, a blank for the T, and hour 24. A fraction has nine digits at most, and each digit is worth
whole milliseconds: of `T22.910307255` that leaves 22:54:37.105, one less than the exact value.
"""

from __future__ import annotations

import re
from datetime import UTC, timedelta, timezone, tzinfo

from chronos_py.clock import Millis
from chronos_py.scheduler.moments import DAY, FIRST_INSTANT, LAST_INSTANT, days_from_civil, days_in_month

_START = re.compile(
    r"(?:(?P<year>[+-]?\d{1,9})"
    r"(?:-(?:W(?P<week>\d{1,2})(?:-(?P<weekday>\d))?|(?P<month>\d{1,2})(?:-(?P<day>\d{1,2}))?|(?P<yearday>\d{3})))?)?"
    r"(?P<t>T(?:(?P<hour>\d{1,2})"
    r"(?:[.,](?P<hours>\d{1,9})|:(?P<minute>\d{1,2})"
    r"(?:[.,](?P<minutes>\d{1,9})|:(?P<second>\d{1,2})(?:[.,](?P<seconds>\d{1,9}))?)?)?)?"
    r"(?P<offset>Z|[+-]\d\d(?::\d\d(?::\d\d(?:[.,]\d{1,3})?)?|\d\d(?:\d\d(?:\d{1,3})?)?)?)?)?",
    re.IGNORECASE | re.ASCII,
)
_FRACTIONS = (("hours", 3_600_000), ("minutes", 60_000), ("seconds", 1000))


def read_start(text: str) -> tuple[Millis, tzinfo | None]:
    """Return (wall clock, zone of the written offset, None without one). Raises ValueError with the reason."""
    match = _START.fullmatch(text)
    if match is None or (match["year"] is None and match["hour"] is None):
        raise ValueError("it is not a date-time")
    local, zone = _date(match) * DAY + _time(match), _zone(match["offset"])
    if not FIRST_INSTANT - DAY <= local <= LAST_INSTANT + DAY:  # the original went on from the other end of time
        raise ValueError("it lies beyond any date")
    return local, zone


def _number(text: str | None, default: int, low: int, high: int, name: str) -> int:
    value = default if text is None else int(text)
    if not low <= value <= high:
        raise ValueError(f"{name} {value} is out of range")
    return value


def _date(match: re.Match[str]) -> int:
    """Return the days from 1970-01-01."""
    year = _number(match["year"], 1970, -292_275_055, 292_278_994, "year")
    if match["week"] is not None:
        year = _number(match["year"], 1970, -292_275_054, 292_278_993, "week year")
        monday = _first_monday(year)
        week = _number(match["week"], 1, 1, (_first_monday(year + 1) - monday) // 7, "week")
        return monday + (week - 1) * 7 + _number(match["weekday"], 1, 1, 7, "day of the week") - 1
    if match["yearday"] is not None:
        length = 337 + days_in_month(year, 2)
        return days_from_civil(year, 1, 1) + _number(match["yearday"], 1, 1, length, "day of the year") - 1
    month = _number(match["month"], 1, 1, 12, "month")
    return days_from_civil(year, month, _number(match["day"], 1, 1, days_in_month(year, month), "day"))


def _first_monday(year: int) -> int:
    """Return the day on which an ISO week year begins: the Monday of the week that holds January 4."""
    fourth = days_from_civil(year, 1, 4)
    return fourth - (fourth + 3) % 7


def _time(match: re.Match[str]) -> Millis:
    """Return the milliseconds from midnight."""
    hour = _number(match["hour"], 0, 0, 23, "hour")
    minute = _number(match["minute"], 0, 0, 59, "minute")
    second = _number(match["second"], 0, 0, 59, "second")
    time = ((hour * 60 + minute) * 60 + second) * 1000
    for name, unit in _FRACTIONS:
        if match[name] is not None:
            time += _fraction(match[name], unit)
    return time


def _fraction(digits: str, unit: Millis) -> Millis:
    tenfold, worth = 0, unit
    for digit in digits:
        tenfold += int(digit) * worth
        worth //= 10
    return tenfold // 10


def _zone(offset: str | None) -> tzinfo | None:
    if offset is None:
        return None
    if offset in "Zz":
        return UTC
    digits = re.sub(r"\D", "", offset)
    hours, minutes, seconds = (int(digits[at : at + 2] or 0) for at in (0, 2, 4))
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError(f"offset {offset} is out of range")
    east = timedelta(hours=hours, minutes=minutes, seconds=seconds, milliseconds=int(digits[6:].ljust(3, "0")))
    return timezone(-east if offset[0] == "-" else east)
