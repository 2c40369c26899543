"""The JSON forms of immediate jobs."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields

from chronos_py.api.forms import WaitForm, iso
from chronos_py.model.immediate import shown_name
from chronos_py.model.register import state_of
from chronos_py.model.run import Run
from chronos_py.model.schemas import ContainerSchema, ImmediateSchema, Part


class ImmediateForm(ImmediateSchema):
    """What to run: the fields of a job that concern its run, and three of its own."""

    container = Part(ContainerSchema)
    constraints = fields.List(fields.List(fields.String()), metadata={"description": "attribute, operator, value"})


class ImmediateStartedForm(Schema):
    """The run that an immediate job is: `id` and `run`; `jobs` instead, in the order sent, where a list was sent."""

    id = fields.String()
    run = fields.Integer()
    jobs = fields.List(fields.Nested("ImmediateStartedForm", only=("id", "run")))


class ImmediateStatusForm(Schema):
    """How far an immediate job has come. Times are ISO 8601 in UTC, null where there is none (yet)."""

    id = fields.String()
    run = fields.Integer(metadata={"description": "its run, for /api/runs"})
    name = fields.String()
    state = fields.String(
        metadata={
            "description": "queued, retrying, launching, running; or success, failed, timed_out, lost, killed, skipped"
        }
    )
    ended = fields.String(allow_none=True)
    reason = fields.String()
    exitReason = fields.String()
    command = fields.String()
    owner = fields.String()
    labels = fields.Dict(keys=fields.String(), values=fields.String())
    priority = fields.Integer()
    attempts = fields.Integer(metadata={"description": "tries made, the present one included"})
    taskId = fields.String()
    agent = fields.String()
    host = fields.String()
    created = fields.String()
    launched = fields.String(allow_none=True)
    started = fields.String(allow_none=True)
    keptUntil = fields.String(allow_none=True, metadata={"description": "when nothing is known of it any more"})


class ImmediateDetailForm(ImmediateStatusForm):
    waiting = fields.Nested(WaitForm, allow_none=True, metadata={"description": "why it does not run, null if it does"})


class ImmediateListForm(Schema):
    total = fields.Integer(metadata={"description": "jobs that match, on all pages"})
    byState = fields.Dict(
        keys=fields.String(), values=fields.Integer(), metadata={"description": "all jobs, whether they match or not"}
    )
    jobs = fields.List(fields.Nested(ImmediateStatusForm))
    notFound = fields.List(fields.String(), metadata={"description": "ids that are not known"})
    cursor = fields.Integer(allow_none=True, metadata={"description": "of the next page, null on the last"})


class ImmediateIdsForm(Schema):
    ids = fields.List(fields.String(), required=True)


class ImmediateKillForm(Schema):
    """Which to stop: those of `ids`, and those that have all `labels`."""

    ids = fields.List(fields.String())
    labels = fields.Dict(keys=fields.String(), values=fields.String())
    forget = fields.Boolean(metadata={"description": "keep no result, and free the ids"})


class ImmediateStoppedForm(Schema):
    stopped = fields.List(fields.String(), metadata={"description": "ids of those that were under way"})
    forgotten = fields.List(fields.String(), metadata={"description": "ids of which nothing is known any more"})
    notFound = fields.List(fields.String(), metadata={"description": "ids that were not known"})


def status_form(run: Run) -> dict[str, Any]:
    """Return how far the immediate job has come that a run is."""
    one, ended = run.immediate, run.ended
    assert one is not None
    return {
        "id": one.id,
        "run": run.id,
        "name": shown_name(one.job.name),
        "state": state_of(run),
        "ended": iso(ended.at) if ended else None,
        "reason": ended.reason if ended else run.killing and f"told to stop: {run.killing}",
        "exitReason": ended.exit_reason if ended else "",
        "command": one.job.command,
        "owner": one.job.owner,
        "labels": {pair.key: pair.value for pair in one.job.labels},
        "priority": run.priority,
        "attempts": ended.attempts if ended else run.attempt + (1 if run.launched is not None else 0),
        "taskId": run.task_id,
        "agent": run.agent_id,
        "host": run.host,
        "created": iso(run.created),
        "launched": iso(run.launched),
        "started": iso(run.started),
        "keptUntil": iso(ended.forget_at) if ended else None,
    }
