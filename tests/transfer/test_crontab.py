"""Crontabs: each converted line is due exactly when cron's reading of it says; what cannot be is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter

from chronos_py.scheduler.schedule import parse_schedule
from chronos_py.transfer.crontab import Converted, convert

START = date(2026, 1, 1)


def line(text: str, **options: object) -> Converted:
    (found,) = convert(text, start=START, **options)  # type: ignore[arg-type]
    return found


def due(found: Converted, until: datetime) -> list[datetime]:
    """Return all due times of a line's jobs from START to `until`, in order."""
    times = []
    for job in found.jobs:
        occurrences = parse_schedule(job["schedule"], job["scheduleTimeZone"]).anchored(0)
        last = occurrences.last_due(int(until.timestamp() * 1000))
        times += [occurrences.at_sure(index) for index in range(last + 1)]
    return [datetime.fromtimestamp(time / 1000, UTC) for time in sorted(times)]


@pytest.mark.parametrize(
    "times",
    [
        "* * * * *",
        "*/5 * * * *",
        "2-59/15 * * * *",
        "7 * * * *",
        "7,9 * * * *",
        "0 */6 * * *",
        "30 3-23/4 * * *",
        "15 4 * * *",
        "0 6,18 * * *",
        "0 9 * * 1-5",
        "0 9 * * mon,WED",
        "30 2 * * 7",
        "0 0 1,15 * *",
        "5 4 28 2 *",
        "0 0 1 jan,jul *",
        "@daily",
        "@hourly",
        "@weekly",
        "@monthly",
    ],
)
def test_a_line_is_due_when_cron_runs_it(times):
    """croniter, which is not ours, is the judge, in a zone whose clocks never change."""
    found = line(f"{times} true")
    assert found.problem == ""
    first = datetime(2026, 1, 1, tzinfo=UTC)
    span = timedelta(days=2 if len(due(found, first + timedelta(hours=6))) > 5 else 800)
    judge, expected = croniter(times, first - timedelta(seconds=1)), []
    while (at := judge.get_next(datetime)) <= first + span:
        expected.append(at)
    assert expected
    assert due(found, first + span) == expected


def test_wall_times_stay_where_clocks_change():
    found = line("15 4 * * 1 true", zone="Europe/Berlin")
    times = [at.astimezone(ZoneInfo("Europe/Berlin")) for at in due(found, datetime(2026, 12, 31, tzinfo=UTC))]
    assert {(at.weekday(), at.hour, at.minute) for at in times} == {(0, 4, 15)}
    assert len(times) == 52


@pytest.mark.parametrize(
    ("text", "zone", "problem"),
    [
        ("0 0 31 * * true", "UTC", "28th"),
        ("0 0 1 * 1 true", "UTC", "either"),
        ("* 8 * * * true", "UTC", "gaps"),
        ("* * * * 1 true", "UTC", "gaps"),
        ("0 0 * 6 * true", "UTC", "gaps"),
        ("0 0 * 6 1 true", "UTC", "gaps"),
        ("*/5 8-18 * * * true", "UTC", "132 jobs"),
        ("1-59/3,5 * * * * true", "Australia/Lord_Howe", "parts of an hour"),
        ("0 */6 * * * true", "Europe/Berlin", ""),  # as four daily jobs
        ("@reboot true", "UTC", "@reboot"),
        ("@sometimes true", "UTC", "@sometimes"),
        ("61 * * * * true", "UTC", "minute '61'"),
        ("0 x * * * true", "UTC", "hour 'x'"),
        ("*/0 * * * * true", "UTC", "minute"),
        ("5-1 * * * * true", "UTC", "minute"),
        ("0 0 * * foo true", "UTC", "weekday 'foo'"),
        ("0 0 * *", "UTC", "needs five times"),
        ("0 0 * * * true", "Mars/Phobos", "zone 'Mars/Phobos'"),
    ],
)
def test_what_no_interval_can_say_is_refused(text, zone, problem):
    found = line(text, zone=zone)
    assert problem in found.problem
    assert bool(found.jobs) == (not problem)


def test_a_few_times_a_day_keep_their_hours_where_clocks_change():
    found = line("0 */6 * * * true", zone="Europe/Berlin")
    assert [job["schedule"][-3:] for job in found.jobs] == ["P1D"] * 4


def test_variables_users_and_input():
    text = """
# comment
SHELL=/bin/bash
MAILTO = "ops@example.org"
PATH='/usr/bin:/bin'
CRON_TZ=Asia/Tokyo
0 1 * * * backup  mail -s 100\\% x%Hello%it's me
"""
    (found,) = convert(text, start=START, system=True)
    (job,) = found.jobs
    assert (job["name"], job["owner"], job["runAsUser"]) == ("cron-7", "ops@example.org", "backup")
    assert job["scheduleTimeZone"] == "Asia/Tokyo"
    assert job["environmentVariables"] == [{"name": "PATH", "value": "/usr/bin:/bin"}]
    assert job["command"].startswith("/bin/bash -c '")


def test_input_reaches_the_command(tmp_path):
    import subprocess

    (job,) = line("0 1 * * * cat; echo end 5\\%%Hello%it's me").jobs
    found = subprocess.run(job["command"], shell=True, capture_output=True, text=True, check=True, timeout=30)
    assert found.stdout == "Hello\nit's me\nend 5%\n"
