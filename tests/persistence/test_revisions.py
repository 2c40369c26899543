"""Who changed what: kept in order, bounded, and found again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chronos_py.model.revision import Author, Edit
from chronos_py.persistence.history import SqlHistoryStore, sqlite_url
from chronos_py.persistence.revisions import KEPT_ALWAYS, KEPT_PER_JOB, LONGEST_DOCUMENT, RevisionStore
from tests.builders import a_job

ADA = Author("ada", "10.0.0.1")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RevisionStore]:
    history = SqlHistoryStore(sqlite_url(tmp_path))
    found = RevisionStore(history)
    found.start()
    yield found
    found.stop()
    history.close()


def test_nothing_is_there_at_first(store):
    assert store.of_job("a", 10) == []
    assert store.get("a", 1) is None
    assert store.get("a", 10**30) is None
    assert store.prune(10**15) == 0


def test_edits_are_found_newest_first(store):
    one, two = a_job("a", command="one"), a_job("a", command="two")
    store.submit([Edit("a", None, one, 1000, ADA), Edit("b", None, one, 1500, ADA)])
    store.submit([Edit("a", one, two, 2000, Author())])
    found = store.of_job("a", 10)
    assert [(r.at, r.author) for r in found] == [(2000, Author()), (1000, ADA)]
    assert json.loads(found[0].after)["command"] == "two"
    assert found[0].before == found[1].after
    assert found[1].before is None
    assert store.of_job("a", 10, before=found[0].number) == found[1:]
    assert store.get("a", found[0].number) == found[0]
    assert store.get("b", found[0].number) is None


def test_only_the_newest_of_a_job_are_kept(store):
    job = a_job("a")
    for at in range(KEPT_PER_JOB + 20):
        store.submit([Edit("a", job, job, at, ADA)])
    found = store.of_job("a", 1000)
    assert [r.at for r in found] == list(range(KEPT_PER_JOB + 19, 19, -1))


def test_a_definition_that_is_too_long_is_left_out(store):
    store.submit([Edit("a", None, a_job("a", command="x" * LONGEST_DOCUMENT), 1000, ADA)])
    assert store.of_job("a", 1)[0].after == ""


def test_old_ones_go_but_for_the_newest_of_a_job_that_is_there(store):
    job = a_job("a")
    store.submit([Edit("a", job, job, at, ADA) for at in range(50)])
    store.submit([Edit("gone", None, job, 1, ADA), Edit("gone", job, None, 2, ADA)])
    store.submit([Edit("lately", None, job, 1, ADA), Edit("lately", job, None, 200, ADA)])
    store.of_job("a", 1)
    assert store.prune(100) == 50 - KEPT_ALWAYS + 2 + 1
    assert len(store.of_job("a", 100)) == KEPT_ALWAYS
    assert store.of_job("gone", 100) == []
    assert [r.at for r in store.of_job("lately", 100)] == [200]


def test_texts_that_no_database_takes(store):
    store.submit([Edit("a\ud800", None, a_job("a", command="\ud800"), 1000, Author("u\ud800", ""))])
    assert store.of_job("a\ud800", 1)[0].author.user == "u?"
