"""The engine and service with real SQLite files and a simulated cluster: complete runs a second."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.rows import Row
from chronos_py.clock import Millis
from chronos_py.drivers.base import DriverStatus, OutputChunk, Post
from chronos_py.errors import UnknownTask
from chronos_py.inbox import Posted
from chronos_py.model.capacity import AgentCapacity
from chronos_py.model.job import Job
from chronos_py.model.messages import DriverEffect, DriverReady, Launch, OffersReceived, StatusUpdate, SubmitJob
from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources
from chronos_py.model.run import TaskState
from chronos_py.persistence.history import SqlHistoryStore
from chronos_py.persistence.outbox import HistoryReader, HistoryWriter
from chronos_py.persistence.sqlite import SqliteJobStore
from chronos_py.service import Service

NEW_YEAR: Millis = 1_767_225_600_000
AGENTS = 100
ROOM = Resources.of(64, 256_000, 1_000_000)


class SteppedClock:
    def __init__(self) -> None:
        self.at = NEW_YEAR

    def now(self) -> Millis:
        return self.at


class InstantCluster:
    """Starts and finishes every task at once, with the news and offers that a real cluster would send."""

    def __init__(self) -> None:
        self._post: Post = lambda event: None
        self._offers = 0

    def start(self, post: Post, framework_id: str) -> None:
        self._post = post
        post(DriverReady("framework"))
        post(OffersReceived([self._offer(f"agent-{number}") for number in range(AGENTS)]))

    def _offer(self, agent: str) -> Offer:
        self._offers += 1
        return Offer(f"offer-{self._offers}", agent, agent, ROOM, total=ROOM)

    def perform(self, effect: DriverEffect) -> None:
        if not isinstance(effect, Launch):
            return
        agent = effect.offers[0].agent_id
        for task in effect.tasks:
            self._post(StatusUpdate(task.id, TaskState.RUNNING, agent, agent))
            self._post(StatusUpdate(task.id, TaskState.FINISHED, agent, agent, uuid="u", exit_code=0))
        self._post(OffersReceived([self._offer(agent)]))

    def stop(self) -> None:
        """Nothing to stop."""

    def status(self) -> DriverStatus:
        return DriverStatus("instant", True)

    def output(self, task_id: str, stream: str, offset: int, length: int, agent_id: str = "") -> OutputChunk:
        raise UnknownTask(f"{task_id} {stream} {offset} {length} {agent_id}")  # instant tasks write nothing

    def capacity(self) -> list[AgentCapacity]:
        return []

    def sandbox_url(self, task_id: str, agent_id: str) -> str:
        del task_id, agent_id
        return ""


def complete_runs(jobs: int, seconds: int, folder: Path) -> tuple[int, float]:
    """Let `jobs` jobs run once a (simulated) second; return runs in history and the time that took."""
    clock, history = SteppedClock(), SqlHistoryStore(f"sqlite:///{folder / 'history.sqlite'}")
    store = SqliteJobStore(folder / "state.sqlite")
    writer = HistoryWriter(history, lambda number: service.history_written(number), store.read_outbox)  # noqa: PLW0108
    service = Service(
        store=store, driver=InstantCluster(), outbox=writer, history=HistoryReader(history, writer), clock=clock
    )
    service._take_over()
    writer.start()
    for number in range(jobs):
        job = Job(name=f"job-{number}", command="true", schedule="R/2026-01-01T00:00:01Z/PT1S")
        service._inbox.put(Posted(SubmitJob(job)))
    service.step()
    began = time.perf_counter()
    for _ in range(seconds):
        clock.at += 1000
        service.step()
        while service.view.runs or len(service._inbox):
            service.step()
    writer.flush(60)
    took = time.perf_counter() - began
    ended = sum(len(values) for values in history.durations(10_000).values())
    writer.stop()
    store.close()
    history.close()
    return ended, took


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        ended, took = complete_runs(1000, 20, Path(folder))
    name = "engine + service + SQLite, simulated cluster: complete runs, in history"
    yield Row(name, ended / took, 2000, "/s", higher=True, note=f"{ended:,} runs in {took:.1f} s")
