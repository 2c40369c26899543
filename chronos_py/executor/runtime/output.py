"""Bounds the output of tasks: what has outgrown its limit is copied aside (one older part is kept) and emptied.

What a task writes between copy and truncation is lost, as with any log rotation of a program that takes no part.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

STREAMS = ("stdout", "stderr")
_BLOCK = 1024 * 1024


def bound(folder: str, limit: int) -> None:
    """Rotate the streams in a task's folder that are larger than `limit` bytes. Raises OSError."""
    for stream in STREAMS:
        path = f"{folder}/{stream}"
        with suppress(FileNotFoundError):
            if os.lstat(path).st_size > limit:
                _rotate(path, limit)


def _rotate(path: str, limit: int) -> None:
    # The task may have put anything in the place of its output: no link is followed, nothing that blocks is opened.
    source = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        state = os.fstat(source)
        if not stat.S_ISREG(state.st_mode) or state.st_nlink != 1:
            return
        with suppress(FileNotFoundError):
            os.unlink(f"{path}.1")
        try:
            target = os.open(f"{path}.1", os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            try:
                at = max(0, state.st_size - limit)
                while at < state.st_size and (block := os.pread(source, min(_BLOCK, state.st_size - at), at)):
                    os.write(target, block)
                    at += len(block)
            finally:
                os.close(target)
        finally:  # a full disk: the bound matters more than the older part
            os.ftruncate(source, 0)
    finally:
        os.close(source)
