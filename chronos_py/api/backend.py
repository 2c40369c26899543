"""What the HTTP side needs of the rest: the service offers exactly this."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from chronos_py.clock import Millis
from chronos_py.model.documents import JobDefaults
from chronos_py.model.history import AttemptRecord, RunRecord
from chronos_py.model.messages import Request
from chronos_py.model.view import View
from chronos_py.persistence.base import RunQuery


class History(Protocol):
    """Ended runs, the newest of them included."""

    def runs(self, query: RunQuery) -> list[RunRecord]: ...

    def run(self, number: int) -> RunRecord | None: ...

    def attempts(self, run: int) -> list[AttemptRecord]: ...

    def recent_attempts(self, job: str, limit: int) -> list[AttemptRecord]: ...


class OutputChunk(Protocol):
    """Part of a task's output: `offset` counts from the beginning of all of it, `size` is where it ends now."""

    data: bytes
    offset: int
    size: int
    ended: bool


class Backend(Protocol):
    """The running service as HTTP threads see it."""

    view: View
    history: Any

    def call(self, request: Request, timeout: float = 30.0) -> Any: ...

    def now(self) -> Millis: ...

    def histogram(self, job: str) -> Sequence[int]: ...

    def health(self) -> dict[str, Any]: ...

    def leader(self) -> str: ...

    def output(self, task_id: str, stream: str, offset: int, length: int) -> OutputChunk: ...

    def queue_levels(self) -> dict[int, int]: ...

    def subscribe(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """The server's options as far as answers depend on them."""

    defaults: JobDefaults = field(default_factory=JobDefaults)
    default_epsilon: str = "PT60S"
    history_limit: int = 5
    compression: bool = True
    largest_body: int = 16 * 1024 * 1024
    followers: int = 8  # streams that may be open at once: each keeps a thread busy
    stopping: threading.Event = field(default_factory=threading.Event)  # set: streams end
