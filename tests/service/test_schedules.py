"""Schedules: which due times become runs, after downtime, changes and delays too."""

from __future__ import annotations

import pytest

from chronos_py.errors import (
    InvalidSchedule,
)
from chronos_py.model.job import CatchUp
from chronos_py.model.run import Outcome
from tests.bench import Bench
from tests.builders import a_job
from tests.fakes import NEW_YEAR


def test_a_finite_job_runs_as_often_as_it_says_and_ends_disabled(bench: Bench) -> None:
    bench.add(a_job(schedule="R3//PT2S"))
    assert bench.shown("a") == "R2/2026-01-01T00:00:02.000Z/PT2S"
    for _ in range(3):
        bench.end("a")
        bench.later(seconds=2)
    assert bench.shown("a") == "R0/2026-01-01T00:00:06.000Z/PT2S"
    assert (len(bench.driver.launched), bench.job("a").disabled) == (3, True)
    assert [notice.event for notice in bench.notices] == ["exhausted"]
    bench.later(minutes=5)
    assert len(bench.driver.launched) == 3


def test_the_schedule_is_shown_as_sent_until_the_first_run(bench: Bench) -> None:
    bench.add(a_job(schedule="R/2026-01-01T01:00/PT60M"))
    assert bench.shown("a") == "R/2026-01-01T01:00/PT60M"
    bench.later(hours=1)
    assert bench.shown("a") == "R/2026-01-01T02:00:00.000Z/PT60M"


def test_month_ends_do_not_drift_over_runs(bench: Bench) -> None:
    bench.clock.at = NEW_YEAR + 29 * 86_400_000
    bench.add(a_job(schedule="R/2026-01-31T00:00:00Z/P1M"))
    shown = []
    for _ in range(4):
        bench.later(hours=24 * 31)
        bench.end("a")
        shown.append(bench.shown("a"))
    assert [text[2:12] for text in shown if text] == ["2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30"]


def test_after_downtime_one_run_stands_for_all_that_were_missed(bench: Bench) -> None:
    bench.add(a_job(schedule="R9/2026-01-01T00:01:00Z/PT1M"))
    bench.clock.advance(minutes=5)
    bench.boot()
    assert len(bench.driver.launched) == 1
    assert bench.driver.launched[0].task.environment[8] == ("CHRONOS_JOB_RUN_TIME", str(NEW_YEAR + 300_000))
    bench.end("a")
    merged = bench.rows("a")[0]
    assert (merged.outcome, merged.index, merged.last_index) == (Outcome.MERGED, 0, 3)
    assert bench.shown("a") == "R8/2026-01-01T00:06:00.000Z/PT1M"


def test_after_downtime_each_run_is_made_up_for_when_the_job_says_all(bench: Bench) -> None:
    bench.add(a_job(schedule="R9/2026-01-01T00:01:00Z/PT1M", catch_up=CatchUp.ALL))
    bench.clock.advance(minutes=5)
    bench.boot()
    for _ in range(5):
        bench.end("a")
    assert [row.due for row in bench.rows("a")] == [NEW_YEAR + n * 60_000 for n in range(1, 6)]
    assert bench.shown("a") == "R4/2026-01-01T00:06:00.000Z/PT1M"


def test_after_downtime_missed_runs_are_left_out_when_the_job_says_skip(bench: Bench) -> None:
    bench.add(a_job(schedule="R9/2026-01-01T00:01:00Z/PT1M", catch_up=CatchUp.SKIP))
    bench.clock.advance(minutes=5, seconds=30)
    bench.boot()
    bench.end("a")
    assert bench.outcomes("a") == ["skipped", "success"]
    assert (bench.rows("a")[0].index, bench.rows("a")[0].last_index) == (0, 3)
    assert bench.shown("a") == "R4/2026-01-01T00:06:00.000Z/PT1M"


