"""The JSON forms of statistics and of the report on resources, for the description of /api."""

from __future__ import annotations

from marshmallow import Schema, fields

_UPPER = {"description": "milliseconds: never less than the true value and at most 10 % more"}


class PercentilesForm(Schema):
    """A duration's percentiles, null without values."""

    count = fields.Integer()
    p50 = fields.Integer(allow_none=True, metadata=_UPPER)
    p90 = fields.Integer(allow_none=True, metadata=_UPPER)
    p99 = fields.Integer(allow_none=True, metadata=_UPPER)
    max = fields.Integer(allow_none=True, metadata=_UPPER)


class ServiceLevelForm(Schema):
    """How often a promise was kept, of runs that ended by themselves."""

    within = fields.Integer(
        metadata={"description": "what was measured against: the promise and at most 10 % more, ms"}
    )
    runs = fields.Integer()
    kept = fields.Integer()
    share = fields.Float(allow_none=True)
    target = fields.Float(metadata={"description": "a share"})
    budget = fields.Float(metadata={"description": "how many misses the target allows in this span"})
    budgetLeft = fields.Float(allow_none=True, metadata={"description": "share of the budget; negative: overdrawn"})


class ServiceLevelsForm(Schema):
    startWithin = fields.Nested(ServiceLevelForm, allow_none=True)
    finishWithin = fields.Nested(ServiceLevelForm, allow_none=True)


class FiguresForm(Schema):
    """Sums over some runs. `due` is the sum of success to merged; a row for several due times counts as many."""

    bucket = fields.String(metadata={"description": "where it begins; with `per` only"})
    job = fields.String()
    owner = fields.String()
    host = fields.String()
    exit = fields.String(metadata={"description": "`exit 3`, `signal 9`, a reason of Mesos, why it was skipped, ..."})
    due = fields.Integer()
    success = fields.Integer()
    failed = fields.Integer()
    timedOut = fields.Integer()
    lost = fields.Integer()
    killed = fields.Integer()
    preempted = fields.Integer()
    skipped = fields.Integer()
    merged = fields.Integer()
    started = fields.Integer(metadata={"description": "runs of which a task started"})
    launched = fields.Integer(metadata={"description": "attempts"})
    attemptsFailed = fields.Integer()
    wait = fields.Nested(PercentilesForm, metadata={"description": "due to first start"})
    finish = fields.Nested(PercentilesForm, metadata={"description": "due to end, of successes"})
    runTime = fields.Nested(PercentilesForm, metadata={"description": "start to end, of attempts"})
    slo = fields.Nested(ServiceLevelsForm, metadata={"description": "where the row is of one job"})


class StatisticsForm(Schema):
    # `from` cannot be an attribute's name
    by = fields.List(fields.String())
    per = fields.String(allow_none=True)
    to = fields.String()
    resolution = fields.String(metadata={"description": "the span is widened to whole minutes, hours or days"})
    total = fields.Nested(FiguresForm)
    rows = fields.List(fields.Nested(FiguresForm))
    truncated = fields.Boolean(metadata={"description": "there are more rows than `limit`"})
    start = fields.String(data_key="from")
