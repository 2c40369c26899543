"""Immediate jobs as readers look for them: by id, label, owner and state, at the cost of what is looked for.

The service thread alone changes it; readers copy an index in one step (CPython does) and need no lock. Numbers stand in
the order in which jobs came, in every index but those by state.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from chronos_py.model.immediate import PREFIX
from chronos_py.model.job import Pair
from chronos_py.model.run import Outcome, Phase, Run

ACTIVE = tuple(phase.value for phase in Phase if phase not in (Phase.ENDED, Phase.REPORTING))
ENDED = (*(o.value for o in Outcome if o not in (Outcome.MERGED, Outcome.PREEMPTED)),)
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
        self._states: dict[str, Index] = {state: {} for state in STATES}

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
        elif state_of(old) != state:
            self._states[state_of(old)].pop(run.id, None)
        self._states.setdefault(state, {})[run.id] = None

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
        self._states[state_of(run)].pop(number, None)

    def find(self, wanted: Wanted) -> tuple[int, list[Run]]:
        """Return how many jobs are wanted, and those of them that the page has."""
        numbers, whole = self._candidates(wanted)
        if not whole:
            numbers = [number for number in numbers if self._suits(number, wanted)]
        end = len(numbers) if wanted.before is None else bisect_left(numbers, wanted.before)
        page = numbers[max(0, end - wanted.limit) : end] if wanted.limit else []
        return len(numbers), [run for number in reversed(page) if (run := self._runs.get(number)) is not None]

    def _candidates(self, wanted: Wanted) -> tuple[Sequence[int], bool]:
        """Return the numbers, in order, among which all that are wanted are; and whether those are all wanted."""
        indexes: list[Iterable[Index]] = [(self._labels.get(pair, {}),) for pair in wanted.labels]
        if wanted.owner:
            indexes.append((self._owners.get(wanted.owner, {}),))
        if wanted.states:
            indexes.append([self._states.get(state, {}) for state in wanted.states])
        if not indexes:
            return list(self._runs), not wanted.name
        smallest = min(indexes, key=lambda parts: sum(map(len, parts)))
        numbers = sorted(number for part in smallest for number in list(part))
        return numbers, len(indexes) == 1 and not wanted.name

    def _suits(self, number: int, wanted: Wanted) -> bool:
        run = self._runs.get(number)
        if run is None or run.immediate is None:
            return False
        job = run.immediate.job
        return (
            (not wanted.states or state_of(run) in wanted.states)
            and (not wanted.owner or job.owner == wanted.owner)
            and (not wanted.name or job.name == PREFIX + wanted.name)
            and all(pair in job.labels for pair in wanted.labels)
        )


def _take_out(indexes: dict[Key, Index], key: Key, number: int) -> None:
    index = indexes.get(key)
    if index is not None:
        index.pop(number, None)
        if not index:
            del indexes[key]
