"""When to look at a job or a run again: a heap of times."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from chronos_py.clock import Millis


class Timers:
    """When to look at a job or a run again. A timer is a hint: whoever is woken checks what is really due."""

    def __init__(self) -> None:
        self._heap: list[tuple[Millis, int, str | int]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, at: Millis, key: str | int) -> None:
        """Wake `key` (a job's name or a run's number) at or soon after `at`."""
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, key))

    @property
    def next(self) -> Millis | None:
        return self._heap[0][0] if self._heap else None

    def look(self, until: Millis, limit: int) -> tuple[list[tuple[Millis, str | int]], Millis | None]:
        """Return up to `limit` timers that go off by `until`, in order, and when the next one after them does."""
        heap = self._heap
        found: list[tuple[Millis, str | int]] = []
        front = [(heap[0][0], 0)] if heap else []
        while front:
            at, position = front[0]
            if at > until or len(found) == limit:
                return found, at
            heapq.heappop(front)
            found.append((at, heap[position][2]))
            for child in (2 * position + 1, 2 * position + 2):
                if child < len(heap):
                    heapq.heappush(front, (heap[child][0], child))
        return found, None

    def pop(self, now: Millis) -> str | int | None:
        """Return a key whose time has come, or None."""
        return heapq.heappop(self._heap)[2] if self._heap and self._heap[0][0] <= now else None

    def rebuild(self, timers: Mapping[str | int, Millis]) -> None:
        """Replace all timers: gets rid of those that nobody needs any more."""
        self._heap = [(at, position, key) for position, (key, at) in enumerate(timers.items())]
        self._count = len(self._heap)
        heapq.heapify(self._heap)
