"""A simulation's log: one JSON object a line, the same for the same jobs, agents and seed."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import orjson

from chronos_py.clock import Millis
from chronos_py.model.history import AttemptRecord, RunRecord
from chronos_py.model.run import Run
from chronos_py.model.view import Waiting
from chronos_py.simulation.world import Observer


class Journal(Observer):
    """Writes lines to `write`, if given; `digest` is the SHA-256 of all of them."""

    def __init__(self, write: Callable[[bytes], object] | None = None) -> None:
        self.lines = 0
        self._write = write
        self._hash = sha256()

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def _line(self, at: Millis, event: str, detail: dict[str, Any]) -> None:
        line = orjson.dumps({"at": at, "event": event, **detail}, option=orjson.OPT_APPEND_NEWLINE)
        self.lines += 1
        self._hash.update(line)
        if self._write is not None:
            self._write(line)

    def agent_moved(self, at: Millis, agent: str, *, up: bool) -> None:
        self._line(at, "agent up" if up else "agent down", {"agent": agent})

    def waits(self, at: Millis, run: Run, waiting: Waiting) -> None:
        self._line(at, "waits", {"job": run.job, "due": run.due, "attempt": run.attempt, "cause": waiting.code.value})

    def launched(self, at: Millis, run: Run, agent: str) -> None:
        detail = {"run": run.id, "job": run.job, "due": run.due, "attempt": run.attempt, "agent": agent}
        self._line(at, "launched", detail)

    def attempt_ended(self, at: Millis, record: AttemptRecord) -> None:
        detail = {
            "run": record.run, "job": record.job, "attempt": record.attempt, "agent": record.agent_id,
            "outcome": record.outcome.value,
        }  # fmt: skip
        self._line(at, "attempt ended", detail)

    def run_ended(self, at: Millis, record: RunRecord) -> None:
        detail: dict[str, Any] = {
            "run": record.run, "job": record.job, "due": record.due, "outcome": record.outcome.value,
            "reason": record.reason, "attempts": record.attempts,
        }  # fmt: skip
        if record.index is not None:
            detail |= {"index": record.index, "lastIndex": record.last_index}
        self._line(at, "run ended", detail)
