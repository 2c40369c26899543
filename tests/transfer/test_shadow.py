"""A Chronos is followed: what it does is predicted, and what it does otherwise is told."""

from __future__ import annotations

import json
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner, Result

from chronos_py.cli import main
from chronos_py.clock import Millis
from chronos_py.transfer.definitions import BadDefinition
from chronos_py.transfer.shadow import Shadow, Sighting
from compat_tests.servers.chronos import ChronosServer
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
    assert shadow.look(jobs(7, 4, 2), NOON + 4) == []
    assert kinds(shadow.look(jobs(7, 4, 3), NOON + 5)) == [("c", "ended")]
    assert kinds(shadow.look(jobs(8, 4, 4), NOON + 6)) == [("c", "early")]
    assert shadow.look(jobs(8, 5, 4), NOON + 7) == []
    assert kinds(shadow.look(jobs(8, 5, 5), NOON + 8)) == [("c", "ended")], "what came early took nothing"


def test_a_child_that_runs_when_we_begin_to_follow_is_no_difference():
    shadow = Shadow(MINUTE)

    def jobs(parent: int, child: int) -> list[dict[str, Any]]:
        return [
            a_job("R/2030-01-01T12:00:00Z/PT1H", name="p", successCount=parent),
            {"name": "c", "parents": ["p"], "successCount": child, "errorCount": 0},
        ]

    shadow.look(jobs(1, 0), NOON)
    assert shadow.look(jobs(1, 1), NOON + 1) == [], "of a success that was before"
    for number in range(2, 5):
        assert shadow.look(jobs(number, number - 1), NOON + number * 2) == []
        assert kinds(shadow.look(jobs(number, number), NOON + number * 2 + 1)) == [("c", "ended")]


@pytest.mark.parametrize("change", [{"successCount": "many"}, {"errorCount": [1]}, {"successCount": 1e400}])
def test_counters_that_are_none_are_told(change: dict[str, Any]):
    shadow = Shadow(MINUTE)
    child = {"name": "c", "parents": ["a"]}
    shadow.look([a_job(), child], NOON)
    with pytest.raises(BadDefinition, match="is no whole number"):
        shadow.look([a_job() | change, child | change], NOON + 1)


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


def test_a_server_of_ours_does_all_as_predicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With retries, failures, overlaps, disabled jobs and children of one and several parents."""
    scheduled: list[dict[str, Any]] = [
        {"name": "a", "command": "true", "schedule": "R/{}/PT1S"},
        {"name": "slow", "command": "sleep 2", "schedule": "R/{}/PT1S"},
        {"name": "fails", "command": "false", "retries": 1, "schedule": "R/{}/PT2S"},
        {"name": "three", "command": "true", "schedule": "R3/{}/PT1S"},
        {"name": "off", "command": "true", "disabled": True, "schedule": "R/{}/PT1S"},
    ]
    children: list[dict[str, Any]] = [
        {"name": "child", "command": "true", "parents": ["a"]},
        {"name": "both", "command": "true", "parents": ["a", "child"]},
        {"name": "never", "command": "true", "parents": ["fails"]},
        {"name": "sad", "command": "false", "retries": 1, "parents": ["a"]},
    ]
    server = ChronosServer(tmp_path, "--failure_retry", "200")
    looked = threading.Event()
    results: list[Result] = []
    look, seen = Shadow.look, Counter[tuple[str, str]]()
    wanted = [(name, "launched") for name in ("a", "slow", "fails")]
    wanted += [(name, "ended") for name in ("child", "both", "sad")]

    def telling(*given: Any) -> list[Sighting]:
        if all(seen[event] >= 3 for event in wanted):
            raise KeyboardInterrupt  # as a person ends it
        found = look(*given)
        seen.update(kinds(found))
        looked.set()
        return found

    monkeypatch.setattr(Shadow, "look", telling)
    words = ["shadow", "--url", server.url, "--every", "0.2", "--looks", "500", "--late", "60"]
    looker = threading.Thread(target=lambda: results.append(CliRunner().invoke(main, words)))

    def send(kind: str, job: dict[str, Any]) -> None:
        answer = requests.post(f"{server.url}/v1/scheduler/{kind}", json={"owner": "", **job}, timeout=30)
        assert answer.status_code == 204, answer.text

    try:
        server.wait(120)
        for job in scheduled:
            send("iso8601", {**job, "schedule": "R/2090-01-01T00:00:00Z/P1Y"})
        for job in children:
            send("dependency", job)
        looker.start()
        assert looked.wait(30)
        start = f"{datetime.now(UTC) + timedelta(seconds=2):%Y-%m-%dT%H:%M:%SZ}"
        for job in scheduled:
            send("iso8601", {**job, "schedule": job["schedule"].format(start)})
        looker.join(120)
    finally:
        server.stop()
    (result,) = results
    assert result.exit_code == 0, result.output
    assert all(seen[event] >= 3 for event in wanted), seen
    assert not {(name, kind) for name, kind in seen if name in ("off", "never") and kind in ("launched", "ended")}
