"""/api: making jobs, checking what would be saved, what a schedule means, and revisions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson
from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from chronos_py.api.backend import ApiSettings, Backend
from chronos_py.api.changes import check_fields
from chronos_py.api.definitions import (
    changer,
    check_new,
    expected_etags,
    job_etag,
    read_new,
    replacer,
)
from chronos_py.api.parameters import number
from chronos_py.api.transport import answer, consume_json, json_body
from chronos_py.clock import Millis, iso_utc
from chronos_py.errors import (
    ChronosError,
    Forbidden,
    GraphError,
    InvalidInput,
    InvalidName,
    JobExists,
    NoParents,
    Unavailable,
    UnknownJob,
    UnknownRevision,
)
from chronos_py.model.messages import ChangeJob, SubmitJob
from chronos_py.model.revision import Revision, definition, differences
from chronos_py.model.schemas import JOB_FIELDS
from chronos_py.scheduler.schedule import Occurrences, check_schedule, parse_schedule

MOST_PROBLEMS = 20
MOST_TIMES = 100
LONGEST_SCHEDULE = 500


def _json(value: Any, status: int = 200) -> Response:
    return answer(orjson.dumps(value), status)


class EditingApi:
    """Views of /api about definitions."""

    def __init__(self, backend: Backend, settings: ApiSettings) -> None:
        self.backend = backend
        self.settings = settings

    # --- making and checking

    def create(self) -> ResponseReturnValue:
        """Make a job; one of that name that is there stays as it is (409)."""
        consume_json()
        read = read_new(check_fields(json_body()), self.settings, self.backend.now())
        self.backend.call(SubmitJob(read.job, read.counters, check_new, only_new=True))
        response = _json({"name": read.job.name}, 201)
        view = self.backend.view.jobs.get(read.job.name)
        if view is not None:
            response.headers["ETag"] = job_etag(view.job)
        return response

    def validate(self) -> ResponseReturnValue:
        """Say what would be wrong with a new job (`document`), or with `changes` of the job `name`: every field that
        is, and the next due times. Nothing is changed."""
        consume_json()
        body = json_body()
        if not isinstance(body, dict):
            raise InvalidInput("body", body, "must be a JSON object")
        for key in body.keys() - {"name", "document", "changes", "count"}:
            raise InvalidInput(key, body[key], "is not known here")
        name = body.get("name")
        fields = body.get("changes" if name is not None else "document")
        if not isinstance(fields, dict):
            wanted = "changes" if name is not None else "document"
            raise InvalidInput(wanted, fields, "must be an object of fields")
        if name is not None and name not in self.backend.view.jobs:
            raise UnknownJob(str(name))
        problems = self._problems(name, dict(fields))
        schedule = fields.get("schedule")
        upcoming = None
        if isinstance(schedule, str) and not any(p["field"] in ("schedule", "scheduleTimeZone") for p in problems):
            upcoming = self._upcoming(schedule, str(self._zone(name, fields)), 10)
        return _json({"valid": not problems, "problems": problems, "upcoming": upcoming})

    def _zone(self, name: str | None, fields: Mapping[str, Any]) -> Any:
        if "scheduleTimeZone" in fields:
            return fields["scheduleTimeZone"] or ""
        return self.backend.view.jobs[name].job.schedule_zone if name is not None else ""

    def _problems(self, name: str | None, fields: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what is wrong, field by field: one that is wrong is left out, and the rest checked again."""
        unknown = sorted(fields.keys() - JOB_FIELDS)
        problems = [_problem(InvalidInput(field, fields.pop(field), "is no field of a job")) for field in unknown]
        while len(problems) < MOST_PROBLEMS:
            try:
                self._check(name, fields)
            except Unavailable:
                raise
            except ChronosError as error:
                problem = _problem(error)
                problems.append(problem)
                field = problem["field"].partition(".")[0]
                if field not in fields:
                    break
                stand_in = STAND_INS.get(field) if name is None else None
                if fields[field] == stand_in:
                    break
                if stand_in is None:
                    del fields[field]
                else:
                    fields[field] = stand_in
            else:
                break
        return problems[:MOST_PROBLEMS]

    def _check(self, name: str | None, fields: dict[str, Any]) -> None:
        if name is None:
            read = read_new(fields, self.settings, self.backend.now())
            self.backend.call(SubmitJob(read.job, read.counters, check_new, only_new=True, only_check=True))
        else:
            check_fields(fields, name)
            self.backend.call(ChangeJob(name, changer(fields, self.settings, self.backend.now), only_check=True))

    # --- schedules

    def upcoming(self) -> ResponseReturnValue:
        """Say when a schedule is due, from now on, as if a job were made with it now."""
        text, zone = request.args.get("schedule", ""), request.args.get("zone", "")
        return _json(self._upcoming(text, zone, number("count", 10, 1, MOST_TIMES)))

    def _upcoming(self, text: str, zone: str, count: int) -> dict[str, Any]:
        if len(text) > LONGEST_SCHEDULE:
            raise InvalidInput("schedule", text, f"is longer than {LONGEST_SCHEDULE} characters")
        now = self.backend.now()
        schedule = parse_schedule(text, zone)
        check_schedule(schedule, now)
        due = schedule.anchored(now)
        passed = due.last_due(now - 1) + 1
        if schedule.count is not None:
            passed = min(passed, schedule.count)
        return {
            "runs": schedule.count,
            "passed": passed,
            "times": _times(due, passed, schedule.count, count),
            "zone": str(schedule.zone),
        }

    # --- revisions

    def revisions(self, name: str) -> ResponseReturnValue:
        """List who changed the job, newest first, with the fields that each change touched."""
        limit, cursor = number("limit", 20, 1, 100), number("cursor", 2**62, 1, 2**62)
        found = self.backend.revisions.of_job(name, limit + 1, cursor)
        if not found and name not in self.backend.view.jobs:
            raise UnknownJob(name)
        page = found[:limit]
        more = page[-1].number if len(found) > limit else None
        return _json({"revisions": [revision_form(revision) for revision in page], "cursor": more})

    def _revision(self, name: str, wanted: int) -> Revision:
        found = self.backend.revisions.get(name, wanted)
        if found is None:
            raise UnknownRevision(name, wanted)
        return found

    def revision(self, name: str, revision: int) -> ResponseReturnValue:
        """Give one revision: the documents before and after, and what differs from the job as it is now."""
        found = self._revision(name, revision)
        view = self.backend.view.jobs.get(name)
        present = definition(view.job) if view is not None else None
        before, after = _document(found.before), _document(found.after)
        return _json(
            {
                **revision_form(found),
                "documentBefore": before,
                "document": after,
                "sinceThen": differences(after, present),
            }
        )

    def restore(self, name: str, revision: int) -> ResponseReturnValue:
        """Put a definition back in place: as it was after a revision, or before a deletion."""
        if self.backend.view.masked:
            raise Forbidden("secrets of its definition may be hidden from you: it would be put back without them")
        found = self._revision(name, revision)
        document = _document(found.after if found.after is not None else found.before)
        if not document:
            raise InvalidInput("revision", revision, "its document was too long to be kept")
        if name in self.backend.view.jobs:
            change = replacer(document, self.settings, self.backend.now, expected_etags())
            self.backend.call(ChangeJob(name, change))
        else:
            read = read_new(document, self.settings, self.backend.now())
            self.backend.call(SubmitJob(read.job, read.counters, only_new=True))
        return answer(status=204)


