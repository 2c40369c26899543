"""The document under which Chronos itself keeps a job: what other stores, and a Chronos that takes over, can read."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import chain
from typing import Any

from chronos_py.clock import Millis
from chronos_py.errors import BadDocument
from chronos_py.model.documents import JobDefaults, Read, read_job
from chronos_py.model.java import clean, string_json
from chronos_py.model.job import Job, JobState
from chronos_py.model.render import render_around
from chronos_py.model.schemas import JOB_FIELDS

KEPT = 20_000  # jobs, some 20 MB


def stored_document(job: Job, state: JobState, schedule: str | None = None) -> str:
    """Return the job in Chronos 3's order on one line; behind it what only 2.x knows, and fields that nobody knows.

    `schedule` is the text to keep in place of the job's own, once a run was made.
    """
    return _Around(job).document(state, schedule).decode("utf-8")


class StoredDocuments:
    """Makes stored documents, and keeps of each job what is the same in all its states. One thread at a time."""

    def __init__(self, limit: int = KEPT) -> None:
        self._limit = limit
        self._known: dict[str, _Around] = {}

    def document(self, job: Job, state: JobState, schedule: str | None = None) -> bytes:
        """Return what `stored_document` does, as UTF-8."""
        around = self._known.get(job.name)
        if around is None or around.job is not job:
            while len(self._known) >= self._limit:
                del self._known[next(iter(self._known))]
            around = self._known[job.name] = _Around(job)
        return around.document(state, schedule)


class _Around:
    """The pieces of a job's document between the values that its runs change."""

    __slots__ = ("_pieces", "job")

    def __init__(self, job: Job) -> None:
        pieces, keys = render_around(job, _VARYING)
        more: list[tuple[str, str]] = []
        if job.epsilon is not None:
            more.append(("epsilon", string_json(job.epsilon)))
        if job.is_async:
            more.append(("async", "true"))
        more += [(key, _plain(value)) for key, value in job.extra.items() if key not in JOB_FIELDS]
        pieces[-1] = pieces[-1][:-1] + "".join(f",{string_json(key)}:{value}" for key, value in more) + "}"
        assert tuple(keys) in (_VARYING, _VARYING[:-1])
        self.job = job
        self._pieces = pieces

    def document(self, state: JobState, schedule: str | None) -> bytes:
        values = [
            str(state.success_count), str(state.error_count), string_json(state.last_success),
            string_json(state.last_error), str(state.errors_since_last_success),
        ]  # fmt: skip
        if len(self._pieces) > len(_VARYING):
            values.append(string_json(schedule or self.job.schedule or ""))
        values.append("")
        return "".join(chain.from_iterable(zip(self._pieces, values, strict=True))).encode("utf-8", "replace")


# What runs change, in the order of the document; a job with parents has no schedule.
_VARYING = ("successCount", "errorCount", "lastSuccess", "lastError", "errorsSinceLastSuccess", "schedule")


def read_stored(text: str | bytes, defaults: JobDefaults, now: Millis) -> Read:
    """Read what any version of Chronos, or `stored_document`, has kept; unknown fields go to `Job.extra`.

    The job's name is not held to any rule. Raises InvalidInput (BadDocument for what is no job document at all).
    """
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadDocument("document", text[:200], f"is no JSON: {error}"[:300]) from None
    if isinstance(document, dict) and document.get("epsilon", "") is None:
        del document["epsilon"]  # an absent one is the server's own
    read = read_job(document, 3, defaults, now, every_field=True, stored=True)
    extra = {key: value for key, value in document.items() if key not in JOB_FIELDS}
    return replace(read, job=replace(read.job, extra=extra)) if extra else read


def amended(text: bytes, was: Read, job: Job, state: JobState, schedule: str | None) -> str | None:
    """Return a document that someone else wrote with only that replaced which runs have changed since it was read as
    `was`; every other byte stays. `schedule` is what is left of it. None when more has changed than runs change."""
    if replace(job, disabled=was.job.disabled, schedule=was.job.schedule) != was.job:
        return None
    try:
        whole = text.decode("utf-8")
        spans = _members(whole)
    except (ValueError, IndexError, RecursionError):
        return None  # another encoding
    now: dict[str, tuple[Any, Any]] = {
        key: (getattr(was.counters, name), getattr(state, name)) for key, name in _COUNTED.items()
    }
    now |= {"disabled": (was.job.disabled, job.disabled), "schedule": (was.job.schedule, schedule)}
    changes = {key: _value(new) for key, (old, new) in now.items() if old != new and new is not None}
    added = "".join(f",{string_json(key)}:{value}" for key, value in changes.items() if key not in spans)
    end = whole.rindex("}")
    whole = whole[:end] + (added if spans else added[1:]) + whole[end:]
    for key in sorted(changes.keys() & spans.keys(), key=lambda key: spans[key], reverse=True):
        first, last = spans[key]
        whole = whole[:first] + changes[key] + whole[last:]
    return clean(whole)


# What runs change of a job, besides its schedule and `disabled`: the document's keys, and our names.
_COUNTED = {
    "successCount": "success_count",
    "errorCount": "error_count",
    "lastSuccess": "last_success",
    "lastError": "last_error",
    "errorsSinceLastSuccess": "errors_since_last_success",
}
_BLANK = re.compile(r"[ \t\r\n]*")


def _members(text: str) -> dict[str, tuple[int, int]]:
    """Return where the values of an object lie; of a key that was given twice the last, for that one counts."""

    def skip(at: int) -> int:
        found = _BLANK.match(text, at)
        return found.end() if found else at

    decoder, found = json.JSONDecoder(), dict[str, tuple[int, int]]()
    at = skip(text.index("{") + 1)
    while text[at] != "}":
        key, at = decoder.raw_decode(text, at)
        first = skip(skip(at) + 1)  # behind the colon
        _, last = decoder.raw_decode(text, first)
        found[key] = (first, last)
        at = skip(last)
        if text[at] == ",":
            at = skip(at + 1)
    return found


def _value(value: Any) -> str:
    return string_json(value) if isinstance(value, str) else _plain(value)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
