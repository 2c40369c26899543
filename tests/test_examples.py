"""The example jobs: documents that the model takes, in an order that can be posted, soon to be seen at work."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from chronos_py.examples import documents

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
JOBS = documents(Path("/data/examples"), NOW)


def test_there_is_a_handful():
    assert 6 <= len(JOBS) <= 10
    assert all(job["name"].startswith("example.") and job["description"] for job in JOBS)


def test_parents_come_before_children():
    seen: set[str] = set()
    for job in JOBS:
        assert set(job.get("parents", ())) <= seen
        seen.add(job["name"])


def test_something_runs_within_half_a_minute():
    starts = [job["schedule"].split("/")[1] for job in JOBS if "schedule" in job]
    assert sum("2026-11-24T12:00:00Z" < start < "2026-11-24T12:00:30Z" for start in starts) >= 3


def test_no_due_time_lies_in_the_past():
    assert all(job["schedule"].split("/")[1] > "2026-11-24T12:00:00Z" for job in JOBS if "schedule" in job)
    by_name = {job["name"]: job for job in JOBS}
    assert by_name["example.cleanup"]["schedule"] == "R/2026-11-30T06:00:00/P1W"
    assert by_name["example.backup"]["schedule"] == "R/2026-11-25T02:30:00/P1D"


def test_files_go_to_the_given_folder_only():
    for job in JOBS:
        assert "/tmp" not in job["command"]
        if "$FOLDER" in job["command"]:
            assert {"name": "FOLDER", "value": "/data/examples"} in job["environmentVariables"]
