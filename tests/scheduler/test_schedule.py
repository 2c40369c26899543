"""Schedules: Chronos's grammar to the letter, and due times that never drift."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chronos_py.errors import InvalidSchedule
from chronos_py.scheduler.moments import printed
from chronos_py.scheduler.period import Period, parse_period
from chronos_py.scheduler.schedule import check_schedule, parse_schedule

VECTORS = Path(__file__).parents[1] / "vectors"
SHANGHAI = timezone(timedelta(hours=8))
NEW_YEAR_2026 = 1_767_225_600_000


def vectors(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (VECTORS / name).read_text().splitlines()]


def first_start(text: str, zone: str = "", *, default_zone: Any = SHANGHAI) -> str:
    """Return the first due time as Chronos prints it."""
    schedule = parse_schedule(text, zone, default_zone=default_zone, strict_zone=False)
    return schedule.anchored(0).text(None, 0).split("/")[1]


# --- vectors made with the original's own date library


def test_the_grammar_agrees_with_all_parse_vectors() -> None:
    for row in vectors("schedule-parse.jsonl"):
        try:
            schedule = parse_schedule(row["schedule"], row["zone"], strict_zone=False)
        except InvalidSchedule:
            assert not row["ok"], row
            continue
        assert row["ok"], row
        start = schedule.anchored(0).at_sure(0)
        assert (-1 if schedule.count is None else schedule.count) == row["count"], row
        assert str(schedule.period) == row["period"], row
        if schedule.start is None:
            assert row["start"] is None
        else:
            assert printed(start, UTC) == row["start"], row
            assert printed(start, schedule.zone) == row["printed"], row


def test_due_times_agree_with_all_occurrence_vectors() -> None:
    for row in vectors("occurrences.jsonl"):
        occurrences = parse_schedule(f"R/{row['start']}/{row['period']}", row["zone"]).anchored(0)
        for occurrence in row["occurrences"]:
            assert printed(occurrences.at_sure(occurrence["i"]), UTC) == occurrence["at"], (row, occurrence)


# --- examples


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("2014-03-08T20:00:00.000Z", "2014-03-08T20:00:00.000Z"),
        ("2014-03-08T20:00Z", "2014-03-08T20:00:00.000Z"),
        ("2014-03-08T20Z", "2014-03-08T20:00:00.000Z"),
        ("2014-03-08", "2014-03-08T00:00:00.000+08:00"),
        ("2014-03", "2014-03-01T00:00:00.000+08:00"),
        ("2014", "2014-01-01T00:00:00.000+08:00"),
        ("2014-03-08T20:00:00", "2014-03-08T20:00:00.000+08:00"),
        ("2014-03-08T20:00:00-0330", "2014-03-08T20:00:00.000-03:30"),
        ("2014-03-08T20:00:00+05", "2014-03-08T20:00:00.000+05:00"),
        ("2014-03-08T20:00:00.123456Z", "2014-03-08T20:00:00.123Z"),
        ("2014-03-08T20:00:00,5Z", "2014-03-08T20:00:00.500Z"),
        ("2014-03-08T20.5Z", "2014-03-08T20:30:00.000Z"),
        ("2014-W10-6", "2014-03-08T00:00:00.000+08:00"),
        ("2014-067", "2014-03-08T00:00:00.000+08:00"),
        ("2014-3-8T1:2:3Z", "2014-03-08T01:02:03.000Z"),
        ("2014-03-08t20:00:00z", "2014-03-08T20:00:00.000Z"),
        ("T10:00Z", "1970-01-01T10:00:00.000Z"),
        ("T10:00", "1970-01-01T10:00:00.000+08:00"),
        ("12014-01-01T00:00:00Z", "12014-01-01T00:00:00.000Z"),
    ],
)
def test_a_start_is_read_as_the_original_does(start: str, expected: str) -> None:
    assert first_start(f"R/{start}/P1D") == expected


@pytest.mark.parametrize(
    "start",
    [
        "20140308T200000Z", "2014-03-08 20:00:00", "2014-03-08T24:00:00Z", "2014-03-08T20:00:60Z", "2014-02-30",
        "10:00", " ", "2014-W54-1", "2014-366", "2014-03-08T20:00:00+25:00", "a", "2014-03-08Z", "/2014-03-08",
    ],
)  # fmt: skip
def test_a_start_that_the_original_refuses_is_refused(start: str) -> None:
    with pytest.raises(InvalidSchedule, match="schedule"):
        parse_schedule(f"R/{start}/P1D")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("P", "PT0S"), ("PT0S", "PT0S"), ("P0D", "PT0S"), ("PT1.5S", "PT1.500S"), ("PT1,5S", "PT1.500S"),
        ("PT.5S", "PT0.500S"), ("PT1.S", "PT1S"), ("PT1.23456S", "PT1.234S"), ("PT0.0015S", "PT0.001S"),
        ("P1W2D", "P1W2D"), ("PT90M", "PT90M"), ("PT24H", "PT24H"), ("PT3600.000S", "PT3600S"), ("P-1D", "P-1D"),
        ("PT-1H", "PT-1H"), ("P+1D", "P1D"), ("Pt1h", "PT1H"), ("P1Y2M3W4DT5H6M7.008S", "P1Y2M3W4DT5H6M7.008S"),
        ("PT-0.5S", "PT-0.500S"),
    ],
)  # fmt: skip
def test_a_period_is_printed_as_the_original_does(text: str, expected: str) -> None:
    assert str(parse_period(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "PT", "PT0.5H", "P0.5D", "-P1D", "+P1D", "P1DT", "P1H", "PT1D", "PT1S2M", "P1M1Y", "PT1M30", "PT1M ",
        "PT2147483648S", "P2147483648D", "PTS", "PT.S", "1D", "",
    ],
)  # fmt: skip
def test_a_period_that_the_original_refuses_is_refused(text: str) -> None:
    with pytest.raises(InvalidSchedule):
        parse_period(text)


def test_the_usual_mistake_gets_a_hint() -> None:
    with pytest.raises(InvalidSchedule, match="PT1H"):
        parse_schedule("R/2014-03-08T20:00:00Z/P1H")


@pytest.mark.parametrize(
    "text",
    [
        "r/2014-03-08/P1D", "R/2014-03-08/p1D", "R5/P1D", "R/2014-03-08", "R5/2014/2015", " R//P1D", "R//P1D ",
        "R-1//P1D", "R9223372036854775808//P1D", "R٣//P1D", "", "P1D", "R" + "9" * 5000 + "//P1D",
    ],
)  # fmt: skip
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(InvalidSchedule):
        parse_schedule(text)


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("R/2008-03-01T13:00:00Z/P1D", "BST", "2008-03-01T13:00:00.000+06:00"),
        ("R/2008-03-01T13:00:00-04:00/P1D", "PST", "2008-03-01T13:00:00.000-08:00"),
        ("R/2008-03-01/P1D", "PST", "2008-03-01T00:00:00.000-08:00"),
        ("R/2014-03-08T20:00:00Z/P1D", "America/Los_Angeles", "2014-03-08T20:00:00.000-08:00"),
        ("R/2014-07-08T20:00:00Z/P1D", "EST", "2014-07-08T20:00:00.000-04:00"),
        ("R/2014-07-08T20:00:00Z/P1D", "GMT+8", "2014-07-08T20:00:00.000+08:00"),
        ("R/2014-07-08T20:00:00+08:00/P1D", "No/Where", "2014-07-08T20:00:00.000Z"),
        ("R/2014-03-09T02:30:00/P1D", "America/Los_Angeles", "2014-03-09T03:30:00.000-07:00"),
        ("R/2014-11-02T01:30:00/P1D", "America/Los_Angeles", "2014-11-02T01:30:00.000-07:00"),
    ],
)
def test_a_zone_keeps_the_wall_clock(text: str, zone: str, expected: str) -> None:
    assert first_start(text, zone) == expected


def test_an_unknown_zone_is_refused_in_new_definitions() -> None:
    with pytest.raises(InvalidSchedule, match=r"scheduleTimeZone.*No/Where"):
        parse_schedule("R//P1D", "No/Where")


@pytest.mark.parametrize(
    "text", ["R/2014-01-01/P", "R2//PT0.5S", "R//P-1D", "R5//PT0S", "R//P1M-40D", "R2147483649//P1D"]
)
def test_what_could_never_run_right_is_refused(text: str) -> None:
    with pytest.raises(InvalidSchedule):
        check_schedule(parse_schedule(text), 0)


@pytest.mark.parametrize("text", ["R1//P", "R0//PT0M", "R1//PT1S", "R0/2014-01-01T00:00:00Z/PT60M", "R1//P-1D"])
def test_what_never_steps_may_have_any_period(text: str) -> None:
    check_schedule(parse_schedule(text), 0)


def test_an_empty_start_is_the_moment_of_acceptance() -> None:
    occurrences = parse_schedule("R1//PT24H", "Asia/Tokyo").anchored(NEW_YEAR_2026)
    assert occurrences.at(0) == NEW_YEAR_2026
    assert occurrences.text(0, 1) == "R0/2026-01-02T00:00:00.000Z/PT24H"


def test_month_ends_do_not_drift() -> None:
    occurrences = parse_schedule("R/2014-01-31T00:00:00Z/P1M").anchored(0)
    days = [occurrences.text(None, index)[2:12] for index in range(6)]
    assert days == ["2014-01-31", "2014-02-28", "2014-03-31", "2014-04-30", "2014-05-31", "2014-06-30"]


def test_a_time_in_a_gap_is_right_again_the_day_after() -> None:
    occurrences = parse_schedule("R/2014-03-08T02:30:00/P1D", "America/Los_Angeles").anchored(0)
    assert [occurrences.text(None, index)[2:31] for index in range(3)] == [
        "2014-03-08T02:30:00.000-08:00",
        "2014-03-09T03:30:00.000-07:00",
        "2014-03-10T02:30:00.000-07:00",
    ]


def test_a_day_is_not_24_hours_where_summer_time_begins() -> None:
    day, hours = (
        parse_schedule(f"R/2014-03-08T12:00:00/{p}", "America/Los_Angeles").anchored(0) for p in ("P1D", "PT24H")
    )
    assert hours.at_sure(1) - day.at_sure(1) == 3_600_000


def test_far_years_neither_fail_nor_take_time() -> None:
    occurrences = parse_schedule("R/12014-01-01T00:00:00/P1D", "Europe/Berlin").anchored(0)
    assert occurrences.last_due(NEW_YEAR_2026) == -1
    assert occurrences.at(10**9) is not None
    assert occurrences.at(10**15) is None
    old = parse_schedule("R/0001-01-01T00:00:00Z/PT1S").anchored(0)
    assert old.at_sure(old.last_due(NEW_YEAR_2026)) == NEW_YEAR_2026


# --- properties, against a calculation of another kind

ZONES = (
    "UTC", "America/Los_Angeles", "America/New_York", "America/St_Johns", "America/Sao_Paulo", "Asia/Kathmandu",
    "Asia/Kolkata", "Asia/Shanghai", "Australia/Lord_Howe", "Europe/Berlin", "Europe/Dublin", "Africa/Casablanca",
    "Pacific/Apia", "Pacific/Auckland", "Pacific/Chatham", "Asia/Tehran", "America/Caracas", "Antarctica/Troll",
)  # fmt: skip

starts = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0, fold=0)
)
steps = st.one_of(
    st.builds(Period, days=st.integers(1, 40)),
    st.builds(Period, weeks=st.integers(1, 9)),
    st.builds(Period, months=st.integers(1, 30)),
    st.builds(Period, years=st.integers(1, 4)),
    st.builds(Period, hours=st.integers(1, 100), minutes=st.integers(0, 90)),
    st.builds(Period, minutes=st.integers(1, 5000), seconds=st.integers(0, 90)),
    st.builds(Period, months=st.integers(0, 5), days=st.integers(1, 20), hours=st.integers(0, 30)),
)


def wall_clock_instant(moment: datetime, zone: ZoneInfo) -> datetime:
    """Find the instant at which a zone's wall clock shows `moment`, by trying instants around it.

    The earliest that shows it; when none does, the clock jumped over it: then the instant as far behind the jump as
    the wall time is, which shows `moment` plus the gap.
    """
    guess = moment.replace(tzinfo=UTC)
    offsets = {(guess + timedelta(hours=hours)).astimezone(zone).utcoffset() for hours in range(-48, 49, 1)}
    shown = [guess - offset for offset in offsets if offset is not None]
    exact = [instant for instant in shown if instant.astimezone(zone).replace(tzinfo=None) == moment]
    if exact:
        return min(exact)
    later = [instant for instant in shown if instant.astimezone(zone).replace(tzinfo=None) > moment]
    return min(later, key=lambda instant: instant.astimezone(zone).replace(tzinfo=None))


def expected_instant(start: datetime, zone: ZoneInfo, step: Period, index: int) -> datetime:
    months = start.month - 1 + index * (step.years * 12 + step.months)
    year, month = start.year + months // 12, months % 12 + 1
    day = start.day
    while True:
        try:
            moved = start.replace(year=year, month=month, day=day)
            break
        except ValueError:
            day -= 1
    moved += timedelta(days=index * (step.weeks * 7 + step.days))
    exact = timedelta(hours=step.hours, minutes=step.minutes, seconds=step.seconds, milliseconds=step.millis)
    if step.months == step.years == step.weeks == step.days == 0:
        return wall_clock_instant(start, zone) + index * exact
    return wall_clock_instant(moved, zone) + index * exact


@given(starts, st.sampled_from(ZONES), steps, st.integers(0, 400))
@settings(max_examples=600, deadline=None)
def test_due_times_agree_with_an_independent_calculation(start: datetime, zone: str, step: Period, index: int) -> None:
    try:
        expected = expected_instant(start, ZoneInfo(zone), step, index)
    except (ValueError, OverflowError):
        assume(False)
        return
    assume(expected.year < 2100)
    occurrences = parse_schedule(f"R/{start.isoformat()}/{step}", zone).anchored(0)
    assert printed(occurrences.at_sure(index), UTC) == printed(int(expected.timestamp() * 1000), UTC)


@given(starts, st.sampled_from(ZONES), steps, st.integers(0, 2000))
@settings(max_examples=400, deadline=None)
def test_the_last_due_time_is_the_newest_that_has_come(start: datetime, zone: str, step: Period, index: int) -> None:
    occurrences = parse_schedule(f"R/{start.isoformat()}/{step}", zone).anchored(0)
    instant = occurrences.at_sure(index)
    for now in (instant, instant + 1, instant + 12_345_678):
        last = occurrences.last_due(now)
        assert occurrences.at_sure(last) <= now < occurrences.at_sure(last + 1)
    assert occurrences.last_due(occurrences.at_sure(0) - 1) == -1


@given(starts, st.sampled_from(ZONES), steps, st.integers(0, 100))
@settings(max_examples=300, deadline=None)
def test_the_text_that_is_left_reads_as_the_same_due_time(start: datetime, zone: str, step: Period, index: int) -> None:
    occurrences = parse_schedule(f"R9/{start.isoformat()}/{step}", zone).anchored(0)
    text = occurrences.text(9, index)
    again = parse_schedule(text)
    assert again.anchored(0).at(0) == occurrences.at(index)
    assert again.count == 9
    assert str(again.period) == str(step)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    for candidate in (text, f"R{text}", f"R/{text}/P1D", f"R//P{text}"):
        try:
            schedule = parse_schedule(candidate)
            check_schedule(schedule, 0)
        except InvalidSchedule as error:
            assert error.field == "schedule"
