"""What callers ask for: runs, kills, reports of asynchronous jobs."""

from __future__ import annotations

import pytest

from chronos_py.model.messages import (
    KillRun,
    KillTasks,
    PurgeTasks,
    ReportResult,
    RunJob,
)
from chronos_py.model.run import Phase, TaskState
from tests.bench import Bench
from tests.builders import a_job


def test_a_manual_run_uses_no_repetition_and_works_when_disabled(bench: Bench) -> None:
    bench.add(a_job(schedule="R5/2026-06-01T00:00:00Z/P1D", disabled=True, arguments=("own",)))
    assert isinstance(bench.ask(RunJob("a", "x y")), int)
    assert bench.launched("a")[0].task.command == "true x y"
    bench.end("a")
    assert bench.shown("a") == "R5/2026-06-01T00:00:00Z/P1D"
    assert bench.state("a").success_count == 1


def test_a_manual_runs_arguments_survive_its_retries(bench: Bench) -> None:
    bench.add(a_job(schedule="R0//P", retries=1, retry_delay=1))
    bench.ask(RunJob("a", "x"))
    bench.end("a", TaskState.FAILED)
    bench.later(seconds=1)
    assert [task.task.command for task in bench.launched("a")] == ["true x", "true x"]


def test_a_manual_run_waits_for_the_one_that_runs(bench: Bench) -> None:
    bench.add(a_job(schedule="R1//P"))
    bench.driver.run(bench.launched("a")[0])
    number = bench.ask(RunJob("a"))
    assert bench.ask(RunJob("a")) == number
    waiting = bench.service.why(number)
    assert waiting is not None
    assert waiting.code == "job_running"
    bench.driver.finish(bench.launched("a")[0])
    bench.turn()
    bench.end("a")
    assert bench.state("a").success_count == 2


def test_a_kill_counts_nothing(bench: Bench) -> None:
    bench.add(a_job(schedule="R/2026-01-01T00:00:00Z/P1D"))
    bench.driver.run(bench.launched("a")[0])
    bench.turn()
    assert bench.ask(KillTasks("a")) == 1
    bench.turn()
    assert bench.outcomes("a") == ["killed"]
    assert bench.state("a").error_count == bench.state("a").success_count == 0


def test_a_single_run_can_be_killed_while_it_waits(bench: Bench) -> None:
    bench.add(a_job(schedule="R0//P", cpus=1e6))
    number = bench.ask(RunJob("a"))
    bench.ask(KillRun(number))
    assert bench.outcomes("a") == ["killed"]
    assert not bench.service.view.runs


def test_a_purge_drops_what_waits(bench: Bench) -> None:
    bench.add(a_job("a", schedule="R0//P", cpus=1e6), a_job("b", schedule="R1//P", retries=3))
    bench.ask(RunJob("a"))
    bench.end("b", TaskState.FAILED)
    assert bench.ask(PurgeTasks()) == 2
    assert not bench.service.view.runs


@pytest.mark.parametrize("success", [True, False])
def test_an_asynchronous_job_waits_for_its_report(bench: Bench, success: bool) -> None:
    bench.add(a_job(schedule="R1//P", is_async=True, retries=0), a_job("b", parents=["a"]))
    task = bench.launched("a")[0].task.id
    bench.end("a")
    assert bench.service.view.runs[next(iter(bench.service.view.runs))].phase is Phase.REPORTING
    assert not bench.launched("b")
    assert bench.ask(ReportResult(task, success))
    assert bench.outcomes("a") == ["success" if success else "failed"]
    assert bool(bench.launched("b")) is success
    assert bench.ask(ReportResult(task, success)) is False


def test_a_report_may_come_before_the_task_has_ended(bench: Bench) -> None:
    bench.add(a_job(schedule="R1//P", is_async=True, retries=0))
    bench.driver.run(bench.launched("a")[0])
    assert bench.ask(ReportResult(bench.launched("a")[0].task.id, success=False))
    bench.driver.finish(bench.launched("a")[0])
    bench.turn()
    assert bench.outcomes("a") == ["failed"]
