"""What readers see: committed state only, put in place by the service after each commit.

The maps are changed by the service thread alone, whole records at a time. A reader takes `list(view.jobs.values())`,
which CPython does in one step, and then holds records that never change; it needs no lock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from chronos_py.clock import Millis
from chronos_py.model.job import Job, JobState
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


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a run does not run yet. `code` is from a closed list, `detail` gives the numbers.

    Codes: retry_delay, no_offers, no_fit (no agent has room or meets the constraints), driver_down, launching,
    result_awaited, job_running, next_turn, set_aside.
    """

    code: str
    sentence: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class View:
    """The committed state. `jobs` are in order of creation; `runs` are those that have not ended, by number."""

    jobs: dict[str, JobView] = field(default_factory=dict)
    runs: dict[int, Run] = field(default_factory=dict)
    waiting: dict[int, Waiting] = field(default_factory=dict)  # by run; only what is known beyond the run's phase
    quarantined: list[Any] = field(default_factory=list)
    leader: bool = False
    loaded: bool = False  # False: nothing is known yet, which is not the same as that there is nothing
    changed: int = 0  # grows with every publication that changed a job
