"""The list of jobs: what it finds, in which order, how much of it at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chronos_py.model.job import Pair
from chronos_py.model.run import Outcome
from chronos_py.ui.jobs import Texts
from tests.builders import a_job
from tests.fakes import NEW_YEAR
from tests.ui.conftest import ended, put
from tests.ui.pages import Page


@pytest.fixture
def some(backend):
    put(backend, a_job("nightly.load", owner="data@x", command="load --all"), next_due=NEW_YEAR + 3_600_000)
    put(backend, replace(a_job("report", owner="ops@x"), labels=(Pair("team", "web"),)), running=2,
        next_due=NEW_YEAR + 60_000, state={"last_success": "2026-01-01T00:00:00.000Z"})  # fmt: skip
    put(backend, a_job("clean", parents=["report"], disabled=True), state={"last_error": "2026-01-02T00:00:00.000Z"})
    put(backend, a_job("Mail", parents=["report", "clean"]), queued=1)


def names(client, query: str = "") -> list[str]:
    page = Page(client.get(f"/ui/jobs?part=list&{query}").text)
    assert page.problems == []
    return [link.partition("name=")[2] for link in page.links if link.startswith("/ui/job?")]


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["clean", "Mail", "nightly.load", "report"]),
        ("q=LOAD", ["nightly.load"]), ("q=ight+all", ["nightly.load"]), ("q=ight+none", []), ("q=%25", []),
        ("owner=OPS", ["report"]), ("label=team", ["report"]), ("label=team%3Dweb", ["report"]), ("label=team%3Dx", []),
        ("state=running", ["report"]), ("state=queued", ["Mail"]), ("state=idle", ["clean", "nightly.load"]),
        ("result=failure", ["clean"]), ("result=success", ["report"]), ("result=fresh", ["Mail", "nightly.load"]),
        ("kind=dependent", ["clean", "Mail"]), ("kind=scheduled&q=r", ["report"]),
        ("disabled=true", ["clean"]), ("disabled=false", ["Mail", "nightly.load", "report"]),
        ("sort=name&dir=desc", ["report", "nightly.load", "Mail", "clean"]),
        ("sort=next", ["report", "nightly.load", "Mail", "clean"]),
        ("sort=created", ["nightly.load", "report", "clean", "Mail"]),
        ("sort=last&dir=desc&result=failure", ["clean"]),
        ("size=2&page=2", ["nightly.load", "report"]), ("size=2&page=99", ["nightly.load", "report"]),
        ("state=&owner=&sort=", ["clean", "Mail", "nightly.load", "report"]),  # as an empty form sends it
    ],
)  # fmt: skip
def test_finds(client, query, found):
    listed = names(client, query)
    assert sorted(listed) == sorted(found) if query == "sort=next" else listed == found
    if query == "sort=next":
        assert listed[:2] == found[:2]


def test_a_row_sums_up_the_last_results(backend, client):
    put(backend, a_job("a", schedule="R/2026-01-01T03:00:00Z/P1D"))
    for number, outcome in enumerate([Outcome.SUCCESS, Outcome.FAILED, Outcome.SKIPPED, Outcome.SUCCESS], 1):
        ended(backend, number, outcome=outcome)
    answer = client.get("/ui/jobs").text
    assert '<i class="s"></i><i class="f"></i><i class="n"></i><i class="s"></i>' in answer
    assert "of the last 4: 2 succeeded, 1 failed" in answer
    assert "every day at 03:00" in answer
    assert "4 s" in Page(answer).text  # from start to end


def test_a_page_stays_small(backend, client):
    for number in range(300):
        put(backend, a_job(f"a-job-with-quite-a-long-name-{number}", owner="some.body@some.where.example.org"))
    for number in range(300):
        ended(backend, number, f"a-job-with-quite-a-long-name-{number % 50}")
    answer = client.get("/ui/jobs?size=100")
    assert len(answer.data) < 200_000
    assert "1–100 of 300" in answer.text


def test_deleting_names_the_children(backend, client):
    for name, parents in (("a", ()), ("b", ("a",)), ("c", ("a", "b")), ("d", ())):
        put(backend, a_job(name, parents=parents) if parents else name)
    text = Page(client.get("/ui/consequences?name=a&name=d").text).text
    assert "These jobs depend on it: a ← b, c" in text
    assert "depend" not in Page(client.get("/ui/consequences?name=d").text).text


def test_texts_are_made_once_for_each_definition():
    texts, job = Texts(), a_job("a", command="Some")
    assert "some" in texts.of(job)
    assert texts.of(job) is texts.of(job)
    assert "other" in texts.of(replace(job, command="other"))
    for number in range(3000):
        texts.of(a_job(f"job-{number}"))
    texts.forget({"a": None})
    assert "other" in texts.of(replace(job, command="other"))
