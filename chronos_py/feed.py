"""What changes, for those who follow it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any


class Subscription:
    """A bounded stream of changes for one reader; a slow reader misses the oldest and is told how many."""

    def __init__(self, close: Callable[[Subscription], None], limit: int = 1000) -> None:
        self._items: deque[tuple[str, dict[str, Any]]] = deque(maxlen=limit)
        self._filled = threading.Condition()
        self._close = close
        self.missed = 0

    def put(self, kind: str, detail: dict[str, Any]) -> None:
        with self._filled:
            if len(self._items) == self._items.maxlen:
                self.missed += 1
            self._items.append((kind, detail))
            self._filled.notify()

    def get(self, timeout: float) -> tuple[str, dict[str, Any]] | None:
        """Return the next change, None when none came within `timeout` seconds."""
        with self._filled:
            if not self._items:
                self._filled.wait(timeout)
            return self._items.popleft() if self._items else None

    def close(self) -> None:
        self._close(self)
