"""One run: its attempts with their times split, why it waits or ended, its output."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from flask import Blueprint, current_app, render_template, request
from flask.typing import ResponseReturnValue

from chronos_py.api.forms import placement_form
from chronos_py.api.masking import without_url_secrets
from chronos_py.api.parameters import choice, number
from chronos_py.clock import Millis
from chronos_py.errors import ChronosError, UnknownRun
from chronos_py.model.history import AttemptRecord, RunRecord
from chronos_py.model.run import Run
from chronos_py.ui.frame import Ui
from chronos_py.ui.output import SHOWN, STREAMS, read_part, search, task_of, word_asked

BEYOND = ("resources", "usage")  # fields of the API's form that have a place of their own on the page


@dataclass(frozen=True, slots=True)
class Try:
    """An attempt with its times in milliseconds: it waited, started, ran; the last is None before that began."""

    attempt: int
    agent: str
    host: str
    launched: Millis
    started: Millis | None
    ended: Millis | None
    waited: Millis
    starting: Millis
    ran: Millis | None
    state: str
    reason: str = ""
    message: str = ""
    exit: str = ""
    placement: Mapping[str, Any] | None = None  # as the API gives it


def _exit(row: AttemptRecord) -> str:
    if row.signal is not None:
        try:
            return f"{row.signal} {signal.Signals(row.signal).name}"
        except ValueError:
            return str(row.signal)
    return "" if row.exit_code is None else str(row.exit_code)


def tries_of(due: Millis, ended: list[AttemptRecord], run: Run | None, now: Millis) -> list[Try]:
    """Return a run's attempts in order. Each waits from the end of the one before, the first from the due time."""
    found: list[Try] = []
    since = due
    for row in ended:
        waited = max(0, row.launched - since)
        starting = max(0, (row.started or row.ended) - row.launched)
        ran = None if row.started is None else max(0, row.ended - row.started)
        found.append(
            Try(row.attempt, row.agent_id, row.host, row.launched, row.started, row.ended, waited, starting, ran,
                row.outcome.value, row.reason, row.message, _exit(row), placement_form(row.placement))
        )  # fmt: skip
        since = row.ended
    if run is not None and run.launched is not None and all(row.attempt != run.attempt for row in ended):
        ran = None if run.started is None else max(0, now - run.started)
        starting = max(0, (run.started or now) - run.launched)
        found.append(
            Try(run.attempt, run.agent_id, run.host, run.launched, run.started, None,
                max(0, run.launched - since), starting, ran, run.phase.value,
                placement=placement_form(run.placement))
        )  # fmt: skip
    return found


def api_form(number: int) -> dict[str, Any]:
    """Return a run as the public API gives it, with whatever fields it has."""
    view = current_app.view_functions.get("api.run")
    found = view(number=number) if view is not None else None
    form: dict[str, Any] = orjson.loads(found.get_data()) if found is not None else {}  # type: ignore[union-attr]
    return form


def _facts(run: Run | None, row: RunRecord | None) -> dict[str, Any]:
    """Return what both forms of a run have."""
    if run is not None:
        return {
            "job": run.job, "state": run.phase.value, "trigger": run.trigger.value, "due": run.due,
            "created": run.created, "ended": None, "reason": run.killing, "arguments": run.arguments,
            "causes": run.causes, "into": None, "priority": run.priority, "index": run.index,
            "first_started": run.first_started or run.started,
        }  # fmt: skip
    assert row is not None
    return {
        "job": row.job, "state": row.outcome.value, "trigger": row.trigger.value, "due": row.due,
        "created": row.created, "ended": row.ended, "reason": row.reason, "arguments": row.arguments,
        "causes": row.causes, "into": row.into, "priority": None, "index": row.index,
        "first_started": row.first_started or row.started, "last_index": row.last_index, "last_due": row.last_due,
    }  # fmt: skip


def add_run(blueprint: Blueprint, ui: Ui) -> None:
    """Add the page of one run."""

    def shown_output(number: int, tries: list[Try], values: dict[str, Any]) -> None:
        """Put the output that is asked for, the last attempt's by default, into the values of the page."""
        chosen = _attempt(tries)
        stream = choice("stream", STREAMS, "stdout") or "stdout"
        values.update(chosen=chosen, stream=stream, part=None, found=None, problem="", word=word_asked())
        if chosen is None:
            return
        try:
            task = task_of(ui.backend, number, chosen)
            values["part"] = read_part(ui.backend, task, stream, _asked("offset", -SHOWN))
            if "stream" not in request.args and not values["part"].size and values["part"].ended:
                other = read_part(ui.backend, task, "stderr", _asked("offset", -SHOWN))
                if other.size:  # it wrote there alone: what somebody wants to see
                    stream = values["stream"] = "stderr"
                    values["part"] = other
            if values["word"]:
                values["found"] = search(ui.backend, task, stream, values["word"], max(0, _asked("search_from", 0)))
        except ChronosError as error:
            values["problem"] = str(error)

    @blueprint.get("/ui/run/<int(max=9223372036854775807):number>")
    def run(number: int) -> ResponseReturnValue:
        active = ui.backend.view.runs.get(number)
        ended = ui.backend.history.attempts(number)
        row = None if active is not None else ui.backend.history.run(number)
        if active is None and row is None:
            raise UnknownRun(number)
        facts, now = _facts(active, row), ui.backend.now()
        tries = tries_of(facts["due"], ended, active, now)
        form = api_form(number)
        sandboxes = {entry["attempt"]: entry.get("sandbox") for entry in form.get("attemptList", [])}
        beyond = {name: form[name] for name in BEYOND if form.get(name)}
        used = {entry["attempt"]: entry[name] for entry in form.get("attemptList", []) for name in BEYOND
                if entry.get(name)}  # fmt: skip
        values: dict[str, Any] = {}
        shown_output(number, tries, values)
        waiting = ui.backend.view.waiting.get(number) if active is not None else None
        longest = max((attempt.waited + attempt.starting + (attempt.ran or 0) for attempt in tries), default=0)
        return render_template(
            "ui/run.html", number=number, run=facts, active=active is not None, tries=tries, sandboxes=sandboxes,
            waiting=waiting, beyond=beyond, used=used, longest=longest, streams=STREAMS, step=SHOWN,
            known=facts["job"] in ui.backend.view.jobs, immediate=_immediate(ui, number, form), **values,
        )  # fmt: skip


def _immediate(ui: Ui, number: int, form: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what is known of the immediate job that a run is, None when it is none. After a while only its id is."""
    name = form.get("immediate")
    if not name:
        return None
    run = ui.backend.view.immediate.get(name)
    if run is None or run.id != number or run.immediate is None:
        return {"id": name}
    job = run.immediate.job
    kept = run.ended.forget_at if run.ended is not None else None
    return {"id": name, "job": job, "command": without_url_secrets(job.command), "kept": kept}


def _attempt(tries: list[Try]) -> int | None:
    if not tries:
        return None
    return number("attempt", tries[-1].attempt, 0, 100_000)


def _asked(name: str, default: int) -> int:
    return number(name, default, -(2**62), 2**62)
