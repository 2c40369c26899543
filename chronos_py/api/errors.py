"""From an error to an answer: the only place where errors meet HTTP.

On the Chronos paths the original's status and shape count (docs/compatibility.md has the table). Where its shape has
no room for a reason, the reason stands in the header X-Chronos-Error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from flask import Response, request

from chronos_py.api.pages import error_page
from chronos_py.api.transport import BodyTooLarge, EmptyBody, answer
from chronos_py.errors import (
    BadDocument,
    BadGateway,
    ChronosError,
    DependencyCycle,
    Forbidden,
    IdInUse,
    InvalidInput,
    InvalidName,
    InvalidSchedule,
    JobChanged,
    JobExists,
    MissingParents,
    NoParents,
    Unavailable,
    UnknownJob,
    UnknownOutcome,
    UnknownRevision,
    UnknownRun,
    UnknownTask,
    UnusableSchedule,
)
from chronos_py.model.documents import Line

Shape = Literal["text", "empty", "page"]  # text: the caught kind, raw on 2.x and a JSON object on 3.x


class Refusal(InvalidInput):
    """A refusal in the original's own words: `sentence` is the whole of it."""

    def __init__(self, field: str, value: object, sentence: str) -> None:
        super().__init__(field, value, sentence)
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one error is answered. `plain`: 3.x gives the sentence alone, else as an exception's first line."""

    status: int
    shape: Shape
    sentence: str
    plain: bool = False
    required: bool = True  # whether Scala's `require` put its prefix before the sentence


def verdict(error: ChronosError, line: Line, view: str) -> Verdict:
    """Judge an error on the Chronos paths; `view` is the endpoint's name."""
    noun = "JobSchedule" if line == 3 and view in ("delete", "kill") else "Job"
    match error:
        case EmptyBody():
            sentence = "java.lang.NullPointerException"
            return Verdict(500, "empty" if line == 2 else "text", sentence, plain=True)
        case BadDocument():
            return Verdict(500, "page", str(error))
        case UnusableSchedule():
            return Verdict(400, "text", str(error), plain=True, required=False)
        case InvalidSchedule():
            sentence = f"Cannot parse schedule '{error.value}' (wtf bro)"
            return Verdict(400, "empty" if line == 2 else "text", sentence, plain=True)
        case InvalidName():
            return Verdict(400, "text", error.reason)
        case Refusal():
            silent = line == 2 and error.field in ("fetch", "schedule")
            return Verdict(400, "empty" if silent else "text", error.sentence, plain=line == 3 and error.field != "id")
        case InvalidInput():
            return Verdict(400, "text", str(error), plain=True, required=False)
        case UnknownJob() if line == 2 and view == "kill":
            return Verdict(500, "empty", str(error))
        case UnknownJob():
            return Verdict(400, "text", f"{noun} '{error.name}' not found")
        case NoParents() if error.new:
            return Verdict(500, "empty" if line == 2 else "text", str(error))
        case MissingParents():
            subject = "JobSchedule" if line == 3 and not error.new else "Job"
            return Verdict(400, "text", f"{subject} {error.name} does not have all parents defined!")
        case DependencyCycle():
            return Verdict(500, "empty" if line == 2 else "text", str(error))
        case NoParents():
            return Verdict(400, "text", str(error))
        case Forbidden():
            return Verdict(403, "text", str(error), plain=True, required=False)
        case BodyTooLarge():
            return Verdict(413, "text", str(error), plain=True, required=False)
        case BadGateway() | UnknownOutcome():
            return Verdict(502, "text", str(error), plain=True, required=False)
        case Unavailable():
            return Verdict(503, "text", str(error), plain=True, required=False)
        case _:
            return Verdict(400, "text", str(error), required=False)


def chronos_answer(error: ChronosError, line: Line, view: str) -> Response:
    """Answer an error as a line of Chronos would."""
    judged = verdict(error, line, view)
    if judged.shape == "page":
        return error_page(judged.status, request.path, judged.sentence)
    if judged.shape == "empty":
        response = answer(status=judged.status)
    elif line == 2:
        prefix = "requirement failed: " if judged.required else ""
        response = answer((prefix + judged.sentence).encode("utf-8", "replace"), judged.status)
    else:
        prefix = "requirement failed: " if judged.required else ""
        sentence = judged.sentence
        if not judged.plain:
            sentence = f"java.lang.IllegalArgumentException: {prefix}{sentence}"
        body = {"message": sentence, "status": HTTPStatus(judged.status).phrase}
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        response = answer(text.encode("utf-8", "replace"), judged.status)
    response.headers["X-Chronos-Error"] = _header(error)
    return response


def _header(error: ChronosError) -> str:
    """Return an error's sentence as a header can carry it."""
    text = str(error).encode("ascii", "backslashreplace").decode()
    return "".join(character if character.isprintable() else " " for character in text)[:1000]


_CODES: tuple[tuple[type[ChronosError], int, str], ...] = (
    (UnknownJob, 404, "unknown_job"),
    (UnknownRun, 404, "unknown_run"),
    (UnknownTask, 404, "unknown_task"),
    (Forbidden, 403, "forbidden"),
    (UnknownRevision, 404, "unknown_revision"),
    (JobExists, 409, "job_exists"),
    (JobChanged, 412, "job_changed"),
    (InvalidSchedule, 400, "invalid_schedule"),
    (IdInUse, 409, "id_in_use"),
    (InvalidInput, 400, "invalid_input"),
    (NoParents, 400, "no_parents"),
    (MissingParents, 400, "missing_parents"),
    (DependencyCycle, 409, "dependency_cycle"),
    (BodyTooLarge, 413, "too_large"),
    (BadGateway, 502, "bad_gateway"),
    (UnknownOutcome, 502, "unknown_outcome"),
    (Unavailable, 503, "unavailable"),
    (ChronosError, 400, "refused"),
)


def api_answer(error: ChronosError) -> Response:
    """Answer an error under /api: what is wrong, with which field and value."""
    status, code = next((status, code) for kind, status, code in _CODES if isinstance(error, kind))
    detail: dict[str, object] = {"code": code, "message": str(error)}
    if isinstance(error, InvalidInput):
        detail |= {"field": error.field, "value": _shown(error.value)}
    return answer(json.dumps({"error": detail}), status)


def _shown(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float) else str(value)[:200]
