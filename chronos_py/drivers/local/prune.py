"""Removing sandboxes of tasks whose end was acknowledged: by age and by total size, the oldest first."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import deque
from contextlib import suppress

import structlog

from chronos_py.drivers.local.sandbox import Sandbox

log = structlog.get_logger(__name__)

PAUSE_S = 30.0
AT_ONCE = 500  # then others get their turn


class Pruner:
    """A thread of its own, for removing a big sandbox takes time. It reads the folders once and is told of the rest."""

    def __init__(self, root: str, max_age_s: float, max_bytes: int) -> None:
        self._root = root
        self._max_age_s = max_age_s
        self._max_bytes = max_bytes
        self._told: deque[str] = deque()
        self._kept: deque[tuple[float, int, str]] = deque()  # when it ended, bytes, name; oldest first
        self._known: set[str] = set()
        self.total = 0
        self._stopping = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="sandbox-pruner", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def add(self, name: str) -> None:
        """Take note of a task that was acknowledged; from any thread."""
        self._told.append(name)

    def _run(self) -> None:
        try:
            self.load()
        except Exception:
            log.exception("old sandboxes could not be listed")
        while not self._stopping.wait(PAUSE_S):
            try:
                while self.step(time.time()) == AT_ONCE and not self._stopping.wait(0.1):
                    pass
            except Exception:
                log.exception("sandboxes could not be pruned")

    def load(self) -> None:
        """Find what ended before. A folder that never had a task, made for a question, counts from its making."""
        found = []
        for shard in _names(f"{self._root}/runs"):
            for name in _names(f"{self._root}/runs/{shard}"):
                sandbox = Sandbox(self._root, name)
                if not sandbox.is_live():
                    found.append(self._measured(sandbox))
            if self._stopping.wait(0.001):
                return
        for entry in sorted(found):
            self._keep(entry)

    def _keep(self, entry: tuple[float, int, str]) -> None:
        if entry[2] not in self._known:  # one that ended during `load` is both found and told
            self._known.add(entry[2])
            self._kept.append(entry)
            self.total += entry[1]

    def step(self, now: float) -> int:
        """Remove what is too old or too much, at most AT_ONCE; return how many were removed."""
        for _ in range(len(self._told)):
            self._keep(self._measured(Sandbox(self._root, self._told.popleft())))
        removed = 0
        while self._kept and removed < AT_ONCE:
            at, size, name = self._kept[0]
            if now - at <= self._max_age_s and self.total <= self._max_bytes:
                break
            self._kept.popleft()
            self._known.discard(name)
            self.total -= size
            self._remove(Sandbox(self._root, name))
            removed += 1
        return removed

    @staticmethod
    def _measured(sandbox: Sandbox) -> tuple[float, int, str]:
        for path in (sandbox.done, sandbox.path):
            with suppress(OSError):
                return os.stat(path).st_mtime, _bytes(sandbox.path), sandbox.name
        return 0.0, 0, sandbox.name

    @staticmethod
    def _remove(sandbox: Sandbox) -> None:
        """The sandbox goes first: as long as there are control files, it is known what the task was."""
        for path in (sandbox.path, sandbox.done):
            shutil.rmtree(path, ignore_errors=True)
            with suppress(OSError):
                os.unlink(path)
            if os.path.lexists(path):
                log.warning("a sandbox could not be removed", path=path)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _bytes(path: str) -> int:
    """Return what a folder takes on disk; no link is followed."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return total
