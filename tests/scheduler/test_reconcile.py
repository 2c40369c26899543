"""Tasks are asked after until each is accounted for, and unknown ones find a run or an end."""

from __future__ import annotations

from typing import Any

import pytest

from chronos_py.model.job import CatchUp
from chronos_py.model.messages import AgentLost, DriverLost, DriverReady, Kill, Reconcile, StatusUpdate, SubmitJob
from chronos_py.model.resources import Resources
from chronos_py.model.run import Phase, Run, Task, TaskState, Trigger
from tests.bench import Bench
from tests.builders import a_job
from tests.fakes import NEW_YEAR, FakeTask

HOUR = 3_600_000


def asked(bench: Bench) -> list[tuple[str, ...]]:
    """Return what was asked since the last time: task ids, none for all."""
    found = [tuple(i for i, _ in e.tasks) for e in bench.driver.effects if isinstance(e, Reconcile)]
    bench.driver.effects.clear()
    return found


def the_run(bench: Bench) -> Run:
    return next(iter(bench.service.view.runs.values()))


def alive(bench: Bench, task_id: str, state: str = "TASK_RUNNING", agent: str = "b") -> None:
    bench.driver.post(StatusUpdate(task_id, state, agent, agent))
    bench.turn()


# --- asking


def test_a_connection_asks_for_each_task_and_then_for_all() -> None:
    bench = Bench()
    assert asked(bench) == [()]
    bench.add(a_job(schedule="R1//P"))
    bench.driver.run(bench.launched("a")[0])
    bench.turn()
    bench.driver.post(DriverReady())
    bench.turn()
    assert asked(bench) == [(bench.launched("a")[0].task.id,), ()]
    assert not the_run(bench).uncertain


def test_who_does_not_answer_is_asked_again_with_growing_pauses() -> None:
    bench = Bench(unknown_task_timeout=HOUR)
    bench.add(a_job(schedule="R1//P"))
    task_id = bench.launched("a")[0].task.id
    bench.driver.run(bench.launched("a")[0])
    bench.driver.on_reconcile = False
    asked(bench)
    bench.driver.post(DriverReady())
    bench.turn()
    assert asked(bench) == [(task_id,)]
    times = []
    for second in range(1, 700):
        bench.later(seconds=1)
        questions = asked(bench)
        if (task_id,) in questions:
            times.append(second)
        assert (() in questions) == (second in (5, 600))  # once after the first repetition, and regularly
    assert times == [5, 15, 35, 75, 155, 315, 600, 615]


def test_regular_questions_cost_no_commit() -> None:
    bench = Bench()
    bench.add(a_job(schedule="R1//P"))
    bench.driver.run(bench.launched("a")[0])
    bench.turn()
    asked(bench)
    commits = bench.store.commits
    bench.later(seconds=600)
    assert asked(bench) == [(bench.launched("a")[0].task.id,), ()]
    assert bench.store.commits == commits


def test_regular_questions_can_be_turned_off() -> None:
    bench = Bench(reconciliation_interval=0)
    asked(bench)
    bench.later(hours=5)
    assert asked(bench) == []


def test_the_tasks_of_a_lost_agent_are_asked_after() -> None:
    bench = Bench()
    bench.add(a_job("a", schedule="R1//P"), a_job("b", schedule="R1//P"))
    for name in ("a", "b"):
        bench.driver.run(bench.launched(name)[0])
    bench.turn()
    asked(bench)
    bench.driver.on_reconcile = False
    gone = bench.launched("a")[0].agent
    bench.driver.post(AgentLost(gone))
    bench.turn()
    on_it = [task.task.id for task in bench.driver.launched if task.agent == gone]
    assert asked(bench) == [tuple(on_it)]
    assert all(run.phase is Phase.RUNNING for run in bench.service.view.runs.values())
    assert {offer.agent_id for offer in bench.service._engine.loop.held.values()} == {"a", "b"} - {gone}


