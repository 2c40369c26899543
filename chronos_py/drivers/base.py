"""What carries tasks to machines. One test suite runs over every implementation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from chronos_py.model.capacity import AgentCapacity
from chronos_py.model.messages import DriverEffect, DriverEvent

Post = Callable[[DriverEvent], None]  # never blocks, may be called from any thread


@dataclass(frozen=True, slots=True)
class DriverStatus:
    """How a driver is, for /health: `live` means that launches reach machines; `detail` is shown as it is."""

    name: str
    live: bool
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OutputChunk:
    """Part of an output: `offset` is where `data` begins, `size` where the output ends now; `ended`: for good, as far
    as the driver knows."""

    data: bytes
    offset: int
    size: int
    ended: bool


class Driver(Protocol):
    """Launches tasks and tells of them.

    After `start` it posts DriverReady, then offers. It answers every Launch with status updates until a terminal one
    of each task, repeats a terminal one until it is acknowledged (also over restarts of either side), and answers
    Reconcile for every id asked: with the task's state, or TASK_DROPPED when it is certain that the task never started
    and never will, or TASK_UNKNOWN when nobody knows.
    """

    def start(self, post: Post, framework_id: str) -> None: ...

    def perform(self, effect: DriverEffect) -> None:
        """Take one effect. Never blocks on the cluster, never raises for what goes wrong outside."""

    def stop(self) -> None:
        """Stop taking part; tasks run on."""

    def status(self) -> DriverStatus: ...

    def capacity(self) -> Sequence[AgentCapacity]:
        """Return what is known of each agent: from memory, for it may be asked every second, from any thread."""

    def output(self, task_id: str, stream: str, offset: int, length: int, agent_id: str = "") -> OutputChunk:
        """Read up to `length` bytes of a task's stdout or stderr; a negative `offset` counts from the end.

        Raises UnknownTask when there is no such output, or not any more, Unavailable when it cannot be reached.
        """

    def sandbox_url(self, task_id: str, agent_id: str) -> str:
        """Return where a browser finds what the task left, empty when there is no such place."""
