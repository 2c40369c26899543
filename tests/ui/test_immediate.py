"""Immediate jobs: their list, and the pages of their runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chronos_py.model.immediate import Immediate
from chronos_py.model.job import Pair
from chronos_py.model.run import Ended, Outcome, Phase, Trigger
from chronos_py.model.view import Cause, Waiting
from tests.api.backend import a_run
from tests.builders import a_job
from tests.fakes import NEW_YEAR
from tests.ui.conftest import ended, put
from tests.ui.pages import Page

HOSTILE = "<script>alert(1)</script>\u202e"


def sent(backend, number: int, name: str = "cut", **changes):
    """Add an immediate job whose id is `id-<number>`."""
    values: dict[str, Any] = {"owner": "ada@x", "command": "cut --fast", "labels": (Pair("video", str(number)),)}
    values |= {key: changes.pop(key) for key in ("owner", "command", "labels") if key in changes}
    job = replace(a_job(f"immediate:{name}"), **values)
    one = Immediate(f"id-{number}", job, 3600)
    run = replace(a_run(number, job.name, trigger=Trigger.IMMEDIATE, immediate=one), **changes)
    backend.view.immediate.put(run)
    if run.ended is None:
        backend.view.runs[number] = run
    return run


@pytest.fixture
def some(backend):
    sent(backend, 1, phase=Phase.ENDED, ended=Ended(Outcome.FAILED, NEW_YEAR, NEW_YEAR + 3_600_000, 1, "boom"))
    sent(backend, 2, "mail", owner="bob@x", phase=Phase.RUNNING, launched=NEW_YEAR, started=NEW_YEAR)
    sent(backend, 3, command=f"echo {HOSTILE} https://user:secret@host/")
    backend.view.waiting[3] = Waiting(Cause.NO_FIT, "no agent has room")


def listed(client, query: str) -> list[str]:
    page = Page(client.get(f"/ui/immediate?{query}").text)
    assert page.problems == []
    return [link.rpartition("/")[2] for link in page.links if link.startswith("/ui/run/")]


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["3", "2", "1"]), ("state=active", ["3", "2"]), ("state=ended", ["1"]), ("state=failed", ["1"]),
        ("state=running&owner=bob%40x", ["2"]), ("name=cut", ["3", "1"]), ("label=video%3D2", ["2"]),
        ("id=id-1", ["1"]), ("id=nobody", []), ("before=3", ["2", "1"]),
        ("state=&owner=&label=&name=&id=", ["3", "2", "1"]),
    ],
)  # fmt: skip
def test_the_list_and_its_filters(client, query, found):
    assert listed(client, query) == found


@pytest.mark.usefixtures("some")
def test_a_row_says_what_it_is_and_why_it_waits(client):
    answer = client.get("/ui/immediate")
    page = Page(answer.text)
    assert "no agent has room" in page.text and "cut --fast" in page.text and "video=2" in page.text
    assert "failed 1" in page.text and "secret" not in page.text
    assert "<script>alert" not in answer.text and "\u202e" not in answer.text


def test_none_yet_and_none_that_match(backend, client):
    assert "There are none at present." in Page(client.get("/ui/immediate").text).text
    sent(backend, 1)
    assert "Show all" in Page(client.get("/ui/immediate?name=other").text).text


@pytest.mark.parametrize("query", ["state=odd", "label=no-value", "before=x"])
def test_a_filter_that_means_nothing(client, query):
    assert client.get(f"/ui/immediate?{query}").status_code == 400


def test_pages(backend, client):
    for number in range(1, 151):
        sent(backend, number)
    assert listed(client, "")[-1] == "51"
    page = Page(client.get("/ui/immediate").text)
    assert "/ui/immediate?before=51" in page.links
    assert listed(client, "before=51") == [str(number) for number in range(50, 0, -1)]


@pytest.mark.usefixtures("some")
def test_the_page_of_a_run_leads_back_to_the_list(backend, client):
    page = Page(client.get("/ui/run/2").text)
    assert page.problems == []
    assert "cut --fast" in page.text and "id-2" in page.text and "video=2" in page.text
    assert not any(link.startswith("/ui/job?") for link in page.links)
    for link in page.links:
        if link.startswith("/ui/immediate"):
            assert client.get(link).status_code == 200
    assert listed(client, "name=mail") == ["2"]
    ended(backend, 7, "immediate:cut", trigger=Trigger.IMMEDIATE, task_id="im:1:7:0:gone")
    page = Page(client.get("/ui/run/7").text)
    assert page.problems == [] and "its result is kept no longer" in page.text
    assert "Run again" not in page.text


@pytest.mark.parametrize("path", ["/", "/ui/cluster", "/ui/timeline?from=2025-12-31T00:00:00Z&to=2026-01-02T00:00:00Z"])
def test_no_page_leads_to_a_job_that_is_none(backend, client, path):
    put(backend)
    sent(backend, 3)
    sent(backend, 2, phase=Phase.RUNNING, launched=NEW_YEAR, started=NEW_YEAR, agent_id="a")
    ended(backend, 7, "immediate:cut", trigger=Trigger.IMMEDIATE, task_id="im:1:7:0:gone", outcome=Outcome.FAILED)
    page = Page(client.get(path).text)
    assert page.problems == []
    assert not any("immediate" in link and link.startswith("/ui/job?") for link in page.links)
    assert any(link.startswith("/ui/immediate?name=") for link in page.links)
