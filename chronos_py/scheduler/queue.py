"""Runs that wait for a place: by priority and due time; in lines of equal needs.

A run's place in the order is `due - priority * ageing`: a level of priority is worth `ageing` milliseconds of waiting.
It does not change while time passes, so the order needs no upkeep, and nothing waits for ever: a run goes ahead of
every run that is n levels higher and due more than n * `ageing` later. Without ageing (0) priority alone decides, then
due time.

Runs with equal needs (a *shape*) stand in one line. When the first of a line fits nowhere, none of that line does, so
a placement round looks at each shape that is stuck once, however many runs wait behind it.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterator

from chronos_py.clock import Millis
from chronos_py.model.job import Constraint
from chronos_py.model.resources import Resources


class Shape:
    """What a run asks of an agent. Compared by value; the hash is made once, for a shape is looked up all the time.

    `among` is the job beside whose other runs it is placed, empty when they do not matter; `banned` are agents that it
    may not have; `quotas` those that it counts for.
    """

    __slots__ = ("_hash", "among", "banned", "constraints", "need", "quotas")

    def __init__(
        self,
        need: Resources,
        constraints: tuple[Constraint, ...] = (),
        among: str = "",
        banned: tuple[str, ...] = (),
        quotas: tuple[str, ...] = (),
    ) -> None:
        self.need = need
        self.constraints = constraints
        self.among = among
        self.banned = banned
        self.quotas = quotas
        self._hash = hash((need, constraints, among, banned, quotas))

    def without(self, banned: tuple[str, ...]) -> Shape:
        """Return the same shape, but for agents that it may not have."""
        return Shape(self.need, self.constraints, self.among, banned, self.quotas)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, Shape)
            and self._hash == other._hash
            and self.need == other.need
            and self.constraints == other.constraints
            and (self.among, self.banned, self.quotas) == (other.among, other.banned, other.quotas)
        )

    def __repr__(self) -> str:
        return f"Shape({self.need}, {list(self.constraints)})"


Key = tuple[int, int, Millis, int, int]  # rank (see `rank`), minus priority, due, run, number of the push


def rank(priority: int, due: Millis, ageing: Millis) -> int:
    """Return what orders waiting runs, the smallest first; of equal ones the higher priority, then the earlier due."""
    return due - priority * ageing if ageing else -priority


class RunQueue:
    """Waiting runs in order. Every operation costs the logarithm of a line's length, at most.

    A run that is removed stays in its line as an entry that no longer stands; a line of mostly such entries is
    rebuilt.
    """

    def __init__(self, ageing: Millis = 0) -> None:
        self.ageing = ageing
        self._lines: dict[Shape, list[Key]] = {}
        self._places: dict[int, tuple[Shape, Key]] = {}
        self._known: dict[Shape, Shape] = {}  # one object for equal shapes: then looking one up compares nothing
        self._standing: Counter[Shape] = Counter()
        self._levels: Counter[int] = Counter()
        self._pushes = 0

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, run: int) -> bool:
        return run in self._places

    @property
    def levels(self) -> dict[int, int]:
        """Return how many runs wait at each priority."""
        return {level: count for level, count in self._levels.items() if count}

    @property
    def shapes(self) -> list[Shape]:
        return list(self._lines)

    def head(self, shape: Shape) -> int:
        """Return the first run of a line. Raises KeyError."""
        return self._lines[shape][0][3]

    def waiting(self, shape: Shape) -> int:
        """Return how many runs stand in a line."""
        return self._standing[shape] if shape in self._lines else 0

    def push(self, run: int, shape: Shape, priority: int, due: Millis) -> None:
        """Add a run, or give it a new place."""
        self.remove(run)
        shape = self._known.setdefault(shape, shape)
        self._pushes += 1
        key = (rank(priority, due, self.ageing), -priority, due, run, self._pushes)
        self._places[run] = (shape, key)
        heapq.heappush(self._lines.setdefault(shape, []), key)
        self._standing[shape] += 1
        self._levels[priority] += 1

    def remove(self, run: int) -> None:
        """Take a run out; an absent one is no error."""
        place = self._places.pop(run, None)
        if place is None:
            return
        shape, key = place
        self._levels[-key[1]] -= 1
        self._standing[shape] -= 1
        line = self._lines[shape]
        if line[0] == key:
            heapq.heappop(line)
        self._tidy(shape, line)

    def _tidy(self, shape: Shape, line: list[Key]) -> None:
        """Drop entries that no longer stand from the head of a line, all of them when they are most of it."""
        if len(line) > 2 * self._standing[shape] + 100:
            line[:] = [key for key in line if self._stands(key)]
            heapq.heapify(line)
        while line and not self._stands(line[0]):
            heapq.heappop(line)
        if not line:
            del self._lines[shape], self._standing[shape], self._known[shape]

    def _stands(self, key: Key) -> bool:
        place = self._places.get(key[3])
        return place is not None and place[1] == key

    def shape_of(self, run: int) -> Shape:
        """Return the needs of a waiting run. Raises KeyError."""
        return self._places[run][0]

    def in_order(self, stuck: Collection[Shape], among: Collection[Shape] | None = None) -> Iterator[tuple[int, Shape]]:
        """Yield (run, shape), first in order first, of all lines or those of `among`. The consumer may put shapes into
        `stuck` meanwhile: their lines are left from then on. The queue must not be changed before the iterator is done
        with."""
        lines = [(shape, line.copy()) for shape, line in self._lines.items() if among is None or shape in among]
        heads = [(line[0], position) for position, (_, line) in enumerate(lines)]
        heapq.heapify(heads)
        while heads:
            key, position = heads[0]
            shape, line = lines[position]
            if shape in stuck:
                heapq.heappop(heads)
                continue
            if self._stands(key):
                yield key[3], shape
            heapq.heappop(line)
            if line:
                heapq.heapreplace(heads, (line[0], position))
            else:
                heapq.heappop(heads)
