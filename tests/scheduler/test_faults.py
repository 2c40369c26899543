"""What ends an attempt through no fault of the job costs it nothing, within bounds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chronos_py.model.job import OnUncertain
from chronos_py.model.messages import Kill, KillTasks, StatusUpdate
from chronos_py.model.run import Outcome, Phase, Run, TaskState, Trigger
from chronos_py.scheduler.retry import fault_delay, fault_of, is_hopeless, kill_pause, never_started, with_fault
from tests.bench import Bench
from tests.builders import a_job

A_RUN = Run(1, "a", Trigger.MANUAL, 0, 0, 0, phase=Phase.LAUNCHING)


def news(bench: Bench, state: str, reason: str = "", message: str = "", *, running: bool = True) -> None:
    """Let the newest task of job a end in a state, for a reason."""
    task = bench.launched("a")[-1]
    if running:
        bench.driver.run(task)
    update = StatusUpdate(task.task.id, state, task.agent, uuid="u", reason=reason, message=message)
    task.update = update
    bench.driver.post(update)
    bench.turn()


@pytest.mark.parametrize(
    ("state", "reason", "fault"),
    [
        ("TASK_LOST", "", "TASK_LOST"),
        ("TASK_LOST", "REASON_SLAVE_DISCONNECTED", "AGENT_DISCONNECTED"),
        ("TASK_GONE", "REASON_AGENT_REMOVED", "AGENT_REMOVED"),
        ("TASK_GONE_BY_OPERATOR", "REASON_AGENT_REMOVED_BY_OPERATOR", "AGENT_REMOVED_BY_OPERATOR"),
        ("TASK_DROPPED", "REASON_INVALID_OFFERS", "INVALID_OFFERS"),
        ("TASK_FAILED", "REASON_AGENT_RESTARTED", "AGENT_RESTARTED"),
        ("TASK_ERROR", "REASON_INVALID_OFFERS", "INVALID_OFFERS"),
        ("TASK_FAILED", "REASON_EXECUTOR_TERMINATED", "EXECUTOR_TERMINATED"),
        ("TASK_FAILED", "REASON_COMMAND_EXECUTOR_FAILED", ""),
        ("TASK_FAILED", "REASON_CONTAINER_LAUNCH_FAILED", ""),
        ("TASK_FAILED", "REASON_CONTAINER_LIMITATION_MEMORY", ""),
        ("TASK_FAILED", "", ""),
        ("TASK_KILLED", "REASON_AGENT_REMOVED", ""),
    ],
)
def test_whose_fault_it_is(state: str, reason: str, fault: str) -> None:
    assert fault_of(StatusUpdate("t", state, reason=reason), replace(A_RUN, phase=Phase.RUNNING)) == fault


def test_what_never_started() -> None:
    gone = StatusUpdate("t", "TASK_GONE", reason="REASON_RECONCILIATION")
    assert never_started(A_RUN, gone)
    assert not never_started(Run(1, "a", Trigger.MANUAL, 0, 0, 0, phase=Phase.RUNNING), gone)
    assert never_started(A_RUN, StatusUpdate("t", "TASK_LOST", reason="REASON_INVALID_OFFERS"))
    assert not never_started(A_RUN, StatusUpdate("t", "TASK_LOST", reason="REASON_AGENT_REMOVED"))


def test_delays_grow() -> None:
    run = A_RUN
    delays = []
    for _ in range(9):
        delays.append(fault_delay(run, "x"))
        run = Run(1, "a", Trigger.MANUAL, 0, 0, 0, faulted=with_fault(run, "x"))
    assert delays == [0, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]
    assert fault_delay(run, "INVALID_OFFERS") == 0
    assert [kill_pause(3, 10_000, n) for n in range(4)] == [13_000, 23_000, 43_000, 83_000]
    assert kill_pause(3, 10_000, 1000) == 303_000


@pytest.mark.parametrize("state", [TaskState.LOST, TaskState.GONE, TaskState.GONE_BY_OPERATOR, TaskState.DROPPED])
def test_a_lost_task_is_tried_again_elsewhere_and_costs_no_retry(state: TaskState) -> None:
    bench = Bench()
    bench.add(a_job(schedule="R1//P", retries=0))
    news(bench, state)
    first, second = bench.launched("a")
    assert first.agent != second.agent
    bench.end("a")
    assert bench.outcomes("a") == ["success"]
    assert bench.state("a").error_count == 0


def test_a_fault_that_comes_ten_times_is_a_failure() -> None:
    bench = Bench()
    bench.add(a_job(schedule="R1//P", retries=1, retry_delay=1))
    for _ in range(10):
        news(bench, "TASK_FAILED", "REASON_AGENT_RESTARTED")
        bench.later(minutes=1)
    assert len(bench.launched("a")) == 11 and not bench.rows("a")
    news(bench, "TASK_GONE", "REASON_AGENT_REMOVED")  # another fault has a count of its own
    bench.later(minutes=1)
    news(bench, "TASK_FAILED", "REASON_AGENT_RESTARTED")
    bench.later(seconds=1)
    assert len(bench.launched("a")) == 13
    news(bench, "TASK_FAILED", "REASON_AGENT_RESTARTED")
    assert bench.outcomes("a") == ["failed"]
    assert bench.rows("a")[-1].attempts == 13


def test_stale_offers_cost_nothing_ever_and_blame_no_agent() -> None:
    bench = Bench()
    bench.add(a_job(schedule="R1//P", retries=0))
    for _ in range(20):
        news(bench, "TASK_LOST", "REASON_INVALID_OFFERS", running=False)
        bench.later(minutes=1)
    run = next(iter(bench.service.view.runs.values()))
    assert run.avoid == () and run.faults == 20
    bench.end("a")
    assert bench.outcomes("a") == ["success"]


def test_stale_offers_are_followed_by_another_launch_at_once() -> None:
    bench = Bench()
    bench.add(a_job(schedule="R1//P", retries=0))
    for launches in (2, 3, 4):
        news(bench, "TASK_DROPPED", "INVALID_OFFERS", running=False)
        assert len(bench.launched("a")) == launches


def test_a_task_that_is_refused_for_what_it_is_is_not_tried_again() -> None:
    bench = Bench()
    bench.add(a_job(schedule="R1//P", retries=5, retry_delay=1))
    news(bench, "TASK_ERROR", "REASON_TASK_INVALID", "Task has an invalid command", running=False)
    assert bench.outcomes("a") == ["failed"]
    assert (bench.notices[0].body or "").endswith("\n\nTask has an invalid command")


def test_errors_that_depend_on_the_place_are_failures_like_others() -> None:
    assert not is_hopeless(StatusUpdate("t", "TASK_ERROR", reason="REASON_TASK_INVALID", message="more resources than"))
    assert not is_hopeless(StatusUpdate("t", "TASK_ERROR", message="what?"))
    bench = Bench()
    bench.add(a_job(schedule="R1//P", retries=1, retry_delay=1))
    for _ in range(2):
        news(bench, "TASK_ERROR", "REASON_TASK_INVALID", "uses more resources than available", running=False)
        bench.later(seconds=1)
    assert bench.outcomes("a") == ["failed"] and len(bench.launched("a")) == 2


def test_the_clusters_own_time_limit_is_a_time_out() -> None:
    bench = Bench()
    bench.add(a_job(schedule="R1//P", retries=0))
    news(bench, "TASK_FAILED", "REASON_MAX_COMPLETION_TIME_REACHED")
    assert bench.outcomes("a") == ["timed_out"]


def test_a_lost_task_is_not_tried_again_when_that_could_run_it_twice() -> None:
    bench = Bench()
    bench.add(a_job(schedule="R1//P", retries=3, on_uncertain=OnUncertain.SKIP))
    news(bench, "TASK_LOST")
    assert bench.outcomes("a") == ["lost"] and len(bench.launched("a")) == 1


@pytest.mark.parametrize(
    ("state", "reason"), [("TASK_GONE", "REASON_AGENT_REMOVED"), ("TASK_LOST", "REASON_INVALID_OFFERS")]
)
def test_a_task_that_is_certainly_dead_is_tried_again_even_so(state: str, reason: str) -> None:
    bench = Bench()
    bench.add(a_job(schedule="R1//P", retries=0, on_uncertain=OnUncertain.SKIP))
    news(bench, state, reason, running=False)
    assert len(bench.launched("a")) == 2


def test_a_task_without_word_for_too_long_costs_no_retry() -> None:
    bench = Bench(unknown_task_timeout=60_000)
    bench.add(a_job(schedule="R1//P", retries=0))
    bench.driver.run(bench.launched("a")[0])
    bench.driver.post(StatusUpdate(bench.launched("a")[0].task.id, "TASK_UNREACHABLE"))
    bench.turn()
    bench.driver.on_reconcile = False
    bench.later(seconds=61)
    assert len(bench.launched("a")) == 2
    assert [attempt.outcome for attempt in bench.attempts("a")] == [Outcome.LOST]


def test_a_lost_task_of_a_disabled_job_ends() -> None:
    bench = Bench()
    job = a_job(schedule="R/2026-01-01T00:00:00Z/PT1H", retries=3)
    bench.add(job)
    bench.driver.run(bench.launched("a")[0])
    bench.add(a_job(schedule=bench.shown("a"), retries=3, disabled=True))
    news(bench, "TASK_LOST")
    assert bench.outcomes("a")[0] == "lost"


def test_a_stop_is_repeated_with_growing_pauses_until_the_end_comes() -> None:
    bench = Bench()
    bench.add(a_job(schedule="R1//P", kill_grace=0))
    task = bench.launched("a")[0]
    bench.driver.run(task)
    bench.turn()
    bench.driver.deaf = True
    bench.ask(KillTasks("a"))
    told = []
    for second in range(75):
        if any(isinstance(effect, Kill) for effect in bench.driver.effects):
            told.append(second)
            bench.driver.effects.clear()
        bench.later(seconds=1)
    assert told == [0, 10, 30, 70]


def test_an_executor_that_cannot_be_started_is_the_jobs_own_trouble() -> None:
    bench = Bench()
    bench.add(a_job(schedule="R1//P", retries=0))
    news(bench, "TASK_FAILED", "REASON_EXECUTOR_TERMINATED", running=False)
    assert bench.outcomes("a") == ["failed"]


def test_an_executor_that_ends_twice_may_be_the_jobs_own_doing() -> None:
    bench = Bench()
    bench.add(a_job(schedule="R1//P", retries=0))
    for _ in range(2):
        news(bench, "TASK_FAILED", "REASON_EXECUTOR_TERMINATED")
        bench.later(minutes=1)
    assert len(bench.launched("a")) == 3 and not bench.rows("a")
    news(bench, "TASK_FAILED", "REASON_EXECUTOR_TERMINATED")
    assert bench.outcomes("a") == ["failed"]
