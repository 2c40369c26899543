"""From what the store holds to an engine, whatever is in it; and what is set aside because it cannot be handled."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from chronos_py.clock import Clock
from chronos_py.persistence.base import Quarantined, Snapshot
from chronos_py.scheduler.book import Aside, Policy
from chronos_py.scheduler.engine import Engine, valid_counters

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
                engine.load(snapshot.jobs, snapshot.states, snapshot.runs, snapshot.meta, snapshot.outbox, now)
            except Exception as error:
                self.set_aside(engine, snapshot, error)
            else:
                return engine


@contextmanager
def no_collection() -> Iterator[None]:
    """Hold garbage collection while a great many objects are made that all stay, and leave those out of it after."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
