"""Texts: schedules in words, due times around summer time, durations, what is made visible."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from chronos_py.model.job import JobState
from chronos_py.model.view import JobView
from chronos_py.ui.due import coming
from chronos_py.ui.text import ago, duration, mebibytes, number, shown, when
from chronos_py.ui.words import schedule_words
from tests.builders import a_job


def words(schedule: str, zone: str = "") -> str:
    job = a_job("a", schedule=schedule, schedule_zone=zone)
    return schedule_words(JobView(job, JobState(), schedule))


@pytest.mark.parametrize(
    ("schedule", "zone", "text"),
    [
        ("R/2026-01-01T00:00:00Z/PT5M", "", "every 5 minutes"),
        ("R/2026-01-01T00:00:00Z/PT1H", "", "every hour"),
        ("R/2026-01-01T00:00:00Z/PT1H30M", "", "every 1 hours 30 minutes"),
        ("R/2026-01-01T03:15:00/P1D", "Europe/Berlin", "every day at 03:15, Europe/Berlin"),
        ("R/2026-01-05T06:00:00Z/P1W", "", "every week at Monday 06:00"),
        ("R/2026-01-31T06:00:00Z/P1M", "", "every month at 06:00 on day 31"),
        ("R/2026-02-03T06:00:00Z/P1Y", "", "every year at 02-03 06:00"),
        ("R3/2026-01-01T00:00:00Z/PT1M", "", "every minute, 3 runs left"),
        ("R1//PT1M", "", "once, at once"),
        ("R1/2026-01-01T05:00:00Z/PT1M", "", "once, on 2026-01-01 05:00"),
        ("R0/2026-01-01T05:00:00Z/PT1M", "", "no runs left"),
        ("R/\u202e<b>/", "", "R/\\u202e<b>/"),
    ],
)
def test_schedules(schedule, zone, text):
    assert words(schedule, zone) == text


def test_parents():
    job = a_job("a", parents=["b", "c", "d", "e", "f"])
    assert schedule_words(JobView(job, JobState(), None)) == "after b, c, d and 2 more"


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def due_times(start: str, count: int, remaining: int | None = None, index: int = 0, now: int = 0):
    job = a_job("a", schedule=f"R/{start}/P1D", schedule_zone="Europe/Berlin")
    view = JobView(job, JobState(next_index=index, remaining=remaining), job.schedule)
    from chronos_py.ui.due import occurrences_of

    found = occurrences_of(view)
    assert found is not None
    return coming(replace(view, next_due=found.at(index)), count, now)


def test_a_wall_time_that_does_not_exist():
    found = due_times("2026-03-28T02:30:00", 3)
    assert [when(time.at, found.info) for time in found.times] == [
        "2026-03-28 02:30:00", "2026-03-29 03:30:00", "2026-03-30 02:30:00",
    ]  # fmt: skip
    assert "moved forward" in found.times[1].note and "now UTC+2" in found.times[1].note
    assert found.times[2].note == ""


def test_a_wall_time_that_comes_twice():
    found = due_times("2026-10-24T02:30:00", 3)
    assert "comes twice" in found.times[1].note
    assert "now UTC+1" in found.times[2].note


def test_due_times_end_with_the_schedule():
    found = due_times("2026-01-01T02:30:00", 20, remaining=2, index=5)
    assert [when(time.at, found.info)[:10] for time in found.times] == ["2026-01-06", "2026-01-07"]
    assert found.ends
    assert len(due_times("2026-01-01T02:30:00", 20).times) == 20


def test_due_times_that_are_held_back_are_not_to_come():
    found = due_times("2026-01-01T02:30:00", 2, remaining=9, index=1, now=at("2026-01-04T12:00:00"))
    assert [when(time.at, found.info)[:10] for time in found.times] == ["2026-01-05", "2026-01-06"]


def test_jobs_without_due_times():
    assert coming(JobView(a_job("a", parents=["b"]), JobState(), None), 5, 0) is None
    assert coming(JobView(a_job("a", schedule="R/x/P"), JobState(), "R/x/P", next_due=5), 5, 0) is None


@pytest.mark.parametrize(
    ("millis", "text"),
    [(None, "–"), (0, "0 ms"), (999, "999 ms"), (1000, "1 s"), (2500, "2.5 s"), (59_400, "59 s"), (60_000, "1 min"),
     (200_000, "3 min 20 s"), (3_600_000, "1 h"), (9_000_000, "2 h 30 min"),
     (90_000_000, "1 d 1 h"), (-500, "−500 ms")],
)  # fmt: skip
def test_durations(millis, text):
    assert duration(millis) == text


def test_other_values():
    assert (number(1234567), number(0.1), number(2.0)) == ("1\u2009234\u2009567", "0.1", "2")
    assert (mebibytes(128), mebibytes(24105), mebibytes(2 * 1024**2)) == ("128 MiB", "23.5 GiB", "2 TiB")
    assert (ago(1000, 61_000), ago(61_000, 1000), ago(5, 5)) == ("1 min ago", "in 1 min", "now")
    assert when(10**18) == f"{10**18} ms"


def test_what_is_invisible_is_shown_as_a_code():
    assert shown("a\u202eb\u200b\x00\x7f\ud800\U000e0041") == r"a\u202eb\u200b\x00\x7f\ud800\U000e0041"
    assert shown("a\nb\tc") == r"a\nb\tc"
    assert shown("a\nb\tc", lines=True) == "a\nb\tc"
    assert shown("日本語 العربية ñ") == "日本語 العربية ñ"
    assert shown("x" * 50, 10) == "x" * 10 + "…"
