"""Revisions of jobs, in the database of history: who changed what. Written behind, by a thread of its own.

They tell people what happened and decide nothing: an end of the process may cost those of its last moment, and a store
that does not answer for long costs the oldest that wait.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
import structlog

from chronos_py.clock import Millis
from chronos_py.errors import StoreUnavailable
from chronos_py.model.job import Job
from chronos_py.model.revision import Author, Edit, Revision, definition
from chronos_py.persistence.history import SqlHistoryStore

log = structlog.get_logger(__name__)

KEPT_PER_JOB = 100
KEPT_ALWAYS = 20  # of a job that is there, however old
LONGEST_DOCUMENT = 256 * 1024  # characters
WAITING_LIMIT = 10_000
AT_ONCE = 500
PAUSE_S = 2.0  # after a refusal
READ_PATIENCE_S = 3.0

_Int = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
metadata = sa.MetaData()
revisions = sa.Table(
    "revisions",
    metadata,
    sa.Column("number", _Int, primary_key=True, autoincrement=True),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("at", _Int, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("before", sa.Text),
    sa.Column("after", sa.Text),
    sa.Index("revisions_of_job", "job", "number"),
    sa.Index("revisions_at", "at"),
)


class RevisionStore:
    """Keeps revisions. All methods may be called from any thread."""

    def __init__(self, history: SqlHistoryStore) -> None:
        self._history = history
        self._waiting: deque[Edit] = deque()
        self._changed = threading.Condition()
        self._busy = False
        self._stopping = False
        self._lost = 0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="revisions", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Write what waits, if the store takes it, and end."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout)

    def submit(self, edits: list[Edit]) -> None:
        """Take committed edits, in order."""
        with self._changed:
            self._waiting.extend(edits)
            while len(self._waiting) > WAITING_LIMIT:
                self._waiting.popleft()
                self._lost += 1
            self._changed.notify_all()

    def of_job(self, job: str, limit: int, before: int | None = None) -> list[Revision]:
        """Return a job's revisions, newest first; those with a lower number than `before`. Raises StoreUnavailable."""
        self._settle()
        c = revisions.c
        wanted = sa.select(revisions).where(c.job == _clean(job)).order_by(c.number.desc()).limit(limit)
        if before is not None:
            wanted = wanted.where(c.number < before)
        return [_revision(row) for row in self._read(wanted)]

    def get(self, job: str, number: int) -> Revision | None:
        """Return one revision. Raises StoreUnavailable."""
        if not 0 <= number < 2**63:
            return None
        self._settle()
        c = revisions.c
        found = self._read(sa.select(revisions).where(c.job == _clean(job), c.number == number))
        return _revision(found[0]) if found else None

    def prune(self, older_than: Millis) -> int:
        """Remove what is older: all of a job that is gone, all but the newest of one that is there."""

        def work(db: sa.Connection) -> int:
            if not sa.inspect(db).has_table(revisions.name):
                return 0
            c, gone = revisions.c, 0
            for (job,) in db.execute(sa.select(c.job).where(c.at < older_than).distinct().limit(1000)).all():
                keep = self._numbers(db, job, 1)
                last = db.execute(sa.select(c.after).where(c.number == keep)).scalar_one()
                oldest = self._numbers(db, job, KEPT_ALWAYS) if last is not None else None
                doomed = sa.delete(revisions).where(c.job == job, c.at < older_than)
                if last is not None:
                    if oldest is None:
                        continue
                    doomed = doomed.where(c.number < oldest)
                gone += db.execute(doomed).rowcount
            return gone

        return self._history.transaction(work, write=True)

    # --- work

    def _settle(self) -> None:
        """Wait a moment until what was committed can be read."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._busy, READ_PATIENCE_S)

    def _read(self, statement: sa.Select[Any]) -> Sequence[Any]:
        def work(db: sa.Connection) -> Sequence[Any]:
            return db.execute(statement).all() if sa.inspect(db).has_table(revisions.name) else ()

        return self._history.transaction(work, write=False)

    @staticmethod
    def _numbers(db: sa.Connection, job: str, keep: int) -> int | None:
        """Return the number of a job's `keep`-th newest revision; None when it has fewer."""
        c = revisions.c
        wanted = sa.select(c.number).where(c.job == job).order_by(c.number.desc()).offset(keep - 1).limit(1)
        found: int | None = db.execute(wanted).scalar_one_or_none()
        return found

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                if not self._waiting:
                    return
                some = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
                self._busy = True
                lost, self._lost = self._lost, 0
            if lost:
                log.error("revisions of jobs were lost: the history store does not take them", revisions=lost)
            try:
                self._write(some)
            except StoreUnavailable as error:
                log.warning("revisions of jobs wait for the history store", reason=str(error))
                with self._changed:
                    self._waiting.extendleft(reversed(some))
                    if self._stopping:
                        return
                    self._changed.wait_for(lambda: self._stopping, PAUSE_S)
            except Exception:
                log.exception("revisions of jobs could not be written and are left out", revisions=len(some))
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()

    def _write(self, edits: list[Edit]) -> None:
        rows = [
            {
                "job": _clean(edit.job),
                "at": edit.at,
                "author": _clean(edit.author.user),
                "address": edit.author.address,
                "before": _document(edit.before),
                "after": _document(edit.after),
            }
            for edit in edits
        ]

        def work(db: sa.Connection) -> None:
            metadata.create_all(db, checkfirst=True)
            db.execute(sa.insert(revisions), rows)
            for job in dict.fromkeys(row["job"] for row in rows):
                oldest = self._numbers(db, str(job), KEPT_PER_JOB)
                if oldest is not None:
                    db.execute(sa.delete(revisions).where(revisions.c.job == job, revisions.c.number < oldest))

        self._history.transaction(work, write=True)


def _document(job: Job | None) -> str | None:
    if job is None:
        return None
    text = json.dumps(definition(job), separators=(",", ":"))  # ASCII: any database takes it
    return text if len(text) <= LONGEST_DOCUMENT else ""


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _revision(row: Sequence[Any]) -> Revision:
    number, job, at, user, address, before, after = row
    return Revision(number, job, at, Author(user, address), before, after)
