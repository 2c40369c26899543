"""A file of job documents, as GET /v1/scheduler/jobs gives them: one JSON array, or one object a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from chronos_py.clock import Millis
from chronos_py.errors import InvalidInput
from chronos_py.model.documents import JobDefaults, Line, read_job
from chronos_py.model.job import Job


def read_export(path: Path, defaults: JobDefaults, now: Millis, line: Line = 3) -> dict[str, Job]:
    """Return the jobs of a file by name, in their order. Raises InvalidInput, which names the document."""
    jobs: dict[str, Job] = {}
    for place, document in _documents(path):
        try:
            job = read_job(document, line, defaults, now, every_field=True, stored=True).job
        except InvalidInput as error:
            raise InvalidInput("jobs", place, str(error)) from None
        if job.name in jobs:
            raise InvalidInput("jobs", job.name, f"is there twice ({place})")
        jobs[job.name] = job
    return jobs


def _documents(path: Path) -> list[tuple[str, Any]]:
    """Return the documents with where each stands. Raises InvalidInput."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput("jobs", str(path), f"cannot be read: {error.strerror}") from None
    try:
        if data.lstrip()[:1] == b"[":
            return [(f"document {number}", document) for number, document in enumerate(orjson.loads(data), 1)]
        lines = enumerate(data.splitlines(), 1)
        return [(f"line {number}", orjson.loads(line)) for number, line in lines if line.strip()]
    except orjson.JSONDecodeError as error:
        raise InvalidInput("jobs", str(path), f"is no JSON: {error}") from None
