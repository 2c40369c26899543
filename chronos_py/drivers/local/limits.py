"""Memory and CPU limits of tasks: cgroups where we may use them, else resource limits, else none.

Memory is a hard limit: what the job asked for. CPU is a share of what others leave, as Mesos does it by default, never
a cap. Where there are no cgroups, RLIMIT_DATA bounds what a process allocates; RLIMIT_AS would also count address
space that is only reserved, which stops Java, Go and Node at once.
"""

from __future__ import annotations

import os
from collections.abc import Set
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import structlog

from chronos_py.model.resources import Resources

log = structlog.get_logger(__name__)

ROOT = Path("/sys/fs/cgroup")
LOWEST_BYTES = 6 * 1024 * 1024
Joined = tuple[str, str, str]  # two files to write 0 into, KiB for RLIMIT_DATA; each may be empty
NOTHING: Joined = ("", "", "")


class Limits(Protocol):
    """How attempts are held to what they asked for. Nothing here raises: a limit that cannot be set is logged."""

    name: str
    detail: str

    def prepare(self, key: str, need: Resources) -> Joined:
        """Return what the shim must do to put itself under limits."""

    def out_of_memory(self, key: str) -> bool:
        """Tell whether the kernel has stopped something of the attempt for want of memory."""

    def members(self, key: str) -> list[int]:
        """Return the attempt's processes, as far as limits know them."""

    def release(self, key: str) -> bool:
        """Forget an attempt; False when processes of it are still there."""

    def tidy(self, running: Set[str]) -> None:
        """Forget all attempts but these: what became of the others must be known by now."""

    def close(self, running: Set[str]) -> None:
        """Leave nothing behind, unless tasks run on."""


def memory_bytes(need: Resources) -> int:
    return max(LOWEST_BYTES, need.mem * 1024 * 1024 // 1000)


class NoLimits:
    name = "none"
    detail = ""

    def prepare(self, key: str, need: Resources) -> Joined:
        return NOTHING

    def out_of_memory(self, key: str) -> bool:
        return False

    def members(self, key: str) -> list[int]:
        return []

    def release(self, key: str) -> bool:
        return True

    def tidy(self, running: Set[str]) -> None:
        """There is nothing to forget."""

    def close(self, running: Set[str]) -> None:
        """There is nothing to leave."""


class ResourceLimits(NoLimits):
    name = "rlimit"

    def prepare(self, key: str, need: Resources) -> Joined:
        return "", "", str(memory_bytes(need) // 1024)


class ControlGroups:
    """A cgroup for each attempt below one of ours, in hierarchy version 1 or 2."""

    name = "cgroup"

    def __init__(self, own: str, root: Path = ROOT) -> None:
        """Raises OSError when cgroups cannot be used. `own` is the name of our group."""
        self._second = (root / "cgroup.controllers").exists()
        if self._second:
            self._parents = [_second_version(root, own)]
            self._memory_file, self._share_file, self._unit = "memory.max", "cpu.weight", 100
        else:
            self._parents = [_first_version(root / kind, own) for kind in ("memory", "cpu")]
            self._memory_file, self._share_file, self._unit = "memory.limit_in_bytes", "cpu.shares", 1024
        self.detail = f"version {2 if self._second else 1}, {self._parents[0]}"
        self._make("probe", Resources.of(1, 64, 0))
        self.release("probe")

    def _make(self, key: str, need: Resources) -> Joined:
        for parent in self._parents:
            with suppress(FileExistsError):
                os.mkdir(f"{parent}/{key}")
        _put(f"{self._parents[0]}/{key}/{self._memory_file}", memory_bytes(need))
        share = max(2, min(need.cpus * self._unit // 1000, 10_000))
        _put(f"{self._parents[-1]}/{key}/{self._share_file}", share)
        files = [f"{parent}/{key}/cgroup.procs" for parent in self._parents]
        return files[0], files[1] if len(files) > 1 else "", ""

    def prepare(self, key: str, need: Resources) -> Joined:
        try:
            return self._make(key, need)
        except OSError as error:
            log.warning("no limits could be set for a task", key=key, reason=str(error))
            return NOTHING

    def out_of_memory(self, key: str) -> bool:
        file = "memory.events" if self._second else "memory.oom_control"
        with suppress(OSError, ValueError), open(self._parents[0] / key / file, encoding="ascii") as lines:
            for line in lines:
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count) > 0
        return False

    def members(self, key: str) -> list[int]:
        with suppress(OSError, ValueError):
            return [int(pid) for pid in (self._parents[0] / key / "cgroup.procs").read_text().split()]
        return []

    def release(self, key: str) -> bool:
        gone = True
        for parent in self._parents:
            try:
                os.rmdir(f"{parent}/{key}")
            except FileNotFoundError:
                pass
            except OSError:
                gone = False
        return gone

    def tidy(self, running: Set[str]) -> None:
        with suppress(OSError):
            for parent in self._parents:
                for key in os.listdir(parent):
                    if key not in running and os.path.isdir(parent / key):
                        self.release(key)

    def close(self, running: Set[str]) -> None:
        self.tidy(running)
        for parent in self._parents:
            with suppress(OSError):
                parent.rmdir()


def _put(path: str, value: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)


def _first_version(controller: Path, own: str) -> Path:
    """Return our group of one controller. Not below the group that we are in: it must be found again by a server that
    was started in another one, and outlive this one."""
    if not controller.is_dir():
        raise FileNotFoundError(2, "no such controller", str(controller))
    folder = controller / own
    folder.mkdir(exist_ok=True)
    return folder


def _second_version(root: Path, own: str) -> Path:
    """Return our group with the controllers handed down to it.

    It cannot lie in the group that we are in: one with processes cannot hand down controllers.
    """
    for folder in (root, root / own):
        folder.mkdir(exist_ok=True)
        if not {"memory", "cpu"} <= set((folder / "cgroup.subtree_control").read_text().split()):
            (folder / "cgroup.subtree_control").write_text("+memory +cpu")
    return root / own


def choose_limits(mode: str, own: str) -> Limits:
    """Return the best that `mode` (auto, cgroup, rlimit, none) allows here."""
    if mode in ("auto", "cgroup"):
        try:
            return ControlGroups(own)
        except (OSError, ValueError) as error:
            log.info("cgroups cannot be used", reason=str(error))
    return NoLimits() if mode == "none" else ResourceLimits()
