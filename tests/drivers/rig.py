"""What tests of drivers share: somebody who listens to a driver, small tasks, ways to wait."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chronos_py.drivers.local import LocalDriver
from chronos_py.model.messages import DriverEvent, OffersReceived, StatusUpdate
from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources
from chronos_py.model.run import Task

PATIENCE_S = 20.0
ALL = Resources.of(4, 4096, 4096)


class Listener:
    """Takes a driver's events, and waits for the one that a test wants."""

    def __init__(self) -> None:
        self.events: queue.Queue[DriverEvent] = queue.Queue()
        self.seen: list[DriverEvent] = []

    def wait(self, wanted: Callable[[DriverEvent], bool]) -> Any:
        deadline = time.monotonic() + PATIENCE_S
        for event in self.seen:
            if wanted(event):
                self.seen.remove(event)
                return event
        while True:
            event = self.events.get(timeout=max(0.01, deadline - time.monotonic()))
            if wanted(event):
                return event
            self.seen.append(event)

    def news(self, task_id: str) -> StatusUpdate:
        """Return the first update of a task that nobody has waited for yet."""
        update: StatusUpdate = self.wait(lambda e: isinstance(e, StatusUpdate) and e.task_id == task_id)
        return update

    def end_of(self, task_id: str) -> StatusUpdate:
        update: StatusUpdate = self.wait(
            lambda e: (
                isinstance(e, StatusUpdate)
                and e.task_id == task_id
                and e.state not in ("TASK_RUNNING", "TASK_STARTING", "TASK_KILLING")
            )
        )
        return update

    def running(self, task_id: str) -> StatusUpdate:
        update: StatusUpdate = self.wait(
            lambda e: isinstance(e, StatusUpdate) and e.task_id == task_id and e.state == "TASK_RUNNING"
        )
        return update

    def offer(self) -> Offer:
        """Return the newest offer."""
        event = self.wait(lambda e: isinstance(e, OffersReceived))
        offer: Offer = event.offers[0]
        return offer


@contextmanager
def a_driver(folder: Path, **options: Any) -> Iterator[tuple[LocalDriver, Listener]]:
    listener = Listener()
    driver = LocalDriver(folder, ALL, host="here", **{"limits": "none", **options})
    driver.start(listener.events.put, "")
    try:
        yield driver, listener
    finally:
        driver.stop()


def a_task(name: str, command: str, **changes: Any) -> Task:
    changes.setdefault("resources", Resources.of(0.1, 32, 10))
    return Task(id=f"ct:1:0:{name}:", run=1, job=name, command=command, **changes)


def text(driver: LocalDriver, task: Task, stream: str = "stdout") -> str:
    return driver.output(task.id, stream, 0, 100_000).data.decode()


def living() -> set[int]:
    """Return all processes but those that only wait to be reaped."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            if status.read_text().rpartition(")")[2].split()[0] not in "ZX":
                found.add(int(status.parent.name))
        except OSError:
            continue
    return found


def ends_soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
