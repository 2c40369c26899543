"""A job as the engine holds it: definition, state, schedule, and which of its runs are where."""

from __future__ import annotations

from collections import deque

from chronos_py.clock import Millis
from chronos_py.model.job import Job, JobState
from chronos_py.model.resources import Resources
from chronos_py.model.run import Phase
from chronos_py.model.view import JobView
from chronos_py.scheduler.queue import Shape
from chronos_py.scheduler.schedule import Occurrences

NO_SHAPE = Shape(Resources())  # until a definition has been worked out
NO_RUNS = dict.fromkeys(Phase, 0)


class Entry:
    """One job. `line` are queued runs that wait for the job itself, `playing` those beyond."""

    __slots__ = ("active", "broken", "due", "job", "lateness", "line", "occurrences", "phases", "playing", "shape",
                 "state", "wake")  # fmt: skip

    def __init__(self, job: Job, state: JobState) -> None:
        self.job = job
        self.state = state
        self.occurrences: Occurrences | None = None
        self.broken = ""  # why the stored schedule cannot be used
        self.lateness: Millis | None = None
        self.shape = NO_SHAPE
        self.active: set[int] = set()
        self.phases: dict[Phase, int] = NO_RUNS.copy()
        self.line: deque[int] = deque()
        self.playing = 0
        self.due: Millis | None = None  # the next due time
        self.wake: Millis | None = None  # the timer that is set

    @property
    def free(self) -> bool:
        """Tell whether another run of the job may be placed."""
        return self.job.concurrent or self.playing == 0

    @property
    def schedule_text(self) -> str | None:
        """Return the schedule as it is shown: as sent until the first run was made, then what is left of it."""
        if self.job.schedule is None or self.occurrences is None or not self.state.advanced:
            return self.job.schedule
        return self.occurrences.text(self.state.remaining, self.state.next_index)

    def view(self) -> JobView:
        return JobView(
            job=self.job,
            state=self.state,
            schedule=self.schedule_text,
            queued=self.phases[Phase.QUEUED],
            running=self.phases[Phase.LAUNCHING] + self.phases[Phase.RUNNING] + self.phases[Phase.REPORTING],
            next_due=self.due,
        )
