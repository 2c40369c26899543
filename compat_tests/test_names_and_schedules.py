"""Which names and schedules each line accepts, and how a schedule is shown before its first run."""

from __future__ import annotations

import re
from typing import Any

import pytest

from compat_tests.dialects import FAR, V2, V3, Api

BOTH = ["a", "-", "_", ".", "a.b", "a-b_c.d", "x" * 300]
ONLY_2X = ["a b", "a#b", "a\tb", "a\nb", "a\x0bb", " a", "a "]
NEITHER = ["a/b", "a:b", "a,b", "ä", "a\u00a0b", "a;b", "a'b", 'a"b', "\u0661", "a\x1cb", "a\u2028b", "a%b", "a*"]
RULES = {V2: r"([\w\s\.#_-]+)", V3: r"([\w\.-]+)"}


def creates(api: Api, name: str) -> bool:
    answer = api.post("/iso8601", {"name": name, "command": "true", "schedule": FAR})
    if answer.status_code == 204:
        return True
    assert answer.status_code == 400, answer.text[:300]
    message = answer.json()["message"] if api.dialect == V3 else answer.text
    rule = f"requirement failed: the job's name is invalid. Allowed names: '{RULES[api.dialect]}'"
    assert rule in message
    return False


@pytest.mark.parametrize("part", BOTH + ONLY_2X + NEITHER, ids=ascii)
def test_names(api: Api, name: str, part: str) -> None:
    allowed = part in BOTH or (part in ONLY_2X and api.dialect == V2)
    assert creates(api, f"{name}{part}") == allowed
    assert (api.find(f"{name}{part}") is not None) == allowed


def test_the_empty_name(api: Api) -> None:
    assert not creates(api, "")


def test_a_trailing_newline_counts(api: Api, name: str) -> None:
    assert creates(api, f"{name}\n") == (api.dialect == V2)


def test_name_is_checked_before_schedule_and_schedule_before_fetch(api: Api, name: str) -> None:
    bad: dict[str, Any] = {"schedule": "x", "uris": ["a"], "fetch": [{"uri": "b"}], "command": "true"}
    first = api.post("/iso8601", {"name": f"{name}/", **bad})
    second = api.post("/iso8601", {"name": name, **bad})
    third = api.post("/iso8601", {"name": name, **bad, "schedule": "R1/1960-01-01T00:00:00Z/P1D"})
    fourth = api.post("/iso8601", {"name": name, **bad, "schedule": FAR})
    assert [answer.status_code for answer in (first, second, third, fourth)] == [400] * 4
    assert "name is invalid" in first.text
    if api.dialect == V3:
        assert second.json() == {"message": "Cannot parse schedule 'x' (wtf bro)", "status": "Bad Request"}
        assert third.json()["message"] == "Scheduled start date '1960-01-01T00:00:00.000Z' is before 1970!"
        assert fourth.json()["message"] == f"Tried to add both uri (deprecated) and fetch parameters on {name}"
        assert fourth.json()["status"] == "Bad Request"
    else:
        assert second.content == third.content == fourth.content == b""


GOOD = [
    "R/2090-01-01T00:00:00Z/P1D", "R5/2090-01-01T00:00:00.000+02:00/PT1H", "R/2090-01-01T00:00:00+0200/PT1H",
    "R/2090-01-01T00:00:00-05/PT1H", "R/2090-01-01/P1D", "R/2090-W01-1/P1D", "R/2090-001/P1D", "R/2090-01-01T00:00/P1W",
    "R/2090-01-01T00:00:00.5Z/P1M", "R/2090-01-01T00:00:00,25Z/P1Y", "R/2090-01-01T00:00:00Z/P1Y2M3W4DT5H6M7S",
    "R/2090-01-01T00:00:00Z/PT60M", "R1/2090-01-01T00:00:00Z/PT1.5S", "R0/2014-01-01T00:00:00Z/PT60M",
    "R0//PT0M", "R1/2090-01-01T00:00:00Z/P", "R1/2090-01-01T00:00:00Z/PT24H", "R007/2090-01-01T00:00:00Z/P1D",
]  # fmt: skip
BAD = [
    "", "x", "* * * * *", "0 5 * * *", "R", "R/", "R//", "R/2090-01-01T00:00:00Z", "R/2090-01-01T00:00:00Z/",
    "r/2090-01-01T00:00:00Z/P1D", "R/2090-01-01T00:00:00Z/1D", "R/2090-01-01T00:00:00Z/p1d",
    "Rx/2090-01-01T00:00:00Z/P1D",
    "R-1/2090-01-01T00:00:00Z/P1D", "R/2090-13-01T00:00:00Z/P1D", "R/2090-02-30T00:00:00Z/P1D",
    "R/2090-01-01T25:00:00Z/P1D",
    "R/tomorrow/P1D", "R/2090-01-01T00:00:00Z/P1X", "R/2090-01-01T00:00:00Z/P1H", "R99999999999999999999//P1D",
    " R/2090-01-01T00:00:00Z/P1D", "R/2090-01-01T00:00:00Z/P1D ", "R/2090-01-01T00:00:00Z/P1D/x",
    "R/2090-01-01 00:00/P1D",
]  # fmt: skip
OURS_REFUSED = [
    "R/2090-01-01T00:00:00Z/P", "R/2090-01-01T00:00:00Z/PT0S", "R//PT0M", "R/2090-01-01T00:00:00Z/PT-5S",
    "R/2090-01-01T00:00:00Z/P-1D", "R/2090-01-01T00:00:00Z/PT0.5S",
]  # fmt: skip


