"""The folder of one attempt, and what its control files say. The folder is the truth; memory is a copy.

    runs/<2 hex digits>/<task id, quoted>/   the task's working directory
        stdout, stderr                       its output; stdout.1, stderr.1 what was rotated away
        .task/task.json                      what was launched
        .task/started                        made by the shim, exclusively, before anything else: the claim
        .task/exit                           the exit status, written by the shim at the very end
    live/<same name>                         exists from before the launch until the end was acknowledged

Whoever makes `started` decides: a shim that finds it there does nothing. So a server that comes after a crash can make
sure that a task whose shim was on its way never runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from chronos_py.model.resources import Resources
from chronos_py.model.run import Task

STATE = ".task"


def folder_name(task_id: str) -> str:
    """Return a file name for a task id: readable, unique, never too long."""
    digest = hashlib.sha1(task_id.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
    return f"{quote(task_id, safe=':')[:150]}-{digest[:16]}"


@dataclass(frozen=True, slots=True)
class Claim:
    """Who runs a task: the shim's process id (which is its session's too) and start time in clock ticks since boot."""

    pid: int
    ticks: int
    boot: str


def boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def process_ticks(pid: int) -> int | None:
    """Return a process's start time in ticks since boot; None when it is gone or only waits to be reaped."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


class Sandbox:
    """Paths and control files of one attempt."""

    __slots__ = ("live", "path", "state", "task_id")

    def __init__(self, root: str, task_id: str) -> None:
        name = folder_name(task_id)
        self.task_id = task_id
        self.path = f"{root}/runs/{name[-16:-14]}/{name}"
        self.state = f"{self.path}/{STATE}"
        self.live = f"{root}/live/{name}"

    def make(self, task: Task, boot: str) -> None:
        """Make the folder, so that the intent to run is there before any process. Raises OSError; FileExistsError when
        the task was launched before."""
        os.close(os.open(self.live, os.O_CREAT | os.O_WRONLY, 0o600))
        try:
            os.mkdir(self.path, 0o755)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            os.mkdir(self.path, 0o755)
        os.mkdir(self.state, 0o700)
        need = task.resources
        about = {
            "id": task.id,
            "run": task.run,
            "job": task.job,
            "need": [need.cpus, need.mem, need.disk],
            "container": task.container is not None,
            "boot": boot,
            "made": time.time_ns() // 1_000_000,
        }
        descriptor = os.open(f"{self.state}/task.json", os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, orjson.dumps(about))
        finally:
            os.close(descriptor)

    def about(self) -> dict[str, Any]:
        """Return what was launched, nothing when that was never written."""
        try:
            about: dict[str, Any] = orjson.loads(Path(self.state, "task.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return about

    def need(self) -> Resources:
        need = self.about().get("need")
        return Resources(*need) if isinstance(need, list) and len(need) == 3 else Resources()

    def claim(self) -> bool:
        """Take the claim, so that no shim runs the task any more; False when a shim has it."""
        try:
            os.makedirs(self.state, exist_ok=True)
            os.close(os.open(f"{self.state}/started", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        return True

    def claimed_by(self) -> Claim | None:
        """Return who claimed the task; None when nobody wrote down who."""
        for _ in range(20):  # a shim writes this a moment after it has made the file
            try:
                text = Path(self.state, "started").read_text(errors="replace")
            except OSError:
                return None
            fields = text.rpartition(")")[2].split()
            if len(fields) > 19 and text.endswith("\n"):
                return Claim(int(text.split(" ", 1)[0]), int(fields[19]), str(self.about().get("boot", "")))
            time.sleep(0.01)
        return None

    def exit_status(self) -> int | None:
        """Return what the shim wrote at the end, None when it did not come to that."""
        try:
            return int(Path(self.state, "exit").read_text())
        except (OSError, ValueError):
            return None

    def ended_at(self) -> int | None:
        """Return when the exit status was written, in milliseconds since the epoch."""
        try:
            return os.stat(f"{self.state}/exit").st_mtime_ns // 1_000_000
        except OSError:
            return None

    def started_at(self) -> int | None:
        try:
            return os.stat(f"{self.state}/started").st_mtime_ns // 1_000_000
        except OSError:
            return None

    def exists(self) -> bool:
        return os.path.isdir(self.path)

    def is_live(self) -> bool:
        return os.path.exists(self.live)

    def acknowledge(self) -> None:
        """Note that the task's end is known: it will not be told again."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.live)
