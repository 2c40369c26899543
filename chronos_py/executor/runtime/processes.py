"""Processes: one session a task, and whatever has left its session found by what it inherited."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress

KEY = "CHRONOS_PY_TASK"  # a variable of every task's environment, with a value of its own

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_DEFAULT = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGCHLD,
)


def adopt_orphans() -> None:
    """Become the parent of all descendants that lose theirs. Raises OSError."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent(number: signal.Signals) -> None:
    """Have the kernel send us a signal when our parent ends. Raises OSError."""
    _prctl(_PR_SET_PDEATHSIG, number)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def find_program(name: str, folder: str, path: str) -> str:
    """Return the file of a program, as execvp finds it. Raises OSError."""
    if "/" in name:
        return os.path.join(folder, name)
    for part in path.split(":"):
        file = os.path.join(folder, part, name)
        if os.access(file, os.X_OK) and not os.path.isdir(file):
            return file
    raise FileNotFoundError(2, "No such file or directory", name)


def start(program: Sequence[str], environment: Mapping[str, str], folder: str) -> int:
    """Start a program in a session of its own, with its output in `folder`; return its process id.

    Raises OSError, also when the program itself cannot be executed, and ValueError for texts that no process can get.
    Changes our working directory for a moment, as no other thread could see it: posix_spawn, which borrows our memory
    rather than copying its tables, has no way to do that for the child alone.
    """
    file = find_program(program[0], folder, environment.get("PATH", os.defpath))
    home = os.getcwd()
    os.chdir(folder)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        return os.posix_spawn(
            file,
            list(program),
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, f"{folder}/stdout", flags, 0o644),
                (os.POSIX_SPAWN_OPEN, 2, f"{folder}/stderr", flags, 0o644),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=_DEFAULT,
        )
    finally:
        os.chdir(home)


def ended_children() -> list[int]:
    """Return one child of ours that has ended and is not reaped yet, or none: its number, and its group's, are its own
    until `reap`."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return []
    return [] if found is None else [found.si_pid]


def reap(pid: int) -> int:
    """Return the status of a child that has ended, in the form of os.waitpid."""
    return os.waitpid(pid, 0)[1]


def describe(status: int) -> str:
    """Return the sentence of Mesos's command executor for a status in the form of os.waitpid."""
    if os.WIFEXITED(status):
        return f"Command exited with status {os.WEXITSTATUS(status)}"
    number = os.WTERMSIG(status)
    try:
        name = signal.strsignal(number)
    except ValueError:
        name = None
    return f"Command terminated with signal {name or number}"


def children() -> list[int]:
    """Return our direct children, orphans that we adopted included."""
    me = os.getpid()
    try:
        with open(f"/proc/{me}/task/{me}/children", "rb") as file:
            return [int(word) for word in file.read().split()]
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        return [pid for pid, (parent, _) in _all().items() if parent == me]


def strays(leaders: Collection[int], keys: Collection[str]) -> list[int]:
    """Return orphans we adopted that belong to no living task: neither to a session nor, by what they inherited, to
    a task of `keys`. `leaders` are the sessions of living tasks and all other children that are meant."""
    return [
        pid for pid in children() if pid not in leaders and _session(pid) not in leaders and key_of(pid) not in keys
    ]


def members(session: int, key: str) -> list[int]:
    """Return a task's living processes other than the session's leader, wherever they have gone."""
    me, table = os.getpid(), _all()
    mine = {session}
    mine |= {pid for pid, (parent, _) in table.items() if parent == me and pid != session and key_of(pid) == key}
    grew = True
    while grew:  # descendants, whatever session they are in
        more = {pid for pid, (parent, its) in table.items() if pid not in mine and (parent in mine or its == session)}
        grew = bool(more)
        mine |= more
    return sorted(mine - {session, me})


def send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def signal_group(group: int, number: signal.Signals) -> None:
    """Signal a process group. Its leader must not be reaped yet, or the number may be someone else's."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _all() -> dict[int, tuple[int, int]]:
    """Return parent and session of every process, by process id."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _stat(int(name))
            if fields:
                found[int(name)] = (int(fields[1]), int(fields[3]))
    return found


def _stat(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def _session(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[3]) if fields else 0


def key_of(pid: int) -> str:
    """Return the KEY that a living process has inherited; empty when it has none, or has ended."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            variables = file.read().split(b"\0")
    except OSError:
        return ""
    prefix = KEY.encode() + b"="
    return next((item[len(prefix) :].decode("latin-1") for item in variables if item.startswith(prefix)), "")
