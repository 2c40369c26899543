"""The process that owns every other one of a cluster, and kills them all when its own owner is done or gone.

A program (a bare Python runs it, standard library only), not a module to import. It takes orders as JSON lines on its
standard input and answers each with a line. It is a subreaper, so executors and tasks stay its descendants when their
agent is killed, also those that detached themselves. When the owner goes away, in whatever way, the input ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

SET_PDEATHSIG, SET_CHILD_SUBREAPER = 1, 36  # prctl
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TICK_S, END_S, CONTAINERS_S = 0.05, 10, 60


def descendants(root: int) -> list[int]:
    """Return the pids of all processes below `root`, parents first."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(folder.name))
    found, todo = [], [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def kill(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def control(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def remove_containers(owners: dict[str, list[str]]) -> None:
    """Remove containers, running or not; `owners` has the docker command by the label of the containers."""
    empty, end = 0, time.monotonic() + CONTAINERS_S
    with contextlib.suppress(OSError, subprocess.SubprocessError):  # the engine may be gone
        while owners and empty < 2 and time.monotonic() < end:
            empty += 1
            for label, docker in owners.items():
                found = run([*docker, "ps", "-a", "-q", "--no-trunc", "--filter", f"label={label}"]).split()
                if found:
                    empty = 0
                    run([*docker, "rm", "-f", "-v", *found])
            time.sleep(0.1)  # one may be in the making


def run(command: list[str]) -> str:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=False
    )
    return done.stdout.decode()


class Keeper:
    """Starts, signals and reaps processes."""

    def __init__(self) -> None:
        self._started: set[int] = set()
        self._exits: dict[int, int] = {}  # of what was started by order; all else is only reaped
        self._trash: list[Path] = []
        self._containers: dict[str, list[str]] = {}

    def serve(self) -> None:
        """Follow orders until the input ends."""
        pending = b""
        while True:
            ready, _, _ = select.select([0], [], [], TICK_S)
            self._reap()
            if not ready:
                continue
            got = os.read(0, 65536)
            if not got:
                return
            *lines, pending = (pending + got).split(b"\n")
            for line in lines:
                os.write(1, json.dumps(self._follow(json.loads(line))).encode() + b"\n")

    def end(self) -> None:
        """Kill everything that is left, also what is only now forked; then remove containers and folders."""
        end = time.monotonic() + END_S
        while time.monotonic() < end:
            kill(descendants(os.getpid()), signal.SIGKILL)
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                break
            time.sleep(0.005)
        remove_containers(self._containers)
        for path in self._trash:
            shutil.rmtree(path, ignore_errors=True)

    def _follow(self, order: dict[str, Any]) -> Any:
        match order["op"]:
            case "start":
                return self._start(order)
            case "signal":
                below = descendants(order["pid"]) if order["tree"] else []
                kill([*([] if order["pid"] in self._exits else [order["pid"]]), *below], order["number"])
            case "exit code":
                self._reap()
                return self._exits.get(order["pid"])
            case "descendants":
                return descendants(os.getpid())
            case "remove at the end":
                self._trash.append(Path(order["path"]))
            case "remove containers at the end":
                self._containers[order["label"]] = order["docker"]
            case "remove containers":
                remove_containers({order["label"]: self._containers[order["label"]]})
            case unknown:
                raise ValueError(f"unknown order: {unknown}")
        return None

    def _start(self, order: dict[str, Any]) -> int:
        pid = os.fork()
        if pid:
            self._started.add(pid)
            self._exits.pop(pid, None)
            return pid
        try:
            os.setsid()
            control(SET_PDEATHSIG, signal.SIGKILL)
            for number in SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.closerange(3, 256)
            os.chdir(order["cwd"])
            os.execve(order["argv"][0], order["argv"], order["env"])
        finally:
            os._exit(127)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid in self._started:
                    self._exits[pid] = os.waitstatus_to_exitcode(status)


def main() -> None:
    os.setsid()
    control(SET_CHILD_SUBREAPER, 1)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    keeper = Keeper()
    try:
        keeper.serve()
    except BrokenPipeError:  # the owner died before it read an answer
        pass
    finally:
        keeper.end()


if __name__ == "__main__":
    main()
