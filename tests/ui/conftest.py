"""The pages over a fake service."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from chronos_py.api import create_app
from chronos_py.api.backend import ApiSettings
from chronos_py.model.history import AttemptRecord, RunRecord
from chronos_py.model.job import Job, JobState
from chronos_py.model.run import Outcome, Trigger
from chronos_py.model.view import JobView
from chronos_py.ui import Watch, ui_blueprint
from tests.api.backend import FakeBackend
from tests.builders import a_job
from tests.fakes import NEW_YEAR


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def client(backend: FakeBackend) -> FlaskClient:
    return client_of(backend)


def client_of(backend: FakeBackend, watch: Watch | None = None) -> FlaskClient:
    settings = ApiSettings()
    return create_app(backend, settings, pages=lambda guarded: ui_blueprint(guarded, settings, watch)).test_client()


def put(backend: FakeBackend, job: Job | str = "a", **view: Any) -> Job:
    """Add a job as the view shows it."""
    job = a_job(job) if isinstance(job, str) else job
    known = backend.view.jobs.get(job.name)
    state = known.state if known else JobState(sequence=len(backend.view.jobs) + 1)
    made = JobView(job, replace(state, **view.pop("state", {})), job.schedule, **view)
    backend.view.jobs[job.name] = made
    backend.view.changed += 1
    return job


def ended(backend: FakeBackend, number: int, job: str = "a", **changes: Any) -> RunRecord:
    """Add a run that has ended, with one attempt: due 1 s before it started, 5 s before it ended."""
    at = NEW_YEAR - 3_600_000 + number * 10_000
    values: dict[str, Any] = {
        "trigger": Trigger.SCHEDULE,
        "outcome": Outcome.SUCCESS,
        "attempts": 1,
        "started": at + 1000,
        "host": "host-1",
    }
    values |= changes
    row = RunRecord(number, job, due=at, created=at, ended=at + 5000, **values)
    backend.history.rows.append(row)
    backend.history.tries.append(
        AttemptRecord(number, 0, f"ct:{number}:0:{job}:", job, "agent-1", row.host, at + 400, row.started, row.ended,
                      row.outcome, "TASK_FINISHED", reason=row.reason, exit_code=0)
    )  # fmt: skip
    return row
