"""The folder of one attempt, and what is written about it. The files are the truth; memory is a copy.

    runs/<2 hex digits>/<name>/    the task's working directory; made first
        stdout, stderr             its output; stdout.1, stderr.1 what was rotated away
    live/<name>                    the record, from before the launch until the end was acknowledged
    done/<2 hex digits>/<name>     the same file after the acknowledgement

A record is only added to, by us and by the shim: a line of JSON that says what was launched, complete before any
process exists; then lines of a word and its value:

    run <process id>               the shim has the claim, and will run the task
    kill <time>                    we were told to stop it, and until when it may go on
    exit <status>                  how it ended; the shim's last act
    outcome <JSON>                 its final update, where the exit status alone does not tell it

`stdout` is the claim: whoever makes it, exclusively, decides. A shim that finds it there, or finds no sandbox, does
nothing. So a server that comes after a crash can make sure that a task whose shim was on its way never runs.

The record does not lie in the sandbox, because that belongs to the task's user, who could put links there for us to
follow. There are no more files than these, because making them is what takes time where a thousand tasks start at once.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import orjson

from chronos_py.clock import Millis
from chronos_py.model.pools import SHARED
from chronos_py.model.resources import Resources
from chronos_py.model.run import Task

FOLDERS = ("runs", "live", "done")
CLAIM = "stdout"
NOTHING_OF: Mapping[str, Resources] = MappingProxyType({})


def folder_name(task_id: str) -> str:
    """Return a file name for a task id: readable, unique, never too long, and without colons, at which lists of paths
    and Docker's volumes are split."""
    digest = hashlib.sha1(task_id.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
    return f"{quote(task_id.replace(':', '_'), safe='', errors='replace')[:150]}-{digest[:16]}"


def now() -> Millis:
    return time.time_ns() // 1_000_000


def boot_id() -> str:
    """Return what names the time since the machine's last start."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


@dataclass(slots=True)
class Record:
    """What is written of an attempt. `changed` is when the last line was added."""

    about: dict[str, Any] = field(default_factory=dict)
    changed: Millis = 0
    pid: int | None = None
    kill_until: Millis | None = None
    exit_status: int | None = None
    outcome: dict[str, Any] = field(default_factory=dict)

    @property
    def need(self) -> Resources:
        need = self.about.get("need")
        return Resources(*need) if isinstance(need, list) and len(need) == 3 else Resources()

    @property
    def taken(self) -> dict[str, Resources]:
        """Return what it took, by role."""
        of = self.about.get("of")
        if isinstance(of, dict) and all(isinstance(part, list) and len(part) == 3 for part in of.values()):
            return {str(role): Resources(*part) for role, part in of.items()}
        return {SHARED: self.need}

    @property
    def agent(self) -> str:
        """Return the agent that it was launched on, empty when that is not known."""
        return str(self.about.get("agent", ""))

    @property
    def host(self) -> str:
        return str(self.about.get("host", ""))

    def take(self, line: bytes) -> None:
        """Take a line; one that was not written whole says nothing."""
        word, _, value = line.partition(b" ")
        try:
            if line.startswith(b"{"):
                self.about = orjson.loads(line)
            elif word == b"run":
                self.pid = int(value)
            elif word == b"kill":
                self.kill_until = int(value)
            elif word == b"exit":
                self.exit_status = int(value)
            elif word == b"outcome":
                self.outcome = orjson.loads(value)
        except ValueError:
            return


class Sandbox:
    """Paths and files of one attempt; `name` is that of its folder and its record."""

    __slots__ = ("done", "live", "name", "path")

    def __init__(self, root: str, name: str) -> None:
        self.name = name
        self.path = f"{root}/runs/{name[-16:-14]}/{name}"
        self.live = f"{root}/live/{name}"
        self.done = f"{root}/done/{name[-16:-14]}/{name}"

    @classmethod
    def of(cls, root: str, task_id: str) -> Sandbox:
        return cls(root, folder_name(task_id))

    @property
    def key(self) -> str:
        """A short name of plain letters, as unique as the long one."""
        return self.name[-16:]

    # --- before the launch

    def reserve(self) -> bool:
        """Make the working directory; False when this id was launched, or asked after, before. Raises OSError."""
        try:
            try:
                os.mkdir(self.path, 0o755)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(self.path), exist_ok=True)
                os.mkdir(self.path, 0o755)
        except FileExistsError:
            return False
        return True

    def describe(
        self, task: Task, boot: str, agent_id: str = "", host: str = "", taken: Mapping[str, Resources] = NOTHING_OF
    ) -> None:
        """Note the intent to run, so that it is there before any process. Raises OSError, and then nothing is left."""
        need = task.resources
        about = {
            "id": task.id,
            "run": task.run,
            "job": task.job,
            "need": [need.cpus, need.mem, need.disk],
            "grace": task.kill_grace,
            "container": task.container is not None,
            "boot": boot,
            "made": now(),
            "agent": agent_id,
            "host": host,
        }
        if taken.keys() - {SHARED}:
            about["of"] = {role: [part.cpus, part.mem, part.disk] for role, part in taken.items()}
        try:
            _write(self.live, orjson.dumps(about) + b"\n", os.O_EXCL)
        except OSError:
            self.forget()
            raise

    def forget(self) -> None:
        """Remove what was made for a launch that did not come to anything."""
        for remove, path in ((os.unlink, self.live), (os.rmdir, self.path)):
            with suppress(OSError):
                remove(path)

    def claim(self) -> bool:
        """Take the claim, so that no shim runs the task any more; False when it is taken. Raises OSError."""
        os.makedirs(self.path, exist_ok=True)
        try:
            os.close(os.open(f"{self.path}/{CLAIM}", os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        except FileExistsError:
            return False
        return True

    def is_claimed(self) -> bool:
        return os.path.exists(f"{self.path}/{CLAIM}")

    def clear_outputs(self) -> None:
        """Remove files that were brought under the outputs' names: one would look like a claim, and a link would be
        followed. Raises OSError, with its filename, for what is no file."""
        for name in (CLAIM, "stderr"):
            with suppress(FileNotFoundError):
                os.unlink(f"{self.path}/{name}")

    # --- the record

    def note(self, line: bytes) -> None:
        """Add a line. It begins with another line's end, so that what a full disk cut off spoils nothing else.

        Raises OSError.
        """
        _write(self.live, b"\n" + line + b"\n", os.O_APPEND)

    def read(self) -> Record:
        """Return what is written, as far as it can be read."""
        record = Record()
        for path in (self.live, self.done):
            with suppress(OSError), open(path, "rb") as file:
                record.changed = os.fstat(file.fileno()).st_mtime_ns // 1_000_000
                *lines, _ = file.read().split(b"\n")
                for line in lines:
                    record.take(line)
                break
        return record

    def is_live(self) -> bool:
        return os.path.exists(self.live)

    def is_done(self) -> bool:
        return os.path.exists(self.done)

    def acknowledge(self) -> None:
        """Note that the task's end is known: it will not be told again. Raises OSError."""
        try:
            os.rename(self.live, self.done)
        except FileNotFoundError:
            if self.is_live():
                os.makedirs(os.path.dirname(self.done), exist_ok=True)
                os.rename(self.live, self.done)


def _write(path: str, data: bytes, how: int) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC | how, 0o600)
    try:
        if os.write(descriptor, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    finally:
        os.close(descriptor)


def replace(path: str, data: bytes) -> None:
    """Write a file whole or not at all. Raises OSError."""
    with suppress(FileNotFoundError):
        os.unlink(f"{path}.new")
    _write(f"{path}.new", data, os.O_EXCL | os.O_NOFOLLOW)
    os.rename(f"{path}.new", path)
