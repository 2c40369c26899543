"""Command executor: runs one shell or argv command for one task."""

from __future__ import annotations

import signal
import sys

from .checks import watch
from .executor import Executor, end
from .process_tree import kill_tree
from .values import ENV, TERMINAL, allocation_role, describe, duration, grace_period, log, seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from .timers import Timer

KILL_GRACE_S = 3.0
UNACKNOWLEDGED_S, UNACKNOWLEDGED_AT_SHUTDOWN_S = 60, 5


class CommandExecutor(Executor):
    """`pid` is 0 while nothing runs."""

    def __init__(self) -> None:
        super().__init__()
        self.task: dict[str, Any] = {}
        self.pid = 0
        self.escalation: Timer | None = None
        self.killed = self.out_of_time = self.unhealthy = False

    def event(self, kind: str, event: dict[str, Any]) -> None:
        if kind == "LAUNCH" and not self.task:
            self.launch(event["task"])
        elif kind == "KILL":
            self.kill(event.get("kill_policy"))

    def acknowledged(self, status: dict[str, Any]) -> None:
        if status["state"] in TERMINAL:
            sys.exit(0)

    def begin(self, task: dict[str, Any]) -> None:
        """Take over a task."""
        self.task = self.tasks[task["task_id"]["value"]] = task
        self.update(task, "TASK_STARTING")
        log(f"starting task {task['task_id']['value']}")

    def launch(self, task: dict[str, Any]) -> None:
        self.begin(task)
        role = allocation_role(task)
        self.pid, error = self.spawn(task["command"], self.ended, {"MESOS_ALLOCATION_ROLE": role} if role else {})
        if error:
            self.finish("TASK_FAILED", f"Failed to launch the command: {error}")
            return
        log(f"forked command at {self.pid}")
        self.limit_time()
        self.update(task, "TASK_RUNNING")
        watch(self, task, self.is_alive, self.sick)

    def is_alive(self) -> bool:
        return self.pid != 0 and not self.killed

    def limit_time(self) -> None:
        if self.task.get("max_completion_time"):
            self.timers.add(seconds(self.task["max_completion_time"], 0), self.too_long)

    def kill(self, policy: dict[str, Any] | None = None, grace: float | None = None) -> None:
        if not self.pid:
            return
        if grace is None:
            grace = grace_period(KILL_GRACE_S, policy, self.task.get("kill_policy"))
        self.timers.cancel(self.escalation)
        if not self.killed:
            self.killed = True
            if self.killing_state:
                self.update(self.task, "TASK_KILLING", **self.health())
            log(f"sending SIGTERM to the process tree of {self.pid}")
            kill_tree(self.pid, signal.SIGTERM)
        self.escalation = self.timers.add(grace, self.escalate)

    def health(self) -> dict[str, Any]:
        """Return what updates at the end say about the task's health."""
        return {"healthy": False} if self.unhealthy else {}

    def escalate(self) -> None:
        if self.pid:
            log(f"sending SIGKILL to the process tree of {self.pid}")
            kill_tree(self.pid, signal.SIGKILL)

    def too_long(self) -> None:
        if self.is_alive():
            self.out_of_time = True
            self.kill(grace=0)

    def sick(self) -> None:
        self.unhealthy = True
        self.kill()

    def ended(self, status: int) -> None:
        self.pid = 0
        self.conclude(status, describe(status))

    def conclude(self, status: int, message: str) -> None:
        """Report the end of the command."""
        if self.out_of_time:
            self.finish("TASK_FAILED", message, "REASON_MAX_COMPLETION_TIME_REACHED")
        elif self.killed:
            self.finish("TASK_KILLED", message)
        else:
            self.finish("TASK_FAILED" if status else "TASK_FINISHED", message)

    def finish(self, state: str, message: str, reason: str | None = None) -> None:
        log(message)
        self.forget_timers()
        self.timers.add(UNACKNOWLEDGED_S, end)  # should the acknowledgement never come
        self.update(self.task, state, message, reason, **self.health())

    def shutdown(self) -> None:
        if self.pid:
            self.kill(grace=max(0.0, duration(ENV.get("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD"), 5.0) - 1.5))
        elif self.unacknowledged:
            self.timers.add(UNACKNOWLEDGED_AT_SHUTDOWN_S, end)
        else:
            sys.exit(0)

    def die(self) -> NoReturn:
        if self.pid:
            kill_tree(self.pid, signal.SIGKILL)
        sys.exit(1)


def main() -> NoReturn:
    CommandExecutor().run()