# What a required field is checked with once its own value was found wrong, so that the others are checked, too.
STAND_INS: dict[str, Any] = {"name": "a-name-that-nobody-has-taken", "schedule": "R1//P1D"}


def _problem(error: ChronosError) -> dict[str, Any]:
    """Return an error as field, message (a sentence) and value."""
    match error:
        case InvalidName():
            return {"field": "name", "message": error.reason, "value": _shown(error.value)}
        case InvalidInput():
            message = f"{error.reason}; {error.hint}" if error.hint else error.reason
            return {"field": error.field, "message": message, "value": _shown(error.value)}
        case NoParents():
            return {"field": "parents", "message": "name at least one parent", "value": None}
        case GraphError():
            return {"field": "parents", "message": str(error), "value": None}
        case JobExists():
            return {"field": "name", "message": str(error), "value": error.name}
    return {"field": "", "message": str(error), "value": None}


def _shown(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float) else str(value)[:200]


def _document(text: str | None) -> dict[str, Any] | None:
    if not text:
        return None
    found: dict[str, Any] = json.loads(text)
    return found


def revision_form(revision: Revision) -> dict[str, Any]:
    """Return a revision without its documents."""
    before, after = revision.before, revision.after
    kind = "created" if before is None else "deleted" if after is None else "changed"
    known = before != "" and after != ""
    changes = differences(_document(before), _document(after)) if known and kind == "changed" else []
    return {
        "revision": revision.number,
        "job": revision.job,
        "at": iso_utc(revision.at),
        "user": revision.author.user,
        "address": revision.author.address,
        "kind": kind,
        "complete": known,
        "changes": changes,
    }


def _times(due: Occurrences, first: int, end: int | None, count: int) -> list[dict[str, Any]]:
    """Return due times with the wall clock of the schedule's zone, and what summer time does to them."""
    times: list[dict[str, Any]] = []
    usual: timedelta | None = None
    zone = due.schedule.zone
    for index in range(first, min(first + count, end) if end is not None else first + count):
        instant = due.at(index)
        if instant is None:
            break
        local = _local(instant, due)
        entry: dict[str, Any] = {"index": index, "at": iso_utc(instant), "local": "", "note": ""}
        if local is not None:
            offset = local.utcoffset() or timedelta()
            entry["local"] = local.strftime("%Y-%m-%d %H:%M:%S %z ") + (local.tzname() or str(zone))
            if usual is not None and offset != usual:
                hours = (offset - usual).total_seconds() / 3600
                entry["note"] = f"the clocks were changed by {hours:+g} h"
            usual = offset
        times.append(entry)
    return times


def _local(instant: Millis, due: Occurrences) -> datetime | None:
    try:
        return datetime.fromtimestamp(instant / 1000, due.schedule.zone)
    except (OverflowError, ValueError, OSError):
        return None


def editing_blueprint(backend: Backend, settings: ApiSettings) -> Blueprint:
    """Return the paths about definitions."""
    api = EditingApi(backend, settings)
    blueprint = Blueprint("editing", __name__, url_prefix="/api")
    revision = "/jobs/<name>/revisions/<int:revision>"
    blueprint.add_url_rule("/jobs", "create", api.create, methods=["POST"])
    blueprint.add_url_rule("/validate", "validate", api.validate, methods=["POST"])
    blueprint.add_url_rule("/schedule", view_func=api.upcoming)
    blueprint.add_url_rule("/jobs/<name>/revisions", view_func=api.revisions)
    blueprint.add_url_rule(revision, view_func=api.revision)
    blueprint.add_url_rule(f"{revision}/restore", "restore", api.restore, methods=["POST"])
    return blueprint
