"""The folder of one attempt, and what is written about it. The files are the truth; memory is a copy.

    live/<task id, quoted>                   what was launched, and at the very end the exit status, added by the shim
    runs/<2 hex digits>/<same name>/         the task's working directory
        stdout, stderr                       its output; stdout.1, stderr.1 what was rotated away
        .task                                the file from live/, moved here once the end was acknowledged

`stdout` is also the claim: whoever makes it, exclusively, decides. A shim that finds it there does nothing, so a server
that comes after a crash can make sure that a task whose shim was on its way never runs.

Four files a task: making one is what takes the time where a thousand tasks start at once.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from chronos_py.model.resources import Resources
from chronos_py.model.run import Task


def folder_name(task_id: str) -> str:
    """Return a file name for a task id: readable, unique, never too long."""
    digest = hashlib.sha1(task_id.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
    return f"{quote(task_id, safe=':')[:150]}-{digest[:16]}"


def boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def shims() -> dict[str, int]:
    """Return the process id of each shim that is alive, by the sandbox it works in.

    A shim is known by its arguments and by leading its session; the copies of it that fork on their way to become the
    task's program do not.
    """
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (path := shim_sandbox(int(name))):
            found[path] = int(name)
    return found


def shim_sandbox(pid: int) -> str | None:
    """Return the sandbox of the shim with this process id; None when that is no shim, or has ended."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(100_000).split(b"\0")
        if len(words) < 5 or words[3] != b"chronos-task":
            return None
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as status:
            fields = status.read().rpartition(")")[2].split()
    except OSError:
        return None
    return os.fsdecode(words[4]) if fields[0] not in "ZX" and int(fields[3]) == pid else None


class Sandbox:
    """Paths and files of one attempt."""

    __slots__ = ("claim_file", "done", "live", "path", "task_id")

    def __init__(self, root: str, task_id: str) -> None:
        name = folder_name(task_id)
        self.task_id = task_id
        self.path = f"{root}/runs/{name[-16:-14]}/{name}"
        self.live = f"{root}/live/{name}"
        self.done = f"{self.path}/.task"
        self.claim_file = f"{self.path}/stdout"

    def make(self, task: Task, boot: str) -> None:
        """Write down the intent to run, then make the folder; all before any process. Raises OSError; FileExistsError
        when the task was launched before."""
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
        descriptor = os.open(self.live, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.write(descriptor, orjson.dumps(about) + b"\n")
        finally:
            os.close(descriptor)
        try:
            os.mkdir(self.path, 0o755)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            os.mkdir(self.path, 0o755)

    def _lines(self) -> list[bytes]:
        for file in (self.live, self.done):
            with suppress(OSError):
                return Path(file).read_bytes().splitlines()
        return []

    def about(self) -> dict[str, Any]:
        """Return what was launched, nothing when that cannot be read."""
        lines = self._lines()
        try:
            about: dict[str, Any] = orjson.loads(lines[0])
        except (IndexError, ValueError):
            return {}
        return about

    def need(self) -> Resources:
        need = self.about().get("need")
        return Resources(*need) if isinstance(need, list) and len(need) == 3 else Resources()

    def claim(self) -> bool:
        """Take the claim, so that no shim runs the task any more; False when somebody has it."""
        try:
            os.makedirs(self.path, exist_ok=True)
            os.close(os.open(self.claim_file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            return False
        return True

    def exit_status(self) -> int | None:
        """Return what the shim wrote at the end, None when it did not come to that."""
        lines = self._lines()
        if len(lines) < 2 or not lines[-1].startswith(b"exit "):
            return None
        try:
            return int(lines[-1][5:])
        except ValueError:
            return None

    def ended_at(self) -> int | None:
        """Return when the exit status was written, in milliseconds since the epoch."""
        for file in (self.live, self.done):
            with suppress(OSError):
                return os.stat(file).st_mtime_ns // 1_000_000
        return None

    def exists(self) -> bool:
        return os.path.isdir(self.path)

    def acknowledge(self) -> None:
        """Note that the task's end is known: it will not be told again."""
        try:
            os.rename(self.live, self.done)
        except FileNotFoundError:
            with suppress(FileNotFoundError):
                os.unlink(self.live)
