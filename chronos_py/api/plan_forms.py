"""The JSON forms of POST /api/plan: the question, which is read by these, and the answer."""

from __future__ import annotations

from typing import Any

from marshmallow import RAISE, Schema, fields, validate

LONGEST_S = 400 * 86_400
_SHARE = validate.Range(0, 1)


class NewAgentForm(Schema):
    """Agents that come, all alike."""

    class Meta:
        unknown = RAISE

    cpus = fields.Float(required=True, validate=validate.Range(0.001, 1e6))
    mem = fields.Float(required=True, validate=validate.Range(1, 1e9), metadata={"description": "MiB"})
    disk = fields.Float(load_default=None, allow_none=True, validate=validate.Range(0, 1e12))
    gpus = fields.Float(load_default=0.0, validate=validate.Range(0, 1e4))
    attributes = fields.Dict(keys=fields.String(), values=fields.String(), load_default=dict)
    count = fields.Integer(load_default=1, strict=True, validate=validate.Range(1, 10_000))
    at = fields.String(load_default=None, allow_none=True, metadata={"description": "when it comes; default: now"})


class GoneAgentForm(Schema):
    """An agent that goes; what runs there is lost and tried again."""

    class Meta:
        unknown = RAISE

    agent = fields.String(required=True, metadata={"description": "its id or host"})
    at = fields.String(load_default=None, allow_none=True, metadata={"description": "when it goes; default: now"})


class PlanQuestionForm(Schema):
    """What is to be planned: every field may be left out. Instants by ISO 8601, times in seconds."""

    class Meta:
        unknown = RAISE

    start = fields.String(data_key="from", load_default=None, metadata={"description": "report from; default: now"})
    end = fields.String(data_key="to", load_default=None, metadata={"description": "default: a day after `from`"})
    seed = fields.Integer(load_default=0, strict=True, validate=validate.Range(0, 2**53))
    jobs = fields.List(
        fields.Dict(keys=fields.String()),
        load_default=list,
        metadata={"description": "of a job that exists, the fields to change, as with PATCH; else a whole document"},
    )
    remove = fields.List(fields.String(), load_default=list, metadata={"description": "names of jobs"})
    add_agents = fields.List(fields.Nested(NewAgentForm), data_key="addAgents", load_default=list)
    remove_agents = fields.List(fields.Nested(GoneAgentForm), data_key="removeAgents", load_default=list)
    failing = fields.Float(
        load_default=None, validate=_SHARE, metadata={"description": "share of attempts; default: as in history"}
    )
    failing_jobs = fields.Dict(
        keys=fields.String(), values=fields.Float(validate=_SHARE), data_key="failingJobs", load_default=dict
    )
    run_time = fields.Float(
        data_key="runTime",
        load_default=None,
        validate=validate.Range(0, LONGEST_S),
        metadata={"description": "of jobs without history; default: the median of the others, or 60"},
    )
    run_times = fields.Dict(
        keys=fields.String(),
        values=fields.Float(validate=validate.Range(0, LONGEST_S)),
        data_key="runTimes",
        load_default=dict,
        metadata={"description": "by job, instead of history's"},
    )
    bucket = fields.Float(load_default=None, validate=validate.Range(1, LONGEST_S))
    late = fields.Float(
        load_default=60.0,
        validate=validate.Range(0, LONGEST_S),
        metadata={"description": "a start later than this is late, where a job does not promise its own"},
    )
    rows = fields.Integer(load_default=1000, strict=True, validate=validate.Range(0, 10_000))


class PlannedWaitForm(Schema):
    p50 = fields.Integer(allow_none=True)
    p99 = fields.Integer(allow_none=True)
    max = fields.Integer(allow_none=True)


class PlannedFiguresForm(Schema):
    """Sums of what starts, ends and is left out in the time that is asked about."""

    success = fields.Integer()
    failed = fields.Integer()
    timedOut = fields.Integer()
    lost = fields.Integer()
    killed = fields.Integer()
    skipped = fields.Integer()
    merged = fields.Integer()
    started = fields.Integer(metadata={"description": "runs whose first attempt started"})
    launched = fields.Integer(metadata={"description": "attempts"})
    attemptsFailed = fields.Integer()
    preempted = fields.Integer()
    late = fields.Integer(metadata={"description": "runs that started later than allowed"})
    wait = fields.Nested(PlannedWaitForm, metadata={"description": "due to first start, ms, upper bounds"})
    causes = fields.Dict(
        keys=fields.String(), values=fields.Integer(), metadata={"description": "why attempts waited, by first cause"}
    )


class PlannedShareForm(Schema):
    at = fields.String()
    cpus = fields.Float(allow_none=True, metadata={"description": "share in use, null without agents"})
    mem = fields.Float(allow_none=True)
    waiting = fields.Integer(metadata={"description": "the most runs that waited at once"})


class OutlookForm(PlannedFiguresForm):
    """One of the two futures."""

    waitingAtEnd = fields.Integer()
    runningAtEnd = fields.Integer()
    digest = fields.String(metadata={"description": "of all that happened: equal for equal histories"})
    share = fields.List(fields.Nested(PlannedShareForm))


class PlannedJobForm(Schema):
    job = fields.String()
    before = fields.Nested(PlannedFiguresForm, allow_none=True)
    after = fields.Nested(PlannedFiguresForm, allow_none=True)


class PlannedStartForm(Schema):
    at = fields.String()
    job = fields.String()
    due = fields.String()
    attempt = fields.Integer()
    wait = fields.Integer(metadata={"description": "since it was due, ms"})
    late = fields.Boolean()
    cause = fields.String(allow_none=True)
    agent = fields.String()


class LeftOutForm(Schema):
    """Due times that do not become runs of their own."""

    at = fields.String()
    job = fields.String()
    due = fields.String()
    lastDue = fields.String()
    count = fields.Integer()
    outcome = fields.String()
    reason = fields.String()


class PlanForm(Schema):
    """`before` without the changes, `after` with them. `starts` and `leftOut` are of `after`, the first ones."""

    now = fields.String()
    start = fields.String(data_key="from")
    end = fields.String(data_key="to")
    bucket = fields.Float()
    seed = fields.Integer()
    before = fields.Nested(OutlookForm)
    after = fields.Nested(OutlookForm)
    jobs = fields.List(fields.Nested(PlannedJobForm), metadata={"description": "whose figures differ"})
    jobsTotal = fields.Integer()
    starts = fields.List(fields.Nested(PlannedStartForm))
    startsTotal = fields.Integer()
    leftOut = fields.List(fields.Nested(LeftOutForm))
    leftOutTotal = fields.Integer()


PLAN_FORMS: tuple[type[Schema], ...] = (
    *(NewAgentForm, GoneAgentForm, PlanQuestionForm, PlannedWaitForm, PlannedFiguresForm, PlannedShareForm),
    *(OutlookForm, PlannedJobForm, PlannedStartForm, LeftOutForm, PlanForm),
)


def first_problem(messages: Any, path: str = "") -> tuple[str, str]:
    """Return the first of marshmallow's complaints: the field, and what is wrong with it."""
    if isinstance(messages, dict) and messages:
        key, rest = next(iter(messages.items()))
        return first_problem(rest, f"{path}.{key}" if path else str(key))
    if isinstance(messages, list) and messages:
        return first_problem(messages[0], path)
    return path, str(messages).rstrip(".")
