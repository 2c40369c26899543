"""The JSON forms of checks, schedules, revisions, calendar and timeline, for the description of /api."""

from __future__ import annotations

from marshmallow import Schema, fields


class CreatedForm(Schema):
    name = fields.String()


class DueForm(Schema):
    """One due time. `local` is on the clock of the schedule's zone, `note` what summer time does to it."""

    index = fields.Integer()
    at = fields.String()
    local = fields.String()
    note = fields.String()


class UpcomingForm(Schema):
    """When a schedule is due. `runs`: how often in all, null: without end; `passed`: how many due times are over."""

    runs = fields.Integer(allow_none=True)
    passed = fields.Integer()
    zone = fields.String()
    times = fields.List(fields.Nested(DueForm))


class ProblemForm(Schema):
    field = fields.String(metadata={"description": "empty: no single field is wrong"})
    message = fields.String()
    value = fields.Raw(allow_none=True)


class CheckForm(Schema):
    """What is to be checked: a new job's `document`, or `changes` of the job `name`."""

    name = fields.String()
    document = fields.Dict()
    changes = fields.Dict()


class ValidationForm(Schema):
    valid = fields.Boolean()
    problems = fields.List(fields.Nested(ProblemForm))
    upcoming = fields.Nested(UpcomingForm, allow_none=True, metadata={"description": "of a schedule that was given"})


class DifferenceForm(Schema):
    """A field that differs; null where it is not there."""

    field = fields.String()
    before = fields.Raw(allow_none=True)
    after = fields.Raw(allow_none=True)


class RevisionForm(Schema):
    """One change of a definition. `user` as far as a password was checked; both empty: the server itself."""

    revision = fields.Integer()
    job = fields.String()
    at = fields.String()
    user = fields.String()
    address = fields.String()
    kind = fields.String(metadata={"description": "created, changed or deleted"})
    complete = fields.Boolean(metadata={"description": "false: the definition was too long to be kept"})
    changes = fields.List(fields.Nested(DifferenceForm))


class RevisionListForm(Schema):
    revisions = fields.List(fields.Nested(RevisionForm), metadata={"description": "newest first"})
    cursor = fields.Integer(allow_none=True, metadata={"description": "of the next page, null on the last"})


class RevisionDetailForm(RevisionForm):
    documentBefore = fields.Dict(allow_none=True)
    document = fields.Dict(allow_none=True, metadata={"description": "null: the job was deleted"})
    sinceThen = fields.List(fields.Nested(DifferenceForm), metadata={"description": "from then to now"})


class SpanForm(Schema):
    """`from` is where it begins."""

    starts = fields.Integer()
    names = fields.List(fields.String(), metadata={"description": "some of the jobs, as many as asked for"})


class PeakForm(Schema):
    at = fields.String()
    starts = fields.Integer()


class CalendarForm(Schema):
    """Starts to come of scheduled jobs that are enabled."""

    spans = fields.List(fields.Nested(SpanForm))
    peaks = fields.List(fields.Nested(PeakForm), metadata={"description": "the busiest minutes"})
    jobs = fields.Integer()
    complete = fields.Boolean(metadata={"description": "false: there were too many due times to count them all"})


class BarForm(Schema):
    run = fields.Integer()
    job = fields.String()
    host = fields.String()
    state = fields.String(metadata={"description": "the outcome, or how far it has come"})
    trigger = fields.String()
    due = fields.String()
    created = fields.String()
    started = fields.String(allow_none=True)
    ended = fields.String(allow_none=True)
    attempts = fields.Integer()


class TimelineRowForm(Schema):
    name = fields.String()
    lanes = fields.List(fields.List(fields.Nested(BarForm)), metadata={"description": "no overlaps within one"})


class TimelineForm(Schema):
    """Runs under way in a span, `from` and `to`."""

    rows = fields.List(fields.Nested(TimelineRowForm))
    complete = fields.Boolean(metadata={"description": "false: there are more runs than are listed"})


FORMS: tuple[type[Schema], ...] = (
    *(CreatedForm, DueForm, UpcomingForm, ProblemForm, CheckForm, ValidationForm),
    *(DifferenceForm, RevisionForm, RevisionListForm, RevisionDetailForm),
    *(SpanForm, PeakForm, CalendarForm, BarForm, TimelineRowForm, TimelineForm),
)
