"""Retries, and what an end of a run counts for."""

from __future__ import annotations

import pytest

from chronos_py.model.run import TaskState
from tests.bench import Bench
from tests.builders import a_job
from tests.fakes import NEW_YEAR


def test_a_retry_waits_and_runs_on_another_agent(bench: Bench) -> None:
    bench.add(a_job(schedule="R1//P", retries=1))
    bench.end("a", TaskState.FAILED)
    bench.later(seconds=59)
    assert len(bench.launched("a")) == 1
    bench.later(seconds=1)
    first, second = bench.launched("a")
    assert first.agent != second.agent
    assert (first.task.id, second.task.id) == (f"ct:{NEW_YEAR}:0:a:", f"ct:{NEW_YEAR}:1:a:")


def test_retries_then_one_error(bench: Bench) -> None:
    bench.add(a_job(schedule="R1//P", retries=2, retry_delay=1, retry_backoff=3))
    moments = []
    for _ in range(3):
        moments.append(bench.clock.at)
        bench.end("a", TaskState.FAILED)
        bench.later(seconds=1)
        bench.later(seconds=2)
    state = bench.state("a")
    assert (state.error_count, state.errors_since_last_success, state.success_count) == (1, 1, 0)
    assert state.last_error.startswith("2026-01-01T00:00:06")
    assert [notice.event for notice in bench.notices] == ["failed", "exhausted"]
    assert bench.rows("a")[-1].attempts == 3
    assert bench.job("a").disabled


def test_a_job_that_failed_out_has_its_retries_again_next_time(bench: Bench) -> None:
    bench.add(a_job(schedule="R/2026-01-01T00:00:00Z/PT1H", retries=1, retry_delay=0))
    for _ in range(2):
        bench.end("a", TaskState.FAILED)
        bench.turn()
        bench.end("a", TaskState.FAILED)
        bench.later(hours=1)
    assert [task.task.id.split(":")[2] for task in bench.launched("a")] == ["0", "1", "0", "1", "0"]


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (TaskState.FAILED, "failed"), (TaskState.ERROR, "failed"), (TaskState.KILLED, "failed"),
    ],
)  # fmt: skip
def test_every_end_but_success_is_a_failure(bench: Bench, state: TaskState, outcome: str) -> None:
    bench.add(a_job(schedule="R1//P", retries=0))
    bench.end("a", state)
    assert bench.outcomes("a") == [outcome]
    assert bench.state("a").error_count == 1


def test_a_task_that_never_started_costs_no_retry(bench: Bench) -> None:
    bench.add(a_job(schedule="R1//P", retries=0))
    bench.end("a", TaskState.DROPPED)
    bench.turn()
    assert len(bench.launched("a")) == 2
    bench.end("a")
    assert bench.outcomes("a") == ["success"]
    assert bench.state("a").error_count == 0


def test_too_many_failures_disable_a_job() -> None:
    bench = Bench(disable_after_failures=2)
    bench.add(a_job(schedule="R/2026-01-01T00:00:00Z/PT1H", retries=0))
    bench.end("a", TaskState.FAILED)
    bench.later(hours=1)
    bench.end("a", TaskState.FAILED)
    assert bench.job("a").disabled
    assert [notice.event for notice in bench.notices] == ["failed", "disabled"]


def test_a_success_counts_and_ends_the_row_of_failures(bench: Bench) -> None:
    bench.add(a_job(schedule="R/2026-01-01T00:00:00Z/PT1H", retries=0))
    bench.end("a", TaskState.FAILED)
    bench.later(hours=1)
    bench.end("a")
    state = bench.state("a")
    assert (state.success_count, state.errors_since_last_success) == (1, 0)
    assert state.last_success == "2026-01-01T01:00:00.000Z"
    assert state.last_success > state.last_error


def test_the_same_news_twice_counts_once(bench: Bench) -> None:
    bench.add(a_job(schedule="R1//P"))
    bench.end("a")
    update = bench.launched("a")[0].update
    assert update is not None
    bench.service.post(update)
    bench.turn()
    assert bench.state("a").success_count == 1
    assert bench.outcomes("a") == ["success"]


def test_a_time_limit_is_a_state_of_its_own(bench: Bench) -> None:
    bench.add(a_job(schedule="R1//P", retries=0, max_completion_time=10))
    bench.driver.run(bench.launched("a")[0])
    bench.later(seconds=9)
    assert not bench.rows("a")
    bench.later(seconds=1)
    bench.turn()
    assert bench.outcomes("a") == ["timed_out"]
    assert bench.state("a").error_count == 1
