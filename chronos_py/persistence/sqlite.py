"""The job store of one node: a single SQLite file.

Durability: write-ahead log with synchronous=FULL, that is, the log is synced to disk at each commit. With NORMAL a loss
of power could take back the last commits, and with them intents whose tasks were launched already.

A statement writes many rows at once instead of executemany: SQLite is called without Python's global lock, and taking
it back after each single row costs up to 5 ms when another thread computes (measured: 2.1 ms a row, against 0.02).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

import structlog

from chronos_py.errors import StaleLeader, StoreUnavailable
from chronos_py.model.history import HistoryRecord
from chronos_py.model.messages import Change, Kind
from chronos_py.persistence.base import Quarantined, Snapshot
from chronos_py.persistence.batch import Batch, settle
from chronos_py.persistence.codec import BadRecord, decode_record, decode_value, encode_value
from chronos_py.persistence.collector import no_collection
from chronos_py.persistence.lockfile import LockFile

log = structlog.get_logger(__name__)

VERSION = 1
STEPS: dict[int, str] = {}  # what turns version n into version n + 1, in SQL; schema.sql is always the newest

TABLES: dict[Kind, tuple[str, str]] = {
    "job": ("jobs", "name"),
    "state": ("states", "job"),
    "run": ("runs", "run"),
    "meta": ("meta", "key"),
    "outbox": ("outbox", "number"),
}
ROWS = 400  # per statement: two parameters each, and old builds of SQLite take 999
CHECKPOINT_PAGES = 1000  # 4 MB: then a commit moves the log into the database
LOG_LIMIT = 16 * 1024 * 1024  # bytes the log keeps on disk after it has been moved
CACHE_KIB = 16 * 1024


class SqliteJobStore:
    """A JobStore in the file `path`; its folder is made when missing.

    `exclusive` takes the lock file beside it, so that a second server is refused at once; without it the epoch alone
    decides whose commits count. All methods may be called from any thread, one works at a time. The file is opened by
    the first call that needs it, and again by the next call after an error that left it unusable.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        exclusive: bool = True,
        timeout: float = 5.0,
        version: int = VERSION,
        steps: dict[int, str] | None = None,
        make_connection: Callable[..., sqlite3.Connection] = sqlite3.connect,
    ) -> None:
        """Raises StoreUnavailable when another process has the lock. `timeout` is in seconds, for a locked file."""
        self.path = Path(path)
        self._lock_file = LockFile(self.path.with_name(self.path.name + ".lock")) if exclusive else None
        self._timeout = timeout
        self._version = version
        self._steps = STEPS if steps is None else steps
        self._make_connection = make_connection
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._closed = False
        self._unread: dict[tuple[Kind, Any], str] = {}  # rows that `load` could not read, and why

    # --- the protocol

    def open_epoch(self) -> int:
        with self._transaction() as db:
            epoch = _epoch(db) + 1
            db.execute("UPDATE epoch SET number = ?", (epoch,))
        return epoch

    def load(self) -> Snapshot:
        with self._lock, self._open_file() as db, no_collection():
            snapshot, unread, unknown = Snapshot(), {}, set[str]()
            places: dict[Kind, dict[Any, Any]] = {
                "job": snapshot.jobs,
                "state": snapshot.states,
                "run": snapshot.runs,
                "meta": snapshot.meta,
                "outbox": snapshot.outbox,
            }
            db.execute("BEGIN")
            for kind, place in places.items():
                table, column = TABLES[kind]
                for raw_key, raw in db.execute(f"SELECT {column}, value FROM {table}"):
                    key: Any = raw_key
                    try:
                        if type(raw_key) is bytes:
                            key = raw_key.decode()
                        if type(raw) is not bytes:
                            raise BadRecord("", f"is stored as {type(raw).__name__}, not as text")
                        place[key] = decode_value(kind, key, raw, unknown)
                    except (BadRecord, UnicodeDecodeError) as error:
                        unread[kind, key] = str(error)
            db.execute("COMMIT")
            self._unread = unread
        for (kind, key), reason in unread.items():
            shown = key.decode("utf-8", "backslashreplace") if isinstance(key, bytes) else str(key)
            snapshot.quarantined.append(Quarantined(kind, shown, reason))
            log.error("a stored record cannot be read and is left as it is", kind=kind, key=shown, reason=reason)
        if unknown:
            log.warning("stored fields of a newer version are ignored", file=str(self.path), fields=sorted(unknown))
        return snapshot

    def commit(self, epoch: int, changes: Sequence[Change]) -> None:
        """See JobStore. Raises BadRecord when a value has no JSON form."""
        batch = settle(changes)
        rows: dict[Kind, list[tuple[str | int, str]]] = {
            kind: [(key, encode_value(kind, key, value).decode()) for key, value in puts.items()]
            for kind, puts in batch.puts.items()
        }
        with self._lock:
            touched = self._touched(batch) if self._unread else ()
            with self._transaction() as db:
                current = _epoch(db)
                if current > epoch:
                    raise StaleLeader(f"epoch {epoch} is over: {self.path} is in epoch {current}")
                if current < epoch:
                    raise StoreUnavailable(f"{self.path} was replaced by an older one: it is in epoch {current}")
                for kind, key in touched:
                    _set_aside(db, kind, key, self._unread[kind, key])
                _delete(db, batch)
                for kind, puts in rows.items():
                    _put(db, kind, puts)
            for unread in touched:
                del self._unread[unread]

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._drop_connection()
            if self._lock_file is not None:
                self._lock_file.release()

    # --- beyond the protocol

    def read_outbox(self, after: int, limit: int) -> list[tuple[int, HistoryRecord]]:
        """Return records with numbers above `after`, lowest first. Unreadable ones are left out. Does not wait for a
        commit, nor hold one up. Raises StoreUnavailable."""
        query = "SELECT number, value FROM outbox WHERE number > ? ORDER BY number LIMIT ?"
        try:
            place = f"{self.path.absolute().as_uri()}?mode=rw"  # never makes a file
            with closing(sqlite3.connect(place, uri=True, timeout=self._timeout)) as db:
                # One long text, not rows: see above for what a row costs. Our JSON has no line breaks.
                db.text_factory = bytes
                joined = f"SELECT group_concat(number || ' ' || value, char(10)) FROM ({query})"
                (text,) = db.execute(joined, (after, limit)).fetchone()
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self.path}: {error}") from error
        found: list[tuple[int, HistoryRecord]] = []
        for line in (text or b"").split(b"\n"):
            number, _, value = line.partition(b" ")
            try:
                found.append((int(number), decode_record(value)))
            except (BadRecord, ValueError):
                continue  # `load` has reported it
        return sorted(found, key=lambda item: item[0])

    # --- the connection

    @contextmanager
    def _open_file(self) -> Iterator[sqlite3.Connection]:
        """Give the connection; turn every error of SQLite into StoreUnavailable, with nothing left half done."""
        try:
            if self._closed:
                raise StoreUnavailable(f"{self.path} has been closed")
            if self._db is None:
                self._db = self._connect()
            yield self._db
        except sqlite3.Error as error:
            self._roll_back()
            raise StoreUnavailable(f"{self.path}: {_sentence(error)}") from error
        except (UnicodeEncodeError, OverflowError) as error:
            self._roll_back()
            raise BadRecord("", f"a key cannot be stored: {error}") from error
        except BaseException:
            self._roll_back()
            raise

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._open_file() as db:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")

    def _roll_back(self) -> None:
        try:
            if self._db is not None and self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error:
            self._drop_connection()

    def _drop_connection(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            try:
                db.close()
            except sqlite3.Error as error:
                log.warning("a database could not be closed", file=str(self.path), reason=str(error))

    def _connect(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"{self.path.parent} cannot be made: {error.strerror}") from None
        db = self._make_connection(
            self.path, timeout=self._timeout, isolation_level=None, check_same_thread=False, cached_statements=32
        )
        try:
            db.text_factory = bytes  # a damaged text must not end the reading of all others
            (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != b"wal":
                log.warning("no write-ahead log on this file system: commits are slower", file=str(self.path))
            db.execute("PRAGMA synchronous = FULL")
            db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            db.execute(f"PRAGMA journal_size_limit = {LOG_LIMIT}")
            db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            self._migrate(db)
        except BaseException:
            db.close()
            raise
        return db

    def _migrate(self, db: sqlite3.Connection) -> None:
        """Make the tables, or bring those of an older version up to date, a step and a transaction each."""
        while True:
            (found,) = db.execute("PRAGMA user_version").fetchone()
            if found == self._version:
                return
            if found > self._version:
                raise StoreUnavailable(
                    f"{self.path} was written by a newer chronos-py (layout {found}, this one knows {self._version})"
                )
            if found == 0:
                (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
                if tables:
                    raise StoreUnavailable(f"{self.path} is a database of another program")
                script, reached = (files("chronos_py.persistence") / "schema.sql").read_text("utf-8"), self._version
            else:
                script, reached = self._steps[found], found + 1
                log.info("bringing a database up to date", file=str(self.path), version=reached)
            try:
                db.executescript(f"BEGIN IMMEDIATE;\n{script}\n;PRAGMA user_version = {reached};\nCOMMIT;")
            except sqlite3.Error:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    # --- rows that could not be read

    def _touched(self, batch: Batch) -> list[tuple[Kind, Any]]:
        """Return the unread rows that a batch would overwrite or delete."""
        return [
            (kind, key)
            for kind, key in self._unread
            if key in batch.puts[kind]
            or key in batch.deletes[kind]
            or (kind == "outbox" and batch.outbox_up_to is not None and key <= batch.outbox_up_to)
        ]


def _epoch(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT number FROM epoch").fetchone()
    if row is None or type(row[0]) is not int:
        raise StoreUnavailable(f"the store is damaged: its epoch is {row[0] if row else 'missing'!r}")
    return int(row[0])


def _set_aside(db: sqlite3.Connection, kind: Kind, key: Any, reason: str) -> None:
    table, column = TABLES[kind]
    db.execute(
        f"INSERT INTO quarantine (kind, key, value, reason) SELECT ?, {column}, value, ? FROM {table}"
        f" WHERE {column} = ?",
        (kind, reason, key),
    )


def _delete(db: sqlite3.Connection, batch: Batch) -> None:
    for kind, deletes in batch.deletes.items():
        table, column = TABLES[kind]
        for keys in _chunks(list(deletes)):
            db.execute(f"DELETE FROM {table} WHERE {column} IN ({', '.join('?' * len(keys))})", keys)
    if batch.outbox_up_to is not None:
        db.execute("DELETE FROM outbox WHERE number <= ?", (batch.outbox_up_to,))


def _put(db: sqlite3.Connection, kind: Kind, puts: Sequence[tuple[str | int, str]]) -> None:
    table, column = TABLES[kind]
    for rows in _chunks(puts):
        places = ", ".join(["(?, ?)"] * len(rows))
        db.execute(
            f"INSERT INTO {table} ({column}, value) VALUES {places}"
            f" ON CONFLICT ({column}) DO UPDATE SET value = excluded.value",
            tuple(chain.from_iterable(rows)),
        )


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), ROWS):
        yield items[start : start + ROWS]


def _sentence(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest tells details
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return f"not a database, or a damaged one ({error}); it was left as it is"
    return str(error)
