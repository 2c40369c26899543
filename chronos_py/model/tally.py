"""Sums over runs that have not ended, kept while they change: so that whoever asks every second costs nothing.

Changed by one thread; any other may read, and sees each sum as it was at some moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from heapq import heapify, heappop, heappush
from operator import add, sub

from chronos_py.clock import Millis
from chronos_py.model.capacity import ZERO, Parts
from chronos_py.model.run import Phase, Run

Need = Callable[[Run], Parts]  # what a run takes
_WAITING = frozenset({Phase.QUEUED, Phase.RETRYING})


class _Level:
    """The runs of one priority that wait; the oldest of them is first in the heap, which may hold others too."""

    __slots__ = ("heap", "members")

    def __init__(self) -> None:
        self.heap: list[tuple[Millis, int]] = []
        self.members: set[int] = set()

    def tidy(self) -> None:
        while self.heap and self.heap[0][1] not in self.members:
            heappop(self.heap)
        if len(self.heap) > 2 * len(self.members) + 100:
            self.heap = [entry for entry in self.heap if entry[1] in self.members]
            heapify(self.heap)


class Tally:
    """What tasks have of each agent, how many there are, and what waits by priority.

    A run's need is what its job said when the run came to its agent.
    """

    def __init__(self, runs: Iterable[Run] = (), need: Need = lambda _: ZERO) -> None:
        self.by_agent: dict[str, Parts] = {}
        self._on: dict[int, tuple[str, Parts]] = {}
        self._waits: dict[int, int] = {}  # priorities, by run
        self._levels: dict[int, _Level] = {}
        for run in runs:
            self.put(run, need)

    @property
    def running(self) -> int:
        return len(self._on)

    def put(self, run: Run, need: Need) -> None:
        """Take in a run that is new, or has changed."""
        number = run.id
        on = self._on.get(number)
        if run.on_agent:
            if on is None or on[0] != run.agent_id:
                self._leave(number)
                amount = need(run) if on is None else on[1]
                self._on[number] = (run.agent_id, amount)
                known = self.by_agent.get(run.agent_id)
                self.by_agent[run.agent_id] = amount if known is None else tuple(map(add, known, amount))
        elif on is not None:
            self._leave(number)
        level = run.priority if run.phase in _WAITING else None
        if self._waits.get(number) != level:
            self._stop_waiting(number)
            if level is not None:
                self._waits[number] = level
                there = self._levels.setdefault(level, _Level())
                there.members.add(number)
                heappush(there.heap, (run.due, number))

    def drop(self, number: int) -> None:
        """Forget a run that has ended."""
        self._leave(number)
        self._stop_waiting(number)

    def _leave(self, number: int) -> None:
        agent, amount = self._on.pop(number, ("", None))
        if amount is not None:
            rest = tuple(map(sub, self.by_agent.get(agent, ZERO), amount))
            if any(rest):
                self.by_agent[agent] = rest
            else:
                self.by_agent.pop(agent, None)  # absent when nothing there needs anything

    def _stop_waiting(self, number: int) -> None:
        level = self._waits.pop(number, None)
        if level is not None:
            there = self._levels[level]
            there.members.discard(number)
            if there.members:
                there.tidy()
            else:
                del self._levels[level]

    def waiting(self) -> Mapping[int, tuple[int, Millis, int]]:
        """Return how many wait, and the oldest's due time and number, by priority; the highest first."""
        found = {}
        for level, there in sorted(self._levels.copy().items(), reverse=True):
            heap, count = there.heap, len(there.members)
            if heap and count:
                found[level] = (count, *heap[0])
        return found
