"""Immediate jobs as readers look for them: by id, label, owner and state, at the cost of what is looked for.

The service thread alone changes it; readers copy an index in one step (CPython does) and need no lock. Numbers stand in
the order in which jobs came, in every index but those by state.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TypeVar

from chronos_py.model.immediate import PREFIX
from chronos_py.model.job import Pair
from chronos_py.model.run import Outcome, Phase, Run

ACTIVE = ("queued", "retrying", "launching", "running")
ENDED = ("success", "failed", "timed_out", "lost", "killed", "skipped")
STATES = (*ACTIVE, *ENDED)
Index = dict[int, None]
Key = TypeVar("Key")


def state_of(run: Run) -> str:
    """Return how far an immediate job has come, or how it ended."""
    return run.ended.outcome.value if run.ended is not None else run.phase.value


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which immediate jobs to list, newest first; empty: all. A job must have all `labels`, one of `states`."""

    labels: tuple[Pair, ...] = ()
    states: tuple[str, ...] = ()
    owner: str = ""
    name: str = ""
    before: int | None = None  # runs with a lower number only: the next page
    limit: int = 100


class Register:
    """All immediate jobs that are known, ended ones included."""

    def __init__(self) -> None:
        self._runs: dict[int, Run] = {}
        self._ids: dict[str, int] = {}
        self._labels: dict[Pair, Index] = {}
        self._owners: dict[str, Index] = {}
        self._names: dict[str, Index] = {}
        self._states: dict[str, Index] = {state.value: {} for state in (*Phase, *Outcome)}

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def counts(self) -> dict[str, int]:
        """Return how many there are in each state that there is any in."""
        return {state: len(index) for state, index in self._states.items() if index}

    def get(self, name: str) -> Run | None:
        """Return the run that an immediate job is, by the client's id."""
        number = self._ids.get(name)
        return None if number is None else self._runs.get(number)

    def put(self, run: Run) -> None:
        """Add a job, or note how far it has come; one that is deleted and has yet to end is left out."""
        if run.immediate is None:
            return
        if run.killing == "deleted":
            self.remove(run.id)
            return
        old, state = self._runs.get(run.id), state_of(run)
        self._runs[run.id] = run
        if old is None:
            self._ids[run.immediate.id] = run.id
            for pair in run.immediate.job.labels:
                self._labels.setdefault(pair, {})[run.id] = None
            if run.immediate.job.owner:
                self._owners.setdefault(run.immediate.job.owner, {})[run.id] = None
            self._names.setdefault(run.immediate.job.name, {})[run.id] = None
        self._states[state][run.id] = None  # before it leaves the other, so that no reader finds it nowhere
        if old is not None and state_of(old) != state:
            self._states[state_of(old)].pop(run.id, None)

    def remove(self, number: int) -> None:
        """Forget a job; an unknown one is no error."""
        run = self._runs.pop(number, None)
        if run is None or run.immediate is None:
            return
        if self._ids.get(run.immediate.id) == number:
            del self._ids[run.immediate.id]
        for pair in run.immediate.job.labels:
            _take_out(self._labels, pair, number)
        _take_out(self._owners, run.immediate.job.owner, number)
        _take_out(self._names, run.immediate.job.name, number)
        self._states[state_of(run)].pop(number, None)

    def find(self, wanted: Wanted) -> tuple[int, list[Run]]:
        """Return how many jobs are wanted, and those of them that the page has."""
        numbers = self._numbers(wanted)
        end = len(numbers) if wanted.before is None else bisect_left(numbers, wanted.before)
        page = numbers[max(0, end - wanted.limit) : end] if wanted.limit else []
        return len(numbers), [run for number in reversed(page) if (run := self._runs.get(number)) is not None]

    def _numbers(self, wanted: Wanted) -> list[int]:
        """Return the numbers of all jobs that are wanted, lowest first: those of the smallest index that are in each
        other one."""
        groups: list[list[Index]] = [[self._labels.get(pair, {})] for pair in wanted.labels]
        if wanted.owner:
            groups.append([self._owners.get(wanted.owner, {})])
        if wanted.name:
            groups.append([self._names.get(PREFIX + wanted.name, {})])
        if wanted.states:
            groups.append([self._states[state] for state in wanted.states])
        if not groups:
            return list(self._runs)
        groups.sort(key=lambda indexes: sum(map(len, indexes)))
        numbers = sorted({number for index in groups[0] for number in list(index)})
        for indexes in groups[1:]:
            numbers = [number for number in numbers if any(number in index for index in indexes)]
        return numbers


def _take_out(indexes: dict[Key, Index], key: Key, number: int) -> None:
    index = indexes.get(key)
    if index is not None:
        index.pop(number, None)
        if not index:
            del indexes[key]
