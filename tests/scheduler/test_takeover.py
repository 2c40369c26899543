"""Jobs that came from someone else: pending tasks, and live ones whose ids we never gave."""

from __future__ import annotations

from typing import Any

import pytest

from chronos_py.model.job import Job
from chronos_py.model.messages import Delete, Kill, StatusUpdate
from chronos_py.model.run import Outcome, Phase, TaskState
from chronos_py.scheduler.engine import Engine
from chronos_py.scheduler.takeover import HOLD
from tests.builders import a_job
from tests.fakes import NEW_YEAR

LATER = "R/2026-06-01T00:00:00Z/P1D"


def taken_over(*pending: str, jobs: tuple[Job, ...] = (), **more: Any) -> Engine:
    engine = Engine()
    known = {job.name: job for job in jobs or (a_job(schedule=LATER, **more),)}
    engine.load(known, {}, {}, {}, {}, NEW_YEAR, pending)
    return engine


def phases(engine: Engine) -> dict[str, Phase]:
    return {run.task_id: run.phase for run in engine.book.runs.values()}


def told(engine: Engine, task_id: str, now: int, state: TaskState = TaskState.RUNNING) -> list[Any]:
    engine.flush()
    engine.handle(StatusUpdate(task_id, state, agent_id="x"), now)
    return engine.flush().effects


def test_each_task_is_forgotten_with_the_turn_that_accounts_for_it():
    tasks = [f"ct:{NEW_YEAR + 1}:0:a:", f"ct:{NEW_YEAR - 60_001}:0:a:", "ct:1:0:gone:"]
    engine = taken_over(*tasks)
    changes: list[Any] = engine.flush().changes
    assert [change for change in changes if change.kind == "pending"] == [Delete("pending", task) for task in tasks]
    records = {change.value.job: change.value for change in changes if change.kind == "outbox"}
    assert {job: (row.outcome, row.reason) for job, row in records.items()} == {
        "a": (Outcome.SKIPPED, "late"),
        "gone": (Outcome.SKIPPED, "its job is gone"),
    }


def test_several_tasks_of_a_job_run_one_after_another():
    engine = taken_over(*(f"ct:{NEW_YEAR + second}:0:a:" for second in (1, 2)))
    engine.advance(NEW_YEAR + 5)
    entry = engine.book.jobs["a"]
    assert (len(engine.book.queue), len(entry.line), entry.playing) == (1, 1, 1)


def test_a_task_that_is_to_come_counts_as_late_once_epsilon_has_passed():
    engine = taken_over(f"ct:{NEW_YEAR + 1000}:0:a:", epsilon="PT5S")
    engine.advance(NEW_YEAR + 1000)
    assert phases(engine) == {f"ct:{NEW_YEAR + 1000}:0:a:": Phase.QUEUED}
    engine.advance(NEW_YEAR + 6002)
    assert not engine.book.runs


def test_a_late_task_is_queued_after_the_hold_however_late_it_is_then():
    engine = taken_over(f"ct:{NEW_YEAR - 59_000}:0:a:", epsilon="PT1M")
    engine.advance(NEW_YEAR + HOLD)
    engine.advance(NEW_YEAR + 10 * HOLD)
    assert list(phases(engine).values()) == [Phase.QUEUED]


@pytest.mark.parametrize("task_id", ["ct:5:0:a", "ct:5:0:a:", "ct:5:3:a:x y"])
def test_live_tasks_from_before_are_adopted_after_runs_of_ours(task_id: str):
    engine = taken_over(f"ct:{NEW_YEAR + 1}:0:a:")
    engine.advance(NEW_YEAR + 1)
    assert told(engine, task_id, NEW_YEAR + 60_000) == []
    assert phases(engine)[task_id] is Phase.RUNNING


def test_a_live_task_between_the_takeover_and_our_last_id_was_given_up():
    engine = taken_over(f"ct:{NEW_YEAR + 5000}:0:a:")
    engine.advance(NEW_YEAR + 5000)
    assert told(engine, f"ct:{NEW_YEAR + 4000}:0:a:", NEW_YEAR + 6000) == [Kill(f"ct:{NEW_YEAR + 4000}:0:a:", "x", 3.0)]


def test_an_earlier_attempt_of_an_adopted_run_is_stopped():
    engine = taken_over()
    told(engine, "ct:5:1:a:", NEW_YEAR)
    assert told(engine, "ct:5:0:a:", NEW_YEAR) == [Kill("ct:5:0:a:", "x", 3.0)]


def test_no_id_of_ours_could_be_one_from_before():
    engine = taken_over(jobs=(a_job(schedule="R/2025-12-31T23:00:00Z/PT2H"),))
    (run,) = engine.book.runs.values()
    assert (run.due, run.stamp > NEW_YEAR) == (NEW_YEAR - 3_600_000, True)


def test_a_schedule_without_end_and_period_is_never_due():
    engine = taken_over(jobs=(a_job(schedule="R/2025-12-31T23:00:00Z/PT0S"),))
    assert not engine.book.runs
    assert "period" in engine.book.jobs["a"].broken


def test_a_task_whose_schedule_had_not_moved_on_makes_no_second_run():
    due = NEW_YEAR + 60_000
    engine = taken_over(f"ct:{due}:0:a:", jobs=(a_job(schedule="R2/2026-01-01T00:01:00Z/P1D"),))
    assert Delete("pending", f"ct:{due}:0:a:") in engine.flush().changes
    engine.advance(due)
    assert [(run.due, run.index) for run in engine.book.runs.values()] == [(due, 0)]
