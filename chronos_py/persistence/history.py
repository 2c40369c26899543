"""Ended runs and attempts in a SQL database, by default `history.sqlite` beside the job store.

A record lies in the job store's outbox until it is known to be here, and writing it again replaces it: so this store
need not keep step. The outbox forgets what `write` has taken, so that must be on disk by then: synchronous=FULL, which
costs one sync a batch. (With NORMAL a loss of power takes back all since the last checkpoint, up to megabytes.)

History must never stop scheduling: a damaged SQLite file is renamed aside (`history.sqlite.damaged-<time>`), said so
loudly, and a new one is begun.

Statements are written for no database in particular; upserts alone differ by dialect. They write many rows each: see
`sqlite.py` for what a statement a row would cost.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from chronos_py.clock import Millis
from chronos_py.errors import StoreUnavailable
from chronos_py.model.history import AttemptRecord, HistoryRecord, RunRecord
from chronos_py.model.run import Outcome
from chronos_py.model.statistics import KEPT, Group, StatisticsQuery
from chronos_py.persistence import postgresql as postgresql_server
from chronos_py.persistence.base import RunQuery
from chronos_py.persistence.history_tables import (
    attempt_of,
    attempt_row,
    attempts,
    layout,
    metadata,
    read_rows,
    rollups,
    run_of,
    run_row,
    runs,
)
from chronos_py.persistence.ledger import Gap, find_gaps
from chronos_py.persistence.rollups import Rollups
from chronos_py.persistence.spans import JOBS_AT_ONCE, newest_of, overlapping

log = structlog.get_logger(__name__)
R = TypeVar("R")

VERSION = 3
STEPS: dict[int, Sequence[str]] = {  # statements that turn version n into n + 1, and our own word
    1: (
        "ALTER TABLE runs ADD COLUMN first_started BIGINT",
        "ALTER TABLE runs ADD COLUMN exit_reason TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE attempts ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
        "make rollups",
    ),
    2: ("ALTER TABLE attempts ADD COLUMN placement TEXT NOT NULL DEFAULT ''",),
}

SIZES = (256, 64, 16, 4, 1)  # rows per statement; each is compiled once
LOOKED_UP = 500  # numbers in one question
COUNTED_AT_ONCE = 5000  # rows, when roll-ups are made of what is there
PRUNED_AT_ONCE = 500  # runs: some ten milliseconds of holding the write lock
LOG_LIMIT = 16 * 1024 * 1024  # bytes the write-ahead log keeps on disk
CACHE_KIB = 16 * 1024  # a connection; what is used of it depends on the work: the indexes are written all over
SQLITE_NOTADB, SQLITE_CORRUPT = 26, 11
BIGGEST = 2**63 - 1


def sqlite_url(data_dir: str | Path) -> str:
    """Return where history lies by default."""
    return f"sqlite:///{Path(data_dir).absolute() / 'history.sqlite'}"


class SqlHistoryStore:
    """A HistoryStore in the database at `url`. All methods may be called from any thread.

    The database is first used by the first call, so a server may start before its database does.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 10.0,
        version: int = VERSION,
        steps: Mapping[int, Sequence[str]] | None = None,
    ) -> None:
        """`timeout` in seconds: how long to wait for a locked SQLite file."""
        address = sa.make_url(url)
        self._version = version
        self._steps = STEPS if steps is None else steps
        self._file: Path | None = None
        if address.get_backend_name() == "sqlite":
            self._file = Path(address.database or "history.sqlite")
            self._engine = sa.create_engine(address, connect_args={"timeout": timeout})
            sa.event.listen(self._engine, "connect", _set_up_sqlite)
        elif address.get_backend_name() == "postgresql":
            self._engine = postgresql_server.make_engine(address)
        else:
            self._engine = sa.create_engine(address, pool_pre_ping=True)
        self._postgresql = self._engine.dialect.name == "postgresql"
        self._upserts: dict[tuple[str, int], tuple[str, list[str] | None]] = {}
        self._rollups = Rollups(rollups, self._upsert)
        self._lock = threading.Lock()
        self._ready = False
        self._generation = 0  # grows each time a damaged file was put aside

    # --- the protocol

    def write(self, records: Iterable[HistoryRecord]) -> None:
        """See HistoryStore. Raises another error than StoreUnavailable when a record can never be written."""
        by_run: dict[Any, RunRecord] = {}
        by_attempt: dict[Any, AttemptRecord] = {}
        for record in records:
            if isinstance(record, RunRecord):
                by_run[record.run] = record
            else:
                by_attempt[record.run, record.attempt] = record
        run_rows, attempt_rows = list(map(run_row, by_run.values())), list(map(attempt_row, by_attempt.values()))
        try:
            found: list[HistoryRecord] = [*by_run.values(), *by_attempt.values()]
            self._write_rows(run_rows, attempt_rows, found)
        except (ValueError, OverflowError, DataError):  # UnicodeEncodeError is a ValueError
            run_rows = [self._cleaned(runs, row) for row in run_rows]
            attempt_rows = [self._cleaned(attempts, row) for row in attempt_rows]
            found = [*map(run_of, run_rows), *map(attempt_of, attempt_rows)]
            self._write_rows(run_rows, attempt_rows, found)

    def runs(self, query: RunQuery) -> list[RunRecord]:
        wanted = sa.select(runs).order_by(runs.c.run.desc()).limit(max(0, query.limit))
        for column, value in (
            (runs.c.job, query.job),
            (runs.c.outcome, query.outcome),
            (runs.c.triggered_by, query.trigger),
            (runs.c.owner, query.owner),
        ):
            if value is not None:
                wanted = wanted.where(column == self._clean_text(str(value)))
        if query.due_from is not None:
            wanted = wanted.where(runs.c.due >= query.due_from)
        if query.due_to is not None:
            wanted = wanted.where(runs.c.due < query.due_to)
        if query.before_run is not None:
            wanted = wanted.where(runs.c.run < query.before_run)
        return read_rows(self._read(wanted), run_of)

    def run(self, number: int) -> RunRecord | None:
        found = read_rows(self._read(sa.select(runs).where(runs.c.run == number)), run_of)
        return found[0] if found else None

    def attempts(self, run: int) -> list[AttemptRecord]:
        wanted = sa.select(attempts).where(attempts.c.run == run).order_by(attempts.c.attempt)
        return read_rows(self._read(wanted), attempt_of)

    def recent_attempts(self, job: str, limit: int) -> list[AttemptRecord]:
        c = attempts.c
        order = (c.launched.desc(), c.run.desc(), c.attempt.desc())
        wanted = sa.select(attempts).where(c.job == self._clean_text(job)).order_by(*order).limit(max(0, limit))
        return read_rows(self._read(wanted), attempt_of)

    def durations(self, limit_per_job: int) -> Mapping[str, Sequence[int]]:
        c = runs.c
        place = sa.func.row_number().over(partition_by=c.job, order_by=c.run.desc()).label("place")
        success = (
            sa.func.coalesce(c.outcome, "") == Outcome.SUCCESS.value
        )  # in this form, runs_outcome is of no use to it
        newest = sa.select(c.job, (c.ended - c.due).label("duration"), place).where(success, c.attempts > 0).subquery()
        wanted = sa.select(newest.c.job, newest.c.place, newest.c.duration).where(newest.c.place <= limit_per_job)
        values: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for job, position, duration in self._read(wanted):
            values[job].append((position, max(0, duration)))
        return {job: [duration for _, duration in sorted(found, reverse=True)] for job, found in values.items()}

    def prune(self, older_than: Millis, keep_per_job: int) -> int:
        c, gone = runs.c, 0
        oldest_kept: dict[str, int | None] = {}
        ended, number = -BIGGEST, 0
        while True:
            behind = sa.or_(c.ended > ended, sa.and_(c.ended == ended, c.run > number))
            candidates = self._read(
                sa.select(c.ended, c.run, c.job)
                .where(c.ended < older_than, behind)
                .order_by(c.ended, c.run)
                .limit(PRUNED_AT_ONCE)
            )
            if not candidates:
                return gone
            ended, number, _ = candidates[-1]
            doomed = []
            for _, run, job in candidates:
                if keep_per_job > 0 and job not in oldest_kept:
                    oldest_kept[job] = self._oldest_kept(job, keep_per_job)
                limit = oldest_kept[job] if keep_per_job > 0 else BIGGEST
                if limit is not None and run < limit:
                    doomed.append(run)
            if doomed:
                began = time.monotonic()
                self._do(lambda db, doomed=doomed: _remove(db, doomed), write=True)  # type: ignore[misc]
                gone += len(doomed)
                time.sleep(min(time.monotonic() - began, 0.1))  # let others write

    def statistics(self, query: StatisticsQuery, now: Millis) -> Sequence[Group]:
        where = tuple((name, self._clean_text(value)) for name, value in query.where)
        return self._do(lambda db: self._rollups.read(db, replace(query, where=where), now), write=False)

    def overlapping(self, begin: Millis, end: Millis, latest: Millis, limit: int) -> list[RunRecord]:
        """Return runs that were under way between two instants: see `spans.overlapping`."""
        return read_rows(self._read(overlapping(runs, begin, end, latest, limit)), run_of)

    def newest_of(self, jobs: Sequence[str]) -> list[RunRecord]:
        """Return the newest run of each of these jobs, of those that ran."""
        names, found = [self._clean_text(job) for job in jobs], list[RunRecord]()
        for start in range(0, len(names), JOBS_AT_ONCE):
            found += read_rows(self._read(newest_of(runs, names[start : start + JOBS_AT_ONCE])), run_of)
        return found

    def prune_statistics(self, now: Millis) -> int:
        """Remove the roll-ups' buckets that are older than they are kept; return how many."""

        def prune(db: sa.Connection) -> int:
            _be_the_only_writer(db)
            return self._rollups.prune(db, now)

        return self._do(prune, write=True)

    def close(self) -> None:
        self._engine.dispose()

    # --- beyond the protocol

    def gaps(self, job: str, version: int, up_to: int, start: int = 0) -> list[Gap]:
        """Return which due times `start` to `up_to` of a job's schedule have not exactly one row: see find_gaps.

        A due time whose run has not ended, or whose record is still on its way here, has none.
        """
        c = runs.c
        last = sa.func.coalesce(c.last_index, c.first_index)
        wanted = sa.select(c.first_index, last).where(
            c.job == job, c.version == version, c.first_index <= up_to, last >= start
        )
        return find_gaps(((int(first), int(last)) for first, last in self._read(wanted)), start, up_to)

    def transaction(self, work: Callable[[sa.Connection], R], *, write: bool) -> R:
        """Do something in one transaction of this database. Raises StoreUnavailable."""
        return self._do(work, write=write)

    # --- work

    def _read(self, statement: sa.Select[Any]) -> Sequence[Any]:
        return self._do(lambda db: db.execute(statement).all(), write=False)

    def _write_rows(
        self, run_rows: list[tuple[Any, ...]], attempt_rows: list[tuple[Any, ...]], records: list[HistoryRecord]
    ) -> None:
        def write(db: sa.Connection) -> None:
            _be_the_only_writer(db)
            self._rollups.add(db, records, _written_before(db, records))
            self._upsert(db, runs, run_rows)
            self._upsert(db, attempts, attempt_rows)

        if run_rows or attempt_rows:
            self._do(write, write=True)

    def _cleaned(self, table: sa.Table, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return a row that the database takes."""
        cut = ("job", "owner") if self._postgresql else ()
        return tuple(
            self._clean_text(value)[: postgresql_server.LONGEST_TEXT if column.name in cut else None]
            if isinstance(value, str)
            else max(-BIGGEST, min(value, BIGGEST)) if isinstance(value, int)
            else value
            for column, value in zip(table.columns, row, strict=True)
        )  # fmt: skip

    def _clean_text(self, text: str) -> str:
        """Return a text without halves of characters; SQLite alone takes NUL."""
        text = text.encode("utf-8", "replace").decode("utf-8")
        return text if self._file is not None else text.replace("\0", "\ufffd")

    def _upsert(self, db: sa.Connection, table: sa.Table, rows: list[tuple[Any, ...]]) -> None:
        start = 0
        for size in SIZES:
            while len(rows) - start >= size:
                values = chain.from_iterable(rows[start : start + size])
                sql, names = self._upsert_statement(table, size)
                db.exec_driver_sql(sql, tuple(values) if names is None else dict(zip(names, values, strict=True)))
                start += size

    def _upsert_statement(self, table: sa.Table, size: int) -> tuple[str, list[str] | None]:
        """Return the driver's own text of an upsert of `size` rows, and its parameters' names unless they go by place.

        Kept, because compiling takes longer than the database's work.
        """
        known = self._upserts.get((table.name, size))
        if known is None:
            dialect = self._engine.dialect
            insert: Any = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
            names = [[f"{column.name}_{row}" for column in table.columns] for row in range(size)]
            statement = insert(table).values(
                [
                    {
                        column: sa.bindparam(name, type_=column.type)
                        for column, name in zip(table.columns, row, strict=True)
                    }
                    for row in names
                ]
            )
            changed = {c.name: statement.excluded[c.name] for c in table.columns if not c.primary_key}
            statement = statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed)
            compiled = statement.compile(dialect=dialect)
            known = str(compiled), None if compiled.positional else list(chain.from_iterable(names))
            self._upserts[table.name, size] = known
        return known

    def _oldest_kept(self, job: str, keep: int) -> int | None:
        """Return the number of the job's `keep`-th newest run; None when it has fewer."""
        wanted = sa.select(runs.c.run).where(runs.c.job == job).order_by(runs.c.run.desc()).offset(keep - 1).limit(1)
        found = self._read(wanted)
        return int(found[0][0]) if found else None

    def _do(self, work: Callable[[sa.Connection], R], *, write: bool) -> R:
        """Work in one transaction. Every error but those of the data itself becomes StoreUnavailable."""
        again = False
        while True:
            generation = self._generation
            try:
                if not self._ready:
                    self._prepare()
                with self._engine.begin() if write else self._engine.connect() as db:
                    return work(db)
            except (DataError, IntegrityError):
                raise
            except SQLAlchemyError as error:
                if write and postgresql_server.is_too_long(error):
                    raise ValueError(f"history: {getattr(error, 'orig', error)}") from error
                if again or not self._damaged(error):
                    raise StoreUnavailable(f"history: {getattr(error, 'orig', None) or error}") from error
                self._put_aside(generation, str(getattr(error, "orig", error)))
                again = True

    # --- the file

    def _prepare(self) -> None:
        """Make the tables, or bring those of an older version up to date."""
        with self._lock:
            if self._ready:
                return
            if self._file is not None:
                try:
                    self._file.absolute().parent.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise StoreUnavailable(f"{self._file.parent} cannot be made: {error.strerror}") from None
            while self._prepare_a_step():
                pass
            self._ready = True

    def _prepare_a_step(self) -> bool:
        """Make the tables, or go from one version to the next: wholly or not at all, whenever the process ends. Tell
        whether there was anything to do."""
        with self._engine.begin() as db:
            if self._file is not None:
                db.exec_driver_sql("BEGIN IMMEDIATE")  # else each statement that makes a table is durable by itself
            elif self._postgresql:
                postgresql_server.be_the_only_maker(db)
            known = sa.inspect(db).has_table(layout.name)
            found = db.execute(sa.select(layout.c.version)).scalar_one_or_none() if known else None
            if found == self._version:
                return False
            if found is None:
                metadata.create_all(db)
                db.execute(sa.insert(layout).values(version=self._version))
                return True
            if found > self._version:
                raise StoreUnavailable(
                    f"history was written by a newer chronos-py (layout {found}, this one knows {self._version})"
                )
            log.info("bringing history up to date", version=found + 1)
            for step in self._steps[found]:
                if step == "make rollups":
                    self._make_rollups(db)
                else:
                    db.execute(sa.text(step))
            db.execute(sa.update(layout).values(version=found + 1))
            return True

    def _make_rollups(self, db: sa.Connection) -> None:
        """Make roll-ups of what an older version has written, as far back as they are kept."""
        rollups.create(db)
        newest = db.execute(sa.select(sa.func.max(runs.c.ended))).scalar_one() or 0
        kinds: tuple[tuple[sa.Table, Callable[[Sequence[Any]], HistoryRecord]], ...]
        kinds = ((runs, run_of), (attempts, attempt_of))
        for table, build in kinds:
            key, last = list(table.primary_key), (-BIGGEST,) * len(table.primary_key)
            there = {column["name"] for column in sa.inspect(db).get_columns(table.name)}
            # later steps add the others, which do not count
            columns = [column if column.name in there else sa.literal("").label(column.name) for column in table.c]
            while True:
                rows = db.execute(
                    sa.select(*columns).where(sa.tuple_(*key) > last).order_by(*key).limit(COUNTED_AT_ONCE)
                ).all()
                if not rows:
                    break
                last = tuple(rows[-1][: len(key)])
                recent = [row for row in rows if row.ended >= newest - KEPT["day"]]
                self._rollups.add(db, read_rows(recent, build), ())

    def _damaged(self, error: SQLAlchemyError) -> bool:
        code = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0) & 0xFF
        return self._file is not None and code in (SQLITE_NOTADB, SQLITE_CORRUPT)

    def _put_aside(self, generation: int, reason: str) -> None:
        """Rename a damaged file, unless another thread has done so meanwhile. Raises StoreUnavailable."""
        assert self._file is not None
        with self._lock:
            if generation != self._generation:
                return
            self._engine.dispose()
            name = f"{self._file.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
            try:
                self._file.rename(self._file.with_name(name))
                for suffix in ("-wal", "-shm"):
                    with suppress(FileNotFoundError):
                        self._file.with_name(self._file.name + suffix).rename(self._file.with_name(name + suffix))
            except OSError as error:
                raise StoreUnavailable(f"{self._file} is damaged and cannot be renamed: {error.strerror}") from None
            self._generation += 1
            self._ready = False
        log.critical("history is damaged: it was put aside, and a new one begun", file=name, reason=reason)


