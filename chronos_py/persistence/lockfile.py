"""One process at a time, by a lock that the system takes back when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from chronos_py.errors import StoreUnavailable


class LockFile:
    """Holds an exclusive flock on a file that names the holder's process id.

    The file stays when the lock is released: removing it would let two processes lock two files of one name. Programs
    that this process starts do not inherit the lock; a fork that goes on as Python does.
    """

    def __init__(self, path: Path) -> None:
        """Take the lock. Raises StoreUnavailable, naming the process that has it."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreUnavailable(f"{path}: cannot be opened: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 32, 0).decode("ascii", "replace").strip() or "that is just starting"
            os.close(self._file)
            raise StoreUnavailable(
                f"{path.parent} is in use by process {holder}: only one server at a time may use a data directory"
            ) from None
        except OSError as error:
            os.close(self._file)
            raise StoreUnavailable(f"{path}: cannot be locked: {error.strerror}") from None
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        except OSError:  # the disk is full: the lock is what counts
            pass

    def release(self) -> None:
        """Give the lock back; a second time does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
