"""Hand-written stand-ins for what lies outside: a clock to set, a store, a cluster that can be told to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from chronos_py.clock import Millis
from chronos_py.drivers.base import DriverStatus, OutputChunk, Post
from chronos_py.errors import StaleLeader, UnknownTask
from chronos_py.model.capacity import AgentCapacity
from chronos_py.model.history import AttemptRecord, HistoryRecord, RunRecord
from chronos_py.model.messages import (
    Acknowledge,
    Change,
    Decline,
    Delete,
    DriverEffect,
    DriverReady,
    Kill,
    Launch,
    OffersReceived,
    Reconcile,
    StatusUpdate,
)
from chronos_py.model.notice import Notice
from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources
from chronos_py.model.run import Task, TaskState
from chronos_py.persistence.base import Snapshot

NEW_YEAR: Millis = 1_767_225_600_000  # 2026-01-01T00:00:00Z


class FakeClock:
    """A clock that stands until it is moved."""

    def __init__(self, at: Millis = NEW_YEAR) -> None:
        self.at = at

    def now(self) -> Millis:
        return self.at

    def monotonic(self) -> float:
        return self.at / 1000

    def advance(self, *, hours: float = 0, minutes: float = 0, seconds: float = 0, millis: int = 0) -> None:
        self.at += int((hours * 3600 + minutes * 60 + seconds) * 1000) + millis


class FakeStore:
    """A JobStore in a dict that outlives the services built on it. `before` and `after` run around each commit."""

    def __init__(self) -> None:
        self.epoch = 0
        self.records: dict[str, dict[Any, Any]] = {"job": {}, "state": {}, "run": {}, "meta": {}, "outbox": {}}
        self.ledger: list[HistoryRecord] = []
        self.commits = 0
        self.before: Callable[[Sequence[Change]], None] = lambda changes: None
        self.after: Callable[[Sequence[Change]], None] = lambda changes: None

    def open_epoch(self) -> int:
        self.epoch += 1
        return self.epoch

    def load(self) -> Snapshot:
        copies = {kind: dict(values) for kind, values in self.records.items()}
        return Snapshot(copies["job"], copies["state"], copies["run"], copies["meta"], copies["outbox"])

    def commit(self, epoch: int, changes: Sequence[Change]) -> None:
        self.before(changes)
        if epoch != self.epoch:
            raise StaleLeader("a newer epoch was opened")
        for change in changes:
            table = self.records[change.kind]
            if isinstance(change, Delete):
                if change.kind == "outbox":
                    for number in [number for number in table if number <= int(change.key)]:
                        del table[number]
                else:
                    table.pop(change.key, None)
            else:
                table[change.key] = change.value
                if isinstance(change.value, RunRecord | AttemptRecord):
                    self.ledger.append(change.value)
        self.commits += 1
        self.after(changes)

    def close(self) -> None:
        """Nothing to close."""


class FakeOutbox:
    def submit(self, items: Sequence[tuple[int, HistoryRecord]]) -> None:
        """Take no part: the store keeps all."""

    def lag(self) -> int:
        return 0


@dataclass
class FakeTask:
    task: Task
    agent: str
    state: TaskState = TaskState.STAGING
    acknowledged: bool = False
    update: StatusUpdate | None = None


@dataclass
class FakeDriver:
    """A cluster of agents with plenty of room; tasks do what the test says. It outlives the services that use it."""

    agents: Sequence[str] = ("a", "b")
    room: Resources = field(default_factory=lambda: Resources.of(100, 1e6, 1e6))
    tasks: dict[str, FakeTask] = field(default_factory=dict)
    launched: list[FakeTask] = field(default_factory=list)
    effects: list[DriverEffect] = field(default_factory=list)
    on_effect: Callable[[DriverEffect], None] = lambda effect: None
    now: Callable[[], Millis] = lambda: NEW_YEAR
    offers: int = 0
    on_reconcile: bool = True  # False: questions are not answered
    deaf: bool = False  # orders to stop come to nothing
    post: Post = lambda event: None

    def start(self, post: Post, framework_id: str) -> None:
        self.post = post
        post(DriverReady("framework-1"))
        for agent in self.agents:
            self.offer(agent)
        for task in self.tasks.values():
            if task.update is not None and not task.acknowledged:
                self.post(task.update)

    def output(self, task_id: str, stream: str, offset: int, length: int, agent_id: str = "") -> OutputChunk:
        raise UnknownTask(f"{task_id} on {agent_id}: {stream} {offset} {length}")

    def sandbox_url(self, task_id: str, agent_id: str) -> str:
        return f"http://{agent_id}/{task_id}"

    def capacity(self) -> list[AgentCapacity]:
        used = dict.fromkeys(self.agents, Resources())
        for task in self.tasks.values():
            if task.update is None:
                used[task.agent] = used.get(task.agent, Resources()) + task.task.resources
        return [AgentCapacity(agent, agent, self.room, used[agent]) for agent in self.agents]

    def offer(self, agent: str) -> None:
        self.offers += 1
        self.post(OffersReceived([Offer(f"offer-{self.offers}", agent, agent, self.room, total=self.room)]))

    def perform(self, effect: DriverEffect) -> None:
        self.on_effect(effect)
        self.effects.append(effect)
        match effect:
            case Launch():
                for launched in effect.tasks:
                    assert launched.id not in self.tasks, f"{launched.id} launched twice"
                    self.tasks[launched.id] = FakeTask(launched, effect.offers[0].agent_id)
                    self.launched.append(self.tasks[launched.id])
                self.offer(effect.offers[0].agent_id)
            case Acknowledge():
                self.tasks[effect.update.task_id].acknowledged = True
            case Kill():
                task = self.tasks.get(effect.task_id)
                if task and task.update is None and not self.deaf:
                    self.end(task, TaskState.KILLED)
            case Reconcile():
                for task_id, _ in effect.tasks if self.on_reconcile else ():
                    self.tell(task_id)
            case Decline():
                pass
            case _:
                pass

    def tell(self, task_id: str) -> None:
        """Answer a question about a task."""
        task = self.tasks.get(task_id)
        if task is None:
            self.post(StatusUpdate(task_id, TaskState.DROPPED, at=self.now(), reason="RECONCILIATION"))
        elif task.update is not None:
            self.post(task.update)
        else:
            self.post(StatusUpdate(task_id, task.state, agent_id=task.agent, host=task.agent))

    def run(self, task: FakeTask) -> None:
        task.state = TaskState.RUNNING
        self.post(StatusUpdate(task.task.id, task.state, agent_id=task.agent, host=task.agent, at=self.now()))

    def end(self, task: FakeTask, state: TaskState, exit_code: int | None = None) -> None:
        task.state = state
        task.update = StatusUpdate(
            task.task.id, state, agent_id=task.agent, host=task.agent, uuid=f"uuid-{task.task.id}", at=self.now(),
            exit_code=exit_code,
        )  # fmt: skip
        self.post(task.update)

    def finish(self, task: FakeTask) -> None:
        self.end(task, TaskState.FINISHED, 0)

    def fail(self, task: FakeTask) -> None:
        self.end(task, TaskState.FAILED, 1)

    def stop(self) -> None:
        self.post = lambda event: None

    def status(self) -> DriverStatus:
        return DriverStatus("fake", True)


class FakeNotifier:
    """Remembers what it is told, and delivers nothing."""

    def __init__(self) -> None:
        self.taken: list[Notice] = []
        self.begun: list[list[Notice]] = []

    def take(self, notice: Notice) -> None:
        self.taken.append(notice)

    def begin(self, notices: Iterable[Notice]) -> None:
        self.begun.append(list(notices))

    def pause(self) -> None:
        """Go on remembering."""

    def status(self) -> dict[str, Any]:
        return {}
