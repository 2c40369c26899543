"""This machine as a single agent. One thread does all: launches, watches, tells; callers only leave messages.

A task's shim is watched through a pidfd, which works for the children of this process and for those of a server that
was killed before it alike.
"""

from __future__ import annotations

import os
import resource
import select
import shutil
import signal
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import structlog

from chronos_py.drivers.base import DriverStatus, Post
from chronos_py.drivers.local import output, processes
from chronos_py.drivers.local.docker import remove_container, stop_container
from chronos_py.drivers.local.fetch import Fetcher, FetchFailed, Stopped
from chronos_py.drivers.local.launch import CannotStart, Launcher
from chronos_py.drivers.local.limits import chosen_limits
from chronos_py.drivers.local.output import OutputChunk
from chronos_py.drivers.local.prune import Pruner
from chronos_py.drivers.local.sandbox import Sandbox, Spares, boot_id, shim_sandbox, shims
from chronos_py.model.messages import (
    Acknowledge,
    Decline,
    DriverEffect,
    DriverReady,
    Kill,
    Launch,
    OfferRescinded,
    OffersReceived,
    Reconcile,
    Revive,
    StatusUpdate,
    Suppress,
)
from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources
from chronos_py.model.run import Task, TaskState

log = structlog.get_logger(__name__)

REPEAT_S = 10.0  # until a terminal update is acknowledged
TICK_S = 1.0  # looking at output sizes and at what is overdue
FETCHERS = 8
SPARES = 1000  # sandboxes made beforehand
SPARES_AT_ONCE = 50
SIGNALS = {int(number): number.name for number in signal.Signals}


class Watched:
    """A task that has not been acknowledged as ended."""

    __slots__ = ("container", "deadline", "grace", "killed", "need", "pid", "pidfd", "sandbox", "started", "told",
                 "update")  # fmt: skip

    def __init__(self, sandbox: Sandbox, need: Resources, *, container: bool) -> None:
        self.sandbox = sandbox
        self.need = need
        self.container = container
        self.pid = 0
        self.pidfd = -1
        self.started: int | None = None
        self.killed = False
        self.grace = 0.0
        self.deadline: float | None = None  # when TERM has had its time
        self.update: StatusUpdate | None = None  # terminal, repeated until acknowledged
        self.told = 0.0


