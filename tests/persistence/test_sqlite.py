"""What SqliteJobStore does beyond the suite: damage, full disks, locks, other processes, older and newer files."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from chronos_py.errors import StaleLeader, StoreUnavailable
from chronos_py.model.job import Job, JobState
from chronos_py.model.messages import Delete, Put
from chronos_py.persistence.sqlite import LOG_LIMIT, TABLES, SqliteJobStore
from tests.persistence.test_job_store_suite import a_record, a_run

A_RUN_S_JSON = '{"id":1,"job":"a","trigger":"manual","due":5,"stamp":5,"created":5}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteJobStore]:
    with closing(SqliteJobStore(path, timeout=0.1)) as opened:
        yield opened


def sql(path: Path, statement: str, *parameters: Any) -> list[Any]:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        return db.execute(statement, parameters).fetchall()


# --- damage


@pytest.mark.parametrize(
    ("kind", "key", "value", "reason"),
    [
        ("job", "bad", "{", "is not JSON"),
        ("job", "bad", "{}", "name: is missing"),
        ("job", "bad", '{"name":"good"}', "lies under 'bad' but says it is 'good'"),
        ("job", "bad", b"\xff\xfe", "is not JSON"),
        ("job", "bad", 7, "must be an object, is 7"),  # the column makes it the text 7
        ("job", b"\xff", '{"name":"x"}', "invalid start byte"),
        ("state", "bad", '{"success_count":"3"}', "success_count: must be a whole number, is '3'"),
        ("run", 1, A_RUN_S_JSON.replace("manual", "magic"), "trigger: must be one of schedule, parents, manual"),
        ("run", 2, A_RUN_S_JSON, "lies under 2 but says it is 1"),
        ("meta", "bad", "nonsense", "is not JSON"),
        ("outbox", 3, '{"kind":"run"}', "run, job, trigger, due, created, ended, outcome: is missing"),
    ],
)
def test_a_damaged_row_is_reported_and_left_alone(
    store: SqliteJobStore, path: Path, kind: Any, key: Any, value: Any, reason: str
) -> None:
    store.commit(store.open_epoch(), [Put("job", "good", Job(name="good"))])
    table, column = TABLES[kind]
    sql(path, f"INSERT INTO {table} VALUES (CAST(? AS TEXT), ?)", key, value)
    before = sql(path, f"SELECT CAST({column} AS BLOB), value FROM {table}")
    snapshot = store.load()
    assert snapshot.jobs == {"good": Job(name="good")}
    (found,) = snapshot.quarantined
    assert (found.kind, found.key) == (kind, "\\xff" if isinstance(key, bytes) else str(key))
    assert reason in found.reason
    store.commit(store.open_epoch(), [Put("meta", "other", 1), Put("job", "good", Job(name="good"))])
    assert set(before) <= set(sql(path, f"SELECT CAST({column} AS BLOB), value FROM {table}"))
    assert sql(path, "SELECT * FROM quarantine") == []


@pytest.mark.parametrize("change", [Put("job", "bad", Job(name="bad")), Delete("job", "bad")])
def test_a_damaged_row_is_copied_before_it_is_overwritten(store: SqliteJobStore, path: Path, change: Any) -> None:
    epoch = store.open_epoch()
    sql(path, "INSERT INTO jobs VALUES ('bad', ?)", b'{"name":\xff')
    store.load()
    with pytest.raises(StaleLeader):
        store.commit(epoch - 1, [change])
    assert sql(path, "SELECT * FROM quarantine") == []
    store.commit(epoch, [change])
    ((kind, key, value, reason),) = sql(path, "SELECT kind, key, value, reason FROM quarantine")
    assert (kind, key, value) == ("job", "bad", b'{"name":\xff')
    assert reason.startswith("is not JSON")
    store.commit(epoch, [change])
    assert sql(path, "SELECT count(*) FROM quarantine") == [(1,)]
    assert store.load().quarantined == []


def test_damaged_outbox_rows_are_copied_before_they_are_forgotten(store: SqliteJobStore, path: Path) -> None:
    epoch = store.open_epoch()
    store.commit(epoch, [Put("outbox", 1, a_record(1)), Put("outbox", 5, a_record(5))])
    sql(path, "INSERT INTO outbox VALUES (2, 'x'), (6, 'y')")
    assert len(store.load().quarantined) == 2
    assert store.read_outbox(0, 10) == [(1, a_record(1)), (5, a_record(5))]
    store.commit(epoch, [Delete("outbox", 4)])
    assert sql(path, "SELECT key, value FROM quarantine") == [(2, "x")]
    assert sorted(store.load().outbox) == [5]


def test_fields_of_a_newer_version_are_ignored(store: SqliteJobStore, path: Path) -> None:
    store.open_epoch()
    sql(path, """INSERT INTO jobs VALUES ('a', '{"name":"a","shiny":true}')""")
    snapshot = store.load()
    assert (snapshot.jobs, snapshot.quarantined) == ({"a": Job(name="a")}, [])


@pytest.mark.parametrize("content", [b"this is no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 8192])
def test_a_file_that_is_no_database_is_named_and_kept(store: SqliteJobStore, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for call in (store.load, store.open_epoch, lambda: store.commit(1, [])):
        with pytest.raises(StoreUnavailable, match=r"state\.sqlite: not a database, or a damaged one"):
            call()
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused(store: SqliteJobStore, path: Path) -> None:
    sql(path, "CREATE TABLE wallet (money)")
    with pytest.raises(StoreUnavailable, match="is a database of another program"):
        store.load()
    assert sql(path, "SELECT name FROM sqlite_master") == [("wallet",)]


def test_damaged_pages_are_reported(store: SqliteJobStore, path: Path) -> None:
    store.commit(store.open_epoch(), [Put("run", n, a_run(n)) for n in range(2000)])
    store.close()
    content = bytearray(path.read_bytes())
    content[3 * 4096 :] = b"\xaa" * (len(content) - 3 * 4096)
    path.write_bytes(content)
    with closing(SqliteJobStore(path)) as again, pytest.raises(StoreUnavailable, match="damaged"):
        again.load()


# --- disks and locks


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Let every write beyond `size` bytes fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_refuses_the_whole_turn_and_then_goes_on(store: SqliteJobStore, path: Path) -> None:
    epoch = store.open_epoch()
    store.commit(epoch, [Put("meta", "k", 1)])
    big = Put("job", "a", Job(name="a", description="x" * 300_000))
    with no_file_larger_than(150_000):
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=r"state\.sqlite: (disk I/O error|database or disk is full)"):
                store.commit(epoch, [Put("meta", "k", 2), big])
        assert store.load().meta == {"k": 1}
    store.commit(epoch, [Put("meta", "k", 3), big])
    store.close()
    with closing(SqliteJobStore(path)) as again:
        assert again.load().meta == {"k": 3}
        assert list(again.load().jobs) == ["a"]


def test_a_file_that_may_not_be_written_is_reported(store: SqliteJobStore) -> None:
    epoch = store.open_epoch()
    assert store._db is not None
    store._db.execute("PRAGMA query_only = 1")  # for root, a file's mode means nothing
    with pytest.raises(StoreUnavailable, match="readonly"):
        store.commit(epoch, [Put("meta", "k", 1)])
    store._db.execute("PRAGMA query_only = 0")
    store.commit(epoch, [Put("meta", "k", 2)])
    assert store.load().meta == {"k": 2}


def test_a_locked_file_is_reported_and_used_again_later(store: SqliteJobStore, path: Path) -> None:
    epoch = store.open_epoch()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            store.commit(epoch, [Put("meta", "k", 1)])
        assert store.load().meta == {}
        other.execute("ROLLBACK")
    store.commit(epoch, [Put("meta", "k", 2)])
    assert store.load().meta == {"k": 2}


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        SqliteJobStore(tmp_path / "file" / "state.sqlite")
    with pytest.raises(StoreUnavailable, match="cannot be made"):
        SqliteJobStore(tmp_path / "file" / "state.sqlite", exclusive=False).load()


def test_the_log_does_not_grow_for_ever(store: SqliteJobStore, path: Path) -> None:
    epoch = store.open_epoch()
    text = "x" * 50_000
    for turn in range(400):
        store.commit(epoch, [Put("job", f"j{turn % 20}", Job(name=f"j{turn % 20}", description=f"{turn}{text}"))])
    log = path.with_name("state.sqlite-wal").stat().st_size
    assert log < 8_000_000 < LOG_LIMIT
    store.commit(epoch, [Put("meta", f"m{n}", text) for n in range(600)])
    store.commit(epoch, [Put("meta", "last", 1)])
    store.commit(epoch, [Put("meta", "last", 2)])
    assert path.with_name("state.sqlite-wal").stat().st_size <= LOG_LIMIT


def test_a_closed_store_says_so(store: SqliteJobStore) -> None:
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable, match="has been closed"):
        store.load()


# --- other processes

HOLDER = """
import sys, time
from chronos_py.persistence.sqlite import SqliteJobStore
store = SqliteJobStore(sys.argv[1])
print(store.open_epoch(), flush=True)
time.sleep(60)
"""


def test_a_second_server_is_refused_until_the_first_is_dead(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == "1\n"
            with pytest.raises(StoreUnavailable, match=f"{path.parent} is in use by process {holder.pid}: "):
                SqliteJobStore(path)
        finally:
            os.kill(holder.pid, signal.SIGKILL)
            holder.wait()
        with closing(SqliteJobStore(path)) as store:
            assert store.open_epoch() == 2


def test_a_lock_is_not_handed_down_to_programs_that_are_started(path: Path) -> None:
    store = SqliteJobStore(path)
    with subprocess.Popen(["sleep", "60"], close_fds=False) as task:
        store.close()
        SqliteJobStore(path).close()
        assert task.poll() is None  # it lives and does not hold the lock
        task.kill()


def test_where_no_lock_holds_the_epoch_does(path: Path) -> None:
    with (
        closing(SqliteJobStore(path, exclusive=False)) as first,
        closing(SqliteJobStore(path, exclusive=False)) as second,
    ):
        old = first.open_epoch()
        first.commit(old, [Put("meta", "k", 1)])
        new = second.open_epoch()
        with pytest.raises(StaleLeader, match=f"epoch {old} is over: .* is in epoch {new}"):
            first.commit(old, [Put("meta", "k", 2)])
        assert second.load().meta == {"k": 1}
        with pytest.raises(StoreUnavailable, match="was replaced by an older one") as caught:
            second.commit(new + 1, [Put("meta", "k", 3)])
        assert not isinstance(caught.value, StaleLeader)


# --- versions


def hand_made(path: Path) -> None:
    """Make a file as an older chronos-py might have left it: jobs and their states in one table."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript("""
            CREATE TABLE epoch (number INTEGER NOT NULL);
            INSERT INTO epoch VALUES (7);
            CREATE TABLE everything (name TEXT PRIMARY KEY, job TEXT, state TEXT);
            INSERT INTO everything VALUES ('a', '{"name":"a"}', '{"success_count":2}');
            PRAGMA user_version = 1;
        """)


STEPS = {
    1: """CREATE TABLE jobs (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);
          INSERT INTO jobs SELECT name, job FROM everything;""",
    2: """CREATE TABLE states (job TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
          INSERT INTO states SELECT name, state FROM everything;
          DROP TABLE everything;
          CREATE TABLE runs (run INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL);
          CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
          CREATE TABLE outbox (number INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL);""",
}


def test_an_older_file_is_brought_up_to_date_step_by_step(path: Path) -> None:
    hand_made(path)
    with closing(SqliteJobStore(path, version=3, steps=STEPS)) as store:
        snapshot = store.load()
        assert (snapshot.jobs, snapshot.states) == ({"a": Job(name="a")}, {"a": JobState(success_count=2)})
        assert store.open_epoch() == 8
    assert sql(path, "PRAGMA user_version") == [(3,)]


def test_a_step_that_fails_leaves_the_file_as_the_step_before_left_it(path: Path) -> None:
    hand_made(path)
    broken = STEPS | {2: "DROP TABLE everything; INSERT INTO nowhere VALUES (1);"}
    with (
        closing(SqliteJobStore(path, version=3, steps=broken)) as store,
        pytest.raises(StoreUnavailable, match="nowhere"),
    ):
        store.load()
    assert sql(path, "PRAGMA user_version") == [(2,)]
    assert sql(path, "SELECT name FROM everything") == [("a",)]
    with closing(SqliteJobStore(path, version=3, steps=STEPS)) as store:
        assert list(store.load().states) == ["a"]


def test_a_newer_file_is_refused_and_left_alone(store: SqliteJobStore, path: Path) -> None:
    store.open_epoch()
    store.close()
    sql(path, "PRAGMA user_version = 99")
    with closing(SqliteJobStore(path)) as again, pytest.raises(StoreUnavailable, match=r"newer chronos-py \(layout 99"):
        again.load()
    assert sql(path, "SELECT number FROM epoch") == [(1,)]
