"""Calendar and timeline."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from flask.testing import FlaskClient

from chronos_py.api.planning import edges_of
from chronos_py.model.job import JobState
from chronos_py.model.view import JobView
from chronos_py.scheduler.load import upcoming_load
from chronos_py.scheduler.moments import required_zone
from chronos_py.scheduler.schedule import parse_schedule
from tests.api.test_runs import a_row
from tests.builders import a_job
from tests.fakes import NEW_YEAR

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def scheduled(name: str, schedule: str, zone: str = "", **values: Any) -> JobView:
    """Return a job as it stands before its first due time."""
    job = a_job(name, schedule=schedule, schedule_zone=zone, **values)
    read = parse_schedule(schedule, zone)
    return JobView(job, JobState(remaining=read.count), schedule, next_due=read.start_millis(NEW_YEAR))


def test_starts_are_counted_by_span():
    jobs = [scheduled(f"m{n}", "R/2026-01-01T00:00:00Z/P1D") for n in range(300)]
    jobs += [
        scheduled("q", "R/2026-01-01T00:10:00Z/PT15M"),
        scheduled("off", "R/2026-01-01T00:00:00Z/P1D", disabled=True),
    ]
    jobs.append(scheduled("twice", "R2/2026-01-01T05:00:00Z/PT1H"))
    load = upcoming_load(jobs, range(NEW_YEAR, NEW_YEAR + 2 * DAY + 1, HOUR), names=2)
    assert load.counts[:7] == [304, 4, 4, 4, 4, 5, 5]
    assert load.counts[7:24] == [4] * 17
    assert load.counts[24] == 304
    assert load.names[0] == ["m0", "m1"]
    assert load.minutes.most_common(1) == [(NEW_YEAR, 300)] or load.minutes.most_common(1)[0][1] == 300
    assert (load.jobs, load.complete) == (302, True)


def test_frequent_jobs_are_counted_without_looking_at_each_start():
    load = upcoming_load([scheduled("s", "R/2026-01-01T00:00:00Z/PT1S")], range(NEW_YEAR, NEW_YEAR + DAY + 1, HOUR))
    assert load.counts == [3600] * 24


def test_counting_jobs_together_counts_the_same():
    jobs = [scheduled(f"m{n}", f"R/2026-01-01T0{n % 7}:00:00Z/PT{1 + n % 5}H") for n in range(60)]
    jobs += [scheduled("end", "R5/2026-01-01T01:00:00Z/PT1H"), scheduled("month", "R/2026-01-01T03:00:00Z/P1M")]
    edges = range(NEW_YEAR + HOUR, NEW_YEAR + 3 * DAY + 1, HOUR)
    together, apart = upcoming_load(jobs, edges), upcoming_load(jobs, edges, names=5)
    assert together.counts == apart.counts
    assert together.minutes == apart.minutes


def test_what_was_not_counted_is_told():
    jobs = [scheduled(f"m{n}", "R/2026-01-01T00:00:00Z/PT1H") for n in range(10)]
    load = upcoming_load(jobs, range(NEW_YEAR, NEW_YEAR + DAY + 1, HOUR), names=1, steps=50)
    assert (load.complete, load.jobs) == (False, 3)


def test_days_follow_the_zones_clock():
    zone = required_zone("Europe/Berlin")
    begin = int(datetime(2026, 3, 28, 12, tzinfo=UTC).timestamp() * 1000)
    edges = edges_of(begin, begin + 2 * DAY, "day", zone)
    assert [(b - a) // HOUR for a, b in pairwise(edges)] == [24, 23, 24]


def test_the_calendar(client, backend):
    backend.view.jobs["a"] = scheduled("a", "R/2026-01-01T06:00:00Z/P1D", owner="ada@example.org")
    answer = client.get("/api/calendar?from=2026-01-01T00:00:00Z&to=2026-01-03T00:00:00Z&per=day&names=5").json
    assert answer["spans"] == [
        {"from": "2026-01-01T00:00:00.000Z", "starts": 1, "names": ["a"]},
        {"from": "2026-01-02T00:00:00.000Z", "starts": 1, "names": ["a"]},
    ]
    assert answer["peaks"][0]["at"] == "2026-01-01T06:00:00.000Z"
    assert client.get("/api/calendar?from=2026-01-01&to=2026-01-02&owner=bob").json["jobs"] == 0


@pytest.mark.parametrize(
    "query",
    [
        "from=2026-01-02&to=2026-01-01",
        "from=2026-01-01&to=2028-01-01",
        "per=minute&from=2026-01-01&to=2026-02-01",
        "per=year",
        "zone=Mars",
        "names=501",
    ],
)
def test_spans_that_are_refused(client, query):
    assert client.get(f"/api/calendar?{query}").status_code == 400


def test_overlapping_runs_stand_in_lanes_of_their_own(client, backend):
    for number, (created, ended) in enumerate([(0, 10), (5, 15), (10, 20)], 1):
        row = a_row(number, job="a")
        values = {"created": NEW_YEAR + created * MINUTE, "ended": NEW_YEAR + ended * MINUTE}
        backend.history.rows.append(type(row)(**{f: getattr(row, f) for f in row.__slots__} | values))
    answer = client.get("/api/timeline?from=2026-01-01T00:00:00Z&to=2026-01-01T01:00:00Z").json
    assert [[bar["run"] for bar in lane] for lane in answer["rows"][0]["lanes"]] == [[1, 3], [2]]
    assert answer["complete"] is True
    assert client.get("/api/timeline?from=2026-01-01T00:00:00Z&to=2026-01-01T01:00:00Z&q=zzz").json["rows"] == []
    assert client.get("/api/timeline?by=moon").status_code == 400
    assert client.get("/api/timeline?from=2026-01-02&to=2026-01-01").status_code == 400


@pytest.mark.parametrize("path", ["timeline", "calendar"])
@pytest.mark.parametrize("query", ["from=9999-12-31T23:59:59Z", "to=9999-12-31T23:59:59Z", "to=0001-01-01T00:00:00Z"])
def test_the_ends_of_time_are_no_error_of_ours(client: FlaskClient, path: str, query: str) -> None:
    assert client.get(f"/api/{path}?{query}").status_code in (200, 400)
