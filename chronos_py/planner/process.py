"""Asks a process for a plan, and waits for its answer: few at a time, and never for long."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

import orjson

from chronos_py.errors import InvalidInput, Overloaded, Unavailable
from chronos_py.planner.worker import GRACE_S, Work
from chronos_py.simulation.plan import Question

MODULE = "chronos_py.planner.worker"
NOTICE_S = 0.25  # within which it is noticed that the server stops


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """`at_once` plans; each may take `seconds`, `memory` bytes and `launches` attempts for either future."""

    at_once: int = 2
    seconds: float = 60.0
    memory: int = 2 << 30
    launches: int = 1_000_000


class Planner:
    """Makes plans; from any thread. `stopping` ends those under way."""

    def __init__(self, stopping: threading.Event, limits: PlanLimits | None = None) -> None:
        self.limits = limits or PlanLimits()
        self._stopping = stopping
        self._places = threading.BoundedSemaphore(self.limits.at_once)

    def plan(self, question: Question) -> dict[str, Any]:
        """Return the answer. Raises InvalidInput for what cannot be planned, Overloaded, Unavailable."""
        if not self._places.acquire(blocking=False):
            raise Overloaded(f"{self.limits.at_once} plans are being made; try again when one is done")
        try:
            return self._ask(Work(question, self.limits.seconds, self.limits.memory))
        finally:
            self._places.release()

    def _ask(self, work: Work) -> dict[str, Any]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        try:
            said = self._exchange(process, work)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                _close(pipe)
        if not said:
            raise Unavailable(f"the plan's process ended without an answer (status {process.returncode})")
        answer: dict[str, Any] = orjson.loads(said)
        error = answer.get("error")
        if error is not None:
            raise InvalidInput(error["field"], error["value"], error["reason"])
        plan: dict[str, Any] = answer["plan"]
        return plan

    def _exchange(self, process: subprocess.Popen[bytes], work: Work) -> bytes:
        """Give the process its work and return what it says; nothing when it ends without a word."""
        assert process.stdin is not None
        try:
            pickle.dump(work, process.stdin, protocol=5)  # piece by piece, so that other threads have their turns
            process.stdin.flush()
        except BrokenPipeError:
            return b""
        end = time.monotonic() + work.seconds + 2 * GRACE_S
        while True:
            try:
                return process.communicate(timeout=NOTICE_S)[0]
            except subprocess.TimeoutExpired:
                if self._stopping.is_set():
                    raise Unavailable("the server is stopping") from None
                if time.monotonic() > end:
                    return b""


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        with suppress(BrokenPipeError):  # what the process had not read is of no use any more
            pipe.close()
