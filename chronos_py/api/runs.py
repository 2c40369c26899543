"""/api: what Chronos never had: runs and attempts, their output, why a job waits, changing single fields."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import orjson
from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from chronos_py.api.backend import ApiSettings, Backend, OutputChunk
from chronos_py.api.changes import check_fields
from chronos_py.api.definitions import changer, expected_etags, job_etag
from chronos_py.api.forms import active_run, ended_attempt, ended_run, iso, placement_form, present_attempt
from chronos_py.api.openapi import API_PAGE, openapi_document
from chronos_py.api.parameters import choice as _choice
from chronos_py.api.parameters import instant as _instant
from chronos_py.api.parameters import number as _number
from chronos_py.api.transport import answer, consume_json, json_body, nothing
from chronos_py.errors import InvalidInput, Overloaded, Unavailable, UnknownJob, UnknownRun, UnknownTask
from chronos_py.model.messages import ChangeJob, KillRun, SetPriority
from chronos_py.model.render import render_job
from chronos_py.model.run import Outcome, Run, Trigger
from chronos_py.model.schemas import read_priority
from chronos_py.model.view import JobView, Waiting
from chronos_py.persistence.base import RunQuery
from chronos_py.scheduler.queue import rank
from chronos_py.scheduler.why import why_ended

MOST_ROWS = 1000
LARGEST_CHUNK = 1024 * 1024
RUN = "/runs/<int(max=9223372036854775807):number>"  # what a store can hold
POLL_S, HEARTBEAT_S = 0.25, 15.0
NOTICE_S = 0.5  # within which a stream notices that the server is stopping
STATES = ("all", "active", "ended")


def _json(value: Any) -> Response:
    return answer(orjson.dumps(value))


class RunsApi:
    """Views of /api."""

    def __init__(self, backend: Backend, settings: ApiSettings) -> None:
        self.backend = backend
        self.settings = settings
        self._followers = threading.BoundedSemaphore(settings.followers)

    # --- jobs

    def _view(self, name: str) -> JobView:
        view = self.backend.view.jobs.get(name)
        if view is None:
            raise UnknownJob(name)
        return view

    def _job_form(self, view: JobView) -> dict[str, Any]:
        """Return the whole definition, fields of both lines, and what is known of its state."""
        document: dict[str, Any] = json.loads(render_job(view, 3))
        document |= {"epsilon": view.job.epsilon, "async": view.job.is_async}
        document["state"] = view.activity(counted=True)
        document["status"] = view.last_result
        document["nextDue"] = iso(view.next_due)
        return document

    def jobs(self) -> ResponseReturnValue:
        """List jobs in order of creation, by page: `cursor` (where the page before ended) or `offset`."""
        limit, offset = _number("limit", 100, 1, MOST_ROWS), _number("offset", 0, 0, 10**9)
        after = _number("cursor", -1, 0, 2**62)
        text, owner = request.args.get("q", "").lower(), request.args.get("owner")
        kind = _choice("kind", ("scheduled", "dependent"))
        disabled = _choice("disabled", ("true", "false"))
        found = [
            view
            for view in list(self.backend.view.jobs.values())
            if (text in view.job.name.lower() or text in view.job.command.lower())
            and (owner is None or owner in view.job.owner)
            and (kind is None or (kind == "dependent") == (view.job.parents is not None))
            and (disabled is None or view.job.disabled == (disabled == "true"))
        ]
        rest = [view for view in found if view.state.sequence > after][offset:]
        page = rest[:limit]
        more = page[-1].state.sequence if len(rest) > limit else None
        return _json({"total": len(found), "jobs": [self._job_form(view) for view in page], "cursor": more})

    def job(self, name: str) -> ResponseReturnValue:
        view = self._view(name)
        response = _json(self._job_form(view))
        response.headers["ETag"] = job_etag(view.job)
        return response

    def patch(self, name: str) -> ResponseReturnValue:
        """Change the fields that are given, null back to its default; all others stay as they are. With If-Match only
        when nobody has changed the job meanwhile (412)."""
        consume_json()
        changes = check_fields(json_body(), name)
        self.backend.call(ChangeJob(name, changer(changes, self.settings, self.backend.now, expected_etags())))
        return nothing()

    def why_job(self, name: str) -> ResponseReturnValue:
        """Say when a job runs next, and what its runs wait for."""
        view = self._view(name)
        runs = [run for run in list(self.backend.view.runs.values()) if run.job == name]
        waits = [{"run": run.id, **_wait_form(self._waiting(run))} for run in runs if self._waiting(run)]
        return _json({"job": name, "nextDue": iso(view.next_due), "why": self._job_sentence(view), "waiting": waits})

    def _job_sentence(self, view: JobView) -> str:
        job, state = view.job, view.state
        if job.disabled:
            return "it is disabled" + (": all its runs are done" if state.remaining == 0 else "")
        if job.parents is not None:
            missing = [edge.parent for edge in state.edges if not edge.tokens]
            return f"waits for a success of {', '.join(missing)}" if missing else "its parents have released it"
        if state.remaining == 0:
            return "its schedule has no runs left"
        if view.next_due is None:
            return "its schedule has no further due time, or cannot be read"
        return f"next due at {iso(view.next_due)}"

    def _waiting(self, run: Run) -> Waiting | None:
        return self.backend.view.waiting.get(run.id)

    # --- runs

    def _owner(self, run: Run) -> str:
        if run.immediate is not None:
            return run.immediate.job.owner
        view = self.backend.view.jobs.get(run.job)
        return view.job.owner if view else ""

    def runs(self) -> ResponseReturnValue:
        limit = _number("limit", 100, 1, MOST_ROWS)
        state = _choice("state", STATES, "all")
        before = _number("cursor", 2**62, 1, 2**62)
        query = RunQuery(
            job=request.args.get("job") or None,
            outcome=_choice("outcome", [outcome.value for outcome in Outcome]),
            trigger=_choice("trigger", [trigger.value for trigger in Trigger]),
            owner=request.args.get("owner") or None,
            due_from=_instant("from"),
            due_to=_instant("to"),
            before_run=before,
            limit=limit,
        )
        found = {}
        if state != "ended" and query.outcome is None:
            active = [run for run in list(self.backend.view.runs.values()) if self._matches(run, query)]
            found.update({run.id: active_run(run, self._owner(run)) for run in active})
        if state != "active":
            found.update({row.run: ended_run(row) for row in self.backend.history.runs(query)})
        numbers = sorted(found, reverse=True)
        page = numbers[:limit]
        more = page[-1] if len(numbers) >= limit and page else None
        return _json({"runs": [found[number] for number in page], "cursor": more})

    def _matches(self, run: Run, query: RunQuery) -> bool:
        return (
            (query.job is None or run.job == query.job)
            and (query.trigger is None or run.trigger == query.trigger)
            and (query.owner is None or query.owner == self._owner(run))
            and (query.due_from is None or run.due >= query.due_from)
            and (query.due_to is None or run.due < query.due_to)
            and (query.before_run is None or run.id < query.before_run)
        )

    def _attempts(self, number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        run = self.backend.view.runs.get(number)
        attempts = [self._with_sandbox(ended_attempt(attempt)) for attempt in self.backend.history.attempts(number)]
        if run is None:
            row = self.backend.history.run(number)
            if row is None:
                raise UnknownRun(number)
            return ended_run(row), attempts
        present = present_attempt(run)
        if present is not None and all(attempt["attempt"] != run.attempt for attempt in attempts):
            attempts.append(self._with_sandbox(present))
        return active_run(run, self._owner(run)), attempts

    def _with_sandbox(self, form: dict[str, Any]) -> dict[str, Any]:
        return {**form, "sandbox": self.backend.sandbox_url(form["taskId"], form["agent"]) or None}

    def run(self, number: int) -> ResponseReturnValue:
        form, attempts = self._attempts(number)
        waiting = self.backend.view.waiting.get(number)
        return _json({**form, "attemptList": attempts, "waiting": _wait_form(waiting) if waiting else None})

    def attempts(self, number: int) -> ResponseReturnValue:
        return _json({"attempts": self._attempts(number)[1]})

    def kill(self, number: int) -> ResponseReturnValue:
        self.backend.call(KillRun(number))
        return nothing()

    def patch_run(self, number: int) -> ResponseReturnValue:
        """Change a run's priority: the one thing about a run that can be changed."""
        consume_json()
        changes = json_body()
        if not isinstance(changes, dict):
            raise InvalidInput("body", changes, "must be a JSON object")
        for field in changes.keys() - {"priority"}:
            raise InvalidInput(field, changes[field], "cannot be changed: priority alone can")
        self.backend.call(SetPriority(number, read_priority(changes.get("priority"))))
        return nothing()

    def why(self, number: int) -> ResponseReturnValue:
        run = self.backend.view.runs.get(number)
        if run is None:
            row = self.backend.history.run(number)
            if row is None:
                raise UnknownRun(number)
            detail = why_ended(row)[1]
            attempts = self.backend.history.attempts(number)
            if attempts and (placed := placement_form(attempts[-1].placement)):
                detail["placement"] = placed
            return _json(
                {"code": "ended", "sentence": f"ended: {row.outcome.value} {row.reason}".strip(), "detail": detail}
            )
        waiting, placed = self._waiting(run), placement_form(run.placement)
        detail = {"agent": run.agent_id, "host": run.host, "placement": placed} if placed else {}
        if waiting is not None:
            form = _wait_form(waiting)
            return _json({**form, "detail": {**form["detail"], **detail}})
        sentence = f"it runs on {run.host}: {placed['sentence']}" if placed else "it runs"
        return _json({"code": "running", "sentence": sentence, "detail": detail})

    def queue(self) -> ResponseReturnValue:
        """List what waits, first in order first, with reasons."""
        limit = _number("limit", 100, 1, MOST_ROWS)
        waiting = sorted(
            (run for run in list(self.backend.view.runs.values()) if run.phase.value in ("queued", "retrying")),
            key=lambda run: (rank(run.priority, run.waits_from, self.settings.ageing), -run.priority, run.due, run.id),
        )
        entries = []
        for run in waiting[:limit]:
            why = self._waiting(run)
            entries.append({**active_run(run, self._owner(run)), "waiting": _wait_form(why) if why else None})
        levels = {str(level): count for level, count in sorted(self.backend.queue_levels().items())}
        return _json({"total": len(waiting), "byPriority": levels, "runs": entries})

    def quotas(self) -> ResponseReturnValue:
        return _json({"quotas": self.backend.quotas()})

    def quarantine(self) -> ResponseReturnValue:
        entries = [{"kind": q.kind, "key": q.key, "reason": q.reason} for q in self.backend.view.quarantined]
        return _json({"quarantined": entries})

    # --- output

    def output(self, number: int, attempt: int, stream: str) -> ResponseReturnValue:
        """Give a part of a task's output as text, or follow it as server-sent events."""
        if stream not in ("stdout", "stderr"):
            raise UnknownTask(stream)
        found = next((a for a in self._attempts(number)[1] if a["attempt"] == attempt), None)
        if found is None:
            raise UnknownTask(f"{number}/{attempt}")
        read = partial(self.backend.output, found["taskId"], stream, agent_id=found["agent"])
        offset = _number("offset", 0, -(2**62), 2**62)
        if _choice("follow", ("0", "1"), "0") == "1" or "text/event-stream" in request.headers.get("Accept", ""):
            return self._follow(read, _last_event(offset))
        chunk = read(offset, _number("length", LARGEST_CHUNK, 1, LARGEST_CHUNK))
        response = answer(chunk.data, media_type="text/plain; charset=utf-8")
        response.headers["X-Offset"] = str(chunk.offset)
        response.headers["X-Size"] = str(chunk.size)
        response.headers["X-Ended"] = "true" if chunk.ended else "false"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    def _follow(self, read: Callable[[int, int], OutputChunk], offset: int) -> Response:
        read(offset, 1)  # an unknown task is an answer, not a stream
        if not self._followers.acquire(blocking=False):
            raise Overloaded(f"{self.settings.followers} streams are open already")
        response = Response(self._events(read, offset), content_type="text/event-stream")
        response.headers["Cache-Control"] = "no-cache"
        response.call_on_close(self._followers.release)
        return response

    def _events(self, read: Callable[[int, int], OutputChunk], offset: int) -> Iterator[bytes]:
        quiet = time.monotonic()
        while not self.settings.stopping.is_set():
            try:
                chunk = read(offset, 64 * 1024)
            except (UnknownTask, Unavailable):
                return
            if chunk.data:
                offset = chunk.offset + len(chunk.data)
                data = json.dumps({"text": chunk.data.decode("utf-8", "replace"), "offset": chunk.offset})
                yield f"id: {offset}\nevent: output\ndata: {data}\n\n".encode()
                quiet = time.monotonic()
            elif chunk.ended:
                yield f"id: {offset}\nevent: end\ndata: {{}}\n\n".encode()
                return
            else:
                if time.monotonic() - quiet > HEARTBEAT_S:
                    yield b": still here\n\n"
                    quiet = time.monotonic()
                time.sleep(POLL_S)

    def events(self) -> ResponseReturnValue:
        """Stream what changes: jobs, runs, ends."""
        if not self._followers.acquire(blocking=False):
            raise Overloaded(f"{self.settings.followers} streams are open already")
        subscription = self.backend.subscribe()

        def stream() -> Iterator[bytes]:
            yield b": here\n\n"
            quiet = time.monotonic()
            while not self.settings.stopping.is_set():
                item = subscription.get(NOTICE_S)
                if item is not None:
                    yield f"event: {item[0]}\ndata: {json.dumps(item[1])}\n\n".encode()
                    if item[0] == "resigned":
                        return  # this node knows of nothing more; the next one to be asked does
                elif time.monotonic() - quiet < HEARTBEAT_S:
                    continue
                else:
                    yield b": still here\n\n"
                quiet = time.monotonic()

        response = Response(stream(), content_type="text/event-stream")
        response.headers["Cache-Control"] = "no-cache"
        response.call_on_close(subscription.close)
        response.call_on_close(self._followers.release)
        return response