class LocalDriver:
    """A Driver for the machine the server stands on. `data_dir` keeps what must outlive the server."""

    def __init__(
        self,
        data_dir: Path,
        resources: Resources,
        *,
        host: str,
        attributes: Mapping[str, str] | None = None,
        default_user: str = "root",
        limits: str = "auto",
        output_max_bytes: int = 10 * 1024 * 1024,
        sandbox_max_age_s: float = 7 * 86_400,
        sandbox_max_bytes: int = 10 * 1024**3,
    ) -> None:
        self._root = str(data_dir)
        self._total = resources
        self._host = host
        self._attributes = dict(attributes or {})
        self._default_user = default_user
        self._limits_mode = limits
        self._output_max = output_max_bytes
        self._pruner = Pruner(self._root, sandbox_max_age_s, sandbox_max_bytes)
        self._spares = Spares(self._root, SPARES)
        self._tasks: dict[str, Watched] = {}
        self._by_fd: dict[int, str] = {}
        self._by_pid: dict[int, str] = {}  # watched without a pidfd: the table of files was full
        self._used = Resources()
        self._offer: Offer | None = None
        self._offered_again: float | None = 0.0  # when to offer next; None: not before something changes
        self._suppressed = False
        self._inbox: deque[Any] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.epoll()
        self._poll.register(self._bell, select.EPOLLIN)
        self._fetchers: ThreadPoolExecutor | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._post: Post = lambda event: None
        self._boot = boot_id()
        self._agent_id = ""
        self._launcher: Launcher | None = None

    # --- any thread

    def start(self, post: Post, framework_id: str) -> None:
        for name in ("runs", "live"):
            Path(self._root, name).mkdir(parents=True, exist_ok=True)
        self._agent_id = self._identity()
        with suppress(ValueError, OSError):
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self._launcher = Launcher(
            chosen_limits(self._limits_mode, f"chronos-py-{self._agent_id[-8:]}"), self._default_user
        )
        log.info("tasks run on this machine", resources=str(self._total), limits=self._launcher.limits.name)
        self._post = post
        self._stopping = False
        self._fetchers = ThreadPoolExecutor(FETCHERS, thread_name_prefix="fetch")
        self._thread = threading.Thread(target=self._run, name="local-driver", daemon=True)
        self._thread.start()
        self._pruner.start()

    def _identity(self) -> str:
        file = Path(self._root, "agent_id")
        with suppress(OSError):
            if text := file.read_text().strip():
                return text
        text = f"local-{uuid.uuid4().hex[:12]}"
        file.write_text(f"{text}\n")
        return text

    def perform(self, effect: DriverEffect) -> None:
        self._leave(effect)

    def _leave(self, message: Any) -> None:
        self._inbox.append(message)
        with suppress(BlockingIOError):
            os.eventfd_write(self._bell, 1)

    def stop(self) -> None:
        self._stopping = True
        self._leave(None)
        if self._thread is not None:
            self._thread.join(5)
        if self._fetchers is not None:
            self._fetchers.shutdown(wait=False, cancel_futures=True)
        self._pruner.stop()
        if self._launcher is not None:
            self._launcher.limits.close()

    def status(self) -> DriverStatus:
        launcher, thread = self._launcher, self._thread
        live = thread is not None and thread.is_alive() and not self._stopping
        detail = {
            "agent": self._agent_id,
            "tasks": len(self._tasks),
            "total": str(self._total),
            "used": str(self._used),
            "limits": launcher.limits.name if launcher else "",
        }
        return DriverStatus("local", live, detail)

    def output(self, task_id: str, stream: str, offset: int, length: int) -> OutputChunk:
        """Read part of a task's stdout or stderr; see `output.read`. Raises UnknownTask."""
        sandbox = Sandbox(self._root, task_id)
        task = self._tasks.get(task_id)
        ended = task is None or task.update is not None
        return output.read(sandbox, stream, offset, length, ended=ended)

    # --- the thread

    def _run(self) -> None:
        try:
            self._spares.open()
            self._recover()
        except Exception:
            log.exception("what ran before could not be looked through")
        self._post(DriverReady())
        ticked = time.monotonic()
        while not self._stopping:
            try:
                self._offer_what_is_free()
                ready = self._poll.poll(self._pause(), 512)
                for fd, _ in ready:
                    if fd == self._bell:
                        with suppress(BlockingIOError):
                            os.eventfd_read(self._bell)
                    else:
                        self._ended(self._by_fd[fd])
                self._messages()
                now = time.monotonic()
                if now - ticked >= TICK_S:
                    ticked = now
                    self._tick(now)
            except Exception:
                log.exception("the local driver stumbled and goes on")
                time.sleep(0.05)

    def _pause(self) -> float:
        if self._inbox:
            return 0.0
        return TICK_S

    def _messages(self) -> None:
        """Take what was left since the last look, but no more: processes that ended must be seen in between."""
        for _ in range(len(self._inbox)):
            message = self._inbox.popleft()
            match message:
                case Launch():
                    self._launch(message)
                case Kill():
                    self._kill(message)
                case Acknowledge():
                    self._acknowledge(message.update)
                case Reconcile():
                    for task_id, _ in message.tasks:
                        self._tell(task_id)
                case Decline():
                    if self._offer is not None and self._offer.id in message.offer_ids:
                        self._offer = None
                        self._offered_again = time.monotonic() + message.seconds
                case Suppress():
                    self._suppressed = True
                case Revive():
                    self._suppressed, self._offered_again = False, 0.0
                case (Task() as task, problem):
                    self._fetched(task, problem)
                case _:
                    pass

    def _tick(self, now: float) -> None:
        if not self._inbox:
            with suppress(OSError):
                self._spares.make_some(SPARES_AT_ONCE)
        for task_id, task in list(self._tasks.items()):
            if task.update is not None:
                if now - task.told >= REPEAT_S:
                    self._announce(task, task.update, now)
            elif task.pid:
                with suppress(OSError):
                    output.rotate(task.sandbox.path, self._output_max)
                if task.deadline is not None and now >= task.deadline:
                    self._force(task_id, task, now)
        for pid, task_id in list(self._by_pid.items()):
            if shim_sandbox(pid) is None:
                self._ended(task_id)

    # --- offers

    def _offer_what_is_free(self) -> None:
        """Offer all that is free when that has changed; an offer that is out is taken back first."""
        if self._suppressed or self._offered_again is None or time.monotonic() < self._offered_again:
            return
        if self._offer is not None:
            self._post(OfferRescinded(self._offer.id))
        free = self._total - self._used
        free = Resources(max(0, free.cpus), max(0, free.mem), max(0, free.disk))
        self._offer = Offer(
            uuid.uuid4().hex, self._agent_id, self._host, free, total=self._total, attributes=self._attributes
        )
        self._offered_again = None
        self._post(OffersReceived([self._offer]))

    def _take(self, need: Resources) -> None:
        self._used = self._used + need

    def _give_back(self, need: Resources) -> None:
        self._used = self._used - need
        self._offered_again = 0.0

    # --- launching

    def _launch(self, launch: Launch) -> None:
        """Launch what there is room for. An offer that was taken back a moment ago will do as well: all are of this
        machine, and what counts is what is free now."""
        self._offered_again = 0.0  # the engine has used its offer up, or holds one that is no longer true
        for task in launch.tasks:
            if (self._total - self._used).covers(task.resources):
                self._launch_one(task)
            else:
                text = "there is no longer room for it"
                self._post(StatusUpdate(task.id, TaskState.DROPPED, reason="INVALID_OFFERS", message=text))

    def _launch_one(self, task: Task) -> None:
        launcher = self._launcher
        assert launcher is not None
        sandbox = Sandbox(self._root, task.id)
        if task.id in self._tasks or sandbox.exists():
            log.error("a task id was launched before; left as it is", task=task.id)
            self._tell(task.id)
            return
        watched = Watched(sandbox, task.resources, container=task.container is not None)
        self._tasks[task.id] = watched
        self._take(task.resources)
        try:
            launcher.check(task)
            sandbox.make(task, self._boot, self._spares.take())
        except CannotStart as error:
            self._conclude(task.id, watched, TaskState.ERROR, "CANNOT_START", str(error))
            return
        except OSError as error:
            log.error("no sandbox could be made", task=task.id, reason=str(error))
            self._conclude(task.id, watched, TaskState.DROPPED, "SANDBOX_FAILED", f"no sandbox could be made: {error}")
            return
        if task.fetch:
            assert self._fetchers is not None
            self._post(StatusUpdate(task.id, TaskState.STARTING, self._agent_id, self._host))
            self._fetchers.submit(self._fetch, task, watched)
        else:
            self._spawn(task, watched)

    def _fetch(self, task: Task, watched: Watched) -> None:
        """Bring the task's files; in a thread of the pool."""
        problem: Exception | None = None
        try:
            fetcher = Fetcher(Path(self._root, "cache"))
            fetcher.fetch_all(task.fetch, watched.sandbox.path, lambda: watched.killed or self._stopping)
            _give(watched.sandbox.path, task.user)
        except Exception as error:
            problem = error
        self._leave((task, problem))

    def _fetched(self, task: Task, problem: Exception | None) -> None:
        watched = self._tasks.get(task.id)
        if watched is None or watched.update is not None:
            return
        if watched.killed or isinstance(problem, Stopped):
            self._conclude(task.id, watched, TaskState.KILLED, "", "stopped before it was started")
        elif problem is not None:
            text = str(problem) if isinstance(problem, FetchFailed) else f"could not fetch: {problem}"
            self._conclude(task.id, watched, TaskState.FAILED, "FETCH_FAILED", text)
        else:
            self._spawn(task, watched)

    def _spawn(self, task: Task, watched: Watched) -> None:
        launcher = self._launcher
        assert launcher is not None
        try:
            pid = launcher.start(task, watched.sandbox)
        except CannotStart as error:
            watched.sandbox.claim()
            self._conclude(task.id, watched, TaskState.ERROR, "CANNOT_START", str(error))
            return
        except OSError as error:
            watched.sandbox.claim()
            state = TaskState.ERROR if error.errno == 7 else TaskState.DROPPED  # 7: arguments too long, for ever
            self._conclude(task.id, watched, state, "SPAWN_FAILED", f"no process could be started: {error}")
            return
        watched.started = time.time_ns() // 1_000_000
        self._watch(task.id, watched, pid)
        self._post(StatusUpdate(task.id, TaskState.RUNNING, self._agent_id, self._host, at=watched.started))
        if watched.killed:
            self._stop_processes(task.id, watched)

    def _watch(self, task_id: str, watched: Watched, pid: int) -> None:
        watched.pid = pid
        try:
            watched.pidfd = os.pidfd_open(pid)
            self._by_fd[watched.pidfd] = task_id
            self._poll.register(watched.pidfd, select.EPOLLIN)
        except OSError:  # gone already, or no file left: look at it now and then
            self._by_pid[pid] = task_id

    # --- ends

    def _ended(self, task_id: str) -> None:
        """Take note that a task's shim is gone."""
        watched = self._tasks[task_id]
        processes.kill_group(watched.pid)  # before its number is free again
        self._unwatch(watched)
        sandbox, key = watched.sandbox, watched.sandbox.key
        assert self._launcher is not None
        short_of_memory = self._launcher.limits.name == "cgroup" and self._launcher.limits.out_of_memory(key)
        self._launcher.limits.release(key)
        code = sandbox.exit_status()
        if watched.container and (code is None or watched.killed):
            assert self._fetchers is not None
            self._fetchers.submit(remove_container, task_id)
        if code is None:
            processes.kill(watched.pid, leader=False)
            if watched.killed:
                self._conclude(task_id, watched, TaskState.KILLED, "", "told to stop")
            else:
                text = "its supervising process was killed, the result is unknown"
                self._conclude(task_id, watched, TaskState.LOST, "EXECUTOR_TERMINATED", text)
        elif code == 0:
            self._conclude(task_id, watched, TaskState.FINISHED, "", "Command exited with status 0", code=0)
        elif watched.killed:
            self._conclude(task_id, watched, TaskState.KILLED, "", f"told to stop; {_ending(code)}", code=code)
        elif short_of_memory:
            text = f"out of memory: the limit was {watched.need.mem / 1000:g} MiB; {_ending(code)}"
            self._conclude(task_id, watched, TaskState.FAILED, "MEMORY_LIMIT", text, code=code)
        else:
            self._conclude(task_id, watched, TaskState.FAILED, "COMMAND_FAILED", _ending(code), code=code)

    def _unwatch(self, watched: Watched) -> None:
        if watched.pidfd >= 0:
            self._by_fd.pop(watched.pidfd, None)
            with suppress(OSError):
                self._poll.unregister(watched.pidfd)
            os.close(watched.pidfd)
            watched.pidfd = -1
        self._by_pid.pop(watched.pid, None)
        with suppress(ChildProcessError):
            os.waitpid(watched.pid, os.WNOHANG)

    def _conclude(
        self, task_id: str, watched: Watched, state: TaskState, reason: str, message: str, *, code: int | None = None
    ) -> None:
        """Make the terminal update, tell it, and free the room."""
        killed_by = code - 128 if code is not None and 128 < code <= 192 else None
        watched.update = StatusUpdate(
            task_id,
            state,
            self._agent_id,
            self._host,
            uuid=uuid.uuid4().hex,
            at=watched.sandbox.ended_at() or time.time_ns() // 1_000_000,
            reason=reason,
            message=message,
            exit_code=None if killed_by is not None else code,
            signal=killed_by,
        )
        watched.deadline = None
        self._give_back(watched.need)
        self._announce(watched, watched.update, time.monotonic())

    def _announce(self, watched: Watched, update: StatusUpdate, now: float) -> None:
        watched.told = now
        self._post(update)

    def _acknowledge(self, update: StatusUpdate) -> None:
        watched = self._tasks.get(update.task_id)
        if watched is None or watched.update is None:
            return
        del self._tasks[update.task_id]
        with suppress(OSError):
            watched.sandbox.acknowledge()

    # --- questions

    def _tell(self, task_id: str) -> None:
        """Answer what became of a task: as it is, or that it never started and never will."""
        watched = self._tasks.get(task_id)
        if watched is not None:
            if watched.update is not None:
                self._announce(watched, watched.update, time.monotonic())
            else:
                state = TaskState.RUNNING if watched.pid else TaskState.STARTING
                self._post(StatusUpdate(task_id, state, self._agent_id, self._host, at=watched.started))
            return
        sandbox = Sandbox(self._root, task_id)
        code = sandbox.exit_status()
        if code is not None:
            state = TaskState.FINISHED if code == 0 else TaskState.FAILED
            self._post(
                StatusUpdate(task_id, state, self._agent_id, self._host, at=sandbox.ended_at(), exit_code=code,
                             message=_ending(code))
            )  # fmt: skip
        elif sandbox.claim():
            text = "it never started, and never will"
            self._post(StatusUpdate(task_id, TaskState.DROPPED, reason="RECONCILIATION", message=text))
        else:
            text = "it ended, and its result is unknown"
            self._post(StatusUpdate(task_id, TaskState.LOST, reason="RECONCILIATION", message=text))

    # --- stopping

    def _kill(self, kill: Kill) -> None:
        watched = self._tasks.get(kill.task_id)
        if watched is None or watched.update is not None:
            self._tell(kill.task_id)
            return
        if watched.killed and watched.pid and watched.deadline is not None:
            return  # TERM has its time still
        watched.killed, watched.grace = True, kill.grace
        if watched.pid:
            self._stop_processes(kill.task_id, watched)

    def _stop_processes(self, task_id: str, watched: Watched) -> None:
        watched.deadline = time.monotonic() + watched.grace
        if watched.container:
            assert self._fetchers is not None
            self._fetchers.submit(stop_container, task_id, watched.grace)
        else:
            processes.terminate(watched.pid)

    def _force(self, task_id: str, watched: Watched, now: float) -> None:
        """End what is left after the grace; again at every tick until it is gone."""
        if watched.container:
            assert self._fetchers is not None
            self._fetchers.submit(remove_container, task_id)
            watched.deadline = now + 5
        processes.kill(watched.pid, leader=False)

    # --- after a restart

    def _recover(self) -> None:
        """Find what was launched before: running tasks are watched again, the others' ends are told."""
        alive = shims()
        for name in sorted(os.listdir(f"{self._root}/live")):
            file = f"{self._root}/live/{name}"
            task_id = self._id_in(file)
            if task_id is None:
                log.error("a record of a launch cannot be read and is put aside", file=file)
                os.replace(file, f"{self._root}/unreadable-{name}")
                continue
            self._find_again(task_id, alive)
        if self._tasks:
            log.info("tasks found from before", tasks=len(self._tasks))

    @staticmethod
    def _id_in(file: str) -> str | None:
        try:
            return str(orjson.loads(Path(file).read_bytes().split(b"\n", 1)[0])["id"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _find_again(self, task_id: str, alive: Mapping[str, int]) -> None:
        sandbox = Sandbox(self._root, task_id)
        about = sandbox.about()
        watched = Watched(sandbox, sandbox.need(), container=bool(about.get("container")))
        watched.started = about.get("made")
        self._tasks[task_id] = watched
        self._take(watched.need)
        if sandbox.claim():
            text = "the server ended before it was started"
            self._conclude(task_id, watched, TaskState.DROPPED, "NEVER_STARTED", text)
            return
        pid = alive.get(sandbox.path)
        if pid is not None:
            self._watch(task_id, watched, pid)
            if shim_sandbox(pid) == sandbox.path:  # the number still means the shim: the pidfd is its
                return
            self._unwatch(watched)
            watched.pid = 0
        self._conclude_unseen(task_id, watched, rebooted=about.get("boot") != self._boot)

    def _conclude_unseen(self, task_id: str, watched: Watched, *, rebooted: bool) -> None:
        """Tell how a task ended while nobody watched."""
        code = watched.sandbox.exit_status()
        if code is None and rebooted:
            text = "the machine was restarted while it ran"
            self._conclude(task_id, watched, TaskState.LOST, "AGENT_RESTARTED", text)
        elif code is None:
            if watched.container:
                remove_container(task_id)
            text = "its supervising process was killed, the result is unknown"
            self._conclude(task_id, watched, TaskState.LOST, "EXECUTOR_TERMINATED", text)
        elif code == 0:
            self._conclude(task_id, watched, TaskState.FINISHED, "", "Command exited with status 0", code=0)
        else:
            self._conclude(task_id, watched, TaskState.FAILED, "COMMAND_FAILED", _ending(code), code=code)


def _give(path: str, user: str) -> None:
    """Let the task's user own what was fetched for it."""
    if os.geteuid() != 0 or user in ("", "root"):
        return
    for folder, _, names in os.walk(path):
        for name in names:
            shutil.chown(os.path.join(folder, name), user)


def _ending(code: int) -> str:
    """Say how a command ended, as Mesos does. A shell reports a signal as 128 and its number."""
    if 128 < code <= 192:
        return f"Command terminated with signal {SIGNALS.get(code - 128, code - 128)}"
    return f"Command exited with status {code}"


def detect_resources(data_dir: Path) -> Resources:
    """Return what this machine has: its cores, its memory, what is free on the disk of `data_dir`."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**2
    folder = data_dir if data_dir.exists() else Path("/")
    disk = os.statvfs(folder)
    return Resources.of(cores, int(memory), int(disk.f_bavail * disk.f_frsize / 1024**2))
