"""History in a real PostgreSQL, beyond the suite: two nodes at once, a server that goes away, texts too long for it."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from chronos_py.errors import StoreUnavailable
from chronos_py.model.messages import Delete, Put
from chronos_py.model.statistics import HOUR
from chronos_py.persistence import history_tables
from chronos_py.persistence.base import RunQuery
from chronos_py.persistence.history import VERSION, SqlHistoryStore
from chronos_py.persistence.memory import MemoryJobStore
from chronos_py.persistence.outbox import HistoryReader, HistoryWriter
from compat_tests.servers.postgresql import PostgreSql
from tests.persistence.test_history_store_suite import ended, numbers, tried
from tests.persistence.test_rollups import NOW, total

pytestmark = pytest.mark.external


@pytest.fixture
def url(postgresql_server: PostgreSql) -> str:
    return postgresql_server.url(f"d{uuid4().hex}")


@pytest.fixture
def store(url: str) -> Iterator[SqlHistoryStore]:
    with closing(SqlHistoryStore(url)) as opened:
        yield opened


WRITER = """
import sys
from chronos_py.persistence.history import SqlHistoryStore
from tests.persistence.test_history_store_suite import ended, tried
from tests.persistence.test_rollups import NOW

store, first = SqlHistoryStore(sys.argv[1]), int(sys.argv[2])
for number in range(first, first + 30):
    store.write([ended(number, ended=NOW - 5), tried(number, ended=NOW - 5), ended(1, ended=NOW - 5)])
store.close()
"""


def test_two_nodes_at_once_make_the_tables_and_lose_no_count(url: str) -> None:
    """Two processes begin with an empty database, and add to the same roll-ups."""
    nodes = [subprocess.Popen([sys.executable, "-c", WRITER, url, str(first)]) for first in (100, 200)]
    try:
        assert [node.wait(60) for node in nodes] == [0, 0]
    finally:
        for node in nodes:
            node.kill()
            node.wait()
    with closing(SqlHistoryStore(url)) as store:
        assert len(numbers(store, limit=1000)) == 61
        assert total(store, NOW - HOUR, NOW) == {"due": 61, "success": 61, "launched": 60}
        assert total(store, NOW - HOUR, NOW, by=("job",)) == {"due": 61, "success": 61, "launched": 60}
        with store._engine.connect() as db:
            assert db.execute(sa.select(history_tables.layout.c.version)).all() == [(VERSION,)]


def test_writing_and_pruning_on_two_nodes_do_not_stop_each_other(url: str) -> None:
    problems: list[BaseException] = []
    with closing(SqlHistoryStore(url)) as one, closing(SqlHistoryStore(url)) as other:

        def prune() -> None:
            try:
                for _ in range(8):
                    other.prune(10**15, 5)
                    other.prune_statistics(NOW)
            except BaseException as error:
                problems.append(error)

        one.write([ended(n) for n in range(50)])
        thread = threading.Thread(target=prune)
        thread.start()
        for start in range(0, 400, 40):
            one.write([record for n in range(start, start + 60) for record in (ended(n), tried(n))])
        thread.join(60)
        assert not thread.is_alive()
        assert problems == []
        other.prune(10**15, 5)
        assert numbers(one) == list(range(419, 414, -1))


def test_records_wait_in_the_outbox_while_the_server_is_away() -> None:
    with PostgreSql() as server, closing(SqlHistoryStore(server.url("history"))) as store:
        jobs, written = MemoryJobStore(), threading.Condition()
        epoch, up_to = jobs.open_epoch(), [0]

        def note(number: int) -> None:
            jobs.commit(epoch, [Delete("outbox", number)])
            with written:
                up_to[0] = number
                written.notify_all()

        def wait_for(number: int) -> None:
            with written:
                assert written.wait_for(lambda: up_to[0] >= number, 30)

        def end(first: int, last: int) -> None:
            records = [(number, ended(number, ended=NOW - 5)) for number in range(first, last + 1)]
            jobs.commit(epoch, [Put("outbox", number, record) for number, record in records])
            writer.submit(records)

        writer = HistoryWriter(store, note, jobs.read_outbox, limit=50)
        writer.start()
        try:
            end(1, 20)
            wait_for(20)
            server.stop()
            end(21, 220)  # more than it keeps in memory
            assert not writer.flush(0.5)
            assert writer.problem
            assert sorted(jobs.load().outbox) == list(range(21, 221))
            with pytest.raises(StoreUnavailable, match="history: "):
                HistoryReader(store, writer).runs(RunQuery())
            server.start()
            wait_for(220)
            assert jobs.load().outbox == {}
            assert numbers(store, limit=1000) == list(range(220, 0, -1))
            assert total(store, NOW - HOUR, NOW) == {"due": 220, "success": 220}
            assert writer.problem == ""
        finally:
            writer.stop()


def test_what_no_index_takes_is_cut_and_stops_nothing(store: SqlHistoryStore) -> None:
    text = "".join(random.Random(1).choices([chr(0x4E00 + n) for n in range(5000)], k=9000))
    records: list[Any] = [ended(1, owner=text, ended=NOW - 5), ended(2, text, owner=text, ended=NOW - 5)]
    store.write([*records, tried(2, job=text, owner=text, ended=NOW - 5), ended(3, ended=NOW - 5)])
    assert numbers(store) == [3, 2, 1]
    found = store.run(1)
    assert found is not None
    assert found.owner
    assert text.startswith(found.owner)
    store.write(records)
    assert total(store, NOW - HOUR, NOW) == {"due": 3, "success": 3, "launched": 1}


def test_a_step_that_is_cut_short_is_begun_again(store: SqlHistoryStore, url: str) -> None:
    store.write([ended(1)])
    steps = {VERSION: ("ALTER TABLE runs ADD COLUMN more TEXT", "SELECT nonsense")}
    newer = SqlHistoryStore(url, version=VERSION + 1, steps=steps)
    with closing(newer), pytest.raises(StoreUnavailable, match="nonsense"):
        newer.run(1)
    assert numbers(store) == [1]
    assert "more" not in [column["name"] for column in sa.inspect(store._engine).get_columns("runs")]


def test_a_node_that_stands_still_holds_nobody_up(store: SqlHistoryStore) -> None:
    """What it holds, it loses: the server ends a session that says nothing in the midst of a transaction."""
    store.write([ended(1)])
    with store._engine.connect() as db:
        found = {
            name: db.execute(sa.text(f"SHOW {name}")).scalar_one()
            for name in ("lock_timeout", "idle_in_transaction_session_timeout")
        }
        assert found == {"lock_timeout": "30s", "idle_in_transaction_session_timeout": "30s"}
        db.execute(sa.text("SET idle_in_transaction_session_timeout = '200ms'"))
        db.commit()
        db.execute(
            sa.update(history_tables.layout).values(version=history_tables.layout.c.version)
        )  # and then not another word
        store.write([ended(2)])
        assert numbers(store) == [2, 1]
        db.invalidate()
