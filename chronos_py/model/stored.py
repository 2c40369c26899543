"""The document under which Chronos itself keeps a job: what other stores, and a Chronos that takes over, can read."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from chronos_py.clock import Millis
from chronos_py.errors import BadDocument
from chronos_py.model.documents import JobDefaults, Read, read_job
from chronos_py.model.java import clean, string_json
from chronos_py.model.job import Job, JobState
from chronos_py.model.render import render_job
from chronos_py.model.schemas import JOB_FIELDS
from chronos_py.model.view import JobView


def stored_document(job: Job, state: JobState, schedule: str | None = None) -> str:
    """Return the job in Chronos 3's order on one line; behind it what only 2.x knows, and fields that nobody knows.

    `schedule` is the text to keep in place of the job's own, once a run was made.
    """
    text = render_job(JobView(job, state, schedule or job.schedule), 3).decode("utf-8")
    more: list[tuple[str, str]] = []
    if job.epsilon is not None:
        more.append(("epsilon", string_json(job.epsilon)))
    if job.is_async:
        more.append(("async", "true"))
    more += [(key, _plain(value)) for key, value in job.extra.items() if key not in JOB_FIELDS]
    return clean(text[:-1] + "".join(f",{string_json(key)}:{value}" for key, value in more) + "}")


def read_stored(text: str | bytes, defaults: JobDefaults, now: Millis) -> Read:
    """Read what any version of Chronos, or `stored_document`, has kept; unknown fields go to `Job.extra`.

    The job's name is not held to any rule. Raises InvalidInput (BadDocument for what is no job document at all).
    """
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadDocument("document", text[:200], f"is no JSON: {error}"[:300]) from None
    read = read_job(document, 3, defaults, now, every_field=True, stored=True)
    extra = {key: value for key, value in document.items() if key not in JOB_FIELDS}
    return replace(read, job=replace(read.job, extra=extra)) if extra else read


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
