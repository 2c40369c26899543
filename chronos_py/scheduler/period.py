"""ISO 8601 periods as Chronos reads and prints them: seven fields kept apart, nothing carried from one to another.

`isodate` is no help here: it reads PT24H as one day, refuses `P` and `PT.5S`, and takes `PT0.5H`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from chronos_py.errors import InvalidSchedule

_NUMBER = r"(-?\d{1,10}|\+\d{1,11})"
_PERIOD = re.compile(
    rf"P(?:{_NUMBER}Y)?(?:{_NUMBER}M)?(?:{_NUMBER}W)?(?:{_NUMBER}D)?"
    rf"(?:T(?=.)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:((?:[+-](?=\d))?)(?=[.,]?\d)(\d*)(?:[.,](\d*))?S)?)?",
    re.IGNORECASE | re.ASCII,
)
_LEAST, _LARGEST = -(2**31), 2**31 - 1
_MOST_DIGITS = 10  # of seconds with their fraction, as Joda-Time counts: it gives one more behind a plus sign
_TIME_UNIT_AS_DATE = re.compile(r"P([+-]?\d+)([HS])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Period:
    """Years to milliseconds, each as written; any may be negative."""

    years: int = 0
    months: int = 0
    weeks: int = 0
    days: int = 0
    hours: int = 0
    minutes: int = 0
    seconds: int = 0
    millis: int = 0

    @property
    def all_months(self) -> int:
        return self.years * 12 + self.months

    @property
    def all_days(self) -> int:
        return self.weeks * 7 + self.days

    @property
    def exact(self) -> int:
        """Return the part that does not depend on a calendar, in milliseconds."""
        return ((self.hours * 60 + self.minutes) * 60 + self.seconds) * 1000 + self.millis

    @property
    def mean(self) -> int:
        """Return the mean length in milliseconds, with months and years of the Gregorian mean."""
        return self.all_months * 2_629_746_000 + self.all_days * 86_400_000 + self.exact

    @property
    def is_calendar(self) -> bool:
        """Tell whether any part follows the calendar, so that its length depends on the date and the zone."""
        return bool(self.years or self.months or self.weeks or self.days)

    @property
    def fields(self) -> tuple[int, ...]:
        return (self.years, self.months, self.weeks, self.days, self.hours, self.minutes, self.seconds, self.millis)

    def __str__(self) -> str:
        """Print as Chronos writes it back: PT60M stays PT60M, nothing is PT0S."""
        date = "".join(
            f"{value}{unit}"
            for value, unit in ((self.years, "Y"), (self.months, "M"), (self.weeks, "W"), (self.days, "D"))
            if value
        )
        time = "".join(f"{value}{unit}" for value, unit in ((self.hours, "H"), (self.minutes, "M")) if value)
        if self.seconds or self.millis:
            time += _seconds(self.seconds * 1000 + self.millis)
        if not date and not time:
            return "PT0S"
        return f"P{date}T{time}" if time else f"P{date}"


def _seconds(millis: int) -> str:
    sign, (seconds, rest) = "-" if millis < 0 else "", divmod(abs(millis), 1000)
    return f"{sign}{seconds}.{rest:03d}S" if rest else f"{sign}{seconds}S"


@lru_cache(maxsize=10_000)
def parse_period(text: str, field: str = "schedule") -> Period:
    """Read a period. Raises InvalidSchedule, with a hint for the usual mistake of P1H for an hour."""
    match = _PERIOD.fullmatch(text)
    if match is None:
        raise InvalidSchedule(field, text, "not an ISO 8601 period", _hint(text))
    *units, sign, whole, fraction = match.groups()
    values = [int(unit or 0) for unit in units]
    seconds, millis = 0, 0
    if whole is not None:
        most = _MOST_DIGITS + (sign == "+")
        if len(whole) + len(fraction or "") > most or (fraction is not None and len(whole) == most):
            raise InvalidSchedule(field, text, f"more than {_MOST_DIGITS} digits of seconds")
        seconds, millis = int(f"{sign}{whole or 0}"), int(f"{sign}{(fraction or '')[:3]:0<3}")
    if not all(_LEAST <= value <= _LARGEST for value in (*values, seconds)):
        raise InvalidSchedule(field, text, f"a number in the period is above {_LARGEST}")
    years, months, weeks, days, hours, minutes = values
    return Period(years, months, weeks, days, hours, minutes, seconds, millis)


def _hint(text: str) -> str:
    mistake = _TIME_UNIT_AS_DATE.fullmatch(text)
    if mistake:
        return f"hours, minutes and seconds stand behind a T: PT{mistake[1]}{mistake[2].upper()}"
    return "for example P1D, PT15M or P1Y2M3DT4H5M6S"
