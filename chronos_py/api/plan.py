"""POST /api/plan: what would happen, with some changes and without them. It changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import add
from typing import Any

import orjson
from flask import Blueprint
from flask.typing import ResponseReturnValue
from marshmallow import ValidationError

from chronos_py.api.backend import ApiSettings, Backend
from chronos_py.api.changes import changed_job, check_fields
from chronos_py.api.plan_forms import LONGEST_S, PlanQuestionForm, first_problem
from chronos_py.api.transport import answer, consume_json, json_body
from chronos_py.clock import Millis, read_instant
from chronos_py.errors import InvalidInput, InvalidName
from chronos_py.model.capacity import ZERO, Parts, parts, rooms
from chronos_py.model.documents import NAME_RULES, name_allowed, read_job
from chronos_py.model.job import Counters, Job
from chronos_py.model.resources import Resources
from chronos_py.model.run import Outcome, Run
from chronos_py.model.schemas import JOB_FIELDS
from chronos_py.model.view import JobView
from chronos_py.planner.process import Planner
from chronos_py.simulation.agents import MOST, Move, VirtualAgent, renamed, total_of
from chronos_py.simulation.chance import Chance
from chronos_py.simulation.plan import Changes, Question, Situation

DAY_S = 86_400
BUCKETS = 1000
WIDTHS = (60, 300, 900, 1800, 3600, 7200, 21_600, 43_200, DAY_S, 7 * DAY_S)  # seconds; at most 60 of them
SAMPLES = 20  # newest attempts of a job that are looked at
READING_S = 10.0  # for history; jobs that were not read by then run as long as the others
USUAL: Millis = 60_000
_JUDGED = frozenset({Outcome.SUCCESS, Outcome.FAILED, Outcome.TIMED_OUT})
_QUESTION = PlanQuestionForm()


def read_question(body: Any) -> dict[str, Any]:
    """Return the values of a request's body. Raises InvalidInput."""
    if not isinstance(body, dict):
        raise InvalidInput("body", body, "must be a JSON object")
    try:
        values: dict[str, Any] = _QUESTION.load(body)
    except ValidationError as error:
        field, problem = first_problem(error.messages)
        raise InvalidInput(field, body.get(field.split(".")[0]), problem) from None
    return values


def instant(field: str, text: str | None, default: Millis) -> Millis:
    """Return an instant, by ISO 8601; without a zone it is UTC. Raises InvalidInput."""
    return default if text is None else read_instant(field, text)


