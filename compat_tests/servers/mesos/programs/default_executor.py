"""Default executor: runs task groups, each task in a nested container that the agent launches (v1 agent API)."""

from __future__ import annotations

import json
import signal
import sys

from .agent_http import AgentHttp
from .checks import watch
from .executor import Executor, end
from .values import ENV, TERMINAL, allocation_role, describe, duration, grace_period, log, random_uuid, seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from .timers import Timer

KILL_GRACE_S = 3.0
API = "api/v1"


def new_id() -> str:
    """Return a UUID as text; the module uuid is slow to import."""
    text = random_uuid().hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


class Nested:
    """A task of a group and its container."""

    def __init__(self, task: dict[str, Any], group: list[Nested], container_id: dict[str, Any]) -> None:
        self.task, self.group, self.container_id = task, group, container_id
        self.name: str = task["task_id"]["value"]
        self.running = self.killed = self.out_of_time = self.unhealthy = self.ended = False
        self.escalation: Timer | None = None

    @property
    def is_alive(self) -> bool:
        return not self.ended and not self.killed

    @property
    def health(self) -> dict[str, Any]:
        return {"healthy": False} if self.unhealthy else {}


class DefaultExecutor(Executor):
    def __init__(self) -> None:
        super().__init__()
        self._agent = AgentHttp(API)
        self._container_id: dict[str, Any] | None = None
        self._nested: dict[str, Nested] = {}  # by task id

    def event(self, kind: str, event: dict[str, Any]) -> None:
        if kind == "SUBSCRIBED":
            self._container_id = event.get("container_id")
            for nested in self._nested.values():  # after a restart of the agent
                if nested.running and not nested.ended:
                    self._wait(nested)
        elif kind == "LAUNCH_GROUP":
            self._launch(event["task_group"]["tasks"])
        elif kind == "KILL" and event["task_id"]["value"] in self._nested:
            self._kill(self._nested[event["task_id"]["value"]], event.get("kill_policy"))

    # --- begin

    def _launch(self, tasks: list[dict[str, Any]]) -> None:
        group: list[Nested] = []
        for task in tasks:
            nested = Nested(task, group, {"value": new_id(), "parent": self._container_id})
            group.append(nested)
            self.tasks[nested.name], self._nested[nested.name] = task, nested
            self.update(task, "TASK_STARTING")
        for nested in group:
            self._launch_nested(nested)

    def _launch_nested(self, nested: Nested) -> None:
        task = nested.task
        extra = {"MESOS_CONTAINER_IP": ENV.get("LIBPROCESS_IP", "127.0.0.1")}
        role = allocation_role(task)
        if role:
            extra["MESOS_ALLOCATION_ROLE"] = role
        command = json.loads(json.dumps(task.get("command", {})))  # a deep copy
        named = command.setdefault("environment", {}).setdefault("variables", [])
        named += [{"name": name, "value": value} for name, value in extra.items()]
        launch: dict[str, Any] = {key: task[key] for key in ("container", "limits") if key in task}
        launch |= {"container_id": nested.container_id, "command": command, "resources": task.get("resources", [])}
        log(f"launching task {nested.name}")
        if not self._agent.call({"type": "LAUNCH_CONTAINER", "launch_container": launch}):
            reason = "REASON_CONTAINER_LAUNCH_FAILED"
            self._finish(nested, "TASK_FAILED", "Failed to launch the container", reason)
            return
        nested.running = True
        self.update(task, "TASK_RUNNING", container_status={"container_id": nested.container_id})
        self._wait(nested)
        if task.get("max_completion_time"):
            self.timers.add(seconds(task["max_completion_time"], 0), lambda: self._too_long(nested))
        watch(self, task, lambda: nested.is_alive, lambda: self._sick(nested))

    # --- end

    def _wait(self, nested: Nested) -> None:
        connection = AgentHttp(API)
        try:
            connection.send({"type": "WAIT_CONTAINER", "wait_container": {"container_id": nested.container_id}})
        except OSError:
            connection.close()
            return  # again after the next subscription
        self.sockets[connection] = lambda: self._waited(nested, connection)

    def _waited(self, nested: Nested, connection: AgentHttp) -> None:
        try:
            status, body = connection.answer()
        except OSError:
            return  # the agent went away; again when it is back
        finally:
            connection.close()
        if nested.ended:
            return
        if status == 503:
            self.timers.add(0.3, lambda: self._wait(nested))
            return
        self._conclude(nested, json.loads(body).get("wait_container", {}) if status == 200 else {})

    def _conclude(self, nested: Nested, found: dict[str, Any]) -> None:
        reason, message = found.get("reason"), found.get("message")
        exit_status = found.get("exit_status")
        if exit_status is not None:
            message = describe(exit_status) + (f": {message}" if message else "")
        if nested.out_of_time:
            self._finish(nested, "TASK_FAILED", message, "REASON_MAX_COMPLETION_TIME_REACHED")
        elif nested.killed:
            self._finish(nested, "TASK_KILLED", message)
        elif found.get("state"):
            self._finish(nested, found["state"], message, reason)
        elif exit_status is None:
            self._finish(nested, "TASK_FAILED", message or "Command terminated with unknown status", reason)
        else:
            self._finish(nested, "TASK_FAILED" if exit_status else "TASK_FINISHED", message, reason)

    def _finish(self, nested: Nested, state: str, message: str | None, reason: str | None = None) -> None:
        nested.ended = True
        self.timers.cancel(nested.escalation)
        log(f"task {nested.name}: {state}, {message}")
        self.update(nested.task, state, message, reason, **nested.health)
        if state != "TASK_FINISHED":  # a group lives and dies together
            for other in nested.group:
                if not other.ended:
                    self._kill(other)

    def acknowledged(self, status: dict[str, Any]) -> None:
        if status["state"] in TERMINAL:
            self.tasks.pop(status["task_id"]["value"], None)
            self._nested.pop(status["task_id"]["value"], None)
            if not self._nested:
                self.timers.add(1.0, self._end_if_idle)

    def _end_if_idle(self) -> None:
        if not self._nested:
            sys.exit(0)

    # --- kill

    def _kill(self, nested: Nested, policy: dict[str, Any] | None = None, grace: float | None = None) -> None:
        if nested.ended:
            return
        if grace is None:
            grace = grace_period(KILL_GRACE_S, policy, nested.task.get("kill_policy"))
        self.timers.cancel(nested.escalation)
        if not nested.killed:
            nested.killed = True
            if self.killing_state:
                self.update(nested.task, "TASK_KILLING", **nested.health)
            self._signal(nested, signal.SIGTERM)
        nested.escalation = self.timers.add(grace, lambda: self._signal(nested, signal.SIGKILL))

    def _signal(self, nested: Nested, number: int) -> None:
        if nested.running and not nested.ended:
            kill = {"container_id": nested.container_id, "signal": int(number)}
            self._agent.call({"type": "KILL_CONTAINER", "kill_container": kill})

    def _too_long(self, nested: Nested) -> None:
        if nested.is_alive:
            nested.out_of_time = True
            self._kill(nested, grace=0)

    def _sick(self, nested: Nested) -> None:
        nested.unhealthy = True
        self._kill(nested)

    def shutdown(self) -> None:
        grace = max(0.0, duration(ENV.get("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD"), 5.0) - 1.5)
        self.timers.add(grace + 1.0, end)
        if not self._nested:
            sys.exit(0)
        for nested in list(self._nested.values()):
            self._kill(nested, grace=grace)

    def die(self) -> NoReturn:
        sys.exit(1)  # the agent destroys nested containers


def main() -> NoReturn:
    DefaultExecutor().run()
