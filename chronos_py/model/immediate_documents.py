"""From documents to immediate jobs, with a job's own schemas. Only fields that are given are read: thousands may
come in one request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chronos_py.errors import InvalidInput
from chronos_py.model.documents import JobDefaults, make_job
from chronos_py.model.immediate import PREFIX, UNNAMED, Immediate
from chronos_py.model.schemas import ImmediateSchema

MOST = 20_000  # jobs in one request
_FIELDS = {field.data_key or name: (name, field) for name, field in ImmediateSchema().fields.items()}
_APART = frozenset({"container", "constraints"})  # read by `make_job`
_ABSENT: Mapping[str, Any] = ImmediateSchema().load({})


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
            values[known[0]] = known[1].deserialize(given)
        elif key not in _APART:
            raise InvalidInput(key, given, "is no field of an immediate job")
    name, own = values.pop("id"), values.pop("retention")
    values["name"] = PREFIX + (values["name"] or UNNAMED)
    job = make_job(values, document, 3, defaults)
    if not job.command and not job.executor and job.container is None:
        raise InvalidInput("command", document.get("command"), "is required: there is nothing else to run")
    return Immediate(name or new_id(), job, retention if own is None else own)
