"""A Chronos is followed: what it does is predicted, and what it does otherwise is told."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from chronos_py.cli import main
from chronos_py.clock import Millis
from chronos_py.transfer.shadow import Shadow, Sighting
from compat_tests.servers.old_chronos import OldChronos, Version
from tests.waiting import until

MINUTE = 60_000
NOON: Millis = 1_767_268_800_000  # 2026-01-01T12:00:00Z


def a_job(schedule: str = "R/2026-01-01T12:00:00Z/PT1H", **more: Any) -> dict[str, Any]:
    return {"name": "a", "schedule": schedule, "scheduleTimeZone": "", "disabled": False, "successCount": 0} | more


def kinds(found: list[Sighting]) -> list[tuple[str, str]]:
    return [(sighting.job, sighting.kind) for sighting in found]


def test_launches_are_seen_as_they_were_predicted():
    shadow = Shadow(MINUTE)
    assert shadow.look([a_job()], NOON - 1000) == []
    assert shadow.look([a_job()], NOON + 1000) == []
    (found,) = shadow.look([a_job("R/2026-01-01T13:00:00.000Z/PT1H")], NOON + 2000)
    assert (found.kind, found.predicted, found.seen, found.differs) == ("launched", NOON, NOON + 2000, False)


def test_several_launches_between_two_looks_are_told_one_by_one():
    shadow = Shadow(MINUTE)
    shadow.look([a_job("R9/2026-01-01T12:00:00Z/PT1M")], NOON)
    found = shadow.look([a_job("R6/2026-01-01T12:03:00.000Z/PT1M")], NOON + 3 * MINUTE - 1)
    assert [sighting.predicted for sighting in found] == [NOON, NOON + MINUTE, NOON + 2 * MINUTE]


def test_a_launch_that_does_not_come_is_told_once():
    shadow = Shadow(MINUTE)
    shadow.look([a_job()], NOON)
    assert shadow.look([a_job()], NOON + MINUTE) == []
    assert kinds(shadow.look([a_job()], NOON + MINUTE + 1)) == [("a", "late")]
    assert shadow.look([a_job()], NOON + 2 * MINUTE) == []
    assert kinds(shadow.look([a_job("R/2026-01-01T13:00:00Z/PT1H")], NOON + 3 * MINUTE)) == [("a", "launched")]


@pytest.mark.parametrize("ended", [{"disabled": True}, {"schedule": "R0/2026-01-01T12:00:00Z/PT1H"}])
def test_what_does_not_run_any_more_is_not_late(ended):
    shadow = Shadow(MINUTE)
    shadow.look([a_job() | ended], NOON)
    assert shadow.look([a_job() | ended], NOON + 99 * MINUTE) == []


def test_a_launch_before_its_time():
    shadow = Shadow(MINUTE)
    shadow.look([a_job()], NOON - 5 * MINUTE)
    assert kinds(shadow.look([a_job("R/2026-01-01T13:00:00Z/PT1H")], NOON - MINUTE)) == [("a", "early")]


def test_the_drift_of_months_is_told_with_both_times():
    """Chronos counts each month from the one before, and so stays on the 28th; ours go back to the 31st."""
    shadow, day = Shadow(MINUTE), 86_400_000
    shadow.look([a_job("R/2026-01-31T00:00:00Z/P1M")], NOON)
    assert kinds(shadow.look([a_job("R/2026-02-28T00:00:00Z/P1M")], NOON + 30 * day)) == [("a", "launched")]
    launched, moved = shadow.look([a_job("R/2026-03-28T00:00:00Z/P1M")], NOON + 58 * day)
    assert (launched.kind, moved.kind, moved.differs) == ("launched", "moved", True)
    assert moved.document()["predicted"] == "2026-03-31T00:00:00.000Z"
    assert moved.document()["seen"] == "2026-03-28T00:00:00.000Z"
    assert kinds(shadow.look([a_job("R/2026-04-28T00:00:00Z/P1M")], NOON + 90 * day)) == [("a", "launched")]


def test_a_child_runs_after_all_its_parents_have_succeeded_again():
    shadow = Shadow(MINUTE)

    def jobs(first: int, second: int, child: int) -> list[dict[str, Any]]:
        later = "R/2030-01-01T12:00:00Z/PT1H"
        return [
            a_job(later, name="p", successCount=first),
            a_job(later, name="q", successCount=second),
            {"name": "c", "parents": ["p", "q"], "successCount": child, "errorCount": 0},
        ]

    shadow.look(jobs(5, 2, 1), NOON)
    assert shadow.look(jobs(6, 2, 1), NOON + 1) == []
    assert shadow.look(jobs(6, 3, 1), NOON + 2) == []
    (ended,) = shadow.look(jobs(6, 3, 2), NOON + 3)
    assert (ended.kind, ended.predicted, ended.seen) == ("ended", NOON + 2, NOON + 3)
    assert kinds(shadow.look(jobs(7, 3, 3), NOON + 4)) == [("c", "early")]


def test_what_people_change_is_no_difference():
    shadow = Shadow(MINUTE)
    shadow.look([a_job(), a_job(name="b")], NOON)
    found = shadow.look([a_job("R/2026-01-01T12:00:00Z/PT2H"), a_job(name="n")], NOON)
    assert kinds(found) == [("b", "gone"), ("a", "changed"), ("n", "new")]
    assert not any(sighting.differs for sighting in found)


def test_a_schedule_that_we_cannot_read_is_told():
    (found,) = Shadow(MINUTE).look([a_job("R/nonsense/PT1H")], NOON)
    assert (found.kind, found.differs) == ("unreadable", True)
    assert "nonsense" in found.text


@pytest.mark.parametrize("version", ["2.4", "3.0.2"])
def test_the_command_follows_a_server(version: Version, tmp_path: Path):
    chronos, log = OldChronos(version), tmp_path / "log.jsonl"
    chronos.jobs = {
        "a": a_job("R/2026-01-01T12:00:00Z/P100Y", uris=[], fetch=[]),
        "b": a_job("R/2090-01-01T00:00:00Z/PT1H", name="b", uris=[], fetch=[]),
    }

    def run_both() -> None:
        until(lambda: len(chronos.requests) > 3)  # the first look is done
        chronos.jobs["a"] = chronos.jobs["a"] | {"schedule": "R/2126-01-01T12:00:00.000Z/P100Y"}
        chronos.jobs["b"] = chronos.jobs["b"] | {"schedule": "R/2090-01-01T01:00:00.000Z/PT1H"}

    helper = threading.Thread(target=run_both)
    try:
        helper.start()
        words = ["shadow", "--url", chronos.url, "--every", "0.1", "--looks", "20", "--late", "600", "--log", str(log)]
        result = CliRunner().invoke(main, words)
    finally:
        helper.join(30)
        chronos.close()
    assert result.exit_code == 1, result.output
    assert {(line["job"], line["kind"]) for line in map(json.loads, log.read_text().splitlines())} == {
        ("a", "late"), ("a", "launched"), ("b", "early")
    }  # fmt: skip
    assert result.stdout.splitlines()[-1] == "2 jobs, 1 launches and ends as predicted, 2 differences"
    assert chronos.changes == []


def test_a_server_that_goes_away_meanwhile_is_asked_again(tmp_path: Path):
    chronos = OldChronos("3.0.2")
    chronos.jobs = {"a": a_job("R/2090-01-01T00:00:00Z/PT1H", uris=[], fetch=[])}
    chronos.fail_next = 2
    try:
        result = CliRunner().invoke(main, ["shadow", "--url", chronos.url, "--every", "0.1", "--looks", "4"])
    finally:
        chronos.close()
    assert result.exit_code == 0, result.output
    assert result.stderr.count("could not be looked at") == 2
    assert "1 jobs, 0 launches and ends as predicted, 0 differences" in result.stdout
