"""Folders of tasks: made once for each id, and removed some time after the task's end.

An agent cleans up after an executor has ended; one that lives on has to do it itself.
"""

from __future__ import annotations

import os
import time
from collections import deque

from chronos_py.executor.runtime.names import FOLDER, folder_name

_BATCH = 100  # folders that are removed together


class Folders:
    """`keep` ended tasks' folders stay, for `keep_time` seconds (0: no limit)."""

    def __init__(self, sandbox: str, keep: int, keep_time: float) -> None:
        self._root = os.path.join(sandbox, FOLDER)
        self._keep, self._keep_time = keep, keep_time
        self._ended: deque[tuple[float, str]] = deque()
        os.makedirs(self._root, exist_ok=True)

    def make(self, task_id: str) -> str:
        """Make a task's folder. Raises FileExistsError when this task was here before, so that none runs twice."""
        path = os.path.join(self._root, folder_name(task_id))
        os.mkdir(path)
        return path

    def ended(self, path: str) -> bool:
        """Take note of a task's end; tell whether so many folders are due that they should not wait."""
        self._ended.append((time.monotonic(), path))
        return len(self._ended) >= self._keep + _BATCH

    def due(self) -> list[str]:
        """Return folders to be removed now, at most _BATCH; each is told once."""
        found: list[str] = []
        oldest = time.monotonic() - self._keep_time if self._keep_time else float("-inf")
        while self._ended and len(found) < _BATCH and (len(self._ended) > self._keep or self._ended[0][0] < oldest):
            found.append(self._ended.popleft()[1])
        return found
