"""The paths of Chronos: one set of handlers, told by the line (2 or 3) how to speak."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from chronos_py.api.backend import ApiSettings, Backend
from chronos_py.api.errors import Refusal, chronos_answer
from chronos_py.api.statistics import attempt_json, histogram, histogram_json
from chronos_py.api.transport import (
    TEXT,
    Packable,
    accept,
    answer,
    answer_kept,
    consume_json,
    consume_json_if_given,
    consume_json_like,
    json_body,
    nothing,
)
from chronos_py.clock import Millis, iso_utc
from chronos_py.errors import BadDocument, ChronosError, InvalidInput, InvalidName, InvalidSchedule, UnknownJob
from chronos_py.model.documents import NAME_RULES, Line, Read, name_allowed, read_job
from chronos_py.model.java import LONG, double_text, string_json
from chronos_py.model.job import Job
from chronos_py.model.messages import (
    DeleteJob,
    KillTasks,
    MarkSuccess,
    PurgeTasks,
    ReportProgress,
    ReportResult,
    RunJob,
    SubmitJob,
)
from chronos_py.model.render import render_job
from chronos_py.model.view import JobView, View
from chronos_py.scheduler.period import parse_period
from chronos_py.scheduler.schedule import parse_schedule

FIRST_START: Millis = 1000  # 3.x takes no start before 1970-01-01T00:00:01Z in a new job
LONGEST_NAME = 2000  # a longer one, percent-encoded, would not fit into the paths that delete it
_TASK_ID = re.compile(r"ct:\d+:\d+:[\w\s.#-]+", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,10}", re.ASCII)


class ChronosApi:
    """Views of one line of Chronos. Each says which media types it takes and gives, makes one call, and answers."""

    def __init__(self, backend: Backend, settings: ApiSettings, line: Line) -> None:
        self.backend = backend
        self.settings = settings
        self.line = line
        self._lists: dict[bool, tuple[int, Packable]] = {}  # with all secrets, and with none

    # --- reading jobs

    def _document(self, view: JobView, *, mirrored: bool = False) -> bytes:
        return render_job(view, self.line, mirrored=mirrored, default_epsilon=self.settings.default_epsilon)

    def _job(self, name: str) -> JobView:
        view = self.backend.view.jobs.get(name)
        if view is None:
            raise UnknownJob(name)
        return view

    def jobs(self) -> ResponseReturnValue:
        consume_json_if_given()
        accept("application/json")
        current = self.backend.view
        if current.partial:
            return answer(self._list(current))
        changed, body = self._lists.get(current.masked, (-1, Packable(b"")))
        if changed != current.changed:
            changed = current.changed  # read first: what changes meanwhile is in the body, and made again next time
            body = Packable(self._list(current))
            self._lists[current.masked] = changed, body
        return answer_kept(body)

    def _list(self, current: View) -> bytes:
        return b"[" + b",".join(self._document(view, mirrored=True) for view in list(current.jobs.values())) + b"]"

    def search(self) -> ResponseReturnValue:
        consume_json_if_given()
        accept("application/json")
        limit, offset = _integer("limit", 10), _integer("offset", 0)
        name, command, anything = (request.args.get(key, "").lower() for key in ("name", "command", "any"))
        found = []
        for view in list(self.backend.view.jobs.values()):
            job_name, job_command = view.job.name.lower(), view.job.command.lower()
            matches = name in job_name and command in job_command
            if matches or (anything and (anything in job_name or anything in job_command)):
                found.append(view)
        chosen = found[max(0, offset) : max(0, offset + limit)] if limit > 0 else []
        return answer(b"[" + b",".join(self._document(view) for view in chosen) + b"]")

    def summary(self) -> ResponseReturnValue:
        consume_json_if_given()
        accept("application/json")
        return answer(b'{"jobs":[' + b",".join(map(_summary, list(self.backend.view.jobs.values()))) + b"]}")

    def job(self, name: str) -> ResponseReturnValue:
        consume_json_if_given()
        accept("application/json")
        return answer(self._document(self._job(name)))

    # --- changing jobs

    def scheduled(self) -> ResponseReturnValue:
        consume_json()
        accept("application/json")
        return self._submit({"scheduled", "now"})

    def dependent(self) -> ResponseReturnValue:
        consume_json_like()
        accept("application/json")
        return self._submit({"dependent"})

    def _submit(self, kinds: set[str]) -> ResponseReturnValue:
        read = read_job(json_body(), self.line, self.settings.defaults, self.backend.now())
        if read.kind not in kinds:
            wanted = "a job without parents" if "scheduled" in kinds else "a job with parents"
            raise BadDocument("body", read.kind, f"this path takes {wanted}")
        self.backend.call(SubmitJob(_with_epsilon(read.job), read.counters, self._rules(read)))
        return nothing()

    def _rules(self, read: Read) -> Callable[[Job, Millis], None]:
        """Return what only a new job is held to, in the original's order."""

        def check(job: Job, now: Millis) -> None:
            if not name_allowed(job.name, self.line):
                raise InvalidName(job.name, NAME_RULES[self.line])
            if len(job.name) > LONGEST_NAME:
                raise InvalidInput("name", job.name, f"is longer than {LONGEST_NAME} characters")
            if job.schedule is not None:
                self._check_start(job, now)
            if job.parents is None and job.fetch and job.uris:
                sentence = f"Tried to add both uri (deprecated) and fetch parameters on {job.name}"
                raise Refusal("fetch", job.name, sentence)

        return check

    def _check_start(self, job: Job, now: Millis) -> None:
        schedule = parse_schedule(job.schedule or "", job.schedule_zone)
        start = schedule.start_millis(now)
        if self.line == 3 and start < FIRST_START:
            sentence = f"Scheduled start date '{iso_utc(start) if start > -62e12 else start}' is before 1970!"
            raise Refusal("start", job.schedule, sentence)

    def delete(self, name: str) -> ResponseReturnValue:
        consume_json_if_given()
        accept("application/json")
        self.backend.call(DeleteJob(name))
        return nothing()

    # --- runs

    def run(self, name: str) -> ResponseReturnValue:
        consume_json_if_given()
        accept("application/json")
        arguments = request.args.get("arguments", "")
        if self.line == 3:
            arguments = arguments.replace(";", "")
        self.backend.call(RunJob(name, arguments if arguments.strip() else None))
        return nothing()

    def success(self, name: str) -> ResponseReturnValue:
        consume_json_if_given()
        accept("application/json")
        known = self.backend.call(MarkSuccess(name))
        return answer(f"marked job {name} as successful: {'true' if known else 'false'}".encode())

    def kill(self, name: str) -> ResponseReturnValue:
        accept("application/json")
        self.backend.call(KillTasks(name))
        return nothing()

    def report(self, task_id: str) -> ResponseReturnValue:
        consume_json_like()
        accept("application/json")
        code = _strict_number(json_body(), "statusCode")
        self.backend.call(ReportResult(task_id, success=not code))
        return nothing()

    def purge(self) -> ResponseReturnValue:
        consume_json_if_given()
        accept("application/json")
        self.backend.call(PurgeTasks())
        return nothing()

    def progress(self, name: str, task_id: str) -> ResponseReturnValue:
        consume_json()
        accept("application/json")
        elements = _strict_number(json_body(), "numAdditionalElementsProcessed")
        view = self._job(name)
        noun = "JobSchedule" if self.line == 3 else "Job"
        if not _TASK_ID.search(task_id):
            raise Refusal("id", task_id, f"Invalid task id format {task_id}")
        if not view.job.data_processing:
            raise Refusal("id", name, f"{noun} '{name}' is not enabled to track data")
        if elements is not None:
            if elements < 0:
                raise Refusal("id", elements, f"numAdditionalElementsProcessed ({elements}) is not positive")
            self.backend.call(ReportProgress(name, task_id, elements))
        return nothing()

    # --- statistics and graph

    def stat(self, name: str) -> ResponseReturnValue:
        consume_json_if_given()
        accept("application/json")
        view = self._job(name)
        attempts = self.backend.history.recent_attempts(name, self.settings.history_limit)
        elements = view.state.elements_processed if view.job.data_processing else None
        entries = ",".join(attempt_json(attempt, elements) for attempt in attempts)
        return answer(f'{{"histogram":{histogram_json(self.backend.histogram(name))},"taskStatHistory":[{entries}]}}')

    def percentile(self, percentile: str) -> ResponseReturnValue:
        accept("application/json")
        figures = [(name, histogram(self.backend.histogram(name)).get(percentile)) for name in list(self._names())]
        known = sorted(((name, f / 1000) for name, f in figures if f is not None), key=lambda pair: -pair[1])
        entries = (f'{{"jobNameLabel":{string_json(name)},"time":{double_text(time)}}}' for name, time in known)
        return answer("[" + ",".join(entries) + "]")

    def _names(self) -> Iterable[str]:
        return list(self.backend.view.jobs)

    def dot(self) -> ResponseReturnValue:
        consume_json_if_given()
        accept(TEXT)
        views = list(self.backend.view.jobs.values())
        numbers = {view.job.name: number for number, view in enumerate(views, 1)}
        lines = [f'  {number} [ label="{name}" ];\n' for name, number in numbers.items()]
        lines += [f"  {numbers[parent]} -> {numbers[child]};\n" for parent, child in _links(views) if parent in numbers]
        return answer("digraph G {\n" + "".join(lines) + "}\n", media_type=TEXT)

    def csv(self) -> ResponseReturnValue:
        consume_json_if_given()
        accept(TEXT)
        views = list(self.backend.view.jobs.values())
        counted = self.line == 3
        lines = [f"node,{v.job.name},{v.last_result},{v.activity(counted=counted)}\n" for v in views]
        lines += [f"link,{parent},{child}\n" for parent, child in _links(views)]
        return answer("".join(lines).encode("utf-8", "replace"), media_type=TEXT)

    def leader(self) -> ResponseReturnValue:
        accept("application/json")
        return answer(f'{{"leader":{string_json(self.backend.leader())}}}')


