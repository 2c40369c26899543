"""Changing single fields of a job that runs: what happens at the same time is neither lost nor done twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from chronos_py.model.messages import Request
from chronos_py.model.view import View
from tests.api.backend import FakeBackend, a_client
from tests.bench import Bench
from tests.builders import a_job
from tests.fakes import NEW_YEAR


class LateBackend(FakeBackend):
    """A real engine; before each request that it is handed, a due time passes and its run ends."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.bench.add(a_job("a"))
        self.minute()

    @property
    def view(self) -> View:
        return self.bench.service.view if hasattr(self, "bench") else View()

    @view.setter
    def view(self, view: View) -> None: ...

    def minute(self) -> None:
        self.bench.later(minutes=1)
        self.bench.end("a")

    def call(self, request: Request, timeout: float = 30.0) -> Any:
        self.minute()
        return self.bench.ask(request)

    def now(self) -> int:
        return self.bench.clock.now()

    @property
    def due_times(self) -> list[str]:
        return [task.task.id for task in self.bench.launched("a")]


@pytest.fixture
def late() -> LateBackend:
    return LateBackend()


@pytest.fixture
def client(late: LateBackend) -> FlaskClient:
    return a_client(late)


def test_a_run_that_ends_meanwhile_still_counts(late, client):
    assert client.patch("/api/jobs/a", json={"owner": "me"}).status_code == 204
    job = json.loads(client.get("/api/jobs/a").data)
    assert (job["owner"], job["successCount"]) == ("me", 2)
    assert job["schedule"] == "R/2026-01-01T00:03:00.000Z/PT1M"


@pytest.mark.parametrize("changes", [{"owner": "me"}, {"retries": None}, {"scheduleTimeZone": None}])
def test_no_due_time_runs_twice(late, client, changes):
    client.patch("/api/jobs/a", json=changes)
    late.minute()
    late.minute()
    assert late.due_times == [f"ct:{NEW_YEAR + minute * 60_000}:0:a:" for minute in range(5)]


def test_a_new_schedule_begins_anew(late, client):
    client.patch("/api/jobs/a", json={"schedule": "R/2026-01-01T01:00:00Z/PT1M"})
    assert late.view.jobs["a"].schedule == "R/2026-01-01T01:00:00Z/PT1M"
    assert late.view.jobs["a"].state.success_count == 2


def test_the_schedule_that_is_shown_changes_nothing(late, client):
    shown = "R/2026-01-01T00:03:00.000Z/PT1M"  # by the time the change is made
    client.patch("/api/jobs/a", json={"schedule": shown, "owner": "me"})
    late.minute()
    assert late.due_times[-1] == "ct:1767225780000:0:a:"
    assert len(late.due_times) == 4


def test_counters_can_be_set(late, client):
    client.patch("/api/jobs/a", json={"successCount": 40, "errorCount": None})
    job = json.loads(client.get("/api/jobs/a").data)
    assert (job["successCount"], job["errorCount"]) == (40, 0)


def test_two_changes_of_different_fields_both_hold(late, client):
    client.patch("/api/jobs/a", json={"owner": "me"})
    client.patch("/api/jobs/a", json={"priority": 5})
    job = late.view.jobs["a"].job
    assert (job.owner, job.priority) == ("me", 5)


def test_a_finite_schedule_runs_as_often_as_it_says(late, client):
    late.bench.add(a_job("b", schedule="R4/2026-01-01T00:05:00Z/PT1M"))
    late.bench.later(minutes=4)
    late.bench.end("a")
    late.bench.end("b")

    def minute() -> None:
        late.bench.later(minutes=1)
        if late.bench.launched("b")[-1].update is None:
            late.bench.end("b")

    late.minute = minute
    client.patch("/api/jobs/b", json={"owner": "me"})
    for _ in range(6):
        minute()
    assert [task.task.id for task in late.bench.launched("b")] == [
        f"ct:{NEW_YEAR + minutes * 60_000}:0:b:" for minutes in (5, 6, 7, 8)
    ]
    assert late.view.jobs["b"].state.success_count == 4
