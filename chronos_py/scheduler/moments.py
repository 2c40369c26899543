"""Wall clocks and zones in whole milliseconds, for any year: what a schedule's arithmetic stands on.

A *local* time is the milliseconds from 1970-01-01T00:00 on the wall clock, as if that clock were UTC. Zone rules repeat
every 400 years in the Gregorian calendar, so a year beyond what `datetime` can hold is looked up 400 years earlier.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from chronos_py.clock import Millis
from chronos_py.errors import UnusableSchedule

DAY = 86_400_000
FIRST_INSTANT, LAST_INSTANT = -(2**63) + 2 * DAY, 2**63 - 2 * DAY  # Java's, less room for any zone's wall clock
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall clock, without a zone on purpose
_CYCLE = 146_097 * DAY  # 400 years
_FIRST, _LAST = -62_135_596_800_000 + 2 * DAY, 253_402_300_799_999 - 2 * DAY  # what datetime can hold, with a margin

# java.util.TimeZone's and Joda-Time's meaning of old three-letter ids
_OLD_IDS = {
    "ACT": "Australia/Darwin", "AET": "Australia/Sydney", "AGT": "America/Argentina/Buenos_Aires",
    "ART": "Africa/Cairo", "AST": "America/Anchorage", "BET": "America/Sao_Paulo", "BST": "Asia/Dhaka",
    "CAT": "Africa/Harare", "CNT": "America/St_Johns", "CST": "America/Chicago", "CTT": "Asia/Shanghai",
    "EAT": "Africa/Addis_Ababa", "ECT": "Europe/Paris", "EST": "America/New_York", "HST": "Pacific/Honolulu",
    "IET": "America/Indiana/Indianapolis", "IST": "Asia/Kolkata", "JST": "Asia/Tokyo", "MIT": "Pacific/Apia",
    "MST": "America/Denver", "NET": "Asia/Yerevan", "NST": "Pacific/Auckland", "PLT": "Asia/Karachi",
    "PNT": "America/Phoenix", "PRT": "America/Puerto_Rico", "PST": "America/Los_Angeles",
    "SST": "Pacific/Guadalcanal", "VST": "Asia/Ho_Chi_Minh",
}  # fmt: skip
_NOT_IN_JAVA = re.compile(r"posix/.*|right/.*|posixrules|localtime|Factory", re.DOTALL)  # files, but no zones' names
_GMT_OFFSET = re.compile(r"GMT([+-])(\d{1,2})(?::?(\d{2}))?", re.ASCII)


@lru_cache(maxsize=1000)
def zone_named(name: str) -> tzinfo | None:
    """Return the zone that Java means by `name`, None when it knows no such zone (it then silently takes GMT)."""
    offset = _GMT_OFFSET.fullmatch(name)
    if offset:
        minutes = int(offset[2]) * 60 + int(offset[3] or 0)
        if int(offset[2]) > 23 or int(offset[3] or 0) > 59:
            return None
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    if name in ("UTC", "GMT", "Z"):
        return UTC
    if _NOT_IN_JAVA.fullmatch(name):
        return None
    try:
        return ZoneInfo(_OLD_IDS.get(name, name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def required_zone(name: str) -> tzinfo:
    """Return a zone. Raises UnusableSchedule for an unknown name."""
    zone = zone_named(name)
    if zone is None:
        raise UnusableSchedule("scheduleTimeZone", name, "no such time zone", "for example Europe/Berlin")
    return zone


def days_from_civil(year: int, month: int, day: int) -> int:
    """Return the days from 1970-01-01 to a Gregorian date of any year.

    Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil.
    """
    year -= month <= 2
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468


def civil_from_days(days: int) -> tuple[int, int, int]:
    """Return (year, month, day); the inverse of `days_from_civil`, same source."""
    days += 719_468
    era = days // 146_097
    day_of_era = days - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + (3 if shifted < 10 else -9)
    return year_of_era + era * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1


def days_in_month(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def _within(local: Millis) -> Millis:
    """Return a time that `datetime` can hold and at which zones do the same."""
    if local > _LAST:
        return local - -(-(local - _LAST) // _CYCLE) * _CYCLE
    return max(local, _FIRST)


def _millis(offset: timedelta | None) -> Millis:
    return 0 if offset is None else (offset.days * 86_400 + offset.seconds) * 1000 + offset.microseconds // 1000


def is_fixed(zone: tzinfo) -> bool:
    """Tell whether a zone's offset never changes."""
    return isinstance(zone, timezone)


def to_utc(local: Millis, zone: tzinfo) -> Millis:
    """Return the instant of a wall time: in a gap moved forward by the gap, in an overlap the earlier of the two."""
    if zone is UTC:
        return local
    return local - _millis((_EPOCH + timedelta(milliseconds=_within(local))).replace(tzinfo=zone).utcoffset())


def offset_at(instant: Millis, zone: tzinfo) -> Millis:
    """Return a zone's offset from UTC at an instant, in milliseconds."""
    if zone is UTC:
        return 0
    moment = (_EPOCH + timedelta(milliseconds=_within(instant))).replace(tzinfo=UTC)
    return _millis(moment.astimezone(zone).utcoffset())


def add_months(local: Millis, months: int) -> Millis:
    """Add months on the wall clock; a day that the month lacks becomes its last."""
    day_number, time = divmod(local, DAY)
    year, month, day = civil_from_days(day_number)
    years, month_index = divmod(month - 1 + months, 12)
    year, month = year + years, month_index + 1
    return days_from_civil(year, month, min(day, days_in_month(year, month))) * DAY + time


def printed(instant: Millis, zone: tzinfo) -> str:
    """Print as Chronos does: `2014-03-08T20:00:00.000+08:00`, or with Z where the offset is nothing."""
    offset = offset_at(instant, zone)
    day_number, time = divmod(instant + offset, DAY)
    year, month, day = civil_from_days(day_number)
    seconds, millis = divmod(time, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    date = f"{year:04d}-{month:02d}-{day:02d}" if year >= 0 else f"-{-year:04d}-{month:02d}-{day:02d}"
    return f"{date}T{hour:02d}:{minute:02d}:{second:02d}.{millis:03d}{_printed_offset(offset)}"


def _printed_offset(offset: Millis) -> str:
    if offset == 0:
        return "Z"
    seconds, millis = divmod(abs(offset), 1000)
    text = f"{'-' if offset < 0 else '+'}{seconds // 3600:02d}:{seconds // 60 % 60:02d}"
    if millis:
        return f"{text}:{seconds % 60:02d}.{millis:03d}"
    return f"{text}:{seconds % 60:02d}" if seconds % 60 else text
