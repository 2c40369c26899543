"""What became of a task, read from its folders: after a restart, and when somebody asks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from chronos_py.drivers.local import outcomes
from chronos_py.drivers.local.outcomes import Outcome
from chronos_py.drivers.local.processes import all_shims, shim_of
from chronos_py.drivers.local.sandbox import Record, Sandbox, now
from chronos_py.model.run import TaskState

PATIENCE_S, LOOK_EVERY_S = 2.0, 0.01  # with all shims together that have not taken their claims


@dataclass(frozen=True, slots=True)
class Found:
    """An attempt's fate: it runs as `pid`, or it ended with `outcome` (`keep`: which its folders do not tell yet).

    With `sweep`, processes of session `pid` may be left though the shim is gone.
    """

    pid: int = 0
    outcome: Outcome | None = None
    keep: bool = False
    sweep: bool = False


class Examiner:
    """Looks at attempts; one for each time of looking, as it remembers the list of processes."""

    def __init__(self, boot: str) -> None:
        self._boot = boot
        self._shims: Mapping[str, int] | None = None
        self._patience = PATIENCE_S

    def _shim(self, path: str) -> int | None:
        """Return the living shim of a sandbox that was claimed: it was one before that, so a look since must see it."""
        for again in (False, True):
            if again or self._shims is None:
                self._shims = all_shims()
            pid = self._shims.get(path)
            if pid is not None and shim_of(pid) == path:
                return pid
        return None

    def examine(self, sandbox: Sandbox, record: Record) -> Found:
        """Decide an attempt's fate. Afterwards it either runs or never will. Raises OSError when that cannot be had."""
        here = record.about.get("boot") == self._boot
        ended = outcomes.recorded(record)
        if ended is not None:
            return Found(record.pid or 0, ended, sweep=here and record.pid is not None)
        if here and record.kill_until is None:
            self._let_begin(sandbox)
        if sandbox.claim():
            return Found(outcome=_not_begun(record), keep=True)
        shim = None if record.pid is not None else self._shim(sandbox.path)
        record = sandbox.read()  # after the look: what is found without this line cannot be what forked from a shim
        if record.pid is not None:
            return self._claimed(sandbox, record.pid, here=here)
        if shim is not None:
            return Found(shim)
        if here:  # who claimed it ended before it wrote that down, so before it ran anything
            return Found(outcome=_not_begun(record), keep=True)
        return Found(outcome=outcomes.lost(restarted=True), keep=True)

    def _let_begin(self, sandbox: Sandbox) -> None:
        """Wait a little for a shim that was started a moment ago: its task was told of as running, and soon is."""
        if self._shims is None:
            self._shims = all_shims()
        pid = self._shims.get(sandbox.path)
        while pid is not None and self._patience > 0 and not sandbox.is_claimed() and shim_of(pid) == sandbox.path:
            time.sleep(LOOK_EVERY_S)
            self._patience -= LOOK_EVERY_S

    @staticmethod
    def _claimed(sandbox: Sandbox, pid: int, *, here: bool) -> Found:
        if shim_of(pid) == sandbox.path:
            return Found(pid)
        record = sandbox.read()  # it may have ended a moment ago
        ended = outcomes.recorded(record)
        if ended is not None:
            return Found(pid, ended, sweep=here)
        if record.kill_until is not None:
            return Found(pid, Outcome(TaskState.KILLED, now(), "KILLED", "Stopped on request"), keep=True, sweep=here)
        return Found(pid, outcomes.lost(restarted=not here), keep=True, sweep=here)


def _not_begun(record: Record) -> Outcome:
    return outcomes.killed_early() if record.kill_until is not None else outcomes.never_started()


def on_record(record: Record) -> Outcome:
    """Return how an acknowledged attempt ended."""
    return outcomes.recorded(record) or outcomes.lost(restarted=False)


def certainly_never(sandbox: Sandbox) -> bool:
    """Make certain that an attempt without a record never runs; False when its folder was there before.

    Raises OSError when that cannot be made certain.
    """
    new = sandbox.reserve()
    sandbox.claim()
    return new
