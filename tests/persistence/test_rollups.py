"""Statistics: roll-ups agree with a recount, whatever is written, written again, and pruned."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

from chronos_py.errors import InvalidInput, StoreUnavailable
from chronos_py.model.history import AttemptRecord, HistoryRecord, RunRecord
from chronos_py.model.run import Outcome, Trigger
from chronos_py.model.statistics import (
    COUNTS,
    DAY,
    DETAIL_KEPT,
    DIMENSIONS,
    HOUR,
    KEPT,
    LEVELS,
    MINUTE,
    Figures,
    Group,
    StatisticsQuery,
    plan,
    recount,
)
from chronos_py.persistence import history_tables
from chronos_py.persistence.history import VERSION, SqlHistoryStore, sqlite_url
from tests.fakes import NEW_YEAR
from tests.persistence.test_history_store_suite import ended, memory, postgresql_at, sqlite, tried

NOW = NEW_YEAR
HOSTS, OWNERS, JOBS = ("", "h1", "h2"), ("", "ann@x"), ("a", "b", "c d")

POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.external)


def place_of(request: pytest.FixtureRequest) -> Any:
    if request.param == "postgresql":
        return postgresql_at(request.getfixturevalue("postgresql_server"))
    return request.param


@pytest.fixture(params=[sqlite, POSTGRESQL], ids=lambda store: getattr(store, "__name__", store))
def place(request: pytest.FixtureRequest) -> Any:
    return place_of(request)


@pytest.fixture(params=[memory, sqlite, POSTGRESQL], ids=lambda store: getattr(store, "__name__", store))
def store(request: pytest.FixtureRequest) -> Iterator[Any]:
    with place_of(request)() as opened:
        yield opened


instants = st.integers(NOW - 3 * DAY, NOW - 1)
durations = st.integers(0, 3 * HOUR)


@st.composite
def run_records(draw: st.DrawFn) -> RunRecord:
    end = draw(instants)
    due = end - draw(durations)
    started = draw(st.none() | st.integers(due, end))
    index = draw(st.none() | st.integers(0, 5))
    return RunRecord(
        draw(st.integers(1, 30)), draw(st.sampled_from(JOBS)), draw(st.sampled_from(Trigger)), due, due, end,
        draw(st.sampled_from(Outcome)), draw(st.sampled_from(("", "late", "disabled"))), draw(st.integers(0, 2)),
        started, index, None if index is None else index + draw(st.integers(0, 3)),
        owner=draw(st.sampled_from(OWNERS)), host=draw(st.sampled_from(HOSTS)), first_started=started,
        exit_reason=draw(st.sampled_from(("", "exit 1"))),
    )  # fmt: skip


@st.composite
def attempt_records(draw: st.DrawFn) -> AttemptRecord:
    end = draw(instants)
    begin = end - draw(durations)
    return AttemptRecord(
        draw(st.integers(1, 30)), draw(st.integers(0, 2)), "t", draw(st.sampled_from(JOBS)), "s",
        draw(st.sampled_from(HOSTS)), begin, draw(st.none() | st.just(begin)), end, draw(st.sampled_from(Outcome)), "",
        draw(st.sampled_from(("", "REASON_CONTAINER_LIMITATION_MEMORY", "no such file: /x"))),
        exit_code=draw(st.none() | st.integers(0, 2)), owner=draw(st.sampled_from(OWNERS)),
    )  # fmt: skip


batches = st.lists(st.lists(run_records() | attempt_records(), max_size=12), max_size=6)


@st.composite
def questions(draw: st.DrawFn) -> StatisticsQuery:
    start = draw(st.integers(NOW - 3 * DAY, NOW))
    by = draw(st.lists(st.sampled_from(DIMENSIONS), unique=True, max_size=3))
    values = {"job": JOBS, "owner": OWNERS, "host": HOSTS, "exit": ("success", "exit 1", "late", "failed")}
    filters = draw(st.lists(st.sampled_from(DIMENSIONS), unique=True, max_size=2))
    where = tuple((name, draw(st.sampled_from(values[name]))) for name in filters)
    end = draw(st.integers(start, NOW + DAY))
    return StatisticsQuery(
        start, end, tuple(by), draw(st.none() | st.sampled_from(sorted(LEVELS))), where, draw(st.sampled_from((3, 100)))
    )


def plain(groups: Sequence[Group]) -> list[Any]:
    return [(g.bucket, g.values, g.figures.counts, g.figures.spreads) for g in groups]


def latest(written: list[list[HistoryRecord]]) -> list[HistoryRecord]:
    """Return what a recount sees: of each run and attempt what was written last."""
    found: dict[Any, HistoryRecord] = {}
    for record in (record for batch in written for record in batch):
        found[(record.run,) if isinstance(record, RunRecord) else (record.run, record.attempt)] = record
    return list(found.values())


def test_roll_ups_agree_with_a_recount(place: Any) -> None:
    @settings(max_examples=100 if place is sqlite else 15, deadline=None)
    @given(batches, st.lists(questions(), min_size=1, max_size=6), st.data())
    def check(written: list[list[HistoryRecord]], asked: list[StatisticsQuery], data: st.DataObject) -> None:
        if written:
            written.append(data.draw(st.sampled_from(written)))  # handed in once more
        with place() as store:
            for batch in written:
                store.write(batch)
            store.prune(NOW - DAY, 1)
            store.prune_statistics(NOW)
            for query in asked:
                try:
                    expected = recount(latest(written), query, NOW)
                except InvalidInput:
                    with pytest.raises(InvalidInput):
                        store.statistics(query, NOW)
                    continue
                assert plain(store.statistics(query, NOW)) == plain(expected)

    check()


def total(store: Any, start: int, end: int, **query: Any) -> dict[str, int]:
    """Return what is not 0 of the sums over a span."""
    (group,) = store.statistics(StatisticsQuery(start, end, **query), NOW) or (Group(None, (), Figures()),)
    return {name: group.figures[name] for name in COUNTS if group.figures[name]}


def test_what_was_written_twice_counts_once(store: Any) -> None:
    record = ended(1, ended=NOW - 5, started=NOW - 9, host="h")
    store.write([record, tried(1, ended=NOW - 5)])
    store.write([record, tried(1, ended=NOW - 5), tried(1, 1, ended=NOW - 5, outcome=Outcome.LOST)])
    once = {"due": 1, "success": 1, "started": 1, "launched": 2, "attempts_failed": 1}
    assert total(store, NOW - HOUR, NOW) == once
    store.write([replace(record, outcome=Outcome.KILLED, host="other")])
    del once["success"]
    assert total(store, NOW - HOUR, NOW) == once | {"killed": 1}
    assert total(store, NOW - HOUR, NOW, where=(("host", "h"),)) == {}
    assert total(store, NOW - HOUR, NOW, where=(("host", "other"),)) == {"due": 1, "killed": 1, "started": 1}


def test_a_row_for_several_due_times_counts_as_many(store: Any) -> None:
    store.write([ended(1, ended=NOW - 5, outcome=Outcome.SKIPPED, reason="late", attempts=0, index=3, last_index=12)])
    assert total(store, NOW - HOUR, NOW) == {"due": 10, "skipped": 10}
    assert total(store, NOW - HOUR, NOW, by=("exit",)) == {"due": 10, "skipped": 10}


def test_a_replay_in_another_process_counts_once_too(tmp_path: Path) -> None:
    for _ in range(2):
        with closing(SqlHistoryStore(sqlite_url(tmp_path))) as store:
            store.write([ended(n, ended=NOW - n) for n in range(1, 1200)])
            assert total(store, NOW - HOUR, NOW)["due"] == 1199


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    problems: list[BaseException] = []

    def write(first: int) -> None:
        try:
            with closing(SqlHistoryStore(sqlite_url(tmp_path), timeout=60)) as store:
                for n in range(first, first + 20):
                    store.write([ended(n, ended=NOW - 5), ended(1, ended=NOW - 5)])
        except BaseException as error:
            problems.append(error)

    with closing(SqlHistoryStore(sqlite_url(tmp_path))) as store:
        store.write([ended(1, ended=NOW - 5)])
        threads = [threading.Thread(target=write, args=(first,)) for first in (100, 200, 300)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        assert total(store, NOW - HOUR, NOW)["due"] == 61


def test_old_buckets_go_and_coarser_ones_stay(tmp_path: Path) -> None:
    with closing(SqlHistoryStore(sqlite_url(tmp_path))) as store:
        ages = (HOUR, KEPT["minute"], KEPT["minute"] + HOUR, KEPT["hour"] + HOUR, DETAIL_KEPT + DAY, KEPT["day"] + DAY)
        store.write([ended(n, ended=NOW - age - 1) for n, age in enumerate(ages)])
        before = total(store, NOW - 399 * DAY, NOW)
        assert store.prune_statistics(NOW) > 0
        assert total(store, NOW - 399 * DAY, NOW) == before == {"due": 5, "success": 5}
        assert total(store, NOW - KEPT["minute"], NOW, per="minute", limit=1) == {"due": 1, "success": 1}
        rows = sql(tmp_path, "SELECT grain, COUNT(*) FROM rollups GROUP BY grain")
        kept = {"all/minute": 1, "all/hour": 3, "all/day": 4, "detail/day": 3}
        assert {grain: count for grain, count in rows if grain in kept} == kept
        assert store.prune_statistics(NOW) == 0


def test_a_file_of_the_first_layout_is_counted_when_it_is_opened(tmp_path: Path) -> None:
    records = [ended(n, ended=NOW - n * HOUR, started=NOW - n * HOUR - 7) for n in range(1, 60)]
    records += [ended(99, ended=NOW - KEPT["day"] - 2 * DAY)]
    attempts = [tried(n, ended=NOW - n * HOUR, started=NOW - n * HOUR - 7) for n in range(1, 60)]
    with closing(SqlHistoryStore(sqlite_url(tmp_path))) as store:
        store.write([*records, *attempts])
        query = StatisticsQuery(NOW - 10 * DAY, NOW, by=("job",), per="day")
        counted = plain(store.statistics(query, NOW))
    for statement in (
        "DROP TABLE rollups",
        "ALTER TABLE runs DROP COLUMN first_started",
        "ALTER TABLE runs DROP COLUMN exit_reason",
        "ALTER TABLE attempts DROP COLUMN owner",
        "ALTER TABLE attempts DROP COLUMN placement",
        "UPDATE layout SET version = 1",
    ):
        sql(tmp_path, statement)
    with closing(SqlHistoryStore(sqlite_url(tmp_path))) as store:
        assert plain(store.statistics(query, NOW)) == counted
        assert counted
        store.write(records)
        assert plain(store.statistics(query, NOW)) == counted
        assert store.run(3) == records[2]


def sql(folder: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "history.sqlite", isolation_level=None)) as db:
        return db.execute(statement).fetchall()


@pytest.mark.parametrize(
    ("query", "grain"),
    [
        (StatisticsQuery(NOW - HOUR, NOW), "all/minute"),
        (StatisticsQuery(NOW - DAY, NOW), "all/hour"),
        (StatisticsQuery(NOW - 5 * DAY, NOW), "all/day"),
        (StatisticsQuery(NOW - 5 * DAY, NOW - 5 * DAY + HOUR), "all/hour"),  # minutes are gone
        (StatisticsQuery(NOW - 50 * DAY, NOW - 50 * DAY + HOUR), "all/day"),
        (StatisticsQuery(NOW - HOUR, NOW, by=("job",)), "job/minute"),
        (StatisticsQuery(NOW - HOUR, NOW, by=("owner",), where=(("job", "a"),)), "job/minute"),
        (StatisticsQuery(NOW - HOUR, NOW, by=("job",), where=(("host", "h"),)), "detail/day"),
    ],
)
def test_a_question_goes_to_the_smallest_roll_up_that_knows(query: StatisticsQuery, grain: str) -> None:
    chosen = plan(query, NOW)
    assert chosen.grain == grain
    assert chosen.start <= query.start
    assert chosen.end >= query.end
    assert chosen.start % MINUTE == chosen.end % MINUTE == 0


@pytest.mark.parametrize(
    "query",
    [
        StatisticsQuery(NOW - 3 * DAY, NOW, per="minute"),
        StatisticsQuery(NOW - HOUR, NOW, per="hour", by=("job", "host")),
    ],
)
def test_what_is_not_kept_is_refused(store: Any, query: StatisticsQuery) -> None:
    with pytest.raises(InvalidInput, match="per"):
        store.statistics(query, NOW)


def test_the_table_and_its_statements_can_be_said_to_postgresql() -> None:
    dialect = postgresql.dialect()
    text = str(sa.schema.CreateTable(history_tables.rollups).compile(dialect=dialect))
    assert "bucket BIGINT NOT NULL" in text
    for index in history_tables.rollups.indexes:
        assert str(sa.schema.CreateIndex(index).compile(dialect=dialect)).startswith("CREATE INDEX")


def test_a_file_whose_making_was_cut_short_is_made_whole(tmp_path: Path) -> None:
    sql(tmp_path, "CREATE TABLE layout (version INTEGER NOT NULL)")
    with closing(SqlHistoryStore(sqlite_url(tmp_path))) as store:
        store.write([ended(1, ended=NOW - 5)])
        assert total(store, NOW - HOUR, NOW)["due"] == 1


def test_a_step_that_is_cut_short_is_begun_again(tmp_path: Path) -> None:
    with closing(SqlHistoryStore(sqlite_url(tmp_path))) as store:
        store.write([ended(1, ended=NOW - 5)])
    steps = {VERSION: ("ALTER TABLE runs ADD COLUMN more TEXT", "SELECT nonsense")}
    newer = SqlHistoryStore(sqlite_url(tmp_path), version=VERSION + 1, steps=steps)
    with closing(newer), pytest.raises(StoreUnavailable, match="nonsense"):
        newer.run(1)
    assert sql(tmp_path, "SELECT version FROM layout") == [(VERSION,)]
    assert "more" not in [row[1] for row in sql(tmp_path, "PRAGMA table_info(runs)")]
