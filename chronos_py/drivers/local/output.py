"""A task's stdout and stderr: read by offset, bounded in size.

Offsets count from the beginning of everything the task ever wrote. When a file outgrows its limit it is copied aside
(one older part is kept) and emptied in place; the task goes on appending. What it writes between copy and truncation is
lost, as with any log rotation of a program that does not take part.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from chronos_py.drivers.local.sandbox import Sandbox
from chronos_py.errors import UnknownTask

STREAMS = ("stdout", "stderr")


@dataclass(frozen=True, slots=True)
class OutputChunk:
    """Part of an output: `offset` is where `data` begins, `size` where the output ends now; `ended`: for good."""

    data: bytes
    offset: int
    size: int
    ended: bool


def _base_file(path: str, stream: str) -> Path:
    return Path(path, f".{stream}.base")


def _base(path: str, stream: str) -> int:
    """Return how many bytes were rotated away from the present file."""
    try:
        return int(_base_file(path, stream).read_text())
    except (OSError, ValueError):
        return 0


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def rotate(path: str, limit: int) -> None:
    """Rotate the outputs of a sandbox that have outgrown `limit` bytes."""
    for stream in STREAMS:
        file = f"{path}/{stream}"
        if _size(file) > limit:
            shutil.copyfile(file, f"{file}.1")
            moved = _size(f"{file}.1")
            os.truncate(file, 0)
            _base_file(path, stream).write_text(str(_base(path, stream) + moved))


def read(sandbox: Sandbox, stream: str, offset: int, length: int, *, ended: bool) -> OutputChunk:
    """Read up to `length` bytes from `offset`; a negative one counts from the end. Raises UnknownTask."""
    if not sandbox.exists():
        raise UnknownTask(sandbox.task_id)
    base, file = _base(sandbox.path, stream), f"{sandbox.path}/{stream}"
    older = _size(f"{file}.1") if base else 0
    size = base + _size(file)
    if offset < 0:
        offset = size + offset
    offset = max(base - older, min(offset, size))
    data = b""
    if offset < base:
        data = _part(f"{file}.1", offset - (base - older), min(length, base - offset))
    if len(data) < length and offset + len(data) >= base:
        data += _part(file, offset + len(data) - base, length - len(data))
    return OutputChunk(data, offset, size, ended)


def _part(path: str, offset: int, length: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(length)
    except OSError:
        return b""
