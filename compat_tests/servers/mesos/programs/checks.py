"""Checks and health checks of a task."""

from __future__ import annotations

import os
import signal
import socket
import time

from .process_tree import kill_tree
from .values import seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .executor import Executor

    Result = Callable[[bool, dict[str, Any]], object]  # is it well? what CheckStatusInfo says about it
    Probe = Callable[[dict[str, Any], Result], object]  # checks once, and calls the result, maybe later

TIMEOUT_S, BLOCKING_TIMEOUT_S = 20.0, 5.0  # the event loop waits for HTTP and TCP


def probe(executor: Executor, info: dict[str, Any], done: Result) -> None:
    """Do a CheckInfo or HealthCheck once."""
    kind = info.get("type") or ("HTTP" if "http" in info else "COMMAND")
    timeout = seconds(info.get("timeout_seconds"), TIMEOUT_S) or TIMEOUT_S
    if kind == "COMMAND":
        _probe_command(executor, info["command"].get("command", info["command"]), timeout, done)
    else:
        done(*_probe_port(kind, info.get(kind.lower(), {}), min(timeout, BLOCKING_TIMEOUT_S)))


def _probe_command(executor: Executor, command: dict[str, Any], timeout: float, done: Result) -> None:
    def ended(status: int) -> None:
        executor.timers.cancel(timer)
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        done(code == 0, {"command": {} if code is None else {"exit_code": code}})

    pid, error = executor.spawn(command, ended)
    if error:
        done(False, {"command": {}})
        return
    timer = executor.timers.add(timeout, lambda: kill_tree(pid, signal.SIGKILL))


def _probe_port(kind: str, where: dict[str, Any], timeout: float) -> tuple[bool, dict[str, Any]]:
    try:
        with socket.create_connection(("127.0.0.1", int(where["port"])), timeout) as connection:
            if kind == "TCP":
                return True, {"tcp": {"succeeded": True}}
            path = where.get("path") or "/"
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            code = int(connection.recv(4096).split()[1])
            return 200 <= code < 400, {"http": {"status_code": code}}
    except (OSError, ValueError, IndexError, KeyError):
        return False, {"tcp": {"succeeded": False}} if kind == "TCP" else {"http": {}}


def watch(
    executor: Executor,
    task: dict[str, Any],
    alive: Callable[[], bool],
    unhealthy: Callable[[], object],
    probe_with: Probe | None = None,
) -> None:
    """Start the checks of a task; they go on while alive(). unhealthy() is called when it has failed too often."""
    probe_once = probe_with or (lambda info, done: probe(executor, info, done))

    def repeat(info: dict[str, Any], goes_on: Callable[[bool, dict[str, Any]], bool]) -> None:
        def result(ok: bool, detail: dict[str, Any]) -> None:
            if alive() and goes_on(ok, detail):
                executor.timers.add(seconds(info.get("interval_seconds"), 10.0), run)

        def run() -> None:
            if alive():
                probe_once(info, result)

        executor.timers.add(seconds(info.get("delay_seconds"), 15.0), run)

    if "health_check" in task:
        repeat(task["health_check"], Health(executor, task, unhealthy).take)
    if "check" in task:
        repeat(task["check"], lambda _, detail: _take_check(executor, task, detail))


class Health:
    """Counts what a task's health checks found and reports changes."""

    def __init__(self, executor: Executor, task: dict[str, Any], unhealthy: Callable[[], object]) -> None:
        info = task["health_check"]
        self._executor, self._task, self._unhealthy = executor, task, unhealthy
        self._grace_ends = time.monotonic() + seconds(info.get("grace_period_seconds"), 10.0)
        self._allowed = int(info.get("consecutive_failures", 3))
        self._failures = 0

    def take(self, ok: bool, _: dict[str, Any]) -> bool:
        """Take in a result; tell whether to go on."""
        known = self._executor.last[self._task["task_id"]["value"]].get("healthy")
        if not ok and known is None and time.monotonic() < self._grace_ends:
            return True
        self._failures = 0 if ok else self._failures + 1
        if known is not ok:
            reason = "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED"
            self._executor.update(self._task, "TASK_RUNNING", None, reason, healthy=ok)
        if self._failures >= self._allowed:
            self._unhealthy()
            return False
        return True


def _take_check(executor: Executor, task: dict[str, Any], detail: dict[str, Any]) -> bool:
    status = {**detail, "type": task["check"]["type"]}
    if executor.last[task["task_id"]["value"]].get("check_status") != status:
        reason = "REASON_TASK_CHECK_STATUS_UPDATED"
        executor.update(task, "TASK_RUNNING", None, reason, check_status=status)
    return True
