"""What SqlHistoryStore does beyond the suite: damage, locks, versions, plans."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from structlog.testing import capture_logs

from chronos_py.errors import StoreUnavailable
from chronos_py.persistence import history_tables
from chronos_py.persistence.base import RunQuery
from chronos_py.persistence.history import SqlHistoryStore, sqlite_url
from tests.persistence.test_history_store_suite import ended, numbers, tried


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlHistoryStore]:
    with closing(SqlHistoryStore(sqlite_url(tmp_path), timeout=0.1)) as opened:
        yield opened


def sql(path: Path, statement: str, *parameters: Any) -> list[Any]:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        return db.execute(statement, parameters).fetchall()


# --- damage


@pytest.mark.parametrize("first", [lambda s: s.write([ended(5)]), lambda s: s.runs(RunQuery())])
def test_a_file_that_is_no_database_is_put_aside(store: SqlHistoryStore, path: Path, first: Any) -> None:
    path.write_bytes(b"no database" * 1000)
    with capture_logs() as logs:
        first(store)
    assert [entry["log_level"] for entry in logs] == ["critical"]
    store.write([ended(6)])
    assert 6 in numbers(store)
    (aside,) = path.parent.glob("history.sqlite.damaged-*")
    assert aside.read_bytes() == b"no database" * 1000
    assert logs[0]["file"] == aside.name


def test_damage_found_while_working_is_put_aside(path: Path) -> None:
    with closing(SqlHistoryStore(sqlite_url(path.parent))) as store:
        store.write([record for n in range(500) for record in (ended(n), tried(n))])
    content = bytearray(path.read_bytes())
    content[8 * 4096 :] = b"\xaa" * (len(content) - 8 * 4096)
    path.write_bytes(content)
    with closing(SqlHistoryStore(sqlite_url(path.parent))) as store:
        store.write([record for n in range(500, 1000) for record in (ended(n), tried(n))])
        assert len(numbers(store, limit=1000)) == 500
    assert any(file.read_bytes()[-1] == 0xAA for file in path.parent.glob("history.sqlite.damaged-*"))


def test_many_threads_put_a_damaged_file_aside_once(store: SqlHistoryStore, path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    problems: list[BaseException] = []
    start = threading.Barrier(6)

    def work(number: int) -> None:
        try:
            start.wait()
            store.write([ended(number)]) if number == 1 else store.runs(RunQuery())
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert numbers(store) == [1]
    assert len(list(path.parent.glob("history.sqlite.damaged-*"))) == 1


@pytest.mark.parametrize(
    ("column", "value"), [("outcome", "splendid"), ("triggered_by", "magic"), ("causes", "1 two"), ("causes", 1)]
)
def test_a_row_that_cannot_be_read_is_left_out(store: SqlHistoryStore, path: Path, column: str, value: Any) -> None:
    store.write([ended(1), ended(2), ended(3)])
    sql(path, f"UPDATE runs SET {column} = ? WHERE run = 2", value)
    found = numbers(store)
    assert found == ([3, 2, 1] if value == 1 else [3, 1])  # a text column makes 1 the text "1"


# --- locks


def test_a_locked_file_is_reported_and_used_again_later(store: SqlHistoryStore, path: Path) -> None:
    store.write([ended(1)])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="history: database is locked"):
            store.write([ended(2)])
        assert numbers(store) == [1]
        other.execute("ROLLBACK")
    store.write([ended(2)])
    assert numbers(store) == [2, 1]


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with closing(SqlHistoryStore(sqlite_url(tmp_path / "file"))) as store, pytest.raises(StoreUnavailable):
        store.write([ended(1)])


def test_readers_go_on_while_history_is_written_and_pruned(tmp_path: Path) -> None:
    with closing(SqlHistoryStore(sqlite_url(tmp_path))) as store:
        done, problems = threading.Event(), []

        def read() -> None:
            try:
                while not done.is_set():
                    store.runs(RunQuery(job="a"))
                    store.recent_attempts("a", 10)
            except BaseException as error:
                problems.append(error)

        def prune() -> None:
            try:
                while not done.is_set():
                    store.prune(10**9, 100)
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=work) for work in (read, read, prune)]
        for thread in threads:
            thread.start()
        for start in range(0, 3000, 300):
            store.write([record for n in range(start, start + 300) for record in (ended(n), tried(n))])
        done.set()
        for thread in threads:
            thread.join()
        assert problems == []
        store.prune(10**9, 100)
        assert numbers(store, limit=1000) == list(range(2999, 2899, -1))


# --- versions


def test_an_older_file_is_brought_up_to_date(tmp_path: Path, path: Path) -> None:
    with closing(SqlHistoryStore(sqlite_url(tmp_path))) as store:
        store.write([ended(1)])
    sql(path, "UPDATE layout SET version = 1")
    steps = {1: ["CREATE TABLE notes (run BIGINT)"], 2: ["INSERT INTO notes SELECT run FROM runs"]}
    with closing(SqlHistoryStore(sqlite_url(tmp_path), version=3, steps=steps)) as store:
        assert numbers(store) == [1]
    assert sql(path, "SELECT * FROM notes") == [(1,)]
    assert sql(path, "SELECT version FROM layout") == [(3,)]


def test_a_newer_file_is_refused_and_left_alone(tmp_path: Path, path: Path, store: SqlHistoryStore) -> None:
    store.write([ended(1)])
    sql(path, "UPDATE layout SET version = 99")
    with closing(SqlHistoryStore(sqlite_url(tmp_path))) as again, pytest.raises(StoreUnavailable, match="layout 99"):
        again.write([ended(2)])
    assert sql(path, "SELECT run FROM runs") == [(1,)]


# --- the work of the database


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (RunQuery(job="a"), "runs_of_job"),
        (RunQuery(job="a", due_from=1, due_to=2), "runs_of_job"),
        (RunQuery(outcome="failed"), "runs_outcome"),
        (RunQuery(owner="x"), "runs_owner"),
        (RunQuery(before_run=5), "PRIMARY KEY"),
    ],
)
def test_queries_use_an_index_and_sort_nothing(store: SqlHistoryStore, path: Path, query: RunQuery, index: str) -> None:
    store.write([ended(1)])
    seen: list[tuple[str, Any]] = []
    sa.event.listen(
        store._engine, "before_cursor_execute", lambda c, cursor, text, values, *_: seen.append((text, values))
    )
    store.runs(query)
    ((text, values),) = seen
    plan = " ".join(row[3] for row in sql(path, f"EXPLAIN QUERY PLAN {text}", *values))
    assert index in plan
    assert "TEMP B-TREE" not in plan


def test_the_tables_and_upserts_can_be_said_to_postgresql() -> None:
    dialect = postgresql.dialect()
    for table in (history_tables.runs, history_tables.attempts):
        text = str(sa.schema.CreateTable(table).compile(dialect=dialect))
        assert "run BIGINT NOT NULL" in text
        for index in table.indexes:
            assert str(sa.schema.CreateIndex(index).compile(dialect=dialect)).startswith("CREATE INDEX")
