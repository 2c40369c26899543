"""Sessions and process groups: finding and stopping all of a task."""

from __future__ import annotations

import os
import signal
from contextlib import suppress


def members(session: int) -> list[int]:
    """Return all processes of a session, its leader included."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            found.append(int(name))
    return found


def terminate(session: int) -> None:
    """Ask all of a session to end."""
    for pid in members(session):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGTERM)


def kill(session: int, *, leader: bool) -> None:
    """End all of a session at once; the leader too only if asked: it writes down how the task ended."""
    for pid in members(session):
        if leader or pid != session:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def kill_group(group: int) -> None:
    """End what is left of a process group whose leader has ended but was not reaped yet."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
