"""What is kept of runs that have ended."""

from __future__ import annotations

import re
from dataclasses import dataclass

from chronos_py.clock import Millis
from chronos_py.model.run import Outcome, Trigger


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One try that has ended. `exit_code` and `signal` are None where the cluster does not tell."""

    run: int
    attempt: int
    task_id: str
    job: str
    agent_id: str
    host: str
    launched: Millis
    started: Millis | None
    ended: Millis
    outcome: Outcome
    state: str  # the last task state, by the name of Mesos
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    signal: int | None = None
    owner: str = ""
    placement: str = ""  # why it was placed where it was: see scheduler.explanation

    @property
    def exit_reason(self) -> str:
        """Return why it ended, one of few."""
        return exit_reason(self.outcome, self.reason, self.exit_code, self.signal)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A row of the ledger: how a due time, a release or a request ended.

    A row with `index` not None answers for the due times number `index` to `last_index` of the job's schedule number
    `schedule_version`; only skipped and merged ones come in ranges. `into` is the run that a merged one became part of.
    """

    run: int
    job: str
    trigger: Trigger
    due: Millis
    created: Millis
    ended: Millis
    outcome: Outcome
    reason: str = ""
    attempts: int = 0
    started: Millis | None = None  # of the last attempt
    index: int | None = None
    last_index: int | None = None
    last_due: Millis | None = None  # of a range
    version: int = 0  # the job's definition
    into: int | None = None
    arguments: str | None = None
    causes: tuple[int, ...] = ()
    owner: str = ""
    elements_processed: int = 0
    task_id: str = ""  # of the last attempt
    host: str = ""
    first_started: Millis | None = None  # of the first attempt that started
    exit_reason: str = ""  # of the last attempt


HistoryRecord = RunRecord | AttemptRecord

_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_TOLD = frozenset({Outcome.SUCCESS, Outcome.KILLED, Outcome.TIMED_OUT})


def exit_reason(outcome: Outcome, reason: str = "", exit_code: int | None = None, signal: int | None = None) -> str:
    """Return why an attempt ended, as one of so few that statistics can be grouped by it: `exit 3`, `signal 9`, a
    reason by its name in Mesos, or the outcome. Sentences are not among them, for no two need be alike."""
    if outcome in _TOLD:
        return outcome.value
    if signal is not None:
        return f"signal {signal}"
    if exit_code is not None:
        return f"exit {exit_code}"
    name = reason.removeprefix("REASON_")
    return name if _NAME.fullmatch(name) else outcome.value
