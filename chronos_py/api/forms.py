"""The JSON forms of /api: runs and attempts, active or ended, in one shape each."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields

from chronos_py.clock import Millis, iso_utc
from chronos_py.model.history import AttemptRecord, RunRecord
from chronos_py.model.immediate import id_of_task
from chronos_py.model.run import Run
from chronos_py.model.schemas import ContainerSchema, JobSchema, Part


class RunForm(Schema):
    """A run. Times are ISO 8601 in UTC, null where there is none (yet)."""

    run = fields.Integer(metadata={"description": "number, unique and growing"})
    job = fields.String()
    state = fields.String(metadata={"description": "queued, retrying, launching, running, reporting or ended"})
    outcome = fields.String(
        allow_none=True, metadata={"description": "success, failed, timed_out, lost, killed, skipped, merged"}
    )
    reason = fields.String()
    trigger = fields.String(metadata={"description": "schedule, parents, manual or immediate"})
    due = fields.String()
    created = fields.String()
    started = fields.String(allow_none=True)
    ended = fields.String(allow_none=True)
    attempts = fields.Integer(metadata={"description": "tries made, the present one included"})
    taskId = fields.String()
    host = fields.String()
    priority = fields.Integer(allow_none=True)
    arguments = fields.String(allow_none=True)
    causes = fields.List(fields.Integer(), metadata={"description": "the parents' runs that released it"})
    index = fields.Integer(allow_none=True, metadata={"description": "number of the due time in its schedule"})
    lastIndex = fields.Integer(allow_none=True, metadata={"description": "of a row for several due times"})
    into = fields.Integer(allow_none=True, metadata={"description": "the run that a merged one became part of"})
    owner = fields.String()
    elementsProcessed = fields.Integer()
    immediate = fields.String(allow_none=True, metadata={"description": "id of the immediate job that it is"})


class LeaderForm(Schema):
    """How the node that was asked stands in the election."""

    address = fields.String(metadata={"description": "its own, host:port"})
    leader = fields.String(metadata={"description": "the leader's, empty when none is known"})
    role = fields.String(metadata={"description": "leader, follower or none (not elected, nobody followed)"})
    since = fields.String(allow_none=True, metadata={"description": "when role or leader last changed"})
    session = fields.String(
        metadata={"description": "with ZooKeeper: none, connecting, connected, suspended, lost or refused"}
    )
    candidates = fields.Integer(metadata={"description": "nodes that stood for election when it last looked"})
    node = fields.String(metadata={"description": "its name in ZooKeeper"})


class RunChangeForm(Schema):
    """What can be changed of a run that has not ended."""

    priority = fields.Integer(required=True)


class AttemptForm(Schema):
    """One try of a run."""

    run = fields.Integer()
    attempt = fields.Integer()
    taskId = fields.String()
    agent = fields.String()
    host = fields.String()
    launched = fields.String(allow_none=True)
    started = fields.String(allow_none=True)
    ended = fields.String(allow_none=True)
    outcome = fields.String(allow_none=True)
    state = fields.String(metadata={"description": "the last task state, by the name of Mesos"})
    reason = fields.String()
    message = fields.String()
    exitCode = fields.Integer(allow_none=True)
    sandbox = fields.String(allow_none=True, metadata={"description": "where the agent shows its files"})
    signal = fields.Integer(allow_none=True)


class RunDetailForm(RunForm):
    attemptList = fields.List(fields.Nested(AttemptForm), metadata={"description": "ended ones and the present one"})
    waiting = fields.Nested(
        "WaitForm", allow_none=True, metadata={"description": "why it does not run, null if it does"}
    )


class WaitForm(Schema):
    """Why something waits: a code from a closed list, a sentence, and the numbers."""

    code = fields.String()
    sentence = fields.String()
    detail = fields.Dict()


class RunWaitForm(WaitForm):
    run = fields.Integer()


class JobWhyForm(Schema):
    """When a job runs next, and what its runs wait for."""

    job = fields.String()
    nextDue = fields.String(allow_none=True)
    why = fields.String()
    waiting = fields.List(fields.Nested(RunWaitForm))


class JobForm(JobSchema):
    """A whole job: the fields of both lines, and what is known of its state."""

    container = Part(ContainerSchema)
    constraints = fields.List(fields.List(fields.String()), metadata={"description": "attribute, operator, value"})
    state = fields.String(metadata={"description": "idle, queued or `N running`"})
    status = fields.String(metadata={"description": "fresh, success or failure"})
    nextDue = fields.String(allow_none=True)


class JobListForm(Schema):
    total = fields.Integer(metadata={"description": "jobs that match, on all pages"})
    jobs = fields.List(fields.Nested(JobForm))
    cursor = fields.Integer(allow_none=True, metadata={"description": "of the next page, null on the last"})


class RunListForm(Schema):
    runs = fields.List(fields.Nested(RunForm))
    cursor = fields.Integer(allow_none=True, metadata={"description": "of the next page, null on the last"})


class AttemptListForm(Schema):
    attempts = fields.List(fields.Nested(AttemptForm))


class QueuedRunForm(RunForm):
    waiting = fields.Nested(WaitForm, allow_none=True)


class QueueForm(Schema):
    total = fields.Integer()
    byPriority = fields.Dict(keys=fields.String(), values=fields.Integer())
    runs = fields.List(fields.Nested(QueuedRunForm), metadata={"description": "first in order first"})


class QuotaForm(Schema):
    """A quota: amounts in cores, MiB and running tasks; what is not guaranteed is not limited."""

    quota = fields.String()
    guaranteed = fields.Dict(keys=fields.String(), values=fields.Float())
    used = fields.Dict(keys=fields.String(), values=fields.Float())
    borrow = fields.Boolean()
    waiting = fields.Integer()


class QuotasForm(Schema):
    quotas = fields.List(fields.Nested(QuotaForm))


class QuarantinedForm(Schema):
    kind = fields.String()
    key = fields.String()
    reason = fields.String()


class QuarantineForm(Schema):
    quarantined = fields.List(fields.Nested(QuarantinedForm))


class ErrorDetailForm(Schema):
    """What was wrong: `field` and `value` where one was."""

    code = fields.String()
    message = fields.String()
    field = fields.String()
    value = fields.Raw(allow_none=True)


class ErrorForm(Schema):
    error = fields.Nested(ErrorDetailForm)


def iso(instant: Millis | None) -> str | None:
    if instant is None:
        return None
    try:
        return iso_utc(instant)
    except (OverflowError, ValueError, OSError):
        return str(instant)


def active_run(run: Run, owner: str) -> dict[str, Any]:
    """Return a run that has not ended."""
    return {
        "run": run.id,
        "job": run.job,
        "state": run.phase.value,
        "outcome": None,
        "reason": run.killing and f"told to stop: {run.killing}",
        "trigger": run.trigger.value,
        "due": iso(run.due),
        "created": iso(run.created),
        "started": iso(run.started),
        "ended": None,
        "attempts": run.attempt + (1 if run.launched is not None else 0),
        "taskId": run.task_id,
        "host": run.host,
        "priority": run.priority,
        "arguments": run.arguments,
        "causes": list(run.causes),
        "index": run.index,
        "lastIndex": run.index,
        "into": None,
        "owner": owner,
        "elementsProcessed": run.elements_processed,
        "immediate": run.immediate.id if run.immediate is not None else None,
    }


def ended_run(row: RunRecord) -> dict[str, Any]:
    """Return a run from history."""
    return {
        "run": row.run,
        "job": row.job,
        "state": "ended",
        "outcome": row.outcome.value,
        "reason": row.reason,
        "trigger": row.trigger.value,
        "due": iso(row.due),
        "created": iso(row.created),
        "started": iso(row.started),
        "ended": iso(row.ended),
        "attempts": row.attempts,
        "taskId": row.task_id,
        "host": row.host,
        "priority": None,
        "arguments": row.arguments,
        "causes": list(row.causes),
        "index": row.index,
        "lastIndex": row.last_index,
        "into": row.into,
        "owner": row.owner,
        "elementsProcessed": row.elements_processed,
        "immediate": id_of_task(row.task_id),
    }


def ended_attempt(attempt: AttemptRecord) -> dict[str, Any]:
    return {
        "run": attempt.run,
        "attempt": attempt.attempt,
        "taskId": attempt.task_id,
        "agent": attempt.agent_id,
        "host": attempt.host,
        "launched": iso(attempt.launched),
        "started": iso(attempt.started),
        "ended": iso(attempt.ended),
        "outcome": attempt.outcome.value,
        "state": attempt.state,
        "reason": attempt.reason,
        "message": attempt.message,
        "exitCode": attempt.exit_code,
        "signal": attempt.signal,
    }


def present_attempt(run: Run) -> dict[str, Any] | None:
    """Return the attempt that is under way, None when there is none."""
    if run.launched is None:
        return None
    return {
        "run": run.id,
        "attempt": run.attempt,
        "taskId": run.task_id,
        "agent": run.agent_id,
        "host": run.host,
        "launched": iso(run.launched),
        "started": iso(run.started),
        "ended": None,
        "outcome": None,
        "state": run.phase.value,
        "reason": "",
        "message": "",
        "exitCode": None,
        "signal": None,
    }
