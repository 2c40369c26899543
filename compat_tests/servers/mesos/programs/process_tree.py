"""A task's processes: starting the first, signalling all."""

from __future__ import annotations

import contextlib
import os
import signal

from .values import ENV, variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def kill_tree(root: int, number: int) -> None:
    """Signal `root`, then its descendants and all members of their sessions.

    In this order, because a shell that saw its child end first would exit with a status of its own.
    """
    table = _processes()
    own = os.getsid(0)
    found, sessions, grew = {root}, {root}, True
    while grew:
        grew = False
        for pid, (parent, session) in table.items():
            if pid not in found and (parent in found or session in sessions):
                found.add(pid)
                grew = True
                if session not in (own, 0):
                    sessions.add(session)
    found.discard(os.getpid())
    for pid in sorted(found, key=lambda pid: pid != root):
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def _processes() -> dict[int, tuple[int, int]]:
    """Return parent and session of every process by its pid."""
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
                table[int(name)] = (int(fields[1]), int(fields[3]))
            except (OSError, IndexError, ValueError):
                pass
    return table


def start(command: dict[str, Any], extra: dict[str, str], files: dict[int, int]) -> tuple[int, str]:
    """Start a CommandInfo in a session of its own; return its pid and "", or 0 and why it could not be started.

    `extra` are more environment variables, `files` says which descriptor becomes 0, 1 or 2.
    """
    env = {**ENV, **variables(command.get("environment")), **extra}
    value: str = command.get("value", "")
    if command.get("shell", True):
        path, argv = "/bin/sh", ["sh", "-c", value]
    else:
        path, argv = value, list(command.get("arguments", [])) or [value]
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            os.setsid()
            for number, descriptor in files.items():
                os.dup2(descriptor, number)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            os.execvpe(path, argv, env)
        except BaseException as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(127)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        error_text = file.read().decode()
    if error_text:
        os.waitpid(pid, 0)
        return 0, error_text
    return pid, ""
