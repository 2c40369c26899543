"""GET /api/statistics: what it says, as JSON and CSV, and what it refuses."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from chronos_py.api.openapi import openapi_document
from chronos_py.model.run import Outcome
from chronos_py.model.statistics import HOUR
from tests.api.backend import FakeBackend
from tests.api.test_openapi import check
from tests.api.test_runs import submit
from tests.fakes import NEW_YEAR
from tests.persistence.test_history_store_suite import ended as a_row
from tests.persistence.test_history_store_suite import tried as a_try

NOW = NEW_YEAR


@pytest.fixture(autouse=True)
def history(backend: FakeBackend) -> None:
    """Four runs of `a`, one of which started late and one of which failed, and one row of `b` for ten due times."""
    rows, tries = backend.history.rows, backend.history.tries
    for number, wait, outcome in ((1, 1, "success"), (2, 2, "success"), (3, 100, "success"), (4, 3, "failed")):
        ended = NOW - number * 1000
        started = ended - 40_000
        rows.append(
            a_row(
                number, "a", due=started - wait * 1000, ended=ended, started=started, outcome=Outcome(outcome),
                owner="ann@x", host="h1", attempts=1, reason="", exit_reason="exit 1" if outcome == "failed" else "",
            )
        )  # fmt: skip
        tries.append(
            a_try(number, 0, "a", launched=started, started=started, ended=ended, outcome=Outcome(outcome), host="h1",
                  owner="ann@x", exit_code=1 if outcome == "failed" else 0, reason="", signal=None)
        )  # fmt: skip
    rows.append(
        a_row(5, "b", ended=NOW - HOUR, outcome=Outcome.SKIPPED, reason="late", attempts=0, index=0, last_index=9,
              started=None, host="", owner="", exit_reason="")
    )  # fmt: skip


def ask(client: FlaskClient, query: str = "") -> Any:
    response = client.get(f"/api/statistics?{query}")
    assert response.status_code == 200, response.text
    return response.get_json()


def test_everything_of_the_last_day(client: FlaskClient) -> None:
    form = ask(client)
    total = form["total"]
    assert (total["due"], total["success"], total["failed"], total["skipped"]) == (14, 3, 1, 10)
    assert (total["started"], total["launched"], total["attemptsFailed"], total["preempted"]) == (4, 4, 1, 0)
    assert total["wait"]["count"] == 4
    assert 100_000 <= total["wait"]["max"] <= 110_000
    assert 2000 <= total["wait"]["p50"] <= 2200
    assert 40_000 <= total["runTime"]["p99"] <= 44_000
    assert form["rows"] == [total]
    assert not form["truncated"]
    schemas = openapi_document()["components"]["schemas"]
    check(form, schemas["Statistics"])


def test_groups_have_most_runs_first_and_filters_leave_others_out(client: FlaskClient) -> None:
    assert [(row["job"], row["due"]) for row in ask(client, "by=job")["rows"]] == [("b", 10), ("a", 4)]
    assert [(row["exit"], row["due"]) for row in ask(client, "by=exit")["rows"]] == [
        ("late", 10), ("success", 3), ("exit 1", 1),
    ]  # fmt: skip
    assert [row["due"] for row in ask(client, "job=a")["rows"]] == [4]
    assert [row["due"] for row in ask(client, "owner=ann%40x")["rows"]] == [4]
    assert [(row["host"], row["launched"]) for row in ask(client, "by=host&host=h1&job=a")["rows"]] == [("h1", 4)]
    form = ask(client, "by=job,exit&limit=2")
    assert len(form["rows"]) == 2
    assert form["truncated"]


def test_buckets_come_in_order(client: FlaskClient) -> None:
    rows = ask(client, "per=hour&by=job")["rows"]
    assert [(row["bucket"], row["job"]) for row in rows] == [
        ("2025-12-31T23:00:00.000Z", "b"), ("2025-12-31T23:00:00.000Z", "a"),
    ]  # fmt: skip


def test_promises_are_told_with_their_error_budget(client: FlaskClient, backend: FakeBackend) -> None:
    submit(client, name="a", startWithin=10, finishWithin=60)
    row = ask(client, "by=job&job=a&target=90")["rows"][0]
    start = row["slo"]["startWithin"]
    assert 10_000 <= start["within"] <= 11_000
    assert (start["runs"], start["kept"], start["share"], start["target"], start["budget"]) == (4, 3, 0.75, 0.9, 0.4)
    assert start["budgetLeft"] == pytest.approx(-1.5)
    assert row["slo"]["finishWithin"]["kept"] == 2  # one failed, one was late
    assert "slo" not in ask(client, "by=owner")["total"]
    assert ask(client, "by=job")["rows"][0]["slo"] == {"startWithin": None, "finishWithin": None}


@pytest.mark.parametrize(("query", "headers"), [("by=job&format=csv", {}), ("by=job", {"Accept": "text/csv"})])
def test_rows_as_csv(client: FlaskClient, query: str, headers: dict[str, str]) -> None:
    submit(client, name="a", startWithin=10)
    response = client.get(f"/api/statistics?{query}", headers=headers)
    assert response.content_type == "text/csv; charset=utf-8"
    assert "Accept" in response.headers["Vary"]
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert [(row["job"], row["due"], row["skipped"]) for row in rows] == [("b", "10", "10"), ("a", "4", "0")]
    assert rows[1]["slo.startWithin.kept"] == "3"
    assert rows[0]["slo.startWithin.kept"] == rows[0]["wait.p50"] == ""


def test_no_cell_is_a_formula(client: FlaskClient, backend: FakeBackend) -> None:
    backend.history.rows[0] = replace(backend.history.rows[0], owner='=HYPERLINK("http://x")')
    text = client.get("/api/statistics?by=owner&format=csv").text
    assert list(csv.DictReader(io.StringIO(text)))[-1]["owner"] == '\'=HYPERLINK("http://x")'


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("by=colour", "by"), ("per=week", "per"), ("from=yesterday", "from"), ("to=x", "to"), ("limit=0", "limit"),
        ("label=x", "label"), ("limit=1_0", "limit"),
        ("target=101", "target"), ("target=nan", "target"), ("format=xml", "format"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
        ("per=minute&from=2025-12-01T00:00:00Z", "per"), ("per=hour&by=job,host", "per"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_and_named(client: FlaskClient, query: str, field: str) -> None:
    response = client.get(f"/api/statistics?{query}")
    assert response.status_code == 400
    assert response.get_json()["error"]["field"] == field


def test_a_span_without_runs_has_no_rows(client: FlaskClient) -> None:
    form = ask(client, "from=2020-01-01T00:00:00Z&to=2020-02-01T00:00:00Z")
    assert form["rows"] == []
    assert form["total"]["due"] == 0
    assert form["total"]["wait"]["p50"] is None
    assert form["resolution"] == "day"


def test_labels_are_those_that_jobs_have_now_and_have_promises_together(client: FlaskClient) -> None:
    submit(client, name="a", labels={"channel": "news", "kind": "cut"}, startWithin=10)
    submit(client, name="b", labels={"channel": "news"})
    form = ask(client, "by=label&target=90")
    assert [(row["label"], row["due"]) for row in form["rows"]] == [("channel=news", 14), ("kind=cut", 4)]
    assert form["total"]["due"] == 14
    news = form["rows"][0]["slo"]
    assert (news["startWithin"]["runs"], news["startWithin"]["kept"], news["startWithin"]["budget"]) == (4, 3, 0.4)
    assert news["finishWithin"] is None
    check(form, openapi_document()["components"]["schemas"]["Statistics"])
    assert ask(client, "label=kind=cut")["total"]["slo"]["startWithin"]["kept"] == 3
    assert [row["job"] for row in ask(client, "by=job&label=kind=cut&label=channel=news")["rows"]] == ["a"]
    assert ask(client, "label=kind=none")["total"]["due"] == 0
    submit(client, name="b", labels={"channel": "news"}, startWithin=20)
    row = ask(client, "by=label&label=channel=news")["rows"][0]
    assert row["slo"]["startWithin"]["within"] is None  # they promise differently
    text = client.get("/api/statistics?by=label,job&format=csv").text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["label"], row["job"]) for row in rows] == [
        ("channel=news", "b"), ("channel=news", "a"), ("kind=cut", "a"),
    ]  # fmt: skip
    assert rows[1]["slo.startWithin.kept"] == "3"


def test_what_has_no_label_has_the_empty_one(client: FlaskClient) -> None:
    assert [(row["label"], row["due"]) for row in ask(client, "by=label")["rows"]] == [("", 14)]
