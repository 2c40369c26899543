"""Faults at every single operation of a job store: one Meddler counts them, each store has its way to hand them in."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chronos_py.persistence.memory import MemoryJobStore


class Crash(BaseException):
    """The process ends here."""


@dataclass
class Meddler:
    """Counts operations from 0. At number `at`: `before` is called, then the operation fails with what `error` makes,
    if anything: without being carried out, or with `took_effect` after it was."""

    at: int = -1
    error: Callable[[], BaseException] | None = None
    took_effect: bool = False
    before: Callable[[], None] | None = None
    count: int = 0
    fired: bool = False
    seen: list[str] = field(default_factory=list)
    always: bool = False  # every operation, not only number `at`

    def cut(self, error: Callable[[], BaseException], *, took_effect: bool) -> None:
        """Fail every operation from now on."""
        self.always, self.error, self.took_effect = True, error, took_effect

    def heal(self) -> None:
        self.always, self.error = False, None

    def operation(self, name: str, work: Callable[[], Any], finish: Callable[[Any], object] = lambda _: None) -> Any:
        """Return what `work` returns, or raise an error of its own; `finish` waits for what `work` has begun."""
        number, self.count = self.count, self.count + 1
        self.seen.append(name)
        if number != self.at and not self.always:
            return work()
        self.fired = True
        if self.before is not None:
            self.before()
        if self.error is None:
            return work()
        if self.took_effect:
            finish(work())
        raise self.error()


# --- SQLite


def sqlite_error(code: int, text: str) -> sqlite3.OperationalError:
    """Return an error as SQLite raises it; the module's own carry their code like this one."""
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


def meddled_connection(meddler: Meddler) -> Callable[..., sqlite3.Connection]:
    """Return what makes connections, each of whose statements `meddler` counts."""

    class Meddled(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if sql == "ROLLBACK":  # undoing is not meddled with: it would hide what was done
                return super().execute(sql)
            found: sqlite3.Cursor = meddler.operation(sql, lambda: sqlite3.Connection.execute(self, sql, *parameters))
            return found

        def executescript(self, script: str) -> sqlite3.Cursor:
            found: sqlite3.Cursor = meddler.operation(script, lambda: sqlite3.Connection.executescript(self, script))
            return found

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        def open_it() -> sqlite3.Connection:
            return sqlite3.connect(*arguments, factory=Meddled, **options)

        opened: sqlite3.Connection = meddler.operation("connect", open_it)
        return opened

    return connect


def copy_of(file: Path, folder: Path) -> Path:
    """Copy a database and its log as they lie on disk at this moment: what is left when the process dies now."""
    folder.mkdir()
    for suffix in ("", "-wal"):  # the third, -shm, is made anew from the log
        part = file.with_name(file.name + suffix)
        if part.exists():
            shutil.copyfile(part, folder / part.name)
    return folder / file.name


# --- memory


class MeddledDict(dict[Any, Any]):
    """Each change of it is an operation."""

    def __init__(self, values: dict[Any, Any], name: str, meddler: Meddler) -> None:
        super().__init__(values)
        self._name = name
        self._meddler = meddler

    def __setitem__(self, key: Any, value: Any) -> None:
        self._meddler.operation(f"set {self._name} {key}", lambda: dict.__setitem__(self, key, value))

    def __delitem__(self, key: Any) -> None:
        self._meddler.operation(f"delete {self._name} {key}", lambda: dict.__delitem__(self, key))

    def pop(self, key: Any, *default: Any) -> Any:
        return self._meddler.operation(f"pop {self._name} {key}", lambda: dict.pop(self, key, *default))

    def update(self, *arguments: Any, **more: Any) -> None:
        """Take a part of it, as an update that fails half-way does."""
        for key, value in dict(*arguments, **more).items():
            self[key] = value


def meddle_with_memory(store: MemoryJobStore, meddler: Meddler) -> None:
    """Count every call of a store in memory, and every change that it makes."""
    store._values = {kind: MeddledDict(values, kind, meddler) for kind, values in store._values.items()}
    for name in ("open_epoch", "load", "commit"):
        method = getattr(type(store), name)

        def call(*arguments: Any, name: str = name, method: Any = method) -> Any:
            return meddler.operation(name, lambda: method(store, *arguments))

        setattr(store, name, call)


def leave_alone(store: MemoryJobStore) -> None:
    """Take the meddling away again."""
    store._values = {kind: dict(values) for kind, values in store._values.items()}
    for name in ("open_epoch", "load", "commit"):
        store.__dict__.pop(name, None)