def _set_up_sqlite(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute(f"PRAGMA journal_size_limit = {LOG_LIMIT}")
    cursor.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    cursor.close()


def _be_the_only_writer(db: sa.Connection) -> None:
    """Wait until no other transaction writes, of whichever node: what is read from here on is what is added to."""
    db.execute(sa.update(layout).values(version=layout.c.version))


def _written_before(db: sa.Connection, records: Iterable[HistoryRecord]) -> list[HistoryRecord]:
    """Return what is there of the same runs and attempts."""
    run_numbers = {record.run for record in records if isinstance(record, RunRecord)}
    tries = {(record.run, record.attempt) for record in records if isinstance(record, AttemptRecord)}
    found: list[HistoryRecord] = []
    for some in _parts(sorted(run_numbers)):
        found += read_rows(db.execute(sa.select(runs).where(runs.c.run.in_(some))), run_of)
    for some in _parts(sorted({run for run, _ in tries})):
        rows = db.execute(sa.select(attempts).where(attempts.c.run.in_(some)))
        found += read_rows((row for row in rows if (row[0], row[1]) in tries), attempt_of)
    return found


def _parts(numbers: Sequence[int]) -> Iterable[Sequence[int]]:
    return (numbers[start : start + LOOKED_UP] for start in range(0, len(numbers), LOOKED_UP))


def _remove(db: sa.Connection, numbers: Sequence[int]) -> None:
    _be_the_only_writer(db)
    db.execute(sa.delete(attempts).where(attempts.c.run.in_(numbers)))
    db.execute(sa.delete(runs).where(runs.c.run.in_(numbers)))
