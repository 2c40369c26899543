"""From jobs to an engine in virtual time: an export of Chronos, or what a running server knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from chronos_py.clock import Millis
from chronos_py.errors import InvalidInput
from chronos_py.model.job import Job, JobState
from chronos_py.model.run import Run
from chronos_py.scheduler.book import Book
from chronos_py.scheduler.engine import Engine
from chronos_py.scheduler.offers import OfferLoop
from chronos_py.scheduler.policy import Policy
from chronos_py.scheduler.queue import Shape
from chronos_py.scheduler.schedule import check_schedule, parse_schedule
from chronos_py.scheduler.watchdogs import Watchdogs


class Unwatched(Watchdogs):
    """Virtual clusters always answer, so nobody need look every second."""

    def watch(self, book: Book, loop: OfferLoop, waiting: Sequence[Shape], now: Millis, *, ready: bool) -> None:
        """Do nothing."""


def engine_of(
    policy: Policy, jobs: Mapping[str, Job], states: Mapping[str, JobState], runs: Mapping[int, Run], now: Millis
) -> Engine:
    """Return an engine that has taken over some jobs with their states, and runs under way."""
    engine = Engine(policy)
    engine.watchdogs = Unwatched()
    numbers = [*runs, *(state.version for state in states.values())]
    sequences = (state.sequence for state in states.values())
    counters = {"run": 1 + max(numbers, default=0), "record": 1, "job": 1 + max(sequences, default=0), "id_floor": 0}
    engine.load(jobs, states, runs, {"counters": counters}, {}, now)
    return engine


def states_at(jobs: Iterable[Job], policy: Policy, start: Millis) -> dict[str, JobState]:
    """Return the states in which jobs begin: due times before `start` have been. Raises InvalidInput for a schedule
    that cannot be used."""
    states = {}
    for number, job in enumerate(jobs, 1):
        remaining, index = None, 0
        if job.schedule is not None:
            try:
                schedule = parse_schedule(
                    job.schedule, job.schedule_zone, default_zone=policy.default_zone, strict_zone=False
                )
                check_schedule(schedule, start)
                occurrences = schedule.anchored(start)
            except ValueError as error:
                raise InvalidInput("schedule", job.schedule, f"of job {job.name!r} cannot be used: {error}") from None
            index = occurrences.last_due(start - 1) + 1
            remaining = None if schedule.count is None else max(0, schedule.count - index)
        states[job.name] = JobState(
            sequence=number, version=number, anchor=start, next_index=index, remaining=remaining, advanced=index > 0
        )
    return states
