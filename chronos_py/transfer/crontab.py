"""Crontabs as Chronos's jobs, where an ISO 8601 interval says exactly the same; where none does, why.

A line becomes one job for each combination of its listed minutes, hours, weekdays, days and months, each of them a
fixed step of the calendar: every hour, day, week, month or year. What cron itself does when clocks change differs
between crons, and is not copied: here a wall time that does not exist is moved forward, and one that comes twice is the
first.
"""

from __future__ import annotations

import calendar
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from chronos_py.errors import ChronosError
from chronos_py.transfer.definitions import Document

MOST_JOBS = 24  # that one line may become
_NAMES = {
    "month": {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name},
    "weekday": {name.lower(): (number + 1) % 7 for number, name in enumerate(calendar.day_abbr)},
}
_RANGES = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 7)}
_SPECIAL = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_VARIABLE = re.compile(r"\s*(?:\"([^\"]*)\"|'([^']*)'|([A-Za-z_]\w*))\s*=\s*(.*?)\s*")
_ITEM = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?", re.ASCII)


class NotExact(ChronosError):
    """No ISO 8601 interval means the same as the line; the text says why, and what might do."""


class BadCrontab(ChronosError):
    """A line is no line of a crontab; the text names the field and the value."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A line of a crontab: the jobs that it became, or why it became none."""

    number: int
    line: str
    jobs: tuple[Document, ...] = ()
    problem: str = ""


def convert(
    text: str, *, start: date, zone: str = "UTC", system: bool = False, owner: str = "", prefix: str = "cron"
) -> Iterator[Converted]:
    """Convert a crontab. `system`: a user stands before each command. `start`: no due time lies before this day.

    Variables go to the jobs' environment; CRON_TZ (or TZ) is the zone of the lines after it, MAILTO their owner. Raises
    BadCrontab for a zone that is not known.
    """
    environment: dict[str, str] = {}
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        variable = _VARIABLE.fullmatch(line)
        if variable:
            name, value = next(filter(None, variable.groups()[:3])), variable[4]
            environment[name] = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
            continue
        try:
            times, user, command = _parts(line, system)
            wanted_zone = environment.get("CRON_TZ") or zone
            schedules = list(_schedules(times, start, wanted_zone))
            jobs = []
            for place, schedule in enumerate(schedules, start=1):
                name = f"{prefix}-{number}" + (f"-{place}" if len(schedules) > 1 else "")
                jobs.append(_job(name, schedule, wanted_zone, command, user, owner, environment))
            yield Converted(number, line, tuple(jobs))
        except (NotExact, BadCrontab) as problem:
            yield Converted(number, line, problem=str(problem))


def _parts(line: str, system: bool) -> tuple[str, str, str]:
    if line.startswith("@"):
        word, _, rest = line.partition(" ") if " " in line else line.partition("\t")
        if word == "@reboot":
            raise NotExact("@reboot: there is no schedule of starts of a machine; make it a service")
        if word not in _SPECIAL:
            raise BadCrontab(f"time {word!r}: must be one of {', '.join(_SPECIAL)}")
        times = _SPECIAL[word]
    else:
        words = line.split(None, 5)
        if len(words) < 6:
            raise BadCrontab(f"line {line!r}: needs five times and a command")
        times, rest = " ".join(words[:5]), words[5]
    user = ""
    if system:
        user, _, rest = rest.strip().partition(" ")
    if not rest.strip():
        raise BadCrontab(f"line {line!r}: needs a command")
    return times, user, _command(rest.strip())


def _command(text: str) -> str:
    """Return the command for a shell: in a crontab an unescaped % begins the standard input, further ones are lines."""
    pieces = [piece.replace("\\%", "%") for piece in re.split(r"(?<!\\)%", text)]
    if len(pieces) == 1:
        return pieces[0]
    lines = "\n".join(pieces[1:]).replace("'", "'\"'\"'")
    return f"printf '%s\\n' '{lines}' | {{ {pieces[0]}\n}}"


def _values(kind: str, text: str) -> list[int] | None:
    """Return the values of a field in order, None for all. Raises BadCrontab."""
    low, high = _RANGES[kind]
    found: set[int] = set()
    for item in text.lower().split(","):
        match = _ITEM.fullmatch(item)
        if not match:
            raise BadCrontab(f"{kind} {text!r}: {item!r} is no number, range or step")
        every, first, last, step = match.groups()
        begin, end = (low, high) if every else (_number(kind, first), _number(kind, last or first))
        if step and not every and last is None:
            end = high
        if not low <= begin <= end <= high or (step and int(step) < 1):
            raise BadCrontab(f"{kind} {text!r}: {item!r} is not within {low} to {high}")
        found.update(range(begin, end + 1, int(step or 1)))
    if kind == "weekday":
        found = {value % 7 for value in found}
        return None if len(found) == 7 else sorted(found)
    return None if len(found) == high - low + 1 else sorted(found)


