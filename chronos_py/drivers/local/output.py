"""A task's stdout and stderr: read by offset, bounded in size.

Offsets count from the beginning of everything the task ever wrote. When a file outgrows its limit, its last part is
copied aside (one older part is kept) and it is emptied in place; the task goes on appending. What it writes between
copy and truncation is lost, as with any log rotation of a program that does not take part.

The task's user may put anything in place of these files, so nothing here follows a link.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from threading import Lock

from chronos_py.drivers.base import OutputChunk
from chronos_py.drivers.local.sandbox import Sandbox, replace

STREAMS = ("stdout", "stderr")
_BLOCK = 1024 * 1024
_rotating = Lock()  # readers see a stream before or after a rotation, never in it


def rotate(sandbox: Sandbox, limit: int) -> None:
    """Rotate what has outgrown `limit` bytes. Raises OSError."""
    for stream in STREAMS:
        path = f"{sandbox.path}/{stream}"
        try:
            if os.lstat(path).st_size > limit:
                with _rotating:
                    _rotate(sandbox, stream, path, limit)
        except FileNotFoundError:
            continue


def _rotate(sandbox: Sandbox, stream: str, path: str, limit: int) -> None:
    source = _open(path, os.O_RDWR)
    if source is None:
        return
    try:
        size = os.fstat(source).st_size
        older = f"{path}.1"
        with suppress(FileNotFoundError):
            os.unlink(older)
        owner = os.fstat(source)
        target = os.open(older, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            if os.geteuid() == 0:
                os.fchown(target, owner.st_uid, owner.st_gid)
            at = max(0, size - limit)
            while at < size and (block := os.pread(source, min(_BLOCK, size - at), at)):
                os.write(target, block)
                at += len(block)
        except OSError:
            os.ftruncate(target, 0)  # a full disk: the output's bound matters more than its older part
        finally:
            os.close(target)
        replace(f"{sandbox.path}/.{stream}.base", str(_base(sandbox, stream) + size).encode())
        os.ftruncate(source, 0)
    finally:
        os.close(source)


def read(sandbox: Sandbox, stream: str, offset: int, length: int, *, ended: bool) -> OutputChunk:
    """Read up to `length` bytes from `offset`; a negative one counts from the end. What was rotated away is skipped."""
    path = f"{sandbox.path}/{stream}"
    with _rotating:
        base = _base(sandbox, stream)
        present = _open(path, os.O_RDONLY)
        older = _open(f"{path}.1", os.O_RDONLY) if base else None
        try:
            size = base + _size(present)
            first = base - _size(older)
            if offset < 0:
                offset += size
            offset = max(0, first, min(offset, size))
            data = b""
            if older is not None and offset < base:
                data = os.pread(older, min(max(0, length), base - offset), offset - first)
            at = offset + len(data)
            if present is not None and at >= base and len(data) < length:
                data += os.pread(present, min(length - len(data), size - at), at - base)
        finally:
            for descriptor in (present, older):
                if descriptor is not None:
                    os.close(descriptor)
    return OutputChunk(data, offset, size, ended)


def _base(sandbox: Sandbox, stream: str) -> int:
    """Return how many bytes were rotated away from the present file."""
    descriptor = _open(f"{sandbox.path}/.{stream}.base", os.O_RDONLY)
    if descriptor is None:
        return 0
    try:
        return max(0, int(os.read(descriptor, 32)))
    except ValueError:
        return 0
    finally:
        os.close(descriptor)


def _open(path: str, flags: int) -> int | None:
    """Open a regular file that is no link; None for all else."""
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    state = os.fstat(descriptor)
    if stat.S_ISREG(state.st_mode) and state.st_nlink == 1:
        return descriptor
    os.close(descriptor)
    return None


def _size(descriptor: int | None) -> int:
    return 0 if descriptor is None else os.fstat(descriptor).st_size
