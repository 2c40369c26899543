"""What readers see: committed state only, put in place by the service after each commit.

The maps are changed by the service thread alone, whole records at a time. A reader takes `list(view.jobs.values())`,
which CPython does in one step, and then holds records that never change; it needs no lock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from chronos_py.clock import Millis
from chronos_py.model.job import Job, JobState
from chronos_py.model.register import Register
from chronos_py.model.run import Run


@dataclass(frozen=True, slots=True)
class JobView:
    """One job with its state. `schedule` is the text to show now: as sent until the first run was made, then rewritten.

    `next_due` is the next due time, None when there is none. `cache` holds renderings of exactly this record, by
    dialect: whoever needs one makes it once.
    """

    job: Job
    state: JobState
    schedule: str | None
    queued: int = 0  # runs that wait for a place
    running: int = 0  # runs with a task outside
    next_due: Millis | None = None
    cache: dict[str, bytes] = field(default_factory=dict, compare=False, repr=False)

    @property
    def last_result(self) -> str:
        """Return fresh, success or failure, as Chronos shows it: the later of the two times wins, a tie is failure."""
        success, error = self.state.last_success, self.state.last_error
        if not success and not error:
            return "fresh"
        return "success" if success > error else "failure"

    def activity(self, *, counted: bool) -> str:
        """Return idle, queued, running; with `counted` (Chronos 3) `N running`."""
        if self.running:
            return f"{self.running} running" if counted else "running"
        return "queued" if self.queued else "idle"


class Cause(StrEnum):
    """Why a run does not run: the whole list."""

    RETRY_DELAY = "retry_delay"  # an attempt failed; the next one waits for the job's delay
    JOB_RUNNING = "job_running"  # another run of the job must end first
    SET_ASIDE = "set_aside"  # the job could not be handled, and waits for being changed
    DRIVER_DOWN = "driver_down"  # the cluster cannot be reached
    OTHER_AGENT = "other_agent"  # waits a moment for another agent than those it failed on
    NEXT_TURN = "next_turn"  # is about to be placed
    NO_OFFERS = "no_offers"  # no agent offers anything at present
    NO_FIT = "no_fit"  # no agent has room, or meets the constraints, or may be used: the numbers say which
    QUOTA = "quota"  # a quota is used up, and there is nothing to borrow
    LAUNCHING = "launching"  # was launched; no word of its start yet
    STOPPING = "stopping"  # was told to stop; no word of its end yet
    RESULT_AWAITED = "result_awaited"  # the task has ended; its program has yet to report the result
    RUNNING = "running"  # it runs
    ENDED = "ended"  # it has ended


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a run does not run yet; `detail` gives the numbers."""

    code: Cause
    sentence: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class View:
    """The committed state. `jobs` are in order of creation; `runs` are those that have not ended, by number."""

    jobs: dict[str, JobView] = field(default_factory=dict)
    runs: dict[int, Run] = field(default_factory=dict)
    immediate: Register = field(default_factory=Register)
    waiting: dict[int, Waiting] = field(default_factory=dict)  # by run; only what is known beyond the run's phase
    quarantined: list[Any] = field(default_factory=list)
    leader: bool = False
    loaded: bool = False  # False: nothing is known yet, which is not the same as that there is nothing
    changed: int = 0  # grows with every publication that changed a job
