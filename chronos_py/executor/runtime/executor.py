"""The executor: what the agent says and what processes do, turned into processes and status updates."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from chronos_py.executor.runtime import processes
from chronos_py.executor.runtime.agent import Agent
from chronos_py.executor.runtime.folders import Folders
from chronos_py.executor.runtime.loop import READ, Loop, Timer, log
from chronos_py.executor.runtime.order import BadOrder, Order, decode
from chronos_py.executor.runtime.output import bound
from chronos_py.executor.runtime.surroundings import PRIVATE, Options, Surroundings, nanoseconds
from chronos_py.executor.runtime.task import Task, grace
from chronos_py.executor.runtime.updates import Json

_LOOK = 1.0  # seconds between looks at the size of outputs
_SWEEP = 5.0  # seconds between looks for old folders and for strays
_FIRST_TASK = 60.0  # seconds that an executor waits for its first task at least
_LAST_WORDS = 5.0  # seconds that the last updates have to be acknowledged at the end


class Executor:
    """Runs until it is shut down, abandoned, or idle for long enough; `status` is then its exit status."""

    def __init__(self, where: Surroundings, options: Options, environment: Mapping[str, str]) -> None:
        self._where, self._options = where, options
        self._base = {name: value for name, value in environment.items() if name not in PRIVATE}
        self.loop = Loop()
        self._folders = Folders(where.sandbox, options.keep_tasks, options.keep_time)
        self._tasks: dict[str, Task] = {}
        self._by_pid: dict[int, Task] = {}
        self._helper = 0  # the process that removes old folders
        self._says_killing = False
        self._looking = self._served = False
        self._ending: Timer | None = None
        self._idle: Timer | None = None
        self._parent = os.getppid()
        self.status: int | None = None
        self._bell, ring = os.pipe()
        for end in (self._bell, ring):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)
        self._told_to_end = False
        self.loop.watch(self._bell, READ, self._rung)
        self.loop.after(_SWEEP, self._sweep)
        self._agent = Agent(self.loop, where, self)
        self._look_whether_idle()

    def run(self) -> int:
        while self.status is None:
            self.loop.turn()
        self._agent.close()
        return self.status

    # What the agent says

    def event(self, kind: str, body: Json) -> None:
        if kind == "SUBSCRIBED":
            capabilities = body.get("framework_info", {}).get("capabilities", [])
            self._says_killing = any(item.get("type") == "TASK_KILLING_STATE" for item in capabilities)
            log(f"subscribed with {self._where.host}")
        elif kind == "LAUNCH":
            self._launch(body["task"])
        elif kind == "LAUNCH_GROUP":
            for info in body["task_group"]["tasks"]:
                self._refuse(info, "This executor runs no task groups")
        elif kind == "KILL":
            task = self._tasks.get(body["task_id"]["value"])
            if task is not None:
                self._kill(task, grace(body.get("kill_policy"), task.grace))
        elif kind == "SHUTDOWN":
            log("told to shut down")
            self._shut_down(0)
        elif kind == "ERROR":
            log(f"the agent says: {body}")
            self._shut_down(1)

    def acknowledged(self, status: Json) -> None:
        self._look_whether_idle()
        self._end_if_done()

    def abandoned(self, reason: str) -> None:
        log(f"ending: {reason}")
        self._shut_down(1)

    # Tasks

    def _launch(self, info: Json) -> None:
        task = Task(info)
        if task.id in self._tasks:
            log(f"task {task.id} is here already")
            return
        if self._ending is not None:
            self._refuse(info, "The executor is shutting down")
            return
        self._agent.updates.launched(info)
        self._agent.update(task.id, "TASK_STARTING")
        try:
            order = decode(info.get("data"))
            task.folder = self._folders.make(task.id)
            task.pid = processes.start(order.program, self._environment(task, order), task.folder)
        except (BadOrder, OSError, ValueError) as error:
            log(f"task {task.id} cannot be started: {error}")
            if task.folder:
                self._folders.ended(task.folder)
            reason = "REASON_TASK_INVALID" if isinstance(error, BadOrder) else ""
            self._agent.update(task.id, "TASK_FAILED", f"Failed to launch the command: {error}", reason)
            return
        self._served = True
        self._tasks[task.id] = self._by_pid[task.pid] = task
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if "max_completion_time" in info:
            limit = nanoseconds(info["max_completion_time"], 0)
            task.limit = self.loop.after(limit, lambda: self._out_of_time(task))
        self._agent.update(task.id, "TASK_RUNNING")
        if not self._looking:
            self._looking = True
            self.loop.after(_LOOK, self._look_at_outputs)

    def _refuse(self, info: Json, why: str) -> None:
        self._agent.updates.launched(info)
        self._agent.update(info["task_id"]["value"], "TASK_FAILED", why, "REASON_TASK_INVALID")

    def _environment(self, task: Task, order: Order) -> dict[str, str]:
        environment = {**self._base, "MESOS_SANDBOX": task.folder, "MESOS_DIRECTORY": task.folder}
        if task.role:
            environment["MESOS_ALLOCATION_ROLE"] = task.role
        environment.update(order.environment)
        environment[processes.KEY] = task.key
        return environment

    def _out_of_time(self, task: Task) -> None:
        if not task.killed:
            task.out_of_time = True
            self._kill(task, 0)

    def _kill(self, task: Task, patience: float) -> None:
        if not task.killed:
            task.killed = True
            if self._says_killing:
                self._agent.update(task.id, "TASK_KILLING")
            self._signal(task, signal.SIGTERM)
        if task.escalation is not None:
            task.escalation.cancel()
        task.escalation = self.loop.after(patience, lambda: self._end_patience(task))

    def _end_patience(self, task: Task) -> None:
        task.escalation = None
        self._signal(task, signal.SIGKILL)
        if task.status is not None and task.id in self._tasks:
            self._ended(task, task.status)
            self._end_strays()

    def _signal(self, task: Task, number: signal.Signals) -> None:
        if task.id not in self._tasks:
            return
        if task.status is not None:  # the leader's number may be someone else's by now
            processes.send(self._left_of(task), number)
            return
        # The group at once, or a shell that saw its child end first would exit with a status of its own.
        others = processes.members(task.pid, task.key)
        processes.signal_group(task.pid, number)
        processes.send([pid for pid in others if _group(pid) != task.pid], number)

    def _ended(self, task: Task, status: int) -> None:
        """Take note of an end. The leader is reaped, and its group was killed."""
        del self._tasks[task.id]
        if self._by_pid.get(task.pid) is task:  # a process waited for may have left the leader's number to another
            del self._by_pid[task.pid]
        task.forget_timers()
        if self._folders.ended(task.folder):
            self._remove_old_folders()
        state, reason = task.outcome(status)
        self._agent.update(task.id, state, processes.describe(status), reason)

    # Processes

    def _signalled(self, number: int, frame: object) -> None:
        if number != signal.SIGCHLD:
            self._told_to_end = True

    def _rung(self, events: int) -> None:
        while True:
            try:
                if not os.read(self._bell, 4096):
                    break
            except BlockingIOError:
                break
        if self._told_to_end:
            self._told_to_end = False
            if os.getppid() != self._parent:  # our guardian was killed: nobody would clean up behind us
                log("the parent process is gone")
                self.status = 1
                return
            log("told to end by a signal")
            self._shut_down(0)
        while pids := processes.ended_children():
            for pid in pids:
                self._reap(pid)
        self._end_what_was_waited_for()
        self._end_strays()
        self._look_whether_idle()
        self._end_if_done()

    def _reap(self, pid: int) -> None:
        task = self._by_pid.get(pid)
        patient = task is not None and task.escalation is not None and bool(self._left_of(task))
        if task is not None and not patient:
            processes.signal_group(pid, signal.SIGKILL)  # what it left behind; its number is still its own
        status = processes.reap(pid)
        if task is not None and patient:  # a shell dies at once of TERM; what it ran has the grace period all the same
            task.status = status
        elif task is not None:
            self._ended(task, status)
        elif pid == self._helper:
            self._helper = 0
            self._remove_old_folders()

    def _left_of(self, task: Task) -> list[int]:
        """Return a task's living processes other than its leader, as far as they have not emptied their environment."""
        return [pid for pid in processes.members(task.pid, task.key) if processes.key_of(pid) == task.key]

    def _end_what_was_waited_for(self) -> None:
        for task in [task for task in self._tasks.values() if task.status is not None]:
            if task.status is not None and not self._left_of(task):
                self._ended(task, task.status)

    def _end_strays(self) -> None:
        """Kill what ended tasks left behind, wherever it went: orphans become our children."""
        leaders = self._by_pid.keys() | {self._helper}
        processes.send(processes.strays(leaders, {task.key for task in self._tasks.values()}), signal.SIGKILL)

    # From time to time

    def _look_at_outputs(self) -> None:
        limit = self._options.output_max_size * 1024 * 1024
        for task in list(self._tasks.values()):
            try:
                bound(task.folder, limit)
            except OSError as error:
                log(f"the output of task {task.id} cannot be bounded: {error}")
        self._looking = bool(self._tasks)
        if self._looking:
            self.loop.after(_LOOK, self._look_at_outputs)

    def _sweep(self) -> None:
        self.loop.after(_SWEEP, self._sweep)
        self._end_strays()
        self._remove_old_folders()
        with suppress(OSError):  # what we log ourselves
            bound(self._where.sandbox, self._options.output_max_size * 1024 * 1024)

    def _remove_old_folders(self) -> None:
        """Remove old folders in a process of its own: a large one must not hold up all tasks."""
        if self._helper or not (due := self._folders.due()):
            return
        try:
            words = ["rm", "-rf", "--", *due]
            self._helper = os.posix_spawn("/bin/rm", words, os.environ, setsid=True, setsigmask=())
        except OSError as error:
            log(f"old folders cannot be removed: {error}")

    # The end

    def _look_whether_idle(self) -> None:
        if self._options.idle_exit and self._idle is None and not self._tasks and not len(self._agent.updates):
            # An executor is started for a task, but that may take its time.
            patience = self._options.idle_exit if self._served else max(self._options.idle_exit, _FIRST_TASK)
            self._idle = self.loop.after(patience, self._exit_idle)

    def _exit_idle(self) -> None:
        self._idle = None
        if not self._tasks and not len(self._agent.updates):
            log(f"ending after {self._options.idle_exit:g} seconds without a task")
            self.status = 0

    def _shut_down(self, status: int) -> None:
        """Stop all tasks within the agent's grace period, tell of it, and end."""
        if self._ending is not None:
            return
        self._exit_status = status
        # The agent destroys all when its grace period is over: KILL and the last updates have to come before.
        patience = max(0.0, self._where.shutdown_grace * 0.6)
        for task in list(self._tasks.values()):
            self._kill(task, min(patience, task.grace))
        self._ending = self.loop.after(patience + _LAST_WORDS, self._end)
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._ending is not None and not self._tasks and not (len(self._agent.updates) and self._agent.subscribed):
            self._end()

    def _end(self) -> None:
        self.status = self._exit_status

    _exit_status = 0


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return 0


def run(where: Surroundings, options: Options, environment: Mapping[str, Any]) -> int:
    started = time.monotonic()
    status = Executor(where, options, environment).run()
    log(f"ended after {time.monotonic() - started:.0f} seconds")
    return status
