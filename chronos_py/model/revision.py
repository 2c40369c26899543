"""Who changed which job, when, and how."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from chronos_py.clock import Millis
from chronos_py.model.job import Job, JobState
from chronos_py.model.render import render_job
from chronos_py.model.view import JobView

# What runs change about a job is no part of its definition.
COUNTERS = frozenset({"successCount", "errorCount", "errorsSinceLastSuccess", "lastSuccess", "lastError"})


@dataclass(frozen=True, slots=True)
class Author:
    """Where a change came from: a user whose password was checked, an address; neither: the server itself."""

    user: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of a definition. `before` None: the job was new; `after` None: it was deleted."""

    job: str
    before: Job | None
    after: Job | None
    at: Millis
    author: Author


@dataclass(frozen=True, slots=True)
class Revision:
    """An edit as it is kept. Documents are JSON texts: None where there was no job, empty when too long to be kept."""

    number: int
    job: str
    at: Millis
    author: Author
    before: str | None
    after: str | None


def definition(job: Job) -> dict[str, Any]:
    """Return a job's document with the fields of both lines and its schedule as it was sent, without counters."""
    document: dict[str, Any] = json.loads(render_job(JobView(job, JobState(), job.schedule), 3))
    document["async"] = job.is_async
    if job.epsilon is not None:
        document["epsilon"] = job.epsilon
    return {key: value for key, value in document.items() if key not in COUNTERS}


def differences(before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return what differs between two documents: field, before, after; None where a field is not there."""
    before, after = before or {}, after or {}
    fields = dict.fromkeys([*before, *after])
    return [
        {"field": field, "before": before.get(field), "after": after.get(field)}
        for field in fields
        if before.get(field) != after.get(field)
    ]
