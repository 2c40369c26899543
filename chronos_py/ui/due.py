"""A job's next due times, with what summer time does to them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from chronos_py.clock import Millis
from chronos_py.errors import ChronosError
from chronos_py.model.view import JobView
from chronos_py.scheduler.moments import DAY, offset_at
from chronos_py.scheduler.schedule import Occurrences, parse_schedule
from chronos_py.ui.i18n import gettext


@dataclass(frozen=True, slots=True)
class DueTime:
    """One due time. `offset` is the zone's offset from UTC then, `note` what is unusual about it."""

    at: Millis
    offset: Millis
    note: str = ""


@dataclass(frozen=True, slots=True)
class Coming:
    """Due times to come. `ends` tells that there are no others."""

    zone: str
    info: tzinfo
    times: tuple[DueTime, ...] = ()
    ends: bool = True


def occurrences_of(view: JobView) -> Occurrences | None:
    """Return a job's due times, None when it has no schedule that can be read."""
    job = view.job
    if job.schedule is None:
        return None
    try:
        found = parse_schedule(job.schedule, job.schedule_zone, strict_zone=False).anchored(view.state.anchor)
        if view.next_due is None or found.at(view.state.next_index) == view.next_due:
            return found
        # The start is on the clock of the server's own default zone: what is left of the schedule says which offset.
        left = parse_schedule(view.schedule or job.schedule, job.schedule_zone, strict_zone=False)
        return left.anchored(view.state.anchor)
    except ChronosError:
        return None


def coming(view: JobView, count: int, now: Millis) -> Coming | None:
    """Return the next `count` due times of a job that has a schedule; those that have passed are not among them."""
    occurrences = occurrences_of(view)
    if occurrences is None or view.next_due is None:
        return None
    zone, remaining = occurrences.schedule.zone, view.state.remaining
    first = occurrences.last_due(max(view.next_due, now) - 1) + 1
    passed = first - occurrences.last_due(view.next_due - 1) - 1  # held back by a run that has not ended
    remaining = None if remaining is None else max(0, remaining - passed)
    most = count if remaining is None else min(count, remaining)
    instants: list[Millis] = []
    for index in range(first, first + most):
        instant = occurrences.at(index)
        if instant is None or (instants and instant <= instants[-1]):
            break
        instants.append(instant)
    name = view.job.schedule_zone or str(zone)
    times = tuple(_due_time(occurrences, zone, instants, at) for at in range(len(instants)))
    return Coming(name, zone, times, remaining is not None and remaining <= count)


def _due_time(occurrences: Occurrences, zone: tzinfo, instants: list[Millis], at: int) -> DueTime:
    instant, period = instants[at], occurrences.schedule.period
    offset = offset_at(instant, zone)
    notes = []
    if at and offset_at(instants[at - 1], zone) != offset:
        notes.append(gettext("the clock changes before it: now {offset}", offset=offset_text(offset)))
    start = occurrences.schedule.start
    if start is not None and period.is_calendar and not period.exact:
        if (instant + offset - start) % DAY:
            notes.append(gettext("that wall time does not exist on this day: moved forward"))
        elif _twice(instant, offset, zone):
            notes.append(gettext("that wall time comes twice on this day: the first counts"))
    return DueTime(instant, offset, "; ".join(notes))


def _twice(instant: Millis, offset: Millis, zone: tzinfo) -> bool:
    """Tell whether the wall time of an instant occurs again later."""
    try:
        wall = datetime.fromtimestamp((instant + offset) / 1000, UTC).replace(tzinfo=zone)
    except (OverflowError, ValueError, OSError):
        return False
    return wall.utcoffset() != wall.replace(fold=1).utcoffset()


def offset_text(offset: Millis) -> str:
    """Return an offset from UTC: `UTC+1`, `UTC-3:30`."""
    if not offset:
        return "UTC"
    hours, minutes = divmod(abs(offset) // 60_000, 60)
    return f"UTC{'-' if offset < 0 else '+'}{hours}" + (f":{minutes:02d}" if minutes else "")