def _with_epsilon(job: Job) -> Job:
    """Return the job with its epsilon as a period prints. Raises BadDocument for what is no period."""
    if job.epsilon is None:
        return job
    try:
        return replace(job, epsilon=str(parse_period(job.epsilon)))
    except InvalidSchedule:
        raise BadDocument("epsilon", job.epsilon, "is no ISO 8601 period, for example PT15M") from None


def _links(views: Iterable[JobView]) -> list[tuple[str, str]]:
    return [(parent, view.job.name) for view in views for parent in view.job.parents or ()]


def _summary(view: JobView) -> bytes:
    """Return a job's line of the summary, made once per record."""
    cached = view.cache.get("summary")
    if cached is not None:
        return cached
    parts = [
        ("name", string_json(view.job.name)),
        ("status", string_json(view.last_result)),
        ("state", string_json(view.activity(counted=True))),
        ("schedule", string_json(view.schedule or "")),
        ("parents", "[" + ",".join(map(string_json, view.job.parents or ())) + "]"),
        ("disabled", "true" if view.job.disabled else "false"),
    ]
    made = view.cache["summary"] = ("{" + ",".join(f'"{key}":{value}' for key, value in parts) + "}").encode(
        "utf-8", "replace"
    )
    return made


def _integer(name: str, default: int) -> int:
    """Return a query parameter; what is no 32-bit integer makes the path unknown, as in the original."""
    text = request.args.get(name, "")
    if not text:
        return default
    if not _INTEGER.fullmatch(text) or not -(2**31) <= int(text) < 2**31:
        raise NotFound
    return int(text)


