"""The folder of one attempt, and what is written about it. The files are the truth; memory is a copy.

    live/<task id, quoted>                   what was launched, and at the very end the exit status, added by the shim
    runs/<2 hex digits>/<same name>/         the task's working directory
        stdout, stderr                       its output; stdout.1, stderr.1 what was rotated away
        .task                                the file from live/, moved here once the end was acknowledged

`stdout` is also the claim: whoever makes it, exclusively, decides. A shim that finds it there does nothing, so a server
that comes after a crash can make sure that a task whose shim was on its way never runs.

Four files a task: making one is what takes the time where a thousand tasks start at once. Half of them are made
beforehand, as spare folders.
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
    """Return a file name for a task id: readable, unique, never too long, and without colons, at which lists of paths
    and Docker's volumes are split."""
    digest = hashlib.sha1(task_id.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
    return f"{quote(task_id.replace(':', '_'), safe='')[:150]}-{digest[:16]}"


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


class Spares:
    """Folders made while there is nothing else to do, with the file that every task needs."""

    def __init__(self, root: str, most: int) -> None:
        self._folder = f"{root}/spare"
        self._most = most
        self._ready: list[str] = []
        self._count = 0

    def open(self) -> None:
        """Take over what an earlier server made."""
        os.makedirs(self._folder, exist_ok=True)
        for name in os.listdir(self._folder):
            path = f"{self._folder}/{name}"
            if os.path.exists(f"{path}/stderr"):
                self._ready.append(path)
            self._count = max(self._count, int(name) if name.isdigit() else 0)

    def take(self) -> str | None:
        return self._ready.pop() if self._ready else None

    def make_some(self, number: int) -> None:
        """Make up to `number` more. Raises OSError."""
        for _ in range(min(number, self._most - len(self._ready))):
            self._count += 1
            path = f"{self._folder}/{self._count}"
            os.mkdir(path, 0o755)
            os.close(os.open(f"{path}/stderr", os.O_CREAT | os.O_WRONLY, 0o644))
            self._ready.append(path)


class Sandbox:
    """Paths and files of one attempt."""

    __slots__ = ("claim_file", "done", "key", "live", "path", "task_id")

    def __init__(self, root: str, task_id: str) -> None:
        name = folder_name(task_id)
        self.task_id = task_id
        self.key = name[-16:]  # a short name of plain letters, as good as the id
        self.path = f"{root}/runs/{name[-16:-14]}/{name}"
        self.live = f"{root}/live/{name}"
        self.done = f"{self.path}/.task"
        self.claim_file = f"{self.path}/stdout"

    def make(self, task: Task, boot: str, spare: str | None = None) -> None:
        """Write down the intent to run, then make the folder, out of a `spare` one if given; all before any process.

        Raises OSError; FileExistsError when the task was launched before.
        """
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
            self._make_folder(spare)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            self._make_folder(spare)

    def _make_folder(self, spare: str | None) -> None:
        if spare is None:
            os.mkdir(self.path, 0o755)
        else:
            os.rename(spare, self.path)  # fails on a folder with files in it, as mkdir does on any

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
