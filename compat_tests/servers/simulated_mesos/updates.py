"""The agents' side of a task: its life, its updates, and their being told until they are acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from compat_tests.servers.simulated_mesos.commands import behaviour
from compat_tests.servers.simulated_mesos.ids import uuid_base64
from compat_tests.servers.simulated_mesos.model import TERMINAL, Framework, Message, Task

if TYPE_CHECKING:
    from compat_tests.servers.simulated_mesos.master import Master


class Executors:
    """Runs the fake tasks and keeps their unacknowledged updates."""

    def __init__(self, master: Master) -> None:
        self._master = master
        self._unacknowledged: dict[Task, None] = {}
        self.silent_launches = 0  # so many launches are taken and never heard of again
        self._loop = asyncio.get_running_loop()

    # --- life --------------------------------------------------------------------
    def start(self, task: Task) -> None:
        if self.silent_launches:
            self.silent_launches -= 1
            return
        self._later(task, self._master.settings.start_latency, self._starting)

    def _later(self, task: Task, seconds: float, step: Callable[[Task], None]) -> None:
        """Do the step after so many seconds; in a later turn of the loop even for 0."""
        if seconds > 0:
            task.timer = self._loop.call_later(min(seconds, 10_000_000), step, task)
        elif task.latest == "TASK_STAGING":
            self._loop.call_soon(step, task)
        else:
            step(task)

    def _starting(self, task: Task) -> None:
        if task.latest == "TASK_STAGING":
            self.report(task, "TASK_STARTING")
            self._later(task, self._master.settings.run_latency, self._running)

    def _running(self, task: Task) -> None:
        if task.latest == "TASK_STARTING":
            self.report(task, "TASK_RUNNING")
            wait = self._master.settings.end_latency + behaviour(task.command).seconds
            self._later(task, wait, self._end)

    def _end(self, task: Task) -> None:
        if task.latest not in TERMINAL:
            status = behaviour(task.command).status
            state = "TASK_FAILED" if status else "TASK_FINISHED"
            self.report(task, state, message=f"Command exited with status {status}")

    def kill(self, task: Task, framework: Framework) -> None:
        """End a task as its executor does on a kill; before it has started it just ends."""
        if task.latest in TERMINAL or task.latest == "TASK_KILLING":
            return
        if task.timer is not None:
            task.timer.cancel()
        if task.latest == "TASK_STAGING":
            self.report(
                task,
                "TASK_KILLED",
                message="Killed before delivery to the executor",
                reason="REASON_TASK_KILLED_DURING_LAUNCH",
                source="SOURCE_AGENT",
            )
            return
        if framework.knows_killing:
            self.report(task, "TASK_KILLING")
        latency = self._master.settings.kill_latency
        if latency > 0:
            task.timer = self._loop.call_later(latency, self._killed, task)
        else:
            self._killed(task)

    def _killed(self, task: Task) -> None:
        if task.latest not in TERMINAL:
            self.report(task, "TASK_KILLED", message="Command terminated with signal Terminated")

    def vanish(self, task: Task) -> None:
        """The task's machine is gone for good."""
        if task.timer is not None:
            task.timer.cancel()
        task.pending.clear()
        self._unacknowledged.pop(task, None)

    # --- updates -------------------------------------------------------------------
    def report(self, task: Task, state: str, **more: object) -> None:
        """Make an update that has to be acknowledged; tell it now if none is waiting before it."""
        task.latest = state
        if state in TERMINAL:
            self._master.trace.ended[state] += 1
            if task.timer is not None:
                task.timer.cancel()
                task.timer = None
        status: Message = {
            "task_id": {"value": task.id},
            "state": state,
            "source": "SOURCE_EXECUTOR",
            "agent_id": {"value": task.agent.id},
            "executor_id": {"value": task.id},
            "timestamp": time.time(),
            "uuid": uuid_base64(),
            "container_status": task.container,
            **more,
        }
        task.pending.append(status)
        if len(task.pending) == 1:
            self._tell(task)

    def _tell(self, task: Task) -> None:
        """Send the first pending update to the master, and again after a while."""
        interval = self._master.settings.retry_interval
        task.backoff = interval
        task.retry_at = self._loop.time() + interval
        self._unacknowledged[task] = None
        self._master.told(task, task.pending[0])

    def acknowledge(self, task: Task, uuid: str) -> bool:
        """Take back the update that waits; return whether the task has been told completely and may be forgotten."""
        if not task.pending or task.pending[0]["uuid"] != uuid:
            return False
        status = task.pending.popleft()
        if task.pending:
            self._tell(task)
            return False
        self._unacknowledged.pop(task, None)
        return status["state"] in TERMINAL

    def resume(self, tasks: Iterable[Task]) -> None:
        """Tell what waits of these tasks at once, as agents do when a framework or master is back."""
        for task in list(tasks):
            if task.pending:
                self._tell(task)

    def retry(self) -> None:
        """Tell again what has been waiting long enough."""
        now = self._loop.time()
        for task in [task for task in self._unacknowledged if task.retry_at <= now]:
            task.backoff = min(task.backoff * 2, self._master.settings.retry_max)
            task.retry_at = now + task.backoff
            self._master.told(task, task.pending[0])

    @property
    def waiting(self) -> int:
        return len(self._unacknowledged)
