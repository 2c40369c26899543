"""Starts tasks and sees them to their end. Used by the driver's thread alone."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Mapping
from functools import partial

import structlog

from chronos_py.drivers.local import outcomes, output
from chronos_py.drivers.local.attempts import Attempt, Attempts, ended_outcome
from chronos_py.drivers.local.docker import remove_container
from chronos_py.drivers.local.fetch import Fetcher, FetchFailed, Stopped
from chronos_py.drivers.local.launch import CannotStart, Launcher
from chronos_py.drivers.local.outcomes import Outcome
from chronos_py.drivers.local.processes import Watch, reap, signal_group
from chronos_py.drivers.local.sandbox import Sandbox, now
from chronos_py.drivers.local.stopping import Stopper
from chronos_py.drivers.local.users import Account
from chronos_py.drivers.local.workers import Workers
from chronos_py.model.resources import Resources
from chronos_py.model.run import Task, TaskState

log = structlog.get_logger(__name__)

FETCHERS, DOCKERS = 4, 2


class Supervisor:
    """`leave` has something done by the driver's thread; `running` tells whether the driver still is."""

    def __init__(
        self,
        root: str,
        boot: str,
        attempts: Attempts,
        launcher: Launcher,
        fetcher: Fetcher,
        watch: Watch,
        stopper: Stopper,
        leave: Callable[[Callable[[], None]], None],
        running: Callable[[], bool],
    ) -> None:
        self._root = root
        self._boot = boot
        self._attempts = attempts
        self._launcher = launcher
        self._fetcher = fetcher
        self._watch = watch
        self._stopper = stopper
        self._leave = leave
        self._running = running
        self._by_pid: dict[int, Attempt] = {}
        self._fetchers = Workers("fetch", FETCHERS)
        self._dockers = Workers("docker", DOCKERS)

    def close(self) -> None:
        self._fetchers.stop()
        self._dockers.stop()

    @property
    def busy(self) -> bool:
        """Tell whether anything runs."""
        return bool(self._by_pid)

    # --- starting

    def prepare_batch(self) -> None:
        self._launcher.look_at_descriptors(self._watch.descriptors)

    def launch(self, task: Task, sandbox: Sandbox, agent_id: str, taken: Mapping[str, Resources]) -> None:
        """Start a task for which room was taken and `sandbox` reserved."""
        attempt = self._attempts.add(task.id, sandbox, agent_id, taken, container=task.container is not None)
        try:
            who = self._launcher.account(task)
        except CannotStart as error:
            sandbox.forget()
            self._attempts.conclude(attempt, outcomes.impossible(str(error)), keep=False)
            return
        try:
            sandbox.describe(task, self._boot, agent_id, attempt.host, taken)
        except OSError as error:
            self._conclude_unmade(attempt, error)
            return
        if task.fetch:
            self._attempts.tell(attempt)
            self._fetchers.submit(partial(self._fetch, task, who, attempt))
        else:
            self._start(task, who, attempt)

    def _conclude_unmade(self, attempt: Attempt, error: OSError) -> None:
        text = f"No sandbox could be made: {error.strerror or error}"
        log.error("no sandbox could be made", task=attempt.task_id, reason=str(error))
        self._attempts.conclude(attempt, outcomes.never_started(text, "SANDBOX_FAILED"), keep=False)

    def _fetch(self, task: Task, who: Account, attempt: Attempt) -> None:
        """Bring the task's files; in a thread of its own."""
        problem = ""
        try:
            self._fetcher.fetch_all(
                task.fetch, attempt.sandbox.path, who.become, lambda: attempt.killing or not self._running()
            )
        except Stopped:
            return  # whoever stopped it has told of its end, or the next server will
        except FetchFailed as error:
            problem = str(error)
        except Exception as error:
            log.exception("fetching failed in an unforeseen way", task=task.id)
            problem = f"Could not fetch: {error}"
        self._leave(lambda: self._fetched(task, who, attempt, problem))

    def _fetched(self, task: Task, who: Account, attempt: Attempt, problem: str) -> None:
        if attempt.update is not None:
            return
        if problem:
            self._not_started(attempt, outcomes.failed("FETCH_FAILED", problem))
            return
        try:
            attempt.sandbox.clear_outputs()
        except OSError as error:
            name = os.path.basename(error.filename)
            text = f"Could not use what was fetched: {name!r} is where the task's output belongs"
            self._not_started(attempt, outcomes.failed("FETCH_FAILED", text))
            return
        self.prepare_batch()
        self._start(task, who, attempt)

    def _start(self, task: Task, who: Account, attempt: Attempt) -> None:
        try:
            self._launcher.give(who, attempt.sandbox)
            pid = self._launcher.start(task, who, attempt.sandbox)
        except CannotStart as error:
            self._not_started(attempt, outcomes.impossible(str(error)))
        except OSError as error:
            text = f"No process could be started: {error.strerror or error}"
            log.error("no process could be started", task=task.id, reason=str(error))
            if error.errno == errno.E2BIG:  # so it is for ever
                self._not_started(attempt, outcomes.impossible(text))
            else:
                self._not_started(attempt, outcomes.never_started(text, "SPAWN_FAILED"))
        else:
            self.watch(attempt, pid, now(), child=True)

    def _not_started(self, attempt: Attempt, outcome: Outcome) -> None:
        """Conclude a task that has a sandbox and no process, and see to it that this remains so."""
        try:
            attempt.sandbox.claim()
        except OSError as error:
            log.warning("a task could not be claimed", task=attempt.task_id, reason=str(error))
        self._launcher.limits.release(attempt.sandbox.key)
        self._attempts.conclude(attempt, outcome)

    def watch(self, attempt: Attempt, pid: int, started: int | None, *, child: bool = False) -> None:
        """Watch a shim, new or found again, and tell that its task runs."""
        attempt.pid, attempt.started, attempt.state = pid, started, TaskState.RUNNING
        self._by_pid[pid] = attempt
        self._watch.add(pid, attempt.sandbox.path, child=child)
        self._attempts.tell(attempt)

    # --- ending

    def ended(self, pid: int) -> None:
        """Take note that a shim has gone."""
        attempt = self._by_pid.pop(pid, None)
        if attempt is None:
            return
        sandbox, limits = attempt.sandbox, self._launcher.limits
        status = reap_after(pid, lambda: signal_group(pid, signal.SIGKILL))
        memory = None
        if status != 0 and limits.out_of_memory(sandbox.key):
            memory = attempt.need.mem / 1000
        self._stopper.leftovers(pid, sandbox, ours=status is not None)
        outcome, keep = ended_outcome(attempt, status, memory)
        if attempt.container and outcome.state is not TaskState.FINISHED:
            self.conclude_container(attempt, outcome)
        else:
            self._attempts.conclude(attempt, outcome, keep=keep)

    def conclude_container(self, attempt: Attempt, outcome: Outcome) -> None:
        """Conclude a container's task once the container has gone: its client may have died before it."""

        def remove() -> None:
            remove_container(attempt.task_id)
            self._leave(lambda: self._attempts.conclude(attempt, outcome))

        attempt.pid = 0
        self._dockers.submit(remove)

    # --- stopping

    def kill(self, attempt: Attempt, grace: float) -> None:
        """Stop a task: at once when it has no process, else TERM, and KILL after `grace` seconds."""
        if attempt.sandbox.read().exit_status is not None:
            return  # it has ended by itself
        self._stopper.note(attempt, grace)
        if attempt.pid:
            self._stopper.stop(attempt, grace)
        elif attempt.state is TaskState.STARTING:
            self._not_started(attempt, outcomes.killed_early())

    def force(self, attempt: Attempt) -> None:
        """End a container whose client does not end it."""
        self._dockers.submit(partial(remove_container, attempt.task_id))

    # --- now and then

    def rotate(self, limit: int) -> None:
        """Bound the outputs of what runs."""
        for attempt in self._by_pid.values():
            try:
                output.rotate(attempt.sandbox, limit)
            except OSError as error:
                log.warning("output could not be cut", task=attempt.task_id, reason=str(error))


def reap_after(pid: int, before: Callable[[], None]) -> int | None:
    """Do something while the number of a child that ended is still its own, then reap it.

    Returns the child's status; None when it is not ours, and then nothing was done.
    """
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    before()
    status = reap(pid)
    deadline = time.monotonic() + 1
    while status is None and time.monotonic() < deadline:  # its pidfd was ready, so this is a formality
        time.sleep(0.001)
        status = reap(pid)
    return status
