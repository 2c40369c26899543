"""What single fields make of a job: PATCH, and what a plan asks about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from chronos_py.clock import Millis
from chronos_py.errors import InvalidInput
from chronos_py.model.documents import JobDefaults, read_job
from chronos_py.model.job import Counters, Job, JobState
from chronos_py.model.render import render_job
from chronos_py.model.schemas import JOB_FIELDS
from chronos_py.model.view import JobView


def check_fields(changes: Any, name: str | None = None) -> dict[str, Any]:
    """Return an object of fields of a job. Raises InvalidInput for what is no object, no field, or another name."""
    if not isinstance(changes, dict):
        raise InvalidInput("body", changes, "must be a JSON object")
    for field in changes.keys() - JOB_FIELDS:
        raise InvalidInput(field, changes[field], "is no field of a job")
    if name is not None and changes.get("name", name) != name:
        raise InvalidInput("name", changes["name"], "a job cannot be renamed")
    return changes


def changed_job(
    changes: Mapping[str, Any], job: Job, state: JobState, defaults: JobDefaults, now: Millis
) -> tuple[Job, Counters]:
    """Return a job and its counters with some fields changed, null back to its default. Raises InvalidInput."""
    document = json.loads(render_job(JobView(job, state, job.schedule), 3)) | {"async": job.is_async}
    if job.epsilon is not None:
        document["epsilon"] = job.epsilon
    if changes.get("schedule") is not None:
        document.pop("parents", None)
    elif changes.get("parents") is not None:
        document.pop("schedule", None)
        document.pop("scheduleTimeZone", None)
    for field, value in changes.items():
        if value is None:
            document.pop(field, None)
        else:
            document[field] = value
    if "schedule" not in document and "parents" not in document:
        raise InvalidInput("schedule", None, "a job needs a schedule or parents")
    read = read_job(document, 3, defaults, now, every_field=True)
    return replace(read.job, extra=job.extra), read.counters
