"""/api/jobs/immediate: what shall run now. Chronos has no such jobs, and none of its own paths shows one."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from chronos_py.api.backend import ApiSettings, Backend
from chronos_py.api.immediate_forms import status_form
from chronos_py.api.parameters import labels, number
from chronos_py.api.transport import answer, consume_json, json_body, nothing
from chronos_py.errors import InvalidInput, UnknownJob
from chronos_py.model.immediate_documents import MOST, read_immediate
from chronos_py.model.messages import StopImmediate, Stopped, SubmitImmediate
from chronos_py.model.register import ACTIVE, ENDED, STATES, Wanted
from chronos_py.model.schemas import read_labels

MOST_ROWS = 1000
GROUPS = {"active": ACTIVE, "ended": ENDED}


def _json(value: Any) -> Response:
    return answer(orjson.dumps(value))


def _new_id() -> str:
    return uuid.uuid4().hex


class ImmediateApi:
    """Views of /api/jobs/immediate."""

    def __init__(self, backend: Backend, settings: ApiSettings) -> None:
        self.backend = backend
        self.settings = settings

    # --- to run

    def submit(self) -> ResponseReturnValue:
        """Start one job, or all of a list, or nothing; the same again answers the same."""
        consume_json()
        jobs, listed = read_immediate(json_body(), self.settings.defaults, self.settings.retention, _new_id)
        runs = self.backend.call(SubmitImmediate(jobs))
        started = [{"id": job.id, "run": run} for job, run in zip(jobs, runs, strict=True)]
        return _json({"jobs": started} if listed else started[0])

    # --- to know

    def one(self, name: str) -> ResponseReturnValue:
        run = self.backend.view.immediate.get(name)
        if run is None:
            raise UnknownJob(name)
        waiting = self.backend.view.waiting.get(run.id)
        shown = {"code": waiting.code, "sentence": waiting.sentence, "detail": waiting.detail} if waiting else None
        return _json({**status_form(run), "waiting": shown})

    def many(self) -> ResponseReturnValue:
        """List jobs, newest first, by page; with `ids` those, in that order."""
        ids = [part for part in request.args.get("ids", "").split(",") if part]
        if ids:
            return self._by_id(ids)
        register, limit = self.backend.view.immediate, number("limit", 100, 0, MOST_ROWS)
        wanted = Wanted(
            labels=labels("label"),
            states=_states(request.args.get("state", "")),
            owner=request.args.get("owner", ""),
            name=request.args.get("name", ""),
            before=number("cursor", 2**62, 1, 2**62),
            limit=limit,
        )
        total, runs = register.find(wanted)
        more = runs[-1].id if runs and len(runs) == limit else None
        shown = [status_form(run) for run in runs]
        return _json({"total": total, "byState": register.counts, "jobs": shown, "notFound": [], "cursor": more})

    def status(self) -> ResponseReturnValue:
        """Tell of more ids than an address has room for."""
        consume_json()
        return self._by_id(_ids(_object(json_body(), {"ids"})))

    def _by_id(self, ids: list[str]) -> ResponseReturnValue:
        register = self.backend.view.immediate
        found = {name: register.get(name) for name in dict.fromkeys(ids)}
        shown = [status_form(run) for run in found.values() if run is not None]
        unknown = [name for name, run in found.items() if run is None]
        counts = register.counts
        return _json({"total": len(shown), "byState": counts, "jobs": shown, "notFound": unknown, "cursor": None})

    # --- to stop

    def kill(self) -> ResponseReturnValue:
        """Stop those of `ids`, and those that have all `labels`."""
        consume_json()
        document = _object(json_body(), {"ids", "labels", "forget"})
        forget, ids, labels = document.get("forget", False), _ids(document), read_labels(document.get("labels"))
        if not isinstance(forget, bool):
            raise InvalidInput("forget", forget, "must be true or false")
        if not ids and not labels:
            raise InvalidInput("ids", document.get("ids"), "ids or labels must say which")
        stopped: Stopped = self.backend.call(StopImmediate(ids, labels, forget))
        return _json(
            {
                "stopped": list(stopped.stopped),
                "forgotten": list(stopped.forgotten),
                "notFound": list(stopped.unknown),
            }
        )

    def delete(self, name: str) -> ResponseReturnValue:
        """Stop one if it is under way, and forget it."""
        stopped: Stopped = self.backend.call(StopImmediate((name,), forget=True))
        if stopped.unknown:
            raise UnknownJob(name)
        return nothing()


def _object(document: Any, fields: set[str]) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise InvalidInput("body", document, "must be a JSON object")
    for field in document.keys() - fields:
        raise InvalidInput(field, document[field], f"must be one of {', '.join(sorted(fields))}")
    return document


def _ids(document: dict[str, Any]) -> list[str]:
    ids = document.get("ids", [])
    if not isinstance(ids, list) or len(ids) > MOST or not all(isinstance(name, str) for name in ids):
        raise InvalidInput("ids", ids, f"must be a list of at most {MOST} texts")
    return ids


def _states(text: str) -> tuple[str, ...]:
    """Return the states that some words stand for. Raises InvalidInput."""
    found: dict[str, None] = {}
    for word in (part for part in text.split(",") if part):
        if word not in (*GROUPS, *STATES):
            raise InvalidInput("state", word, f"must be of {', '.join((*GROUPS, *STATES))}")
        found.update(dict.fromkeys(GROUPS.get(word, (word,))))
    return tuple(found)


def immediate_blueprint(backend: Backend, settings: ApiSettings) -> Blueprint:
    """Return /api/jobs/immediate and what is below it."""
    api = ImmediateApi(backend, settings)
    blueprint = Blueprint("immediate", __name__, url_prefix="/api/jobs/immediate")
    blueprint.add_url_rule("", view_func=api.many)
    blueprint.add_url_rule("", "submit", api.submit, methods=["POST"])
    blueprint.add_url_rule("/status", view_func=api.status, methods=["POST"])
    blueprint.add_url_rule("/kill", view_func=api.kill, methods=["POST"])
    blueprint.add_url_rule("/<name>", view_func=api.one)
    blueprint.add_url_rule("/<name>", "delete", api.delete, methods=["DELETE"])
    return blueprint
