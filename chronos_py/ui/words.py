"""A schedule in words: `every day at 03:00, Europe/Berlin`."""

from __future__ import annotations

from datetime import UTC
from functools import lru_cache

from chronos_py.errors import ChronosError
from chronos_py.model.view import JobView
from chronos_py.scheduler.moments import DAY
from chronos_py.scheduler.period import Period
from chronos_py.scheduler.schedule import Schedule, parse_schedule
from chronos_py.ui.i18n import gettext, language
from chronos_py.ui.text import shown, when

# The names of units, one and many, in the order of Period's fields.
UNITS = (
    ("years", "year", "{n} years"),
    ("months", "month", "{n} months"),
    ("weeks", "week", "{n} weeks"),
    ("days", "day", "{n} days"),
    ("hours", "hour", "{n} hours"),
    ("minutes", "minute", "{n} minutes"),
    ("seconds", "second", "{n} seconds"),
)
WEEKDAYS = ("Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday")  # from 1970-01-01 on
PARENTS_NAMED = 3


def schedule_words(view: JobView) -> str:
    """Return when a job runs, in the page's language; a text that cannot be read as it is."""
    job = view.job
    if job.parents is not None:
        named = ", ".join(shown(parent, 60) for parent in job.parents[:PARENTS_NAMED])
        more = len(job.parents) - PARENTS_NAMED
        if more > 0:
            return gettext("after {names} and {n} more", names=named, n=more)
        return gettext("after {names}", names=named)
    if job.schedule is None:
        return gettext("on demand")
    return interval_words(view.schedule or job.schedule, job.schedule_zone, language())


@lru_cache(maxsize=20_000)
def interval_words(text: str, zone: str, _language: str) -> str:
    """Return a repeating interval in words. Of a language, for what is kept is in one."""
    try:
        schedule = parse_schedule(text, zone, strict_zone=False)
    except ChronosError:
        return shown(text, 100)
    if schedule.count is not None and schedule.count <= 1:
        if schedule.count == 0:
            return gettext("no runs left")
        if schedule.start is None:
            return gettext("once, at once")
        return gettext("once, on {time}", time=_clock(schedule, seconds=False)) + _zone(schedule, zone)
    words = _every(schedule.period)
    at = _at(schedule)
    if at:
        words = gettext("{every} at {time}", every=words, time=at) + _zone(schedule, zone)
    if schedule.count is not None:
        words = gettext("{every}, {n} runs left", every=words, n=schedule.count)
    return words


def _every(period: Period) -> str:
    if not any(period.fields):
        return gettext("again and again")
    parts = [(one, many, getattr(period, field)) for field, one, many in UNITS if getattr(period, field)]
    if period.millis:
        parts.append(("{n} ms", "{n} ms", period.millis))
    if len(parts) == 1 and parts[0][2] == 1 and parts[0][0] in {one for _, one, _ in UNITS}:
        return gettext("every " + parts[0][0])
    return gettext("every {span}", span=" ".join(gettext(many, n=value) for _, many, value in parts))


def _at(schedule: Schedule) -> str:
    """Return the time of the day, with the day for weeks and months, where a period keeps it."""
    period = schedule.period
    if schedule.start is None or period.exact or not period.is_calendar:
        return ""
    hour = _clock(schedule, seconds=False)[-5:]
    if period.all_months and not period.all_days:
        day = _clock(schedule, seconds=False)
        return gettext("{time} on day {day}", time=hour, day=int(day[8:10])) if not period.years else day[5:]
    if period.weeks and not period.days:
        return f"{gettext(WEEKDAYS[schedule.start // DAY % 7])} {hour}"
    return hour


def _clock(schedule: Schedule, *, seconds: bool) -> str:
    return when(schedule.start, UTC, seconds=seconds)  # the start is on its zone's own clock


def _zone(schedule: Schedule, named: str) -> str:
    zone = named or str(schedule.zone)
    return "" if zone in ("UTC", "GMT", "Z") else f", {shown(zone, 40)}"
