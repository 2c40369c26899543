"""What all executors share: the v1 executor API, updates until they are acknowledged, children, the event loop."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from abc import ABC, abstractmethod
from binascii import b2a_base64

from .agent_http import AgentHttp
from .process_tree import start
from .timers import Timers
from .values import ENV, duration, log, random_uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from .docker_bell import Bell

RECONNECT_S, RECONNECT_CHECKPOINTED_S = 10.0, 900.0
RETRY_S = 0.3


class Executor(ABC):
    """Speaks with the agent that started it. A kind of executor says what to do about the events."""

    def __init__(self) -> None:
        self.timers = Timers()
        self.calls = AgentHttp()
        self.tasks: dict[str, dict[str, Any]] = {}  # TaskInfo by id, while updates may be unacknowledged
        self.last: dict[str, dict[str, Any]] = {}  # the latest TaskStatus by task id
        self.unacknowledged: dict[str, dict[str, Any]] = {}  # Update by uuid, in order of sending
        self.children: dict[int, Callable[[int], object]] = {}  # what to call with the wait status, by pid
        self.sockets: dict[AgentHttp | Bell, Callable[[], object]] = {}  # what to call once, when it is readable
        self.killing_state = False  # the framework knows TASK_KILLING
        self.checkpoints = ENV.get("MESOS_CHECKPOINT") == "1"
        self._names = {
            "executor_id": {"value": ENV["MESOS_EXECUTOR_ID"]},
            "framework_id": {"value": ENV["MESOS_FRAMEWORK_ID"]},
        }
        self._stream = AgentHttp()
        self._records = b""
        self._unsent: list[str] = []  # uuids the agent did not accept yet
        self._retrying = False
        self._shutting_down = False

    # --- what a kind of executor does

    @abstractmethod
    def event(self, kind: str, event: dict[str, Any]) -> None: ...

    @abstractmethod
    def acknowledged(self, status: dict[str, Any]) -> None: ...

    @abstractmethod
    def shutdown(self) -> None:
        """End the tasks, then the executor."""

    @abstractmethod
    def die(self) -> NoReturn:
        """End at once, with the tasks."""

    # --- events

    def _subscribe(self) -> None:
        stream = AgentHttp()
        updates = list(self.unacknowledged.values())
        unsettled = {update["status"]["task_id"]["value"] for update in updates}
        tasks = [task for name, task in self.tasks.items() if name in unsettled]
        details = {"unacknowledged_tasks": tasks, "unacknowledged_updates": updates}
        stream.send({"type": "SUBSCRIBE", **self._names, "subscribe": details})
        status, _ = stream.headers()
        if status != 200:
            stream.close()
            raise ConnectionError(f"SUBSCRIBE answered with {status}")
        self._stream, self._records = stream, b""
        self._unsent = []  # they went along as unacknowledged
        self._take_events()  # some may have come with the headers

    def _connect(self) -> None:
        patience = RECONNECT_S
        if self.checkpoints:
            patience = duration(ENV.get("MESOS_RECOVERY_TIMEOUT"), RECONNECT_CHECKPOINTED_S)
        end, pause = time.monotonic() + patience, 0.1
        while True:
            try:
                return self._subscribe()
            except OSError as error:
                if time.monotonic() > end:
                    log(f"giving up on the agent: {error}")
                    self.die()
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def _take_events(self) -> None:
        for chunk in self._stream.chunks():
            self._records += chunk
        while True:
            size, found, rest = self._records.partition(b"\n")
            if not found or len(rest) < int(size):
                return
            self._records = rest[int(size) :]
            self._dispatch(json.loads(rest[: int(size)]))

    def _dispatch(self, event: dict[str, Any]) -> None:
        kind = event.get("type", "")
        if kind == "SUBSCRIBED":
            capabilities = event["subscribed"].get("framework_info", {}).get("capabilities", [])
            self.killing_state = any(item.get("type") == "TASK_KILLING_STATE" for item in capabilities)
            self.event(kind, event["subscribed"])
        elif kind == "ACKNOWLEDGED":
            update = self.unacknowledged.pop(event["acknowledged"]["uuid"], None)
            if update:
                self.acknowledged(update["status"])
        elif kind in ("SHUTDOWN", "ERROR"):
            if kind == "ERROR":
                log(f"error from the agent: {event.get('error')}")
            self._shutting_down = True
            self.shutdown()
        elif kind.lower() in event:
            self.event(kind, event[kind.lower()])

    # --- updates

    def update(
        self, task: dict[str, Any], state: str, message: str | None = None, reason: str | None = None, **more: Any
    ) -> None:
        """Send a TaskStatus, again until the agent accepts it; `more` are further fields of it."""
        name = task["task_id"]["value"]
        uuid = b2a_base64(random_uuid(), newline=False).decode()
        status = {
            "task_id": task["task_id"],
            "executor_id": self._names["executor_id"],
            "state": state,
            "source": "SOURCE_EXECUTOR",
            "uuid": uuid,
            "timestamp": time.time(),
        }
        if message is not None:
            status["message"] = message
        if reason is not None:
            status["reason"] = reason
        if "check" in task:
            status["check_status"] = {"type": task["check"]["type"], task["check"]["type"].lower(): {}}
        if state == "TASK_RUNNING":
            known = self.last.get(name, {})
            status.update({key: known[key] for key in ("healthy", "check_status") if key in known})
        status.update(more)
        self.last[name] = status
        self.unacknowledged[uuid] = {"status": status}
        self._unsent.append(uuid)
        self._flush()

    def _flush(self) -> None:
        """Send what was not accepted yet, in order; an agent in recovery refuses."""
        while self._unsent:
            update = self.unacknowledged.get(self._unsent[0])
            if update and not self.calls.call({"type": "UPDATE", **self._names, "update": update}):
                if not self._retrying:
                    self._retrying = True
                    self.timers.add(RETRY_S, self._retry)
                return
            self._unsent.pop(0)

    def _retry(self) -> None:
        self._retrying = False
        self._flush()

    def forget_timers(self) -> None:
        """Cancel all that was to happen; an update that waits to be sent again goes with the next one."""
        self.timers.clear()
        self._retrying = False

    # --- processes

    def spawn(
        self,
        command: dict[str, Any],
        done: Callable[[int], object],
        extra: dict[str, str] | None = None,
        files: dict[int, int] | None = None,
    ) -> tuple[int, str]:
        """Start a CommandInfo (see process_tree.start); done(wait status) is called at its end."""
        pid, error = start(command, extra or {}, files or {})
        if pid:
            self.children[pid] = done
        return pid, error

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self.children:
                self.children.pop(pid)(status)

    # --- loop

    def run(self) -> NoReturn:
        """Work until the executor's end."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        self._connect()
        while True:
            waiting = {http.sock.fileno(): http for http in self.sockets if http.sock is not None}
            stream = self._stream.sock.fileno() if self._stream.sock else -1
            ready, _, _ = select.select([wake_read, stream, *waiting], [], [], self.timers.wait())
            if wake_read in ready:
                os.read(wake_read, 4096)
                self._reap()
            for number in ready:
                if number in waiting and waiting[number] in self.sockets:
                    self.sockets.pop(waiting[number])()
            if stream in ready:
                self._read_stream()
            self.timers.fire()

    def _read_stream(self) -> None:
        try:
            self._stream.receive()
            self._take_events()
        except OSError as error:
            self._stream.close()
            if not self.checkpoints or self._shutting_down:
                log(f"lost the agent: {error}")
                self.die()
            self._connect()


def end() -> NoReturn:
    """End the program, as something for a timer to call."""
    sys.exit(0)
