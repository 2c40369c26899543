"""Stopping tasks, and what they leave behind: signals to whole sessions, many tasks with one look at the processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from signal import SIGKILL, SIGTERM

import structlog

from chronos_py.clock import Millis
from chronos_py.drivers.local import processes
from chronos_py.drivers.local.attempts import Attempt
from chronos_py.drivers.local.limits import Limits
from chronos_py.drivers.local.sandbox import Sandbox, now

log = structlog.get_logger(__name__)

AGAIN_S = 2.0  # from one KILL to the next
YOUNG_S = 0.02  # from one look at a shim that has not started its program to the next
SWEEP_S = 1.0  # from one look for what ended tasks left behind to the next
SWEEPS = 3


class Stopper:
    """Works off what is due at each `step`."""

    def __init__(self, limits: Limits, force: Callable[[Attempt], None]) -> None:
        self._limits = limits
        self._force = force
        self._terms: list[tuple[float, Attempt]] = []  # when TERM is due
        self._kills: dict[str, tuple[float, int, Attempt]] = {}  # when KILL is due, how often it was sent
        self._left: dict[int, tuple[Sandbox, bool, int]] = {}  # sessions to sweep: is it ours, times left
        self._sweep_at = 0.0

    def note(self, attempt: Attempt, grace: float) -> None:
        """Write down that a task is to end, for a server that comes after us."""
        if attempt.killing:
            return
        attempt.killing = True
        try:
            attempt.sandbox.note(b"kill %d" % (now() + int(grace * 1000)))
        except OSError as error:
            log.warning("a stop could not be written down", task=attempt.task_id, reason=str(error))

    def stop(self, attempt: Attempt, grace: float) -> None:
        """Send TERM at the next step, KILL after `grace`; said again, it never takes longer."""
        moment = time.monotonic()
        self._terms.append((moment, attempt))
        due = moment + max(0.0, grace)
        present = self._kills.get(attempt.task_id)
        if present is None or due < present[0]:
            self._kills[attempt.task_id] = (due, present[1] if present else 0, attempt)

    def resume(self, attempt: Attempt, until: Millis) -> None:
        """Go on stopping a task that a server before us was told to stop."""
        attempt.killing = True
        self.stop(attempt, max(0.0, (until - now()) / 1000))

    def leftovers(self, session: int, sandbox: Sandbox, *, ours: bool) -> None:
        """Take note that a session's leader has gone. `ours`: we saw it, so that the session can be no other's."""
        if not self._limits.release(sandbox.key):
            processes.send(self._limits.members(sandbox.key), SIGKILL)
        self._left[session] = (sandbox, ours, SWEEPS)

    def step(self, moment: float) -> None:
        terms = [attempt for at, attempt in self._terms if at <= moment and attempt.update is None]
        self._terms = [entry for entry in self._terms if entry[0] > moment]
        kills = [entry for entry in self._kills.values() if entry[0] <= moment]
        sweep = self._left and moment >= self._sweep_at
        if not (terms or kills or sweep):
            return
        wanted = {attempt.pid for attempt in terms} | {entry[2].pid for entry in kills} | set(self._left)
        living = processes.sessions(wanted - {0})
        for attempt in terms:
            pids = self._all(attempt, living)
            if all(processes.shim_of(pid) == attempt.sandbox.path for pid in pids):
                # the shim, and perhaps what it forked to become the program: they would take no notice as yet
                self._terms.append((moment + YOUNG_S, attempt))
            else:
                processes.send(pids, SIGTERM)
        for _, times, attempt in kills:
            self._kill(attempt, times, living, moment)
        if sweep:
            self._sweep_at = moment + SWEEP_S
            self._sweep(living)

    def _all(self, attempt: Attempt, living: dict[int, list[int]]) -> set[int]:
        return {*living.get(attempt.pid, ()), *self._limits.members(attempt.sandbox.key)}

    def _kill(self, attempt: Attempt, times: int, living: dict[int, list[int]], moment: float) -> None:
        """Send KILL; the first times to the shim only if it is alone, as else it writes down how the task ended."""
        if attempt.update is not None or not attempt.pid:
            del self._kills[attempt.task_id]
            return
        pids = self._all(attempt, living)
        if attempt.container:
            self._force(attempt)
        processes.send(pids if times >= 2 else pids - {attempt.pid} or pids, SIGKILL)
        self._kills[attempt.task_id] = (moment + AGAIN_S, times + 1, attempt)

    def _sweep(self, living: dict[int, list[int]]) -> None:
        for session, (sandbox, ours, times) in list(self._left.items()):
            pids = living.get(session, [])
            if session in pids:
                pids = []  # a leader lives: the number is another session's by now, and of ours nothing is left
            pids = [pid for pid in pids if ours or processes.belongs(pid, sandbox.path)]
            processes.send({*pids, *self._limits.members(sandbox.key)}, SIGKILL)
            if (self._limits.release(sandbox.key) and not pids) or times <= 1:
                del self._left[session]
            else:
                self._left[session] = (sandbox, ours, times - 1)

    def pause(self, moment: float) -> float | None:
        """Return the seconds until there is something to do."""
        due = [at for at, _ in self._terms] + [entry[0] for entry in self._kills.values()]
        if self._left:
            due.append(self._sweep_at)
        return max(0.0, min(due) - moment) if due else None
