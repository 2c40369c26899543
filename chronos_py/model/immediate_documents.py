"""From documents to immediate jobs, with a job's own schemas. Only fields that are given are read: thousands may
come in one request.

Chronos reads anything as anything (`retries: "many"` is none). Nobody has sent immediate jobs to a Chronos, so here
each field must be of its JSON type; null is the same as absent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chronos_py.errors import InvalidInput
from chronos_py.model import java
from chronos_py.model.documents import JobDefaults, make_job
from chronos_py.model.immediate import PREFIX, UNNAMED, Immediate
from chronos_py.model.schemas import Amount, ImmediateSchema, Parts, Text, Texts, Truth, Whole

MOST = 20_000  # jobs in one request
_FIELDS = {field.data_key or name: (name, field) for name, field in ImmediateSchema().fields.items()}
_APART: Mapping[str, type] = {"container": dict, "constraints": list}  # read by `make_job`
_ABSENT: Mapping[str, Any] = ImmediateSchema().load({})


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


_KINDS: Mapping[type, tuple[Callable[[Any], bool], str]] = {
    Text: (lambda value: isinstance(value, str), "a text"),
    Texts: (_is_texts, "a list of texts"),
    Truth: (lambda value: isinstance(value, bool), "true or false"),
    Whole: (lambda value: type(value) is int and 0 <= value <= java.INT, "a whole number, 0 or more"),
    Amount: (lambda value: type(value) in (int, float) and 0 <= value < 1e12, "a number, 0 or more"),
    Parts: (lambda value: isinstance(value, list), "a list of objects"),
}  # the fields that are our own check themselves


def read_immediate(
    document: Any, defaults: JobDefaults, retention: float, new_id: Callable[[], str]
) -> tuple[list[Immediate], bool]:
    """Read one document or a list of them; return the jobs, and whether it was a list. `retention` in seconds, and an
    id of `new_id`, for those that name none. Raises InvalidInput, which names a list's item: `[17].retries`."""
    if not isinstance(document, list):
        return [_read(document, defaults, retention, new_id)], False
    if not 0 < len(document) <= MOST:
        raise InvalidInput("body", f"a list of {len(document)}", f"must have from 1 to {MOST} jobs")
    jobs = []
    for position, item in enumerate(document):
        try:
            jobs.append(_read(item, defaults, retention, new_id))
        except InvalidInput as error:
            name = f"[{position}]" if error.field == "body" else f"[{position}].{error.field}"
            raise InvalidInput(name, error.value, error.reason, error.hint) from None
    return jobs, True


def _read(document: Any, defaults: JobDefaults, retention: float, new_id: Callable[[], str]) -> Immediate:
    if not isinstance(document, dict):
        raise InvalidInput("body", document, "must be a JSON object")
    values = dict(_ABSENT)
    for key, given in document.items():
        known = _FIELDS.get(key)
        if known is not None:
            if given is not None:
                values[known[0]] = _value(key, known[1], given)
        elif key not in _APART:
            raise InvalidInput(key, given, "is no field of an immediate job")
        elif given is not None and not isinstance(given, _APART[key]):
            raise InvalidInput(key, given, f"must be {'an object' if key == 'container' else 'a list'}")
    name, own = values.pop("id"), values.pop("retention")
    values["name"] = PREFIX + (values["name"] or UNNAMED)
    container = document.get("container")
    if container is not None and not container.get("image"):
        raise InvalidInput("container.image", container.get("image"), "is required")
    job = make_job(values, document, 3, defaults)
    if not all(entry.uri for entry in job.fetch):
        raise InvalidInput("fetch.uri", None, "is required")
    if not job.command and not job.executor and job.container is None:
        raise InvalidInput("command", document.get("command"), "is required: there is nothing else to run")
    return Immediate(name or new_id(), job, retention if own is None else own)


def _value(key: str, field: Any, given: Any) -> Any:
    kind = _KINDS.get(type(field))
    if kind is not None and not kind[0](given):
        raise InvalidInput(key, given, f"must be {kind[1]}")
    return field.deserialize(given)
