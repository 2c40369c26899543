"""Schedules where few look: odd texts, mixed periods, old zone names, gaps and overlaps, the ends of time.

`schedule-edges.jsonl` and `occurrences-mixed.jsonl` were made like the other vectors, with Joda-Time 2.10.14 itself,
from texts drawn at random out of its grammar and then damaged. The mixed periods start at noon, so that no step of
theirs meets a gap: there the original moved every later one too, and we do not.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import isodate
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronos_py.errors import InvalidSchedule, UnusableSchedule
from chronos_py.scheduler.moments import offset_at, printed, to_utc, zone_named
from chronos_py.scheduler.period import Period, parse_period
from chronos_py.scheduler.schedule import Occurrences, check_schedule, parse_schedule
from tests.scheduler.test_schedule import NEW_YEAR_2026, ZONES, starts, steps, vectors


def occurrences_of(text: str, zone: str = "") -> Occurrences:
    return parse_schedule(text, zone).anchored(NEW_YEAR_2026)


def walls(occurrences: Occurrences, numbers: range) -> list[str]:
    """Return due times as Chronos prints them, to the minute and with the offset."""
    times = [occurrences.text(None, number).split("/")[1] for number in numbers]
    return [moment[:16] + moment[23:] for moment in times]


# --- the original's own library


def test_the_grammar_agrees_with_the_original_on_odd_and_damaged_texts() -> None:
    for row in vectors("schedule-edges.jsonl"):
        try:
            schedule = parse_schedule(row["schedule"])
        except InvalidSchedule:
            assert not row["ok"], row
            continue
        assert row["ok"], row
        assert (-1 if schedule.count is None else schedule.count) == row["count"], row
        assert str(schedule.period) == row["period"], row
        if schedule.start is None:
            assert row["start"] is None
        else:
            start = schedule.start_millis(0)
            assert start == row["start"], row
            assert printed(start, schedule.zone) == row["printed"], row


def test_mixed_periods_agree_with_the_original() -> None:
    for row in vectors("occurrences-mixed.jsonl"):
        occurrences = occurrences_of(f"R/{row['start']}/{row['period']}", row["zone"])
        assert {number: occurrences.at(int(number)) for number in row["at"]} == row["at"], row


def test_years_are_added_before_months() -> None:
    assert walls(occurrences_of("R/2012-02-29T00:00:00Z/P1Y1M"), range(1, 2)) == ["2013-03-28T00:00Z"]
    assert walls(occurrences_of("R/2012-02-29T00:00:00Z/P13M"), range(1, 2)) == ["2013-03-29T00:00Z"]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("2014T", "2014-01-01T00:00:00.000Z"),
        ("2014T+08", "2014-01-01T00:00:00.000+08:00"),
        ("+2014-03-08T20Z", "2014-03-08T20:00:00.000Z"),
        ("-0044-03-15", "-0044-03-15T00:00:00.000Z"),
        ("0000-02-29", "0000-02-29T00:00:00.000Z"),
        ("14-03-08", "0014-03-08T00:00:00.000Z"),
        ("2015-W53", "2015-12-28T00:00:00.000Z"),
        ("2016-366", "2016-12-31T00:00:00.000Z"),
        ("2014-03-08T22,910307255", "2014-03-08T22:54:37.105Z"),  # not .106: the digits are cut one by one
        ("2014-03-08T20:00:00+08:00:30.5", "2014-03-08T20:00:00.000+08:00:30.500"),
        ("2014-03-08T20:00:00-080030500", "2014-03-08T20:00:00.000-08:00:30.500"),
        ("292278994-08-14T07:12:55.807Z", "292278994-08-14T07:12:55.807Z"),
    ],
)
def test_an_odd_start_is_read_and_written(start: str, expected: str) -> None:
    assert occurrences_of(f"R/{start}/P1D").text(None, 0) == f"R/{expected}/P1D"


@pytest.mark.parametrize(
    "start",
    [
        "T", "TZ", "2014-", "2014-03-", "+-2014", "++2014", "0000002014", "2015-000", "2015-366", "2014-W53",
        "2014-W00", "2014-W10-0", "2014-W10-8", "2014-00", "2014-13", "2014-03-00", "2100-02-29", "2014-03-08T10:",
        "2014-03-08T10.", "2014-03-08T10:00:00.", "2014-03-08T10:00:00.1234567890", "2014-03-08T10+8",
        "2014-03-08T10+08:", "2014-03-08T10+08:0030", "2014-03-08T10+0800:30", "2014-03-08T10+08:60",
        "2014-03-08T10+24", "2014-03-08T10+08001", "2014-03-08TZ10", "2014-03-08T10ZZ", "2014-03-08T10 Z",
        "２０１４", "2014-03-08\n", "292278994-08-17T07:12:55.808Z", "292278995", "-292275056", "999999999-W01",
    ],
)  # fmt: skip
def test_an_odd_start_is_refused(start: str) -> None:
    with pytest.raises(InvalidSchedule, match="schedule: the start"):
        parse_schedule(f"R/{start}/P1D")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PT-2147483648S", "PT-2147483648S"), ("P2147483647Y", "P2147483647Y"), ("P0000000001D", "P1D"),
        ("P+00000000001D", "P1D"), ("PT1.123456789S", "PT1.123S"), ("PT-1,5S", "PT-1.500S"), ("PT+.5S", None),
        ("PT-.5S", None), ("P00000000001D", None), ("PT1.1234567890S", None), ("PT2147483647.S", None),
        ("PT.1234567890S", "PT0.123S"), ("P--1D", None), ("P1.D", None), ("PT1.5.5S", None), ("PT1-S", None),
        ("P1Y2M3W4DT5H6M7.089S", "P1Y2M3W4DT5H6M7.089S"), ("P1D1D", None), ("P1DT1D", None), ("PT1H1H", None),
        ("P" + "9" * 5000 + "D", None), ("P" + "0" * 5000 + "1D", None), ("PT0." + "1" * 5000 + "S", None),
    ],
)  # fmt: skip
def test_an_odd_period_is_read_or_refused(text: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(InvalidSchedule):
            parse_schedule(f"R//{text}")
    else:
        assert str(parse_schedule(f"R//{text}").period) == expected


@pytest.mark.parametrize(
    ("digits", "count"),
    [("", None), ("0", 0), ("007", 7), ("9223372036854775807", 2**63 - 1), ("0" * 5000 + "5", 5), ("0" * 50, 0)],
)
def test_a_number_of_runs_may_have_leading_noughts(digits: str, count: int | None) -> None:
    assert parse_schedule(f"R{digits}//P1D").count == count


@pytest.mark.parametrize("digits", ["0" * 50 + "9223372036854775808", "9" * 5000])
def test_too_large_a_number_of_runs_is_refused(digits: str) -> None:
    with pytest.raises(InvalidSchedule, match="number of runs is too large"):
        parse_schedule(f"R{digits}//P1D")


def test_a_refusal_is_short_however_long_the_text() -> None:
    for text in ("R/" + "x" * 10**6 + "/P1D", "R//P" + "x" * 10**6, "x" * 10**6):
        with pytest.raises(InvalidSchedule) as refused:
            parse_schedule(text)
        assert len(str(refused.value)) < 1000
        assert refused.value.field == "schedule"
        assert refused.value.value == text


# --- isodate, where it and the original agree


@given(starts, st.sampled_from(["", "Z", "+05:30", "-08:00", "+0545", "-03"]))
def test_common_starts_are_read_as_isodate_does(start: datetime, offset: str) -> None:
    text = start.isoformat() + offset
    expected = isodate.parse_datetime(text)
    if expected.tzinfo is None:
        expected = expected.replace(tzinfo=UTC)
    assert parse_schedule(f"R/{text}/P1D").start_millis(0) == expected.timestamp() * 1000


@given(
    st.builds(
        Period,
        years=st.integers(0, 99),
        months=st.integers(0, 99),
        days=st.integers(0, 999),
        hours=st.integers(0, 999),
        minutes=st.integers(0, 999),
        seconds=st.integers(0, 999),
        millis=st.integers(0, 999),
    )
)
def test_common_periods_are_read_as_isodate_does(period: Period) -> None:
    expected = isodate.parse_duration(str(period), as_timedelta_if_possible=False)
    assert parse_period(str(period)) == period
    assert (expected.years, expected.months) == (period.years, period.months)
    assert expected.tdelta == timedelta(days=period.days, milliseconds=period.exact)


# --- zones


@pytest.mark.parametrize(
    ("name", "winter", "summer"),
    [
        ("ACT", 9.5, 9.5), ("AET", 11, 10), ("AGT", -3, -3), ("ART", 2, None), ("AST", -9, -8), ("BET", -2, -3),
        ("BST", 6, 6), ("CAT", 2, 2), ("CNT", -3.5, -2.5), ("CST", -6, -5), ("CTT", 8, 8), ("EAT", 3, 3),
        ("ECT", 1, 2), ("EST", -5, -4), ("HST", -10, -10), ("IET", -5, -4), ("IST", 5.5, 5.5), ("JST", 9, 9),
        ("MIT", None, 13), ("MST", -7, -6), ("NET", 4, 4), ("NST", 13, 12), ("PLT", 5, 5), ("PNT", -7, -7),
        ("PRT", -4, -4), ("PST", -8, -7), ("SST", 11, 11), ("VST", 7, 7), ("CET", 1, 2), ("MET", 1, 2), ("EET", 2, 3),
        ("WET", 0, 1), ("GMT", 0, 0), ("UTC", 0, 0), ("GMT+8", 8, 8), ("GMT-03:30", -3.5, -3.5),
        ("GMT+0545", 5.75, 5.75), ("GMT+545", 5.75, 5.75), ("Etc/GMT+8", -8, -8), ("EST5EDT", -5, -4),
        ("Asia/Kathmandu", 5.75, 5.75),
    ],
)  # fmt: skip
def test_a_zone_is_the_one_that_java_means(name: str, winter: float | None, summer: float | None) -> None:
    zone = zone_named(name)
    assert zone is not None
    for month, hours in ((1, winter), (7, summer)):
        if hours is not None:  # what governments have changed since is not looked at
            instant = int(datetime(2018, month, 15, tzinfo=UTC).timestamp()) * 1000
            assert offset_at(instant, zone) == hours * 3_600_000


@pytest.mark.parametrize(
    "name",
    [
        "No/Where", "pst", "europe/london", "UTC+8", "+08:00", "GMT+24", "GMT+8:60", "GMT+", "GMT+8:5", "GMT +8",
        "Europe", "posix/Europe/London", "right/Europe/London", "posixrules", "localtime", "Factory", "tzdata.zi",
        "zone.tab", "../Europe/London", "/etc/localtime", "Europe/London\0", "Europe/London\n", " UTC", "__init__.py",
        "a" * 5000, "\udc80", "Europe//London/..",
    ],
)  # fmt: skip
def test_what_is_no_zone_is_refused_or_taken_as_utc(name: str) -> None:
    with pytest.raises(UnusableSchedule) as refused:
        parse_schedule("R/2014-07-08T20:00:00+08:00/P1D", name)
    assert refused.value.field == "scheduleTimeZone"
    assert parse_schedule("R/2014-07-08T20:00:00+08:00/P1D", name, strict_zone=False).zone is UTC


def test_a_start_in_a_gap_of_the_servers_own_zone_moves_forward() -> None:
    schedule = parse_schedule("R/2014-03-30T02:30:00/P1D", default_zone=ZoneInfo("Europe/Berlin"))
    assert walls(schedule.anchored(0), range(2)) == ["2014-03-30T03:30+02:00", "2014-03-31T02:30+02:00"]


def test_a_gap_of_half_an_hour() -> None:
    occurrences = occurrences_of("R/2023-09-30T02:15:00/P1D", "Australia/Lord_Howe")
    assert walls(occurrences, range(3)) == [
        "2023-09-30T02:15+10:30", "2023-10-01T02:45+11:00", "2023-10-02T02:15+11:00",
    ]  # fmt: skip


def test_a_day_that_a_country_left_out() -> None:
    occurrences = occurrences_of("R/2011-12-29T10:00:00/P1D", "Pacific/Apia")
    assert walls(occurrences, range(4)) == [
        "2011-12-29T10:00-10:00", "2011-12-31T10:00+14:00", "2011-12-31T10:00+14:00", "2012-01-01T10:00+14:00",
    ]  # fmt: skip
    assert occurrences.last_due(occurrences.at_sure(1)) == 2
    assert occurrences.last_due(occurrences.at_sure(1) - 1) == 0


def test_midnight_that_does_not_exist() -> None:
    occurrences = occurrences_of("R/2018-11-03/P1D", "America/Sao_Paulo")
    assert walls(occurrences, range(3)) == [
        "2018-11-03T00:00-03:00",
        "2018-11-04T01:00-02:00",
        "2018-11-05T00:00-02:00",
    ]


def test_an_hour_that_comes_twice_is_taken_the_first_time() -> None:
    occurrences = occurrences_of("R/2023-11-04T01:30:00/P1D", "America/New_York")
    assert walls(occurrences, range(3)) == [
        "2023-11-04T01:30-04:00",
        "2023-11-05T01:30-04:00",
        "2023-11-06T01:30-05:00",
    ]


def test_hours_are_counted_through_an_hour_that_comes_twice() -> None:
    occurrences = occurrences_of("R/2023-11-05T00:30:00/PT1H", "America/New_York")
    assert walls(occurrences, range(4)) == [
        "2023-11-05T00:30-04:00", "2023-11-05T01:30-04:00", "2023-11-05T01:30-05:00", "2023-11-05T02:30-05:00",
    ]  # fmt: skip


def test_days_come_before_hours() -> None:
    occurrences = occurrences_of("R/2023-03-11T02:30:00/P1DT1H", "America/New_York")
    assert walls(occurrences, range(1, 2)) == ["2023-03-12T04:30-04:00"]  # 02:30 is 03:30, and an hour


@given(st.sampled_from(ZONES), st.integers(0, 4_102_444_800), st.sampled_from([30, 60, 1440]))
@settings(max_examples=300, deadline=None)
def test_a_wall_time_and_its_instant_belong_together(zone: str, second: int, minutes: int) -> None:
    rules = ZoneInfo(zone)
    instant = second * 1000
    local = instant + offset_at(instant, rules)
    found = to_utc(local, rules)
    assert found <= instant
    assert found + offset_at(found, rules) == local
    later = to_utc(local + minutes * 60_000, rules)
    assert later + offset_at(later, rules) >= local + minutes * 60_000


@given(starts, st.sampled_from(ZONES), steps, st.integers(0, 3000))
@settings(max_examples=400, deadline=None)
def test_due_times_never_go_back(start: datetime, zone: str, step: Period, index: int) -> None:
    occurrences = occurrences_of(f"R/{start.isoformat()}/{step}", zone)
    assert occurrences.at_sure(index) <= occurrences.at_sure(index + 1)
    assert occurrences.at_sure(index) < occurrences.at_sure(index + 2)


# --- the ends of time, and periods that only a stored job can have

any_size = st.one_of(st.integers(-5, 5), st.integers(-(2**31), 2**31 - 1))
any_period = st.builds(
    Period,
    years=any_size, months=any_size, weeks=any_size, days=any_size,
    hours=any_size, minutes=any_size, seconds=any_size, millis=st.just(0),
)  # fmt: skip


@given(
    st.integers(-292_000_000, 292_000_000), any_period, st.sampled_from(["", "Europe/Berlin", "Pacific/Apia", "GMT+8"]),
    st.integers(0, 2**31), st.integers(-(2**63), 2**63 - 1),
)  # fmt: skip
@settings(max_examples=600, deadline=1000)
def test_no_schedule_is_too_much(year: int, period: Period, zone: str, index: int, now: int) -> None:
    occurrences = occurrences_of(f"R/{year:+}-06-15/{period}", zone)
    instant = occurrences.at(index)
    assert instant is None or abs(instant) < 2**63
    last = occurrences.last_due(now)
    first = occurrences.at_sure(0)
    assert (last == -1) == (first > now)
    if last > 0:
        due, following = occurrences.at(last), occurrences.at(last + 1)
        assert due is not None
        assert due <= now
        assert following is None or following > now
    parse_schedule(occurrences.text(5, index))


@pytest.mark.parametrize(("period", "expected"), [("P1Y", "292278994-01-01"), ("P8D", "292278994-08-09")])
def test_the_last_due_time_of_all(period: str, expected: str) -> None:
    occurrences = occurrences_of(f"R/2014-01-01T00:00:00Z/{period}")
    last = occurrences.last_due(2**63 - 1)
    assert printed(occurrences.at_sure(last), UTC) == f"{expected}T00:00:00.000Z"
    assert occurrences.at(last + 1) is None


@pytest.mark.parametrize("period", ["P", "PT-1H", "P1M-31D", "P400Y-146097D", "P-1Y"])
def test_a_step_that_leads_nowhere_is_due_once(period: str) -> None:
    occurrences = occurrences_of(f"R/2014-01-01T00:00:00Z/{period}")
    assert occurrences.last_due(NEW_YEAR_2026) == 0
    assert occurrences.last_due(occurrences.at_sure(0) - 1) == -1


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("R1/2014-01-01T00:00:00Z/P1YT-31556951.5S", ""),
        ("R1/-0001-01-01/P1M-30D", "Europe/Berlin"),
        ("R/-292275054-01-01/PT0.001S", ""),
        ("R/-292275054-01-01/P1D", "Europe/Berlin"),
    ],
)
def test_the_last_due_time_is_found_at_once(text: str, zone: str) -> None:
    occurrences = parse_schedule(text, zone).anchored(0)
    before = time.perf_counter()
    last = occurrences.last_due(NEW_YEAR_2026)
    assert time.perf_counter() - before < 0.1
    assert occurrences.at_sure(last) <= NEW_YEAR_2026 < occurrences.at_sure(last + 1)


@pytest.mark.parametrize("text", ["R//P1Y-1D", "R2//PT1H-1M", "R//PT-0.5S", "R//PT0.999S", "R//P0D"])
def test_a_period_that_goes_back_or_hardly_on_may_not_repeat(text: str) -> None:
    with pytest.raises(UnusableSchedule):
        check_schedule(parse_schedule(text), NEW_YEAR_2026)


@pytest.mark.parametrize("text", ["R//PT1S", "R2147483648//P1D", "R/1890-01-01/P1Y", "R2/12014-01-01T00:00:00Z/P1Y1D"])
def test_whatever_can_run_right_is_taken(text: str) -> None:
    check_schedule(parse_schedule(text), NEW_YEAR_2026)
