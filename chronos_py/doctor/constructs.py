"""Which jobs behave differently here than they did under the Chronos that stored them: docs/compatibility.md by job."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from chronos_py.clock import Millis
from chronos_py.doctor.report import Level
from chronos_py.errors import GraphError
from chronos_py.model.documents import name_allowed
from chronos_py.model.java_regex import UnsupportedRegex
from chronos_py.model.job import Job
from chronos_py.model.patterns import java_pattern
from chronos_py.scheduler.graph import JobGraph
from chronos_py.scheduler.release import lateness_limit
from chronos_py.scheduler.schedule import check_schedule, parse_schedule

_URL = re.compile(r"(?:https?|ftps?)://\S+", re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATE_DAYS = (29, 30, 31)


@dataclass(frozen=True, slots=True)
class Construct:
    """`fix` is for owners who want the job to go on as before."""

    level: Level
    text: str
    fix: str


CONSTRUCTS = {
    "arguments_twice": Construct(
        "warning",
        "shell is false and there are arguments: Chronos gave them to the program twice, here it gets them once",
        "look whether the program, or a script around it, leaves the second set out; then do not let it",
    ),
    "slash_in_arguments": Construct(
        "warning",
        "arguments hold a slash or backslash: Chronos put them into the task's id, Mesos refused it, and the job never "
        "ran; here it will",
        "disable the job, or delete it, if it is not to run",
    ),
    "name_chronos_3": Construct(
        "warning",
        "the name has blanks or #: Chronos 3 loaded the job and never ran it; here it will run",
        "disable the job, or delete it, if it is not to run",
    ),
    "command_like_a_url": Construct(
        "warning",
        "the command begins with the letters http or ftp and is no URL: Chronos tried to download it, here it is run",
        "look whether it is the command that is meant",
    ),
    "epsilon_chronos_3": Construct(
        "warning",
        "epsilon is set: Chronos 3 did not heed it; here due times that are later than it are skipped",
        "remove epsilon from the job if late runs are wanted",
    ),
    "epsilon": Construct(
        "note",
        "epsilon holds for a run that waits for a place, too: when it has passed, the run is skipped",
        "a longer epsilon, where runs may wait longer than that",
    ),
    "zone": Construct(
        "warning",
        "the time zone is unknown: as in Chronos, the schedule is taken as GMT",
        "give the job the zone that is meant, or GMT; the next change of it must, for unknown zones are refused",
    ),
    "schedule": Construct(
        "warning",
        "the schedule cannot be used: the job is kept and never due",
        "give the job another schedule",
    ),
    "end_of_month": Construct(
        "warning",
        "a schedule by months at the end of a month: Chronos stayed at the shortest month's day, here each month has "
        "its own last day",
        "begin the schedule on the 28th if that day is meant",
    ),
    "pattern": Construct(
        "warning",
        "a constraint's pattern cannot be used here: no agent meets it, and the job's runs wait",
        "write the pattern in another way",
    ),
    "parents": Construct(
        "warning",
        "a parent is missing: Chronos dropped the job when it started; here it is kept and waits for that parent",
        "create the parent, or take it off the job's parents",
    ),
    "cycle": Construct(
        "warning",
        "the parents make a cycle: no run of these jobs is ever released",
        "take one parent off",
    ),
    "lateness": Construct(
        "warning",
        "epsilon cannot be read: the job is kept and never due",
        "give the job an epsilon such as PT15M, or none",
    ),
}


def judge(jobs: Mapping[str, Job], line: str, now: Millis) -> dict[str, list[str]]:
    """Return the names of the jobs that each construct is about; `line` is the Chronos that led last (2.x, 3.x)."""
    found: dict[str, list[str]] = {}
    graph = JobGraph()
    for name in jobs:
        graph.put(name)
    for name, job in jobs.items():
        codes = [*_of_one(job, line, now), *_of_parents(job, jobs, graph)]
        for code in codes:
            found.setdefault(code, []).append(name)
    return {code: found[code] for code in CONSTRUCTS if code in found}


def _of_one(job: Job, line: str, now: Millis) -> Iterator[str]:
    if not job.shell and job.arguments:
        yield "arguments_twice"
    if any(sign in argument for argument in job.arguments for sign in "/\\"):
        yield "slash_in_arguments"
    if line == "3.x" and not name_allowed(job.name, 3):
        yield "name_chronos_3"
    if job.command.startswith(("http", "ftp")) and not _URL.fullmatch(job.command):
        yield "command_like_a_url"
    if job.epsilon is not None:
        try:
            lateness_limit(job)
        except ValueError:
            yield "lateness"
        else:
            yield "epsilon_chronos_3" if line == "3.x" else "epsilon"
    if job.schedule is not None:
        yield from _of_schedule(job.schedule, job.schedule_zone, now)
    for constraint in job.constraints:
        try:
            if constraint.operator != "EQUALS":
                java_pattern(constraint.value)
        except (UnsupportedRegex, ValueError):
            yield "pattern"
            break


def _of_schedule(text: str, zone: str, now: Millis) -> Iterator[str]:
    try:
        schedule = parse_schedule(text, zone, strict_zone=False)
        check_schedule(schedule, now)
    except ValueError:
        yield "schedule"
        return
    try:
        parse_schedule(text, zone)
    except ValueError:
        yield "zone"
    period, start = schedule.period, schedule.start
    by_months = schedule.count not in (0, 1) and (period.months or period.years)
    if by_months and start is not None and _day(start) in _LATE_DAYS:
        yield "end_of_month"


def _day(local: Millis) -> int:
    """Return the day of the month of an instant on a wall clock; 0 for years that Python does not know."""
    with suppress(OverflowError):
        return (_EPOCH + timedelta(milliseconds=local)).day
    return 0


def _of_parents(job: Job, jobs: Mapping[str, Job], graph: JobGraph) -> Iterator[str]:
    parents = job.parents or ()
    if any(parent not in jobs for parent in parents):
        yield "parents"
    there = [parent for parent in parents if parent in jobs]
    if not there:
        return
    try:
        graph.check(job.name, there, new=False)
    except GraphError:
        yield "cycle"
    else:
        graph.put(job.name, there)
