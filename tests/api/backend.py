"""A stand-in for the service: jobs in a dictionary, no schedule, no thread; it keeps what it was asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flask.testing import FlaskClient

from chronos_py.api import create_app
from chronos_py.api.backend import ApiSettings
from chronos_py.clock import Millis
from chronos_py.election import Standing
from chronos_py.errors import (
    ChronosError,
    DependencyCycle,
    JobExists,
    MissingParents,
    NoParents,
    UnknownJob,
    UnknownRun,
    UnknownTask,
)
from chronos_py.model.capacity import ZERO, AgentCapacity, Parts, parts
from chronos_py.model.history import AttemptRecord, RunRecord
from chronos_py.model.immediate import Immediate
from chronos_py.model.job import Job, JobState
from chronos_py.model.messages import (
    ChangeJob,
    DeleteJob,
    KillRun,
    KillTasks,
    MarkSuccess,
    Request,
    RunJob,
    SetPriority,
    StopImmediate,
    Stopped,
    SubmitImmediate,
    SubmitJob,
)
from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources
from chronos_py.model.revision import Revision
from chronos_py.model.run import Phase, Run, Trigger
from chronos_py.model.statistics import Group, StatisticsQuery, recount
from chronos_py.model.tally import Tally
from chronos_py.model.view import JobView, View
from chronos_py.persistence.base import RunQuery
from chronos_py.scheduler.policy import Policy
from chronos_py.scheduler.schedule import parse_schedule
from tests.fakes import NEW_YEAR

JSON = "application/json"


@dataclass
class FakeHistory:
    rows: list[RunRecord] = field(default_factory=list)
    tries: list[AttemptRecord] = field(default_factory=list)
    asked: list[RunQuery] = field(default_factory=list)

    def runs(self, query: RunQuery) -> list[RunRecord]:
        self.asked.append(query)
        before = query.before_run or 2**62
        found = [row for row in self.rows if row.run < before and query.job in (None, row.job)]
        return sorted(found, key=lambda row: -row.run)[: query.limit]

    def run(self, number: int) -> RunRecord | None:
        return next((row for row in self.rows if row.run == number), None)

    def attempts(self, run: int) -> list[AttemptRecord]:
        return [attempt for attempt in self.tries if attempt.run == run]

    def overlapping(self, begin: Millis, end: Millis, latest: Millis, limit: int) -> list[RunRecord]:
        found = [row for row in self.rows if begin <= row.ended < latest and row.created < end]
        return sorted(found, key=lambda row: (row.ended, row.run))[:limit]

    def newest_of(self, jobs: Sequence[str]) -> list[RunRecord]:
        return list({row.job: row for row in sorted(self.rows, key=lambda row: row.run) if row.job in jobs}.values())

    def statistics(self, query: StatisticsQuery, now: Millis) -> Sequence[Group]:
        return recount([*self.rows, *self.tries], query, now)

    def recent_attempts(self, job: str, limit: int) -> list[AttemptRecord]:
        found = [attempt for attempt in self.tries if attempt.job == job]
        return sorted(found, key=lambda attempt: -attempt.launched)[:limit]


@dataclass(frozen=True)
class Chunk:
    data: bytes
    offset: int
    size: int
    ended: bool


class FakeSubscription:
    def __init__(self, items: Iterable[tuple[str, dict[str, Any]]], done: Any) -> None:
        self._items = list(items)
        self._done = done
        self.closed = False

    def get(self, timeout: float) -> tuple[str, dict[str, Any]] | None:
        if self._items:
            return self._items.pop(0)
        self._done()
        return None

    def close(self) -> None:
        self.closed = True


class FakeRevisions:
    def __init__(self) -> None:
        self.kept: list[Revision] = []

    def of_job(self, job: str, limit: int, before: int | None = None) -> list[Revision]:
        found = [r for r in self.kept if r.job == job and (before is None or r.number < before)]
        return sorted(found, key=lambda r: -r.number)[:limit]

    def get(self, job: str, number: int) -> Revision | None:
        return next((r for r in self.kept if r.job == job and r.number == number), None)


class FakeBackend:
    """Answers requests as the service would; `failing` is raised by the next call instead."""

    def __init__(self) -> None:
        self.view = View(loaded=True, leader=True)
        self.history = FakeHistory()
        self.revisions = FakeRevisions()
        self.requests: list[Request] = []
        self.failing: Exception | None = None
        self.samples: dict[str, list[int]] = {}
        self.outputs: dict[tuple[str, str], bytes] = {}
        self.ended = True
        self.report: dict[str, Any] = {"ready": True, "leading": True}
        self.levels: dict[int, int] = {}
        self.agents: list[AgentCapacity] = []
        self.held: list[Offer] = []
        self.subscriptions: list[FakeSubscription] = []
        self.policy = Policy()

    def call(self, request: Request, timeout: float = 30.0) -> Any:
        if self.failing is not None:
            raise self.failing
        answer = self._carry_out(request)
        if not isinstance(request, ChangeJob):  # its outcome is kept instead
            self.requests.append(request)
        return answer

    def _carry_out(self, request: Request) -> Any:
        jobs = self.view.jobs
        match request:
            case SubmitJob():
                return self._submit(request)
            case ChangeJob():
                if request.name not in jobs:
                    raise UnknownJob(request.name)
                job, counters = request.change(jobs[request.name].job, jobs[request.name].state)
                request = SubmitJob(job, counters, only_check=request.only_check)
                self._submit(request)
                self.requests.append(request)
            case SubmitImmediate():
                return [self._start(one) for one in request.jobs]
            case StopImmediate():
                unknown = tuple(name for name in request.ids if self.view.immediate.get(name) is None)
                return Stopped(tuple(name for name in request.ids if name not in unknown), (), unknown)
            case MarkSuccess():
                return request.name in jobs
            case KillRun() | SetPriority():
                if request.run not in self.view.runs:
                    raise UnknownRun(request.run)
            case DeleteJob() | RunJob() | KillTasks():
                if request.name not in jobs:
                    raise UnknownJob(request.name)
                if isinstance(request, DeleteJob):
                    del jobs[request.name]
                    self.view.changed += 1
        return None

    def _start(self, one: Immediate) -> int:
        known = self.view.immediate.get(one.id)
        if known is None:
            known = a_run(len(self.view.immediate) + 1, one.job.name, trigger=Trigger.IMMEDIATE, immediate=one)
            self.view.immediate.put(known)
        return known.id

    def _submit(self, request: SubmitJob) -> bool:
        job, jobs = request.job, self.view.jobs
        new = job.name not in jobs
        if not new and request.only_new:
            raise JobExists(job.name)
        if new and request.check_new is not None:
            request.check_new(job, self.now())
        if job.schedule is not None:
            parse_schedule(job.schedule, job.schedule_zone)
        if job.parents is not None:
            if not job.parents:
                raise NoParents(job.name, new=new)
            if missing := [name for name in job.parents if name not in jobs]:
                raise MissingParents(job.name, missing, new=new)
            if job.name in job.parents:
                raise DependencyCycle(job.name, [job.name, job.name])
        if request.only_check:
            return new
        counters = request.counters
        sequence = len(jobs) + 1 if new else jobs[job.name].state.sequence
        state = JobState(
            sequence=sequence,
            success_count=counters.success_count,
            error_count=counters.error_count,
            last_success=counters.last_success,
            last_error=counters.last_error,
        )
        jobs[job.name] = JobView(job, state, job.schedule)
        self.view.changed += 1
        return new

    def change(self, name: str, **changes: Any) -> None:
        """Change fields of what is seen of a job: of its view, or of its state."""
        view = self.view.jobs[name]
        of_view = {key: value for key, value in changes.items() if hasattr(view, key)}
        of_state = {key: value for key, value in changes.items() if key not in of_view}
        self.view.jobs[name] = replace(view, state=replace(view.state, **of_state), cache={}, **of_view)
        self.view.changed += 1

    def now(self) -> Millis:
        return NEW_YEAR

    def histogram(self, job: str) -> Sequence[int]:
        return self.samples.get(job, [])

    def health(self) -> dict[str, Any]:
        return self.report

    def leader(self) -> str:
        return "node1.example.org:4400"

    def standing(self) -> Standing:
        return Standing("node2.example.org:4400", self.leader(), "follower", NEW_YEAR, "connected", 2)

    def sandbox_url(self, task_id: str, agent_id: str) -> str:
        return f"http://{agent_id}/{task_id}" if agent_id else ""

    def output(self, task_id: str, stream: str, offset: int, length: int, agent_id: str = "") -> Chunk:
        if (task_id, stream) not in self.outputs:
            raise UnknownTask(task_id)
        data = self.outputs[task_id, stream]
        start = max(0, offset if offset >= 0 else len(data) + offset)
        return Chunk(data[start : start + length], start, len(data), self.ended)

    def capacity(self) -> Sequence[AgentCapacity]:
        return self.agents

    def held_offers(self) -> Sequence[Offer]:
        return self.held

    def need(self, job: Job) -> Resources:
        return Resources.of(job.cpus, job.mem, job.disk)

    def tally(self) -> Tally:
        jobs = self.view.jobs

        def need(run: Run) -> Parts:
            if run.immediate is not None:
                return parts(self.need(run.immediate.job))
            return parts(self.need(jobs[run.job].job)) if run.job in jobs else ZERO

        return Tally(self.view.runs.values(), need)

    def queue_levels(self) -> dict[int, int]:
        return self.levels

    def quotas(self) -> list[dict[str, Any]]:
        amounts = {"cpus": 1.0, "running": 2}
        return [{"quota": "a=b", "guaranteed": amounts, "used": amounts, "borrow": True, "waiting": 3}]

    def subscribe(self) -> FakeSubscription:
        return self.subscriptions.pop()


def a_run(number: int, job: str = "a", **changes: Any) -> Run:
    values: dict[str, Any] = {"trigger": Trigger.MANUAL, "due": NEW_YEAR + number, "phase": Phase.QUEUED}
    values |= changes
    return Run(id=number, job=job, stamp=NEW_YEAR + number, created=NEW_YEAR + number, **values)


def a_client(backend: FakeBackend, settings: ApiSettings | None = None) -> FlaskClient:
    app = create_app(backend, settings)
    app.testing = False
    return app.test_client()


def raising(error: ChronosError | Exception) -> FakeBackend:
    backend = FakeBackend()
    backend.failing = error
    return backend
