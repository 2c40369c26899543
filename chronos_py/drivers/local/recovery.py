"""What became of a task, read from its folders: after a restart, and when somebody asks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from chronos_py.drivers.local import outcomes
from chronos_py.drivers.local.outcomes import Outcome
from chronos_py.drivers.local.processes import all_shims, shim_of
from chronos_py.drivers.local.sandbox import Record, Sandbox, now
from chronos_py.model.run import TaskState

LOOKS, LOOK_EVERY_S = 20, 0.02  # for the process of a task that was claimed, when nothing says who it is


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
    """Looks at attempts; one for each time of looking, as it reads the list of processes at most once."""

    def __init__(self, boot: str) -> None:
        self._boot = boot

    @cached_property
    def _shims(self) -> Mapping[str, int]:
        return all_shims()

    def examine(self, sandbox: Sandbox, record: Record) -> Found:
        """Decide an attempt's fate. Afterwards it either runs or never will. Raises OSError when that cannot be had."""
        here = record.about.get("boot") == self._boot
        ended = outcomes.recorded(record)
        if ended is not None:
            return Found(record.pid or 0, ended, sweep=here and record.pid is not None)
        if sandbox.claim():
            return Found(outcome=_not_begun(record), keep=True)
        for _ in range(LOOKS):
            if record.pid is not None:
                break
            shim = self._shims.get(sandbox.path)
            if shim is not None and shim_of(shim) == sandbox.path:  # it is about to write that it runs
                return Found(shim)
            time.sleep(LOOK_EVERY_S)  # it may have been on its way into the shell when the processes were listed
            self.__dict__.pop("_shims", None)
            record = sandbox.read()
        if record.pid is not None:
            return self._claimed(sandbox, record.pid, here=here)
        if here:  # who claimed it ended before it wrote that down, so before it ran anything
            return Found(outcome=_not_begun(record), keep=True)
        return Found(outcome=outcomes.lost(restarted=True), keep=True)

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


def on_record(sandbox: Sandbox) -> Outcome:
    """Return how an acknowledged attempt ended."""
    return outcomes.recorded(sandbox.read()) or outcomes.lost(restarted=False)


def certainly_never(sandbox: Sandbox) -> bool:
    """Make certain that an attempt without a record never runs; False when its folder was there before.

    Raises OSError when that cannot be made certain.
    """
    new = sandbox.reserve()
    sandbox.claim()
    return new