def posted(api: Api, name: str, schedule: str, **fields: Any) -> int:
    document = {"name": name, "command": "true", "schedule": schedule, **fields}
    answer = api.post("/iso8601", document)
    if answer.status_code == 400 and api.dialect == V3:
        assert list(answer.json()) == ["message", "status"]
    return answer.status_code


@pytest.mark.parametrize("schedule", GOOD)
def test_good_schedules_are_echoed_unchanged(api: Api, name: str, schedule: str) -> None:
    assert posted(api, name, schedule) == 204
    assert api.job(name)["schedule"] == schedule
    assert api.listed(name)["schedule"] == schedule


@pytest.mark.parametrize("schedule", BAD)
def test_bad_schedules(api: Api, name: str, schedule: str) -> None:
    assert posted(api, name, schedule) == 400
    assert api.find(name) is None
    api.create(name)
    answer = api.post("/iso8601", {"name": name, "command": "false", "schedule": schedule})
    assert answer.status_code == 400
    if api.dialect == V3:
        assert answer.json()["message"] == f"Cannot parse schedule '{schedule}' (wtf bro)"
    else:
        assert answer.content == b""
    assert api.job(name)["command"] == "true"


@pytest.mark.parametrize("schedule", OURS_REFUSED)
def test_schedules_that_only_ours_refuses(api: Api, name: str, schedule: str) -> None:
    assert posted(api, name, schedule) == 400
    assert api.find(name) is None


@pytest.mark.parametrize("schedule", ["R0/1960-01-01T00:00:00Z/PT1S", "R0/1970-01-01T00:00:00Z/PT1S"])
def test_start_before_1970_is_refused_by_3x_on_create_only(api: Api, name: str, schedule: str) -> None:
    assert posted(api, name, schedule) == (400 if api.dialect == V3 else 204)
    api.create(name)
    assert posted(api, name, schedule) == 204


@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC", "GMT", "America/New_York", "PST", "EST", "BST", "Etc/GMT+5"])
def test_zones(api: Api, name: str, zone: str) -> None:
    assert posted(api, name, FAR, scheduleTimeZone=zone) == 204
    assert api.job(name)["scheduleTimeZone"] == zone


@pytest.mark.parametrize("zone", ["GMT+02:00", "GMT-5"])
def test_zones_that_java_makes_up(api: Api, name: str, zone: str) -> None:
    assert posted(api, name, FAR, scheduleTimeZone=zone) == 204


@pytest.mark.parametrize("zone", ["Mars/Olympus", "x", "null", "+02:00", "europe/berlin"])
def test_ours_refuses_unknown_zones(api: Api, name: str, zone: str) -> None:
    assert posted(api, name, FAR, scheduleTimeZone=zone) == 400
    assert api.find(name) is None


def test_run_once_now(api: Api, name: str) -> None:
    answer = api.post("/iso8601", {"name": name, "command": "true", "disabled": True, "concurrent": True})
    assert answer.status_code == 204
    job = api.job(name)
    if api.dialect == V3:
        assert re.fullmatch(r"R[01]/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/PT24H", job["schedule"])
        assert job["concurrent"] is False
    else:
        assert re.fullmatch(r"R1//PT24H", job["schedule"])


def test_a_job_without_command(api: Api, name: str) -> None:
    answer = api.post("/iso8601", {"name": name, "schedule": FAR})
    assert answer.status_code in (204, 500)
    if api.dialect == V3:
        assert answer.status_code == 204
        assert api.job(name)["command"] == ""