def _strict_number(body: Any, key: str) -> int | None:
    """Return the one number that a strictly bound body may have, within 64 bits; None when it is absent."""
    if not isinstance(body, dict):
        raise BadDocument("body", body, "must be a JSON object")
    for unknown in body.keys() - {key}:
        raise BadDocument(unknown, body[unknown], "is not known here")
    value = body.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise BadDocument(key, value, "must be a number")
    try:
        number = int(float(value)) if not isinstance(value, int) else value
    except (ValueError, OverflowError):
        raise BadDocument(key, value, "must be a number") from None
    if not -LONG - 1 <= number <= LONG:
        raise BadDocument(key, value, "is beyond 64 bits")
    return number


def chronos_blueprint(backend: Backend, settings: ApiSettings, line: Line) -> Blueprint:
    """Return all paths of one line: /scheduler for 2.x, /v1/scheduler for 3.x."""
    api = ChronosApi(backend, settings, line)
    blueprint = Blueprint(f"chronos{line}", __name__, url_prefix="/scheduler" if line == 2 else "/v1/scheduler")
    create = ["POST", "PUT"] if line == 2 else ["POST"]
    rules: list[tuple[str, Callable[..., ResponseReturnValue], list[str]]] = [
        ("/jobs", api.jobs, ["GET"]),
        ("/jobs/search", api.search, ["GET"]),
        ("/job/<name>", api.run, ["PUT"]),
        ("/job/<name>", api.delete, ["DELETE"]),
        ("/job/stat/<name>", api.stat, ["GET"]),
        ("/job/success/<name>", api.success, ["PUT"]),
        ("/job/<name>/task/<task_id>/progress", api.progress, ["POST"]),
        ("/iso8601", api.scheduled, create),
        ("/dependency", api.dependent, create),
        ("/task/kill/<name>", api.kill, ["DELETE"]),
        ("/graph/dot", api.dot, ["GET"]),
        ("/graph/csv", api.csv, ["GET"]),
        ("/stats/<percentile>", api.percentile, ["GET"]),
        ("/leader", api.leader, ["GET"]),
    ]
    if line == 2:
        rules += [("/task/<task_id>", api.report, ["PUT"]), ("/task/all", api.purge, ["DELETE"])]
        rules += [("/task/all", lambda: api.report("all"), ["PUT"])]
    else:
        rules += [("/jobs/summary", api.summary, ["GET"]), ("/job/<name>", api.job, ["GET"])]
    for number, (path, view, methods) in enumerate(rules):
        name = getattr(view, "__name__", "view").strip("<>")
        blueprint.add_url_rule(path, f"{name}-{number}", view, methods=methods)

    @blueprint.errorhandler(ChronosError)
    def refused(error: ChronosError) -> Response:
        view = (request.endpoint or "").rsplit(".", 1)[-1].split("-")[0]
        return chronos_answer(error, line, view)

    return blueprint