def test_an_unreachable_task_that_comes_back_goes_on() -> None:
    bench = Bench(unknown_task_timeout=60_000)
    bench.add(a_job(schedule="R1//P"))
    task = bench.launched("a")[0]
    bench.driver.run(task)
    bench.driver.on_reconcile = False
    bench.driver.post(StatusUpdate(task.task.id, "TASK_UNREACHABLE"))
    bench.turn()
    assert the_run(bench).uncertain
    bench.later(seconds=50)
    bench.driver.run(task)
    bench.later(minutes=5)
    assert len(bench.launched("a")) == 1
    bench.driver.finish(task)
    bench.turn()
    assert bench.outcomes("a") == ["success"]


def test_an_unreachable_task_that_comes_back_too_late_is_stopped() -> None:
    bench = Bench(unknown_task_timeout=60_000)
    bench.add(a_job(schedule="R1//P"))
    task = bench.launched("a")[0]
    bench.driver.on_reconcile = False
    bench.driver.post(StatusUpdate(task.task.id, "TASK_UNREACHABLE"))
    bench.turn()
    bench.later(seconds=61)
    assert len(bench.launched("a")) == 2
    bench.driver.run(task)
    bench.turn()
    assert Kill(task.task.id, task.agent, 3.0) in bench.driver.effects


