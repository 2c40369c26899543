"""Who changed, ran and killed what: a line of JSON each in a file, and the newest of them for /api/audit."""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from pathlib import Path
from typing import Any

import structlog

log = structlog.get_logger(__name__)

NEWEST = 1000
LARGEST_BYTES = 16 * 1024 * 1024  # of the file; as much again is kept of what is older
TAIL_BYTES = 512 * 1024


class AuditLog:
    """Appends entries. A file that cannot be written is told of in the log and does not stop anybody."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._newest: deque[dict[str, Any]] = deque(_tail(path) if path is not None else (), maxlen=NEWEST)
        self._problem = False

    def note(self, entry: dict[str, Any]) -> None:
        """Keep an entry."""
        with self._lock:
            self._newest.append(entry)
            if self._path is not None:
                self._write(self._path, json.dumps(entry, ensure_ascii=False) + "\n")

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """Return entries, the newest first."""
        with self._lock:
            return list(self._newest)[::-1][:limit]

    def _write(self, path: Path, line: str) -> None:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, line.encode("utf-8", "replace"))
                size = os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
            if size > LARGEST_BYTES:
                os.replace(path, path.with_name(path.name + ".1"))
            self._problem = False
        except OSError as error:
            if not self._problem:
                log.error("the audit log cannot be written", file=str(path), reason=str(error))
            self._problem = True


def _tail(path: Path) -> list[dict[str, Any]]:
    """Return the last entries of an earlier process; lines that are damaged do not count."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            lines = file.read(TAIL_BYTES).splitlines()
    except OSError:
        return []
    entries = []
    for line in lines[-NEWEST:]:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            entries.append(entry)
    return entries