class PlanApi:
    """The view of /api/plan."""

    def __init__(self, backend: Backend, settings: ApiSettings, planner: Planner) -> None:
        self.backend = backend
        self.settings = settings
        self.planner = planner

    def plan(self) -> ResponseReturnValue:
        consume_json()
        values = read_question(json_body())
        now = self.backend.now()
        start = instant("from", values["start"], now)
        end = instant("to", values["end"], start + DAY_S * 1000)
        if start < now:
            raise InvalidInput("from", values["start"], "must not be in the past")
        if not start < end <= now + LONGEST_S * 1000:
            raise InvalidInput("to", values["end"], f"must be later than `from`, and within {LONGEST_S // DAY_S} days")
        views, runs = self._now()
        agents = self._agents(runs.values())
        changes = Changes(
            tuple(self._change(document, views, now) for document in values["jobs"]),
            tuple(dict.fromkeys(values["remove"])),
            tuple(self._moves(values, agents, now)),
        )
        jobs = {name: view.job for name, view in views.items()}
        states = {name: view.state for name, view in views.items()}
        question = Question(
            Situation(now, self.backend.policy, jobs, states, runs, agents),
            changes,
            self._chance(values, jobs.values()),
            start,
            end,
            _bucket(values["bucket"], start, end),
            int(values["late"] * 1000),
            values["rows"],
            self.planner.limits.launches,
        )
        return answer(orjson.dumps(self.planner.plan(question)))

    def _now(self) -> tuple[dict[str, JobView], dict[int, Run]]:
        """Return jobs and runs of one moment: taken again when a turn was published meanwhile."""
        view = self.backend.view
        for _ in range(10):
            changed = view.changed
            jobs, runs = dict(view.jobs), dict(view.runs)
            if view.changed == changed:
                break
        return jobs, runs

    def _agents(self, runs: Iterable[Run]) -> tuple[VirtualAgent, ...]:
        """Return agents that have what we could use of the real ones, with what our tasks hold already."""
        by_us: dict[str, Parts] = {}
        for run in runs:
            view = self.backend.view.jobs.get(run.job) if run.on_agent else None
            job = run.immediate.job if run.immediate is not None and run.on_agent else view.job if view else None
            if job is not None:
                need = parts(self.backend.need(job))
                by_us[run.agent_id] = tuple(map(add, by_us.get(run.agent_id, ZERO), need))
        return tuple(
            VirtualAgent(
                room.agent.id, Resources(*map(add, room.free, room.by_us)), room.agent.attributes, room.agent.host
            )
            for room in rooms(self.backend.capacity(), by_us, {}, None)
            if room.agent.active
        )

    def _change(self, document: dict[str, Any], views: Mapping[str, JobView], now: Millis) -> tuple[Job, Counters]:
        """Return what a document makes of a job, or the new job. Raises InvalidInput."""
        name = document.get("name")
        view = views.get(name) if isinstance(name, str) else None
        if view is not None:
            return changed_job(check_fields(document, view.job.name), view.job, view.state, self.settings.defaults, now)
        for field in document.keys() - JOB_FIELDS:
            raise InvalidInput(f"jobs.{field}", document[field], "is no field of a job")
        read = read_job(document, 3, self.settings.defaults, now, every_field=True)
        if not name_allowed(read.job.name, 2):
            raise InvalidName(read.job.name, NAME_RULES[2])
        return read.job, read.counters

    def _moves(self, values: dict[str, Any], agents: Sequence[VirtualAgent], now: Millis) -> Iterable[Move]:
        for number, gone in enumerate(values["remove_agents"]):
            found = [agent.id for agent in agents if gone["agent"] in (agent.id, agent.host)]
            if not found:
                raise InvalidInput(f"removeAgents.{number}.agent", gone["agent"], "there is no such agent")
            at = max(now, instant(f"removeAgents.{number}.at", gone["at"], now))
            yield from (Move(at, agent) for agent in found)
        taken = [agent.id for agent in agents]
        for number, new in enumerate(values["add_agents"]):
            amounts = {name: new[name] for name in ("cpus", "mem", "disk", "gpus") if new[name] is not None}
            one = VirtualAgent("new-agent", total_of(amounts, new), new["attributes"])
            at = max(now, instant(f"addAgents.{number}.at", new["at"], now))
            if len(taken) + new["count"] > len(agents) + MOST:
                raise InvalidInput("addAgents", new["count"], f"there may be {MOST} at most")
            for _ in range(new["count"]):
                agent = next(iter(renamed([replace(one, id=f"new-agent-{len(taken) - len(agents) + 1}")], taken)))
                taken.append(agent.id)
                yield Move(at, agent.id, agent)

    def _chance(self, values: dict[str, Any], jobs: Iterable[Job]) -> Chance:
        """Return what history says of run times and failures, where the question does not."""
        times: dict[str, Sequence[Millis]] = {job: (int(s * 1000),) for job, s in values["run_times"].items()}
        failing: dict[str, float] = {}
        end = time.monotonic() + READING_S
        for job in jobs:
            if time.monotonic() > end:
                break
            tries = [one for one in self.backend.history.recent_attempts(job.name, SAMPLES) if one.outcome in _JUDGED]
            good = [one for one in tries if one.outcome is Outcome.SUCCESS and one.started is not None]
            if good:
                known = tuple(sorted(one.ended - (one.started or 0) for one in good))
                times.setdefault(job.name, known)
            if tries and values["failing"] is None:
                failing[job.name] = sum(one.outcome is not Outcome.SUCCESS for one in tries) / len(tries)
        usual = USUAL
        if values["run_time"] is not None:
            usual = int(values["run_time"] * 1000)
        elif times:
            middles = sorted(known[len(known) // 2] for known in times.values())
            usual = middles[len(middles) // 2]
        return Chance(values["seed"], times, (usual,), values["failing"] or 0.0, {**failing, **values["failing_jobs"]})


def _bucket(given: float | None, start: Millis, end: Millis) -> Millis:
    """Return the width of a bucket: what was given, or one that makes about fifty. Raises InvalidInput."""
    usual = next((width for width in WIDTHS if (end - start) <= width * 60_000), WIDTHS[-1]) * 1000
    width = int(given * 1000) if given is not None else usual
    if (end - start) // width > BUCKETS:
        raise InvalidInput("bucket", given, f"would make more than {BUCKETS} buckets")
    return width


def plan_blueprint(backend: Backend, settings: ApiSettings) -> Blueprint:
    """Return /api/plan."""
    blueprint = Blueprint("plan", __name__, url_prefix="/api")
    api = PlanApi(backend, settings, Planner(settings.stopping))
    blueprint.add_url_rule("/plan", view_func=api.plan, methods=["POST"])
    return blueprint
