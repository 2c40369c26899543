"""What every JobStore must do. A new store joins by a line in STORES."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronos_py.errors import StaleLeader
from chronos_py.model.history import RunRecord
from chronos_py.model.immediate import Immediate
from chronos_py.model.job import Container, Job, JobState, Pair
from chronos_py.model.messages import Change, Delete, Kind, Put
from chronos_py.model.run import Ended, Outcome, Phase, Run, Trigger
from chronos_py.persistence.base import JobStore, Snapshot
from chronos_py.persistence.codec import BadRecord
from chronos_py.persistence.memory import MemoryJobStore
from chronos_py.persistence.sqlite import SqliteJobStore
from chronos_py.persistence.zookeeper import ZooKeeperJobStore
from tests import strategies

Open = Callable[[], JobStore]  # opens the same store again, as a new process would


@contextmanager
def memory() -> Iterator[Open]:
    store = MemoryJobStore()
    yield lambda: store


@contextmanager
def sqlite() -> Iterator[Open]:
    with tempfile.TemporaryDirectory() as folder:
        opened: list[SqliteJobStore] = []

        def reopen() -> SqliteJobStore:
            if opened:
                opened.pop().close()
            opened.append(SqliteJobStore(Path(folder) / "state.sqlite"))
            return opened[-1]

        yield reopen
        if opened:
            opened.pop().close()


def zookeeper_at(hosts: str) -> Any:
    @contextmanager
    def zookeeper() -> Iterator[Open]:
        path = f"/suite/{uuid4().hex}"
        opened: list[ZooKeeperJobStore] = []

        def reopen() -> ZooKeeperJobStore:
            if opened:
                opened.pop().close()
            opened.append(ZooKeeperJobStore(hosts, path))
            return opened[-1]

        yield reopen
        if opened:
            opened.pop().close()

    return zookeeper


STORES = [memory, sqlite, pytest.param("zookeeper", marks=pytest.mark.external)]


@pytest.fixture(params=STORES, ids=lambda store: getattr(store, "__name__", store))
def place(request: pytest.FixtureRequest) -> Any:
    if request.param == "zookeeper":
        return zookeeper_at(request.getfixturevalue("zookeeper_server").hosts)
    return request.param


@pytest.fixture
def reopen(place: Any) -> Iterator[Open]:
    with place() as opener:
        yield opener


def a_run(number: int = 1, job: str = "a") -> Run:
    return Run(id=number, job=job, trigger=Trigger.MANUAL, due=5, stamp=5, created=5)


def a_record(number: int) -> RunRecord:
    return RunRecord(number, "a", Trigger.MANUAL, 5, 5, 6, Outcome.SUCCESS)


def held(snapshot: Snapshot) -> dict[str, Any]:
    assert snapshot.quarantined == []
    return {
        "job": snapshot.jobs,
        "state": snapshot.states,
        "run": snapshot.runs,
        "meta": snapshot.meta,
        "outbox": snapshot.outbox,
    }


EMPTY: dict[str, Any] = {"job": {}, "state": {}, "run": {}, "meta": {}, "outbox": {}}


def test_a_new_store_is_empty(reopen: Open) -> None:
    store = reopen()
    assert store.open_epoch() > 0
    assert held(store.load()) == EMPTY


def test_all_kinds_are_there_after_a_new_start(reopen: Open) -> None:
    store = reopen()
    puts = [
        Put("job", "a", Job(name="a")),
        Put("state", "a", JobState(success_count=3)),
        Put("run", 1, a_run()),
        Put("meta", "counters", {"run": 2}),
        Put("outbox", 9, a_record(4)),
    ]
    store.commit(store.open_epoch(), puts)
    assert held(reopen().load()) == {
        "job": {"a": Job(name="a")},
        "state": {"a": JobState(success_count=3)},
        "run": {1: a_run()},
        "meta": {"counters": {"run": 2}},
        "outbox": {9: a_record(4)},
    }


def test_a_run_keeps_the_definition_and_the_result_that_it_carries(reopen: Open) -> None:
    store = reopen()
    job = Job(name="immediate:a", command="true", labels=(Pair("k", "v"),), container=Container("i"), cpus=2.0)
    under_way = replace(a_run(1), trigger=Trigger.IMMEDIATE, immediate=Immediate("client-1", job, 60))
    ended = replace(under_way, id=2, phase=Phase.ENDED, ended=Ended(Outcome.FAILED, 7, 67, 3, "why", "exit 1"))
    epoch = store.open_epoch()
    store.commit(epoch, [Put("run", 1, under_way), Put("run", 2, ended)])
    assert held(reopen().load())["run"] == {1: under_way, 2: ended}
    store = reopen()
    store.commit(store.open_epoch(), [Delete("run", 2)])
    assert held(reopen().load())["run"] == {1: under_way}


def test_deleting_what_is_not_there_is_no_error(reopen: Open) -> None:
    store = reopen()
    kinds: list[tuple[Kind, str | int]] = [("job", "x"), ("state", "x"), ("run", 3), ("meta", "x"), ("outbox", 4)]
    store.commit(store.open_epoch(), [Delete(kind, key) for kind, key in kinds])
    assert held(store.load()) == EMPTY


def test_an_outbox_delete_takes_all_numbers_up_to_it(reopen: Open) -> None:
    store = reopen()
    epoch = store.open_epoch()
    store.commit(epoch, [Put("outbox", number, a_record(number)) for number in range(1, 8)])
    store.commit(epoch, [Delete("outbox", 5), Put("outbox", 8, a_record(8))])
    assert sorted(reopen().load().outbox) == [6, 7, 8]


def test_a_deposed_leader_changes_nothing(reopen: Open) -> None:
    store = reopen()
    old = store.open_epoch()
    store.commit(old, [Put("meta", "k", 1)])
    new = store.open_epoch()
    assert new > old
    with pytest.raises(StaleLeader):
        store.commit(old, [Put("meta", "k", 2), Delete("meta", "k")])
    assert store.load().meta == {"k": 1}
    store.commit(new, [Put("meta", "k", 3)])
    assert store.load().meta == {"k": 3}


def test_epochs_grow_over_new_starts(reopen: Open) -> None:
    assert reopen().open_epoch() < reopen().open_epoch() < reopen().open_epoch()


def test_one_bad_value_and_nothing_of_the_turn_is_kept(reopen: Open) -> None:
    store = reopen()
    epoch = store.open_epoch()
    with pytest.raises(BadRecord):
        store.commit(epoch, [Put("job", "a", Job(name="a")), Put("meta", "bad", {1, 2})])
    assert held(store.load()) == EMPTY
    store.commit(epoch, [Put("job", "a", Job(name="a"))])
    assert list(store.load().jobs) == ["a"]


def test_what_was_loaded_is_not_what_is_kept(reopen: Open) -> None:
    store = reopen()
    value = {"list": [1]}
    store.commit(store.open_epoch(), [Put("meta", "k", value), Put("job", "a", Job(name="a"))])
    value["list"].append(2)
    snapshot = store.load()
    snapshot.meta["k"]["list"].append(3)
    snapshot.jobs.clear()
    assert store.load().meta == {"k": {"list": [1]}}
    assert list(store.load().jobs) == ["a"]


def test_a_turn_may_be_large(reopen: Open) -> None:
    store = reopen()
    epoch = store.open_epoch()
    store.commit(epoch, [Put("run", number, a_run(number)) for number in range(2001)])
    store.commit(epoch, [Delete("run", number) for number in range(2000)])
    assert list(store.load().runs) == [2000]


def test_records_are_read_back_from_the_outbox_in_order(reopen: Open) -> None:
    store: Any = reopen()  # beyond the protocol: what HistoryWriter needs
    store.commit(store.open_epoch(), [Put("outbox", n, a_record(n)) for n in (5, 3, 9, 4)])
    assert store.read_outbox(0, 10) == [(n, a_record(n)) for n in (3, 4, 5, 9)]
    assert store.read_outbox(3, 2) == [(4, a_record(4)), (5, a_record(5))]
    assert store.read_outbox(9, 10) == []


def test_any_turns_leave_what_they_say(place: Any) -> None:
    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.lists(strategies.changes, max_size=8), max_size=4))
    def check(turns: Sequence[Sequence[Change]]) -> None:
        expected: dict[str, dict[Any, Any]] = {kind: {} for kind in EMPTY}
        with place() as reopen:
            store = reopen()
            epoch = store.open_epoch()
            for turn in turns:
                store.commit(epoch, turn)
                for change in turn:
                    _apply(expected, change)
            assert held(store.load()) == expected
            assert held(reopen().load()) == expected

    check()


def _apply(expected: dict[str, dict[Any, Any]], change: Change) -> None:
    values = expected[change.kind]
    if isinstance(change, Put):
        values[change.key] = change.value
    elif change.kind == "outbox":
        for number in [number for number in values if number <= change.key]:
            del values[number]
    else:
        values.pop(change.key, None)