def _number(kind: str, text: str) -> int:
    if text in _NAMES.get(kind, {}):
        return _NAMES[kind][text]
    if not text.isdecimal():
        raise BadCrontab(f"{kind} {text!r}: is no number" + (" or name" if kind in _NAMES else ""))
    return int(text)


def _schedules(times: str, start: date, zone: str) -> Iterator[str]:
    """Yield the schedules that together are due when the line is. Raises NotExact, BadCrontab."""
    try:
        steps = _clock_changes(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadCrontab(f"zone {zone!r}: is not known") from None
    minutes, hours, days, months, weekdays = (
        _values(kind, text) for kind, text in zip(_RANGES, times.split(), strict=True)
    )
    if days is not None and weekdays is not None:
        raise NotExact(
            "days of the month and weekdays together mean either: make two lines, and see that no day is both"
        )
    daily = days is None and weekdays is None and months is None
    if daily and (hours is None or (not steps and _step(hours, 24))):
        if any(step % timedelta(hours=1) for step in steps):
            raise NotExact(f"clocks of {zone} change by parts of an hour: minutes of the hour move against an interval")
        yield from _within_a_day(minutes, hours, start)
        return
    if minutes is None or (hours is None):
        raise NotExact("runs every minute or hour of only some days: no interval has such gaps")
    if months is not None and weekdays is not None:
        raise NotExact("weekdays of only some months: no interval has such gaps")
    if days is not None and any(day > 28 for day in days):
        raise NotExact("a day after the 28th: cron leaves out the months that lack it, an interval of months does not")
    if months is not None and days is None:
        raise NotExact("every day of only some months: no interval has such gaps")
    combinations = list(itertools.product(months or [0], days or weekdays or [0], hours, minutes))
    if len(combinations) > MOST_JOBS:
        raise NotExact(f"would be {len(combinations)} jobs: {MOST_JOBS} are the most that one line becomes")
    for month, day, hour, minute in combinations:
        first, period = start, "P1D"
        if weekdays is not None:
            first, period = start + timedelta((day - start.isoweekday()) % 7), "P1W"
        elif days is not None:
            first, period = _next(start, month, day), "P1Y" if month else "P1M"
        yield f"R/{first.isoformat()}T{hour:02}:{minute:02}:00/{period}"


def _within_a_day(minutes: list[int] | None, hours: list[int] | None, start: date) -> Iterator[str]:
    """Yield schedules of equal steps through the whole day."""
    day = start.isoformat()
    first_hour, step = (hours[0], _step(hours, 24)) if hours else (0, 1)
    if step == 1:
        if minutes is None:
            yield f"R/{day}T00:00:00/PT1M"
            return
        if _step(minutes, 60):
            width = _step(minutes, 60)
            yield f"R/{day}T00:{minutes[0]:02}:00/PT{width}M" if width < 60 else f"R/{day}T00:{minutes[0]:02}:00/PT1H"
            return
    if minutes is None:
        raise NotExact("every minute of only some hours: no interval has such gaps")
    if len(minutes) > MOST_JOBS:
        raise NotExact(f"would be {len(minutes)} jobs: {MOST_JOBS} are the most that one line becomes")
    for minute in minutes:
        yield f"R/{day}T{first_hour:02}:{minute:02}:00/PT{step}H"


def _step(values: list[int], whole: int) -> int:
    """Return the width of equal steps around the whole, 0 when they are not equal."""
    width = whole // len(values)
    even = whole % len(values) == 0 and values[0] < width and values == list(range(values[0], whole, width))
    return width if even else 0


def _next(start: date, month: int, day: int) -> date:
    """Return the first such day, of this month or with 0 of any; each month has the days up to 28."""
    days = (start + timedelta(ahead) for ahead in range(367))
    return next(at for at in days if at.day == day and month in (0, at.month))


def _clock_changes(zone: ZoneInfo) -> set[timedelta]:
    """Return by how much a zone's clocks change in the next three years; empty when they never do."""
    year = datetime.now(zone).year
    offsets = {
        datetime(year + ahead, month, 1, tzinfo=zone).utcoffset() or timedelta()
        for ahead in range(3)
        for month in range(1, 13)
    }
    return {abs(one - other) for one, other in itertools.combinations(offsets, 2)}


def _job(
    name: str, schedule: str, zone: str, command: str, user: str, owner: str, environment: dict[str, str]
) -> Document:
    count, start, period = schedule.split("/")
    variables = {key: value for key, value in environment.items() if key not in ("CRON_TZ", "MAILTO", "SHELL")}
    shell = environment.get("SHELL", "")
    if shell and shell not in ("/bin/sh", "sh"):
        quoted = command.replace("'", "'\"'\"'")
        command = f"{shell} -c '{quoted}'"
    job: Document = {
        "name": name,
        "command": command,
        "schedule": f"{count}/{start}Z/{period}",
        "scheduleTimeZone": zone,
    }
    job |= {"owner": environment.get("MAILTO", "") or owner, "epsilon": "PT60S"}
    if user:
        job["runAsUser"] = user
    if variables:
        job["environmentVariables"] = [{"name": key, "value": value} for key, value in variables.items()]
    return job
