"""What every HistoryStore must do. A new store joins by a line in STORES."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from chronos_py.model.history import AttemptRecord, HistoryRecord, RunRecord
from chronos_py.model.run import Outcome, Trigger
from chronos_py.persistence.base import HistoryStore, RunQuery
from chronos_py.persistence.history import SqlHistoryStore, sqlite_url
from chronos_py.persistence.history_tables import attempts, rollups, runs
from chronos_py.persistence.ledger import Gap
from chronos_py.persistence.memory import MemoryHistoryStore
from compat_tests.servers.postgresql import PostgreSql
from tests import strategies

Open = Callable[[], Any]  # HistoryStore, with `gaps`


@contextmanager
def memory() -> Iterator[HistoryStore]:
    yield MemoryHistoryStore()


@contextmanager
def sqlite() -> Iterator[HistoryStore]:
    with tempfile.TemporaryDirectory() as folder, closing(SqlHistoryStore(sqlite_url(folder))) as store:
        yield store


def postgresql_at(server: PostgreSql) -> Any:
    """Return what opens an empty history in one database of a server, time after time."""

    @contextmanager
    def postgresql() -> Iterator[HistoryStore]:
        url = server.url("suite")
        with closing(SqlHistoryStore(url)) as store:
            try:
                yield store
            finally:
                with store._engine.begin() as db:
                    for table in (runs, attempts, rollups):
                        db.execute(sa.delete(table))

    return postgresql


STORES = [memory, sqlite, pytest.param("postgresql", marks=pytest.mark.external)]


@pytest.fixture(params=STORES, ids=lambda store: getattr(store, "__name__", store))
def place(request: pytest.FixtureRequest) -> Any:
    if request.param == "postgresql":
        return postgresql_at(request.getfixturevalue("postgresql_server"))
    return request.param


@pytest.fixture
def store(place: Any) -> Iterator[Any]:
    with place() as opened:
        yield opened


def ended(number: int, job: str = "a", **changes: Any) -> RunRecord:
    record = RunRecord(
        number, job, Trigger.SCHEDULE, 10 * number, 10 * number, 10 * number + 4, Outcome.SUCCESS, attempts=1
    )
    return replace(record, **changes)


def tried(run: int, attempt: int = 0, job: str = "a", **changes: Any) -> AttemptRecord:
    record = AttemptRecord(
        run, attempt, f"ct:{run}:{attempt}:{job}:", job, "s1", "node1", 10 * run, None, 10 * run + 4, Outcome.SUCCESS,
        "TASK_FINISHED",
    )  # fmt: skip
    return replace(record, **changes)


def without_nul(noun: Any) -> Any:
    """Return a noun with the sign that PostgreSQL gets for NUL, which it cannot keep."""
    texts = {field.name: getattr(noun, field.name) for field in fields(noun)}
    changed = {name: text.replace("\0", "\ufffd") for name, text in texts.items() if type(text) is str and "\0" in text}
    return replace(noun, **changed) if changed else noun


def numbers(store: HistoryStore, **query: Any) -> list[int]:
    return [record.run for record in store.runs(RunQuery(**query))]


def test_a_new_store_is_empty(store: Any) -> None:
    assert store.runs(RunQuery()) == []
    assert store.run(1) is None
    assert store.attempts(1) == []
    assert store.recent_attempts("a", 5) == []
    assert store.durations(5) == {}
    assert store.prune(10**15, 0) == 0
    assert store.gaps("a", 1, 2) == [Gap(0, 2, 0)]
    store.write([])


def test_every_field_comes_back(store: Any) -> None:
    record = RunRecord(
        run=3, job="a", trigger=Trigger.PARENTS, due=1, created=2, ended=3, outcome=Outcome.MERGED, reason="why",
        attempts=4, started=5, index=6, last_index=7, last_due=8, version=9, into=10, arguments="--x", causes=(11, 12),
        owner="o", elements_processed=13, task_id="t", host="h",
    )  # fmt: skip
    attempt = AttemptRecord(
        run=3, attempt=1, task_id="t", job="a", agent_id="s", host="h", launched=1, started=2, ended=3,
        outcome=Outcome.LOST, state="TASK_LOST", reason="r", message="m", exit_code=4, signal=5,
    )  # fmt: skip
    store.write([record, attempt])
    assert store.run(3) == record
    assert store.runs(RunQuery()) == [record]
    assert store.attempts(3) == store.recent_attempts("a", 1) == [attempt]


@pytest.mark.parametrize("arguments", [None, ""])
def test_no_arguments_are_not_empty_arguments(store: Any, arguments: str | None) -> None:
    store.write([ended(1, arguments=arguments)])
    assert store.run(1).arguments == arguments


def test_a_record_written_again_replaces_itself(store: Any) -> None:
    store.write([ended(1), tried(1), ended(2), ended(1, reason="second"), tried(1, message="second")])
    store.write([ended(2, reason="third"), tried(1, 1)])
    assert store.runs(RunQuery()) == [ended(2, reason="third"), ended(1, reason="second")]
    assert store.attempts(1) == [tried(1, message="second"), tried(1, 1)]


def test_runs_are_listed_newest_first_and_by_page(store: Any) -> None:
    store.write([ended(number) for number in range(1, 12)])
    assert numbers(store, limit=4) == [11, 10, 9, 8]
    assert numbers(store, limit=4, before_run=8) == [7, 6, 5, 4]
    assert numbers(store, limit=0) == []


def test_each_filter_leaves_out_what_it_should(store: Any) -> None:
    store.write([
        ended(1),
        ended(2, "b", owner="x@example.com"),
        ended(3, outcome=Outcome.FAILED),
        ended(4, trigger=Trigger.MANUAL, owner="x@example.com"),
    ])  # fmt: skip
    assert numbers(store, job="a") == [4, 3, 1]
    assert numbers(store, outcome="failed") == [3]
    assert numbers(store, trigger="manual") == [4]
    assert numbers(store, owner="x@example.com") == [4, 2]
    assert numbers(store, owner="") == [3, 1]
    assert numbers(store, due_from=20, due_to=40) == [3, 2]
    assert numbers(store, job="a", outcome="success", due_from=11) == [4]
    assert numbers(store, outcome="no such outcome") == []


def test_runs_of_a_span_are_those_that_were_under_way(store: Any) -> None:
    store.write([ended(n) for n in range(1, 8)])  # number n from 10 n to 10 n + 4
    store.write([ended(8, created=15, ended=75), ended(9, created=20, ended=30, outcome=Outcome.SKIPPED)])
    assert [record.run for record in store.overlapping(24, 41, 1000, 10)] == [2, 3, 4, 8]
    assert [record.run for record in store.overlapping(24, 41, 70, 10)] == [2, 3, 4]
    assert [record.run for record in store.overlapping(24, 41, 1000, 2)] == [2, 3]


def test_the_newest_run_of_each_job(store: Any) -> None:
    store.write([ended(1), ended(2, "b"), ended(3), ended(4, outcome=Outcome.MERGED), ended(5, "c")])
    assert sorted(record.run for record in store.newest_of(["a", "b", "nobody"])) == [2, 3]
    assert store.newest_of([]) == []
    assert len(store.newest_of(["a", *(f"n{n}" for n in range(1200))])) == 1


def test_recent_attempts_are_those_started_last(store: Any) -> None:
    store.write([tried(1, launched=30), tried(2, launched=10), tried(2, 1, launched=50), tried(3, job="b")])
    assert [(a.run, a.attempt) for a in store.recent_attempts("a", 2)] == [(2, 1), (1, 0)]


def test_durations_are_of_the_newest_successes_oldest_first(store: Any) -> None:
    store.write([ended(number, ended=10 * number + number) for number in range(1, 6)])
    store.write([ended(6, outcome=Outcome.FAILED), ended(7, "b", ended=60), ended(8, attempts=0)])
    assert store.durations(3) == {"a": [3, 4, 5], "b": [0]}  # never negative
    assert store.durations(0) == {}


def test_pruning_keeps_what_is_young_and_each_jobs_newest(store: Any) -> None:
    store.write([r for n in range(1, 11) for r in (ended(n), tried(n), tried(n, 1))])
    store.write([ended(11, "b", ended=1), tried(11, job="b")])
    assert store.prune(older_than=95, keep_per_job=2) == 8
    assert numbers(store) == [11, 10, 9]
    assert [len(store.attempts(n)) for n in range(1, 12)] == [0] * 8 + [2, 2, 1]
    assert store.prune(older_than=95, keep_per_job=2) == 0
    assert store.prune(older_than=95, keep_per_job=0) == 2
    assert numbers(store) == [10]


def test_a_large_history_is_pruned_in_parts(store: Any) -> None:
    store.write([ended(n, f"j{n % 3}") for n in range(2000)])
    assert store.prune(older_than=10 * 1900 + 4, keep_per_job=50) == 1850 + 0
    assert len(numbers(store, limit=5000)) == 150


def test_gaps_are_due_times_without_exactly_one_row(store: Any) -> None:
    rows = [
        ended(1, index=0, last_index=0, version=1),
        ended(2, index=2, last_index=4, version=1, outcome=Outcome.MERGED),
        ended(3, index=4, version=1),
        ended(4, index=1, last_index=1, version=2),
        ended(5, "b", index=1, last_index=1, version=1),
        ended(6, trigger=Trigger.MANUAL, version=1),
    ]
    store.write(rows)
    assert store.gaps("a", 1, 6) == [Gap(1, 1, 0), Gap(4, 4, 2), Gap(5, 6, 0)]
    assert store.gaps("a", 1, 3, start=2) == []


@pytest.mark.parametrize("text", ["a half: \ud800", "a nul: \0", "ü€😀", "%(x)s ? :y"])
def test_no_text_stops_history(store: Any, text: str) -> None:
    store.write([ended(1, reason=text, owner=text), tried(1, message=text), ended(2)])
    assert numbers(store) == [2, 1]
    assert numbers(store, owner=text) == [1]
    assert len(store.attempts(1)) == 1


def test_no_number_stops_history(store: Any) -> None:
    store.write([ended(1, elements_processed=2**70), ended(2)])
    assert numbers(store) == [2, 1]


def test_a_store_answers_as_the_one_in_memory(place: Any) -> None:
    @settings(
        max_examples=25 if place is sqlite else 12, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate)
    )
    @given(
        st.lists(st.lists(strategies.ledger_rows | strategies.tries, max_size=12), max_size=3),
        st.lists(strategies.queries, max_size=4),
        st.integers(0, 60),
        st.integers(0, 3),
    )
    def check(batches: list[list[HistoryRecord]], queries: list[RunQuery], older_than: int, keep: int) -> None:
        model = MemoryHistoryStore()
        if place.__name__ == "postgresql":
            batches, queries = [list(map(without_nul, batch)) for batch in batches], list(map(without_nul, queries))
        with place() as store:
            for batch in batches:
                store.write(batch)
                model.write(batch)
            for same in (lambda s: 0, lambda s: s.prune(older_than, keep)):
                assert same(store) == same(model)
                for query in [*queries, RunQuery()]:
                    assert store.runs(query) == model.runs(query)
                for number in range(1, 31):
                    assert store.run(number) == model.run(number)
                    assert store.attempts(number) == model.attempts(number)
                assert store.durations(2) == model.durations(2)
                for job in "abc":
                    assert store.recent_attempts(job, 3) == model.recent_attempts(job, 3)
                    assert store.gaps(job, 1, 9) == model.gaps(job, 1, 9)

    check()


def test_pages_together_are_the_whole(store: Any) -> None:
    store.write([ended(n, "ab"[n % 2]) for n in range(1, 60)])
    pages: list[list[int]] = [numbers(store, job="a", limit=7)]
    while pages[-1]:
        pages.append(numbers(store, job="a", limit=7, before_run=pages[-1][-1]))
    whole = [number for page in pages for number in page]
    assert whole == numbers(store, job="a", limit=1000)
    assert all(a > b for a, b in pairwise(whole))
