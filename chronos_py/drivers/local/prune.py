"""Removing old sandboxes: those that ended and were acknowledged, by age and by total size, oldest first."""

from __future__ import annotations

import os
import shutil
import threading
import time
from contextlib import suppress

import structlog

log = structlog.get_logger(__name__)

SHARD_EVERY_S = 2.0  # one of 256 shards at a time: a little work often
MOST_AT_ONCE = 200


class Pruner:
    """A thread of its own, for removing a big sandbox takes time."""

    def __init__(self, root: str, max_age_s: float, max_bytes: int) -> None:
        self._root = root
        self._max_age_s = max_age_s
        self._max_bytes = max_bytes
        self._sizes: dict[str, list[tuple[float, int, str]]] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="sandbox-pruner", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        shard = 0
        while not self._stopping.wait(SHARD_EVERY_S):
            try:
                self.prune(f"{shard:02x}", time.time())
            except Exception:
                log.exception("sandboxes could not be pruned")
            shard = (shard + 1) % 256

    def prune(self, shard: str, now: float) -> int:
        """Look through one shard; return how many sandboxes were removed."""
        ended = sorted(self._ended(shard))
        self._sizes[shard] = ended
        doomed = [entry for entry in ended if now - entry[0] > self._max_age_s][:MOST_AT_ONCE]
        over = sum(size for entries in self._sizes.values() for _, size, _ in entries) - self._max_bytes
        if over > 0:
            for entry in sorted(entry for entries in self._sizes.values() for entry in entries)[:MOST_AT_ONCE]:
                if over <= 0:
                    break
                doomed.append(entry)
                over -= entry[1]
        for entry in set(doomed):
            shutil.rmtree(entry[2], ignore_errors=True)
            for entries in self._sizes.values():
                with suppress(ValueError):
                    entries.remove(entry)
        return len(set(doomed))

    def _ended(self, shard: str) -> list[tuple[float, int, str]]:
        """Return (time of its end, bytes, path) of each sandbox that nobody needs to be told of any more."""
        found = []
        with suppress(FileNotFoundError), os.scandir(f"{self._root}/runs/{shard}") as folders:
            for folder in folders:
                if os.path.exists(f"{self._root}/live/{folder.name}"):
                    continue
                with suppress(OSError):
                    found.append((os.stat(f"{folder.path}/.task").st_mtime, _bytes(folder.path), folder.path))
        return found


def _bytes(path: str) -> int:
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return total
