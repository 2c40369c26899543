"""Reading and changing definitions under /api: whole documents, single fields, and what names a version of one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from flask import request

from chronos_py.api.backend import ApiSettings
from chronos_py.api.changes import changed_job
from chronos_py.api.errors import Refusal
from chronos_py.clock import Millis, iso_utc
from chronos_py.errors import InvalidInput, InvalidName, InvalidSchedule, JobChanged
from chronos_py.model.documents import NAME_RULES, Read, name_allowed, read_job
from chronos_py.model.job import Counters, Job, JobState
from chronos_py.model.revision import COUNTERS, definition
from chronos_py.scheduler.period import parse_period
from chronos_py.scheduler.schedule import parse_schedule

FIRST_START: Millis = 1000  # as for new jobs of Chronos 3
LONGEST_NAME = 2000
SHOWN_ONLY = frozenset({"state", "status", "nextDue"})  # of a job as it is shown; no fields of a definition


def job_etag(job: Job) -> str:
    """Return a name of exactly this definition, as an entity tag. What runs change is no part of it."""
    text = json.dumps(definition(job), sort_keys=True)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'


def expected_etags() -> frozenset[str] | None:
    """Return the definitions that the request's If-Match takes; None: any."""
    header = request.headers.get("If-Match", "").strip()
    if not header or header == "*":
        return None
    return frozenset(part.strip().removeprefix("W/") for part in header.split(","))


def changer(
    changes: Mapping[str, Any], settings: ApiSettings, now: Callable[[], Millis], expected: frozenset[str] | None = None
) -> Callable[[Job, JobState], tuple[Job, Counters]]:
    """Return what changes single fields of a job as it is then; null sets a field's default.

    It raises JobChanged unless the definition is one of `expected`.
    """

    def change(job: Job, state: JobState) -> tuple[Job, Counters]:
        if expected is not None and job_etag(job) not in expected:
            raise JobChanged(job.name)
        return changed_job(changes, job, state, settings.defaults, now())

    return change


def replacer(
    document: Mapping[str, Any],
    settings: ApiSettings,
    now: Callable[[], Millis],
    expected: frozenset[str] | None = None,
) -> Callable[[Job, JobState], tuple[Job, Counters]]:
    """Return what puts a whole definition in a job's place and leaves its counters as they are."""

    def change(job: Job, state: JobState) -> tuple[Job, Counters]:
        if expected is not None and job_etag(job) not in expected:
            raise JobChanged(job.name)
        read = read_job(dict(document), 3, settings.defaults, now(), every_field=True)
        counters = Counters(
            state.success_count,
            state.error_count,
            state.errors_since_last_success,
            state.last_success,
            state.last_error,
        )
        return replace(read.job, extra=job.extra), counters

    return change


def read_new(document: Mapping[str, Any], settings: ApiSettings, now: Millis) -> Read:
    """Read the document of a job that is to be made. Raises InvalidInput."""
    whole = {key: value for key, value in document.items() if value is not None and key not in COUNTERS}
    read = read_job(whole, 3, settings.defaults, now, every_field=True)
    if read.kind == "now":
        raise InvalidInput("schedule", None, "a job needs a schedule or parents")
    if read.job.epsilon is not None:
        try:
            read = replace(read, job=replace(read.job, epsilon=str(parse_period(read.job.epsilon))))
        except InvalidSchedule:
            raise InvalidInput("epsilon", read.job.epsilon, "is no ISO 8601 period", "for example PT15M") from None
    return read


def check_new(job: Job, now: Millis) -> None:
    """Refuse what a new job may not have, as /v1/scheduler does. Raises InvalidInput."""
    if not name_allowed(job.name, 3):
        raise InvalidName(job.name, NAME_RULES[3])
    if len(job.name) > LONGEST_NAME:
        raise InvalidInput("name", job.name, f"is longer than {LONGEST_NAME} characters")
    if job.schedule is not None:
        start = parse_schedule(job.schedule, job.schedule_zone).start_millis(now)
        if start < FIRST_START:
            shown = iso_utc(start) if start > -62e12 else start
            raise Refusal("schedule", job.schedule, f"Scheduled start date '{shown}' is before 1970!")
    if job.parents is None and job.fetch and job.uris:
        raise Refusal("fetch", job.name, f"Tried to add both uri (deprecated) and fetch parameters on {job.name}")
