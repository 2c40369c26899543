"""The table of docs/schedules.md says what the code does."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chronos_py.scheduler.moments import printed, required_zone
from chronos_py.scheduler.schedule import check_schedule, parse_schedule

PAGE = Path(__file__).parents[2] / "docs" / "schedules.md"
ROW = re.compile(r"^\| `(R[^`]*)` \| ([^|]*) \| (\d+) \| `([^`]+)` \| `([^`]+)` \| ([^|]+) \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE.read_text())


def test_the_table_is_found():
    table = PAGE.read_text().partition("| schedule | zone |")[2].partition("\n\n")[0]
    assert len(ROWS) == table.count("\n") - 1 > 40


@pytest.mark.parametrize(("text", "zone", "number", "wall", "instant", "why"), ROWS)
def test_a_due_time(text: str, zone: str, number: str, wall: str, instant: str, why: str):
    assert why
    schedule = parse_schedule(text, zone)
    check_schedule(schedule, 0)
    due = schedule.anchored(0).at_sure(int(number))
    assert f"{datetime.fromtimestamp(due / 1000, UTC):%Y-%m-%dT%H:%MZ}" == instant
    shown = printed(due, required_zone(zone) if zone else schedule.zone)
    assert shown[:16] + shown[23:] == wall
