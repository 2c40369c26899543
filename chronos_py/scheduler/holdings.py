"""What running tasks hold, as far as it matters to others: where a job's runs are, who may be preempted, quotas in use.

Kept up to date run by run, so that nobody has to look through all of them. Worked out again from the runs when the book
is read from the store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from chronos_py.model.resources import Resources
from chronos_py.model.run import Run
from chronos_py.scheduler.queue import Shape

NONE: Mapping[str, int] = {}


@dataclass(slots=True)
class Use:
    """What the runs of one quota hold."""

    held: Resources = field(default_factory=Resources)
    running: int = 0


@dataclass(frozen=True, slots=True)
class _Held:
    job: str
    agent: str
    spots: tuple[tuple[str, str], ...]
    need: Resources
    quotas: tuple[str, ...]
    preemptible: bool
    priority: int


class Holdings:
    """Owned by the book. `use` is by quota, `preemptible` the runs that may be stopped, by agent; `levels` counts those
    by priority."""

    def __init__(self) -> None:
        self.use: dict[str, Use] = {}
        self.preemptible: dict[str, set[int]] = {}
        self.levels: dict[int, int] = {}
        self._held: dict[int, _Held] = {}
        self._spots: dict[tuple[str, str], Counter[str]] = {}  # by job and attribute: runs by value

    def __contains__(self, run: int) -> bool:
        return run in self._held

    def need_of(self, run: int) -> Resources:
        """Return what a run holds. Raises KeyError."""
        return self._held[run].need

    def spots(self, job: str, attribute: str) -> Mapping[str, int]:
        """Return at which values of an attribute how many of a job's runs are."""
        return self._spots.get((job, attribute), NONE)

    def take(self, run: Run, shape: Shape, *, preemptible: bool) -> None:
        """Note what a run holds that is on an agent now."""
        if run.id in self._held or not (run.spots or shape.quotas or preemptible):
            return
        held = _Held(run.job, run.agent_id, run.spots, shape.need, shape.quotas, preemptible, run.priority)
        self._held[run.id] = held
        for attribute, value in held.spots:
            self._spots.setdefault((held.job, attribute), Counter())[value] += 1
        for name in held.quotas:
            use = self.use.setdefault(name, Use())
            use.held, use.running = use.held + held.need, use.running + 1
        if preemptible:
            self.preemptible.setdefault(held.agent, set()).add(run.id)
            self.levels[held.priority] = self.levels.get(held.priority, 0) + 1

    def release(self, run: int) -> bool:
        """Note that a run holds nothing any more; tell whether that may matter to those that wait."""
        held = self._held.pop(run, None)
        if held is None:
            return False
        for attribute, value in held.spots:
            counts = self._spots[held.job, attribute]
            counts[value] -= 1
            if counts[value] <= 0:
                del counts[value]
            if not counts:
                del self._spots[held.job, attribute]
        for name in held.quotas:
            use = self.use[name]
            use.held, use.running = use.held - held.need, use.running - 1
        if held.preemptible:
            there = self.preemptible[held.agent]
            there.discard(run)
            if not there:
                del self.preemptible[held.agent]
            self.levels[held.priority] -= 1
            if not self.levels[held.priority]:
                del self.levels[held.priority]
        return bool(held.spots or held.quotas)

    def copy_use(self, names: Iterable[str]) -> dict[str, Use]:
        """Return what quotas hold now, for a round that adds to it."""
        return {name: Use(use.held, use.running) for name in names for use in (self.use.get(name, Use()),)}
