"""Processes and sessions: watching a task's shim, finding and stopping all of a task."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable
from contextlib import suppress
from threading import Lock

from chronos_py.drivers.local.shim import NAME, WORDS

_SHIM_SANDBOX = len(WORDS)  # where in a shim's argument vector its sandbox stands


def shim_of(pid: int) -> str | None:
    """Return the sandbox whose shim this process is; None for any other, for one that ended, and for no process.

    That identifies it better than its start time would: it needs nothing from the time of its start, and also tells
    a process of another boot.
    """
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(65536).split(b"\0")
    except OSError:
        return None
    if len(words) > _SHIM_SANDBOX and words[_SHIM_SANDBOX - 1] == NAME.encode():
        return os.fsdecode(words[_SHIM_SANDBOX])
    return None


def all_shims() -> dict[str, int]:
    """Return the process ids of all shims of this machine, by their sandboxes."""
    found = {}
    for pid in _all():
        sandbox = shim_of(pid)
        if sandbox is not None:
            found[sandbox] = pid
    return found


def _all() -> Iterable[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def sessions(wanted: Iterable[int]) -> dict[int, list[int]]:
    """Return the living processes of these sessions, their leaders included: one look at all processes for all."""
    found: dict[int, list[int]] = {session: [] for session in wanted}
    if not found:
        return found
    for pid in _all():
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        members = found.get(int(fields[3]))
        if members is not None and fields[0] not in (b"Z", b"X"):
            members.append(pid)
    return found


def belongs(pid: int, sandbox: str) -> bool:
    """Tell whether a process has a task's sandbox in its environment: no other reason is good enough to kill one whose
    session's leader we did not see ending."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return b"MESOS_SANDBOX=" + os.fsencode(sandbox) in file.read().split(b"\0")
    except OSError:
        return False


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Signal processes, the older first: a shell whose child ended before it was told would begin its next command."""
    for pid in sorted(pids):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def signal_group(group: int, number: signal.Signals) -> None:
    """Signal a process group; it must have a leader that was not reaped yet, or the number may be someone else's."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


class Watch:
    """Tells when processes end: children of ours and those of a server before us alike.

    Uses a pidfd for each; where there are none left, or none at all, `overdue` looks at the rest.
    """

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll.register(self._bell, select.EPOLLIN)
        self._pids: dict[int, int] = {}  # by pidfd
        self._unwatched: dict[int, str] = {}  # sandbox by pid
        self._closing = Lock()
        self._closed = False

    def ring(self) -> None:
        """Wake the thread that waits; from any thread. Once closed, the bell's number may be another file's."""
        with self._closing, suppress(BlockingIOError):
            if not self._closed:
                os.eventfd_write(self._bell, 1)

    def add(self, pid: int, sandbox: str, *, child: bool) -> None:
        """Watch a shim; when it is no child of ours its number may be another process's by now."""
        try:
            descriptor = os.pidfd_open(pid)
        except (OSError, AttributeError):  # gone already, no descriptor left, no such call
            self._unwatched[pid] = sandbox
            return
        try:
            if not child and shim_of(pid) != sandbox:
                raise ProcessLookupError
            self._poll.register(descriptor, select.EPOLLIN)
        except OSError:
            os.close(descriptor)
            self._unwatched[pid] = sandbox
        else:
            self._pids[descriptor] = pid

    def wait(self, seconds: float) -> list[int]:
        """Return the processes that ended, after at most `seconds`; earlier when the bell rings."""
        ended = []
        for descriptor, _ in self._poll.poll(seconds, 1024):
            if descriptor == self._bell:
                with suppress(BlockingIOError):
                    os.eventfd_read(self._bell)
            else:
                ended.append(self._pids.pop(descriptor))
                self._poll.unregister(descriptor)
                os.close(descriptor)
        return ended

    @property
    def must_look(self) -> bool:
        return bool(self._unwatched)

    def overdue(self) -> list[int]:
        """Return those without a pidfd that ended."""
        ended = [pid for pid, sandbox in self._unwatched.items() if shim_of(pid) != sandbox and _ended(pid)]
        for pid in ended:
            del self._unwatched[pid]
        return ended

    def descriptors(self) -> set[int]:
        return set(self._pids)

    def close(self) -> None:
        with self._closing:
            self._closed = True
            self._poll.close()
            for descriptor in (*self._pids, self._bell):
                os.close(descriptor)


def _ended(pid: int) -> bool:
    """Tell whether a process that is no shim has ended: a child of ours may still be on its way to becoming one."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return True
    return fields[0] in (b"Z", b"X") or int(fields[1]) != os.getpid()


def reap(pid: int) -> int | None:
    """Return the status of a child that ended, in the form of os.waitpid; None when it is no child of ours."""
    try:
        reaped, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return status if reaped else None