def _last_event(default: int) -> int:
    """Return where a stream goes on: what the browser saw last, or `default`."""
    text = request.headers.get("Last-Event-ID", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else default


def _wait_form(waiting: Waiting | None) -> dict[str, Any]:
    return {"code": waiting.code, "sentence": waiting.sentence, "detail": waiting.detail} if waiting else {}


def runs_blueprint(backend: Backend, settings: ApiSettings) -> Blueprint:
    """Return all paths of /api."""
    api = RunsApi(backend, settings)
    blueprint = Blueprint("api", __name__, url_prefix="/api")
    blueprint.add_url_rule("/jobs", view_func=api.jobs)
    blueprint.add_url_rule("/jobs/<name>", view_func=api.job)
    blueprint.add_url_rule("/jobs/<name>", "patch", api.patch, methods=["PATCH"])
    blueprint.add_url_rule("/jobs/<name>/why", view_func=api.why_job)
    blueprint.add_url_rule("/runs", view_func=api.runs)
    blueprint.add_url_rule(RUN, view_func=api.run)
    blueprint.add_url_rule(RUN, "kill", api.kill, methods=["DELETE"])
    blueprint.add_url_rule(RUN, "patch_run", api.patch_run, methods=["PATCH"])
    blueprint.add_url_rule(f"{RUN}/why", view_func=api.why)
    blueprint.add_url_rule(f"{RUN}/attempts", view_func=api.attempts)
    blueprint.add_url_rule(f"{RUN}/attempts/<int:attempt>/<stream>", view_func=api.output)
    blueprint.add_url_rule("/queue", view_func=api.queue)
    blueprint.add_url_rule("/quotas", view_func=api.quotas)
    blueprint.add_url_rule("/quarantine", view_func=api.quarantine)
    blueprint.add_url_rule("/events", view_func=api.events)
    blueprint.add_url_rule("/openapi.json", "openapi", lambda: _json(openapi_document()))
    blueprint.add_url_rule("/docs", "docs", lambda: answer(API_PAGE, media_type="text/html; charset=utf-8"))
    return blueprint
