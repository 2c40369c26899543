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
        allow_none=True,
        metadata={"description": "what was measured against: the promise and at most 10 % more, ms; null: jobs differ"},
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
    label = fields.String(metadata={"description": "name=value"})
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


class AmountsForm(Schema):
    """Cores, MiB, MiB, GPUs."""

    cpus = fields.Float()
    mem = fields.Float()
    disk = fields.Float()
    gpus = fields.Float()


class CapacityForm(Schema):
    """What some agents have."""

    agents = fields.Integer()
    total = fields.Nested(AmountsForm)
    used = fields.Nested(AmountsForm, metadata={"description": "by tasks of all frameworks"})
    usedByUs = fields.Nested(AmountsForm)
    offered = fields.Nested(AmountsForm, metadata={"description": "to us, and held at present"})
    free = fields.Nested(AmountsForm, metadata={"description": "used by nobody and not reserved for others"})
    slots = fields.Integer(allow_none=True, metadata={"description": "how many tasks of the shape would fit"})


class AttributeCapacityForm(CapacityForm):
    value = fields.String(metadata={"description": "empty: of agents without the attribute"})


class AgentCapacityForm(Schema):
    agent = fields.String()
    host = fields.String()
    active = fields.Boolean()
    attributes = fields.Dict(keys=fields.String(), values=fields.String())
    total = fields.Nested(AmountsForm)
    used = fields.Nested(AmountsForm)
    usedByUs = fields.Nested(AmountsForm)
    offered = fields.Nested(AmountsForm)
    free = fields.Nested(AmountsForm)
    reserved = fields.Dict(keys=fields.String(), values=fields.Nested(AmountsForm))
    usedOf = fields.Dict(keys=fields.String(), values=fields.Nested(AmountsForm))
    slots = fields.Integer(allow_none=True)


class WaitingLevelForm(Schema):
    priority = fields.Integer()
    waiting = fields.Integer()
    oldestRun = fields.Integer()
    oldestDue = fields.String()
    oldestWait = fields.Float(metadata={"description": "seconds since it was due"})


class WaitingForm(Schema):
    waiting = fields.Integer(metadata={"description": "runs that wait for a place or for a retry"})
    byPriority = fields.List(fields.Nested(WaitingLevelForm), metadata={"description": "highest first"})


class ResourcesForm(CapacityForm):
    at = fields.String()
    age = fields.Float(metadata={"description": "seconds since the cluster told"})
    largestFree = fields.Nested(AmountsForm, metadata={"description": "of the agent with most cores free"})
    shape = fields.Nested(AmountsForm, allow_none=True)
    reserved = fields.Dict(
        keys=fields.String(), values=fields.Nested(AmountsForm), metadata={"description": "by role; `*`: for nobody"}
    )
    usedOfReserved = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(AmountsForm),
        metadata={"description": "what is used of each role's part, as far as the cluster tells"},
    )
    running = fields.Integer()
    queue = fields.Nested(WaitingForm)
    byAttribute = fields.List(fields.Nested(AttributeCapacityForm), metadata={"description": "with `attribute` only"})
    byAgent = fields.List(fields.Nested(AgentCapacityForm), metadata={"description": "with `agents=true` only"})
