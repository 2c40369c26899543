"""From what the store holds to an engine, whatever is in it; and what is set aside because it cannot be handled."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import tzinfo
from functools import lru_cache

import structlog

from chronos_py.clock import Clock, Millis
from chronos_py.model.job import Job, JobState
from chronos_py.persistence.base import Quarantined, Snapshot
from chronos_py.scheduler.book import Aside
from chronos_py.scheduler.engine import Engine, valid_counters
from chronos_py.scheduler.policy import Policy
from chronos_py.scheduler.schedule import Occurrences, parse_schedule

log = structlog.get_logger(__name__)

SHOWN = 20  # jobs and runs set aside that /health names
MOST = 10_000  # more of them mean that something else is wrong


class Loader:
    """Makes engines. `aside` outlives them: the jobs by name, and runs by number, that they could not handle."""

    def __init__(self, policy: Policy, clock: Clock) -> None:
        self.aside: dict[str | int, Aside] = {}
        self._now: set[str | int] = set()  # set aside in the turn under way
        self._policy = policy
        self._clock = clock

    @property
    def shown(self) -> dict[str, str]:
        """Return the first of those set aside, with the reasons. Safe to call from any thread."""
        return {str(key): aside.reason for key, aside in list(self.aside.items())[:SHOWN]}

    def begin(self) -> None:
        """Note that a new turn begins."""
        self._now.clear()

    def set_aside(self, engine: Engine, snapshot: Snapshot | None, error: Exception) -> None:
        """Leave alone what the engine was at work on when it raised, so that all others go on.

        Raises the error again when that is nobody's, or was left alone in this turn already.
        """
        key = engine.at_work
        if key is None or key in self._now or len(self.aside) >= MOST:
            raise error
        run = None
        if isinstance(key, int):
            run = engine.book.runs.get(key) or (snapshot.runs.get(key) if snapshot else None)
        log.error("set aside: could not be handled, until its job is changed", key=key, exc_info=error)
        self._now.add(key)
        job = run.job if run else str(key)
        self.aside[key] = Aside(job, f"{type(error).__name__}: {error}"[:500], self._clock.now())

    def engine(self, snapshot: Snapshot) -> Engine:
        """Return an engine that has taken over what the store holds; what it cannot take over is set aside."""
        if "counters" in snapshot.meta and not valid_counters(snapshot.meta):
            text = f"are not whole numbers: {str(snapshot.meta['counters'])[:200]}"
            snapshot.quarantined.append(Quarantined("meta", "counters", text))
            log.error("a stored record cannot be used", kind="meta", key="counters", reason=text)
        while True:
            engine = Engine(self._policy)
            engine.book.aside, engine.book.aside_now = self.aside, self._now
            now = self._clock.now()
            try:
                engine.load(
                    snapshot.jobs, snapshot.states, snapshot.runs, snapshot.meta, snapshot.outbox, now, snapshot.pending
                )  # fmt: skip
            except Exception as error:
                self.set_aside(engine, snapshot, error)
            else:
                _count(engine, snapshot)
                return engine


def _count(engine: Engine, snapshot: Snapshot) -> None:
    """Give jobs whose schedule starts anew the counters of their documents."""
    for name, counters in snapshot.counters.items():
        entry = engine.book.jobs.get(name)
        if entry is not None and name not in snapshot.states:
            changed = {field.name: getattr(counters, field.name) for field in fields(counters)}
            engine.book.put_state(entry, replace(entry.state, **changed))


def schedule_text(default_zone: tzinfo) -> Callable[[Job, JobState], str | None]:
    """Return what says how much is left of a job's schedule, as Chronos keeps it in the job's document: as sent until
    the first run was made, and where it cannot be used."""

    @lru_cache(maxsize=20_000)
    def occurrences(schedule: str, zone: str, anchor: Millis) -> Occurrences | None:
        try:
            parsed = parse_schedule(schedule, zone, default_zone=default_zone, strict_zone=False)
            return parsed.anchored(anchor)
        except ValueError:
            return None

    def text(job: Job, state: JobState) -> str | None:
        if job.schedule is None or not state.advanced:
            return job.schedule
        found = occurrences(job.schedule, job.schedule_zone, state.anchor)
        return job.schedule if found is None else found.text(state.remaining, state.next_index)

    return text


@contextmanager
def no_collection() -> Iterator[None]:
    """Hold garbage collection while a great many objects are made that all stay, and leave those out of it after."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
