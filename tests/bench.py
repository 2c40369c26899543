"""A service and engine together, one turn at a time: a fake clock, a fake cluster, the store in a dict."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from chronos_py.inbox import Posted
from chronos_py.model.history import AttemptRecord, RunRecord
from chronos_py.model.job import Job, JobState
from chronos_py.model.messages import (
    Request,
    SubmitJob,
)
from chronos_py.model.run import TaskState
from chronos_py.scheduler.policy import Policy
from chronos_py.service import Service
from tests.fakes import FakeClock, FakeDriver, FakeNotifier, FakeOutbox, FakeStore, FakeTask


class TurnByTurn:
    """A service whose turns the test does itself."""

    service: Service

    def turn(self) -> None:
        """Do turns until nothing more happens at this instant."""
        self.service.step()
        while len(self.service._inbox):
            self.service.step()

    def ask(self, request: Request) -> Any:
        """Hand in a request; return its answer or raise its error."""
        answer: Future[Any] = Future()
        self.service._inbox.put(Posted(request, answer))
        self.turn()
        return answer.result(0)


class Bench(TurnByTurn):
    """A service under test, with everything around it at hand."""

    def __init__(self, **policy: Any) -> None:
        self.clock = FakeClock()
        self.store = FakeStore()
        self.driver = FakeDriver(now=self.clock.now)
        self.policy = Policy(**policy)
        self.notifier = FakeNotifier()
        self.notices = self.notifier.taken
        self.boot()

    def boot(self) -> None:
        """Start the server, or start it again."""
        self.driver.stop()
        self.service = Service(
            store=self.store, driver=self.driver, outbox=FakeOutbox(), history=None, clock=self.clock,
            policy=self.policy, notifier=self.notifier, monotonic=self.clock.monotonic,
        )  # fmt: skip
        self.service._take_over()
        self.turn()

    def step_for(self, request: Request) -> None:
        """Hand in a request and do one turn, whatever becomes of it; `reply` is what the caller has."""
        self.reply: Future[Any] = Future()
        self.service._inbox.put(Posted(request, self.reply))
        self.service.step()

    def add(self, *jobs: Job) -> None:
        for job in jobs:
            self.ask(SubmitJob(job))

    def later(self, **span: float) -> None:
        self.clock.advance(**span)  # type: ignore[arg-type]
        self.turn()

    def launched(self, job: str) -> list[FakeTask]:
        return [task for task in self.driver.launched if task.task.job == job]

    def end(self, job: str, state: TaskState = TaskState.FINISHED) -> None:
        """Let the newest task of a job run and end."""
        task = self.launched(job)[-1]
        assert task.update is None
        self.driver.run(task)
        self.driver.end(task, state, 0 if state is TaskState.FINISHED else 1)
        self.turn()

    def job(self, name: str) -> Job:
        return self.service.view.jobs[name].job

    def state(self, name: str) -> JobState:
        return self.service.view.jobs[name].state

    def shown(self, name: str) -> str | None:
        return self.service.view.jobs[name].schedule

    def rows(self, job: str) -> list[RunRecord]:
        return [row for row in self.store.ledger if isinstance(row, RunRecord) and row.job == job]

    def attempts(self, job: str) -> list[AttemptRecord]:
        return [row for row in self.store.ledger if isinstance(row, AttemptRecord) and row.job == job]

    def outcomes(self, job: str) -> list[str]:
        return [row.outcome.value for row in self.rows(job)]
