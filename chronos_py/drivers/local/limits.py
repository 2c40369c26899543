"""Memory and CPU limits of tasks: cgroups where we may use them, else resource limits, else none.

Memory is a hard limit: what the job asked for. CPU is a share of what others leave, as Mesos does it by default, never
a cap. Where there are no cgroups, RLIMIT_DATA bounds what a process allocates; RLIMIT_AS would also count address
space that is only reserved, which stops Java, Go and Node at once.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import structlog

from chronos_py.model.resources import Resources

log = structlog.get_logger(__name__)

MODES = ("auto", "cgroup", "rlimit", "none")
ROOT = Path("/sys/fs/cgroup")
LOWEST_BYTES = 4 * 1024 * 1024


class Limits(Protocol):
    """How one attempt is held to what it asked for. Nothing here raises: a limit that cannot be set is logged."""

    name: str

    def prepare(self, key: str, need: Resources) -> tuple[str, str]:
        """Return the shim's arguments: files of cgroups to join, and KiB for RLIMIT_DATA."""

    def out_of_memory(self, key: str) -> bool:
        """Tell whether the kernel has killed something of the attempt for want of memory."""

    def release(self, key: str) -> None: ...

    def close(self) -> None:
        """Remove what is empty; running tasks keep their limits."""


def _bytes(need: Resources) -> int:
    return max(LOWEST_BYTES, need.mem * 1024 * 1024 // 1000)


class NoLimits:
    name = "none"

    def prepare(self, key: str, need: Resources) -> tuple[str, str]:
        return "", ""

    def out_of_memory(self, key: str) -> bool:
        return False

    def release(self, key: str) -> None:
        """Nothing was set."""

    def close(self) -> None:
        """Nothing was set."""


class ResourceLimits(NoLimits):
    name = "rlimit"

    def prepare(self, key: str, need: Resources) -> tuple[str, str]:
        return "", str(_bytes(need) // 1024)


class ControlGroups:
    """A cgroup for each attempt below one of ours, in hierarchy version 1 or 2."""

    name = "cgroup"

    def __init__(self, own: str) -> None:
        """Raises OSError when cgroups cannot be used. `own` is the name of our group."""
        if (ROOT / "cgroup.controllers").exists():
            self._parents = [self._second_version(own)]
            self._memory_file, self._share_file = "memory.max", "cpu.weight"
        else:
            self._parents = [ROOT / kind / own for kind in ("memory", "cpu")]
            self._memory_file, self._share_file = "memory.limit_in_bytes", "cpu.shares"
        for parent in self._parents:
            parent.mkdir(exist_ok=True)
        self._two = len(self._parents) == 1
        self._make("probe", Resources.of(1, 64, 0))
        self._tidy()

    @staticmethod
    def _second_version(own: str) -> Path:
        """Return our group's folder, with the controllers handed down to it."""
        for folder in (ROOT, ROOT / own):
            folder.mkdir(exist_ok=True)
            (folder / "cgroup.subtree_control").write_text("+memory +cpu")
        return ROOT / own

    def _make(self, key: str, need: Resources) -> list[str]:
        joined = []
        for parent in self._parents:
            group = parent / key
            group.mkdir(exist_ok=True)
            joined.append(f"{group}/cgroup.procs")
        (self._parents[0] / key / self._memory_file).write_text(str(_bytes(need)))
        share = need.cpus * (100 if self._two else 1024) // 1000
        (self._parents[-1] / key / self._share_file).write_text(str(max(1 if self._two else 2, min(share, 10_000))))
        return joined

    def prepare(self, key: str, need: Resources) -> tuple[str, str]:
        try:
            return ":".join(self._make(key, need)), ""
        except OSError as error:
            log.warning("no limits could be set for a task", task=key, reason=str(error))
            return "", ""

    def out_of_memory(self, key: str) -> bool:
        group = self._parents[0] / key
        file = group / ("memory.events" if self._two else "memory.oom_control")
        with suppress(OSError, ValueError):
            for line in file.read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill" and int(count) > 0:
                    return True
        return False

    def release(self, key: str) -> None:
        for parent in self._parents:
            with suppress(OSError):  # busy while a process is on its way out: removed at the next start
                os.rmdir(parent / key)

    def _tidy(self) -> None:
        """Remove the groups of attempts that have ended, an earlier server's among them."""
        for parent in self._parents:
            for group in parent.iterdir():
                if group.is_dir():
                    with suppress(OSError):
                        group.rmdir()

    def close(self) -> None:
        self._tidy()
        for parent in self._parents:
            with suppress(OSError):
                parent.rmdir()


def chosen_limits(mode: str, own: str) -> Limits:
    """Return the best that `mode` allows; says in the log which."""
    if mode in ("auto", "cgroup"):
        try:
            return ControlGroups(own)
        except OSError as error:
            log.info("cgroups cannot be used", reason=str(error))
    limits: Limits = NoLimits() if mode == "none" else ResourceLimits()
    return limits