@pytest.mark.parametrize("restarted", [False, True])
def test_no_task_is_given_up_while_nobody_can_be_asked(restarted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(unknown_task_timeout=60_000)
    bench.add(a_job(schedule="R1//P"))
    task = bench.launched("a")[0]
    bench.driver.run(task)
    bench.driver.on_reconcile = False
    bench.driver.post(StatusUpdate(task.task.id, "TASK_UNREACHABLE"))
    bench.turn()
    if restarted:
        bench.clock.advance(minutes=5)
        monkeypatch.setattr(bench.driver, "start", lambda post, framework_id: None)
        bench.boot()
    else:
        bench.driver.post(DriverLost("the master is away"))
        bench.turn()
    bench.later(minutes=5)
    assert (the_run(bench).attempt, the_run(bench).uncertain) == (0, True)
    bench.driver.post = bench.service.post
    bench.driver.post(DriverReady())
    bench.turn()
    bench.later(seconds=59)
    assert the_run(bench).attempt == 0
    bench.later(seconds=2)
    assert the_run(bench).attempt == 1


def test_an_async_program_whose_end_was_learnt_by_asking_times_out_if_it_does_not_report() -> None:
    bench = Bench(unknown_task_timeout=60_000)
    bench.add(a_job(schedule="R1//P", is_async=True, max_completion_time=100, retries=0))
    task = bench.launched("a")[0]
    bench.driver.run(task)
    bench.turn()
    bench.driver.on_reconcile = False
    bench.driver.post(DriverReady())
    bench.turn()
    bench.driver.finish(task)
    bench.turn()
    assert (the_run(bench).phase, the_run(bench).uncertain) == (Phase.REPORTING, False)
    bench.later(seconds=101)
    assert bench.outcomes("a") == ["timed_out"]


def test_gone_by_reconciliation_means_never_started_if_nothing_was_heard() -> None:
    bench = Bench()
    bench.add(a_job(schedule="R1//P", retries=0))
    task_id = bench.launched("a")[0].task.id
    bench.driver.post(StatusUpdate(task_id, "TASK_GONE", reason="REASON_RECONCILIATION"))
    bench.turn()
    assert len(bench.launched("a")) == 2
    assert bench.attempts("a")[0].started is None


# --- unknown tasks


def test_a_task_that_the_store_has_lost_becomes_a_run_again() -> None:
    bench = Bench()
    bench.add(a_job(schedule="R0//P", max_completion_time=100))
    alive(bench, f"ct:{NEW_YEAR}:1:a:x y")
    run = the_run(bench)
    assert (run.phase, run.attempt, run.agent_id, run.trigger) == (Phase.RUNNING, 1, "b", Trigger.MANUAL)
    assert run.task_id == f"ct:{NEW_YEAR}:1:a:x y" and run.arguments == "x y"
    assert run.deadline == NEW_YEAR + 100_000
    task = Task(run.task_id, 1, "a", "true", Resources())
    bench.driver.tasks[task.id] = FakeTask(task, "b", TaskState.RUNNING)
    bench.boot()  # the id of another form is stored
    assert the_run(bench).task_id == f"ct:{NEW_YEAR}:1:a:x y"
    bench.driver.fail(bench.driver.tasks[task.id])
    bench.turn()
    bench.later(minutes=1)
    assert bench.launched("a")[0].task.id == f"ct:{NEW_YEAR}:2:a:"
    assert bench.launched("a")[0].task.command == "true x y"


def test_the_due_time_of_an_adopted_task_is_not_run_again() -> None:
    bench = Bench()
    bench.add(a_job(schedule="R3/2026-01-01T01:00:00Z/PT1H", catch_up=CatchUp.ONE))
    alive(bench, f"ct:{NEW_YEAR + 2 * HOUR}:0:a:")
    run = the_run(bench)
    assert (run.trigger, run.index, run.foreign_id) == (Trigger.SCHEDULE, 1, "")
    bench.driver.post(StatusUpdate(run.task_id, "TASK_FINISHED", "b", "b"))
    bench.later(hours=2)
    assert not bench.launched("a")
    bench.later(hours=1)
    assert [task.task.id for task in bench.launched("a")] == [f"ct:{NEW_YEAR + 3 * HOUR}:0:a:"]
    assert bench.outcomes("a") == ["merged", "success"]


def test_several_lost_tasks_of_a_job_are_all_adopted_whatever_their_order() -> None:
    bench = Bench()
    bench.add(a_job(schedule="R0//P", concurrent=True))
    for stamp in (5, 3, 4, 3):
        alive(bench, f"ct:{stamp}:0:a:")
    assert sorted(run.stamp for run in bench.service.view.runs.values()) == [3, 4, 5]
    alive(bench, "ct:4:1:a:")
    assert Kill("ct:4:1:a:", "b", 3.0) in bench.driver.effects


def test_an_attempt_that_was_given_up_is_stopped_also_after_others_were_adopted() -> None:
    bench = Bench()
    bench.add(a_job(schedule="R0//P"))
    alive(bench, "ct:5:0:a:")
    bench.driver.post(StatusUpdate("ct:5:0:a:", "TASK_FINISHED", "b", "b"))
    bench.turn()
    alive(bench, "ct:5:0:a:")
    assert Kill("ct:5:0:a:", "b", 3.0) in bench.driver.effects
    assert not bench.service.view.runs


@pytest.mark.parametrize(
    ("task_id", "policy", "stopped"),
    [
        ("ct:1:0:nobody:", {}, True),
        ("ct:1:0:a:", {"unknown_tasks": "kill"}, True),
        ("ct:0:0:a:", {}, True),
        ("something else", {}, False),
        ("something else", {"unknown_tasks": "kill"}, False),
    ],
)
def test_other_unknown_tasks(task_id: str, policy: dict[str, Any], stopped: bool) -> None:
    bench = Bench(**policy)
    bench.add(a_job(schedule="R0//P"))
    alive(bench, task_id)
    assert not bench.service.view.runs
    assert (Kill(task_id, "b", 3.0) in bench.driver.effects) is stopped


def test_a_queued_run_whose_task_runs_already_is_not_launched_again() -> None:
    """An older copy of the store makes the run of a due time that was launched before."""
    bench = Bench()
    bench.service._engine.loop.disconnected()
    bench.ask(SubmitJob(a_job(schedule="R/2026-01-01T00:00:00Z/PT1H")))
    assert the_run(bench).phase is Phase.QUEUED
    task = Task(f"ct:{NEW_YEAR}:0:a:", 1, "a", "true", Resources())
    bench.driver.tasks[task.id] = FakeTask(task, "b", TaskState.RUNNING)
    alive(bench, task.id)
    assert (the_run(bench).phase, the_run(bench).agent_id) == (Phase.RUNNING, "b")
    bench.driver.offer("a")
    bench.turn()
    assert not bench.launched("a")
    bench.driver.finish(bench.driver.tasks[task.id])
    bench.turn()
    assert bench.outcomes("a") == ["success"]
    bench.later(hours=1)
    assert len(bench.launched("a")) == 1


def test_news_of_a_state_that_nobody_knows_changes_nothing() -> None:
    bench = Bench()
    bench.add(a_job(schedule="R1//P"))
    alive(bench, bench.launched("a")[0].task.id, "TASK_PONDERING")
    assert the_run(bench).phase is Phase.LAUNCHING