def test_a_single_run_long_past_has_its_own_due_time(bench: Bench) -> None:
    bench.add(a_job(schedule="R1/2014-01-01T00:00:00Z/P1D"))
    bench.end("a")
    assert [(row.outcome.value, row.index, row.due) for row in bench.rows("a")] == [("success", 0, 1_388_534_400_000)]


def test_epsilon_is_the_limit_of_lateness(bench: Bench) -> None:
    bench.add(a_job(schedule="R/2026-01-01T00:01:00Z/PT10M", epsilon="PT30S"))
    bench.clock.advance(minutes=1, seconds=31)
    bench.boot()
    assert bench.outcomes("a") == ["skipped"]
    assert bench.rows("a")[0].reason == "late"


def test_a_run_that_found_no_place_in_time_is_skipped(bench: Bench) -> None:
    bench.add(a_job(schedule="R/2026-01-01T00:01:00Z/PT10M", epsilon="PT30S", cpus=1e6))
    bench.later(minutes=1)
    waiting = bench.service.why(next(iter(bench.service.view.runs)))
    assert waiting is not None
    assert waiting.code == "no_fit"
    assert "not enough cpus" in waiting.sentence
    bench.later(seconds=31)
    assert bench.outcomes("a") == ["skipped"]


def test_a_due_time_that_comes_while_the_job_runs_is_run_after(bench: Bench) -> None:
    bench.add(a_job(schedule="R/2026-01-01T00:01:00Z/PT1M"))
    bench.later(minutes=1)
    bench.driver.run(bench.launched("a")[0])
    bench.later(minutes=2)
    assert len(bench.launched("a")) == 1
    bench.driver.finish(bench.launched("a")[0])
    bench.turn()
    assert len(bench.launched("a")) == 2
    assert "merged" in bench.outcomes("a")


def test_a_concurrent_job_runs_beside_itself(bench: Bench) -> None:
    bench.add(a_job(schedule="R/2026-01-01T00:01:00Z/PT1M", concurrent=True))
    for _ in range(3):
        bench.later(minutes=1)
        bench.driver.run(bench.launched("a")[-1])
    assert len(bench.launched("a")) == 3
    assert bench.service.view.jobs["a"].running == 3


def test_a_day_without_the_job_is_skipped_when_it_is_enabled_again(bench: Bench) -> None:
    job = a_job(schedule="R/2026-01-01T00:01:00Z/PT1M", disabled=True)
    bench.add(job)
    bench.later(minutes=5)
    assert not bench.driver.launched
    shown = bench.shown("a")
    bench.add(a_job(schedule=shown))
    assert not bench.driver.launched
    assert [(row.outcome.value, row.reason, row.last_index) for row in bench.rows("a")] == [("skipped", "disabled", 4)]
    bench.later(minutes=1)
    assert len(bench.driver.launched) == 1


def test_posting_back_what_is_shown_keeps_position_and_start(bench: Bench) -> None:
    bench.clock.at = NEW_YEAR + 29 * 86_400_000
    bench.add(a_job(schedule="R/2026-01-31T00:00:00Z/P1M"))
    bench.later(hours=48)
    bench.end("a")
    assert bench.shown("a") == "R/2026-02-28T00:00:00.000Z/P1M"
    bench.add(a_job(schedule=bench.shown("a"), description="changed"))
    bench.later(hours=24 * 30)
    bench.end("a")
    assert bench.shown("a") == "R/2026-03-31T00:00:00.000Z/P1M"


@pytest.mark.parametrize("schedule", ["R/x/P1D", "R//P1H", "R//PT0S", "nonsense", ""])
def test_a_bad_schedule_changes_nothing(bench: Bench, schedule: str) -> None:
    bench.add(a_job())
    before = dict(bench.store.records["job"])
    with pytest.raises(InvalidSchedule):
        bench.add(a_job(schedule=schedule, command="false"))
    assert bench.store.records["job"] == before
