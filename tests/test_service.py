"""The service and engine together, one turn at a time: a fake clock, a fake cluster, the store in a dict."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from chronos_py.errors import (
    ChronosError,
    DependencyCycle,
    InvalidSchedule,
    MissingParents,
    NoParents,
    StoreUnavailable,
    UnknownJob,
)
from chronos_py.inbox import Posted
from chronos_py.model.history import AttemptRecord, RunRecord
from chronos_py.model.job import CatchUp, Job, JobState, OnUncertain
from chronos_py.model.messages import (
    DeleteJob,
    KillRun,
    KillTasks,
    MarkSuccess,
    PurgeTasks,
    ReportResult,
    Request,
    Revive,
    RunJob,
    StatusUpdate,
    SubmitJob,
)
from chronos_py.model.run import Outcome, Phase, TaskState
from chronos_py.scheduler.policy import Policy
from chronos_py.service import Service
from tests.builders import a_job
from tests.fakes import NEW_YEAR, FakeClock, FakeDriver, FakeNotifier, FakeOutbox, FakeStore, FakeTask


class Bench:
    """A service under test, with everything around it at hand."""

    def __init__(self, **policy: Any) -> None:
        self.clock = FakeClock()
        self.store = FakeStore()
        self.driver = FakeDriver(now=self.clock.now)
        self.policy = Policy(**policy)
        self.notifier = FakeNotifier()
        self.notices = self.notifier.taken
        self.boot()

    def boot(self) -> None:
        """Start the server, or start it again."""
        self.driver.stop()
        self.service = Service(
            store=self.store, driver=self.driver, outbox=FakeOutbox(), history=None, clock=self.clock,
            policy=self.policy, notifier=self.notifier, monotonic=self.clock.monotonic,
        )  # fmt: skip
        self.service._take_over()
        self.turn()

    def turn(self) -> None:
        """Do turns until nothing more happens at this instant."""
        self.service.step()
        while len(self.service._inbox):
            self.service.step()

    def ask(self, request: Request) -> Any:
        """Hand in a request; return its answer or raise its error."""
        from concurrent.futures import Future

        answer: Future[Any] = Future()
        self.service._inbox.put(Posted(request, answer))
        self.turn()
        return answer.result(0)

    def step_for(self, request: Request) -> None:
        """Hand in a request and do one turn, whatever becomes of it; `reply` is what the caller has."""
        from concurrent.futures import Future

        self.reply: Future[Any] = Future()
        self.service._inbox.put(Posted(request, self.reply))
        self.service.step()

    def add(self, *jobs: Job) -> None:
        for job in jobs:
            self.ask(SubmitJob(job))

    def later(self, **span: float) -> None:
        self.clock.advance(**span)  # type: ignore[arg-type]
        self.turn()

    def launched(self, job: str) -> list[FakeTask]:
        return [task for task in self.driver.launched if task.task.job == job]

    def end(self, job: str, state: TaskState = TaskState.FINISHED) -> None:
        """Let the newest task of a job run and end."""
        task = self.launched(job)[-1]
        assert task.update is None
        self.driver.run(task)
        self.driver.end(task, state, 0 if state is TaskState.FINISHED else 1)
        self.turn()

    def job(self, name: str) -> Job:
        return self.service.view.jobs[name].job

    def state(self, name: str) -> JobState:
        return self.service.view.jobs[name].state

    def shown(self, name: str) -> str | None:
        return self.service.view.jobs[name].schedule

    def rows(self, job: str) -> list[RunRecord]:
        return [row for row in self.store.ledger if isinstance(row, RunRecord) and row.job == job]

    def attempts(self, job: str) -> list[AttemptRecord]:
        return [row for row in self.store.ledger if isinstance(row, AttemptRecord) and row.job == job]

    def outcomes(self, job: str) -> list[str]:
        return [row.outcome.value for row in self.rows(job)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --- schedules


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


# --- retries and counting


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


# --- requests


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


# --- dependencies


def a_diamond(bench: Bench) -> None:
    bench.add(
        a_job("root", schedule="R/2026-01-01T00:00:00Z/PT1H", retries=0),
        a_job("left", parents=["root"], retries=0),
        a_job("right", parents=["root"], retries=0),
        a_job("end", parents=["left", "right"], retries=0),
    )


def test_a_child_runs_once_after_all_its_parents(bench: Bench) -> None:
    a_diamond(bench)
    for cycle in range(1, 4):
        bench.end("root")
        bench.end("left")
        assert len(bench.launched("end")) == cycle - 1
        bench.end("right")
        assert len(bench.launched("end")) == cycle
        bench.end("end")
        bench.later(hours=1)


def test_one_failed_branch_does_not_shift_the_cycles(bench: Bench) -> None:
    a_diamond(bench)
    bench.end("root")
    bench.end("left")
    bench.end("right", TaskState.FAILED)
    bench.later(hours=1)
    bench.end("root")
    bench.end("right")
    assert not bench.launched("end")
    bench.end("left")
    assert len(bench.launched("end")) == 1


def test_a_rerun_of_the_failed_branch_repairs_the_cycle(bench: Bench) -> None:
    a_diamond(bench)
    bench.end("root")
    bench.end("left")
    bench.end("right", TaskState.FAILED)
    bench.ask(RunJob("right"))
    bench.end("right")
    assert len(bench.launched("end")) == 1


def test_mark_success_counts_and_releases(bench: Bench) -> None:
    a_diamond(bench)
    bench.end("root")
    bench.end("left")
    bench.end("right", TaskState.FAILED)
    assert bench.ask(MarkSuccess("right"))
    assert (bench.state("right").success_count, bench.state("right").errors_since_last_success) == (1, 0)
    assert len(bench.launched("end")) == 1
    assert bench.ask(MarkSuccess("nobody")) is False


def test_a_soft_error_releases_children(bench: Bench) -> None:
    bench.add(a_job("a", schedule="R1//P", retries=0, soft_error=True), a_job("b", parents=["a"]))
    bench.end("a", TaskState.FAILED)
    assert len(bench.launched("b")) == 1


def test_progress_survives_a_restart(bench: Bench) -> None:
    a_diamond(bench)
    bench.end("root")
    bench.end("left")
    bench.boot()
    bench.end("right")
    assert len(bench.launched("end")) == 1


def test_a_child_that_no_longer_waits_for_a_parent_runs(bench: Bench) -> None:
    a_diamond(bench)
    bench.end("root")
    bench.end("left")
    bench.add(a_job("end", parents=["left"]))
    assert len(bench.launched("end")) == 1


def test_a_disabled_child_lets_the_cycle_pass(bench: Bench) -> None:
    bench.add(a_job("a", schedule="R/2026-01-01T00:00:00Z/PT1H"), a_job("b", parents=["a"], disabled=True))
    bench.end("a")
    assert bench.outcomes("b") == ["skipped"]
    bench.add(a_job("b", parents=["a"]))
    assert not bench.launched("b")
    bench.later(hours=1)
    bench.end("a")
    assert len(bench.launched("b")) == 1


@pytest.mark.parametrize(
    ("parents", "error"),
    [([], NoParents), (["nobody"], MissingParents), (["end"], DependencyCycle), (["root"], DependencyCycle)],
)
def test_a_bad_graph_changes_nothing(bench: Bench, parents: list[str], error: type[ChronosError]) -> None:
    a_diamond(bench)
    before = {kind: dict(values) for kind, values in bench.store.records.items()}
    with pytest.raises(error):
        bench.add(a_job("root", parents=parents))
    assert bench.store.records == before


def test_children_of_a_deleted_dependent_job_inherit_its_parents(bench: Bench) -> None:
    a_diamond(bench)
    bench.ask(DeleteJob("left"))
    assert bench.job("end").parents == ("right", "root")
    with pytest.raises(UnknownJob):
        bench.ask(DeleteJob("left"))


def test_children_of_a_deleted_scheduled_job_take_its_schedule_and_keep_their_fields(bench: Bench) -> None:
    bench.add(
        a_job("a", schedule="R/2026-01-31T00:00:00Z/P1M", schedule_zone="Europe/Berlin"),
        a_job("b", parents=["a"], description="kept", shell=False, arguments=("x",), run_as_user="me"),
    )
    bench.ask(DeleteJob("a"))
    child = bench.job("b")
    assert (child.parents, child.schedule, child.schedule_zone) == (None, "R/2026-01-31T00:00:00Z/P1M", "Europe/Berlin")
    assert (child.description, child.shell, child.arguments, child.run_as_user) == ("kept", False, ("x",), "me")
    assert bench.notices[-1].event == "deleted"


def test_a_deleted_jobs_task_is_stopped_and_its_name_is_free(bench: Bench) -> None:
    bench.add(a_job("a", schedule="R1//P"))
    bench.driver.run(bench.launched("a")[0])
    bench.turn()
    bench.ask(DeleteJob("a"))
    bench.add(a_job("a", schedule="R1//P"))
    bench.turn()
    ids = [task.task.id for task in bench.launched("a")]
    assert len(set(ids)) == 2
    bench.end("a")
    assert bench.outcomes("a") == ["killed", "success"]
    assert bench.state("a").success_count == 1


# --- faults


def test_a_run_of_unknown_fate_is_not_started_again_until_it_counts_as_lost(bench: Bench) -> None:
    bench.add(a_job(schedule="R1//P", retries=1, retry_delay=1))
    bench.driver.run(bench.launched("a")[0])
    bench.turn()
    bench.driver.tell = lambda task_id: None  # type: ignore[method-assign]  # nobody answers
    bench.boot()
    bench.later(seconds=599)
    assert len(bench.launched("a")) == 1
    bench.later(seconds=2)
    bench.later(seconds=2)
    assert len(bench.launched("a")) == 2
    assert [a.outcome.value for a in bench.store.ledger if isinstance(a, AttemptRecord)] == ["lost"]


def test_an_owner_may_choose_never_to_risk_a_second_run(bench: Bench) -> None:
    bench.add(a_job(schedule="R1//P", retries=5, on_uncertain=OnUncertain.SKIP))
    bench.driver.tell = lambda task_id: None  # type: ignore[method-assign]
    bench.boot()
    bench.later(seconds=700)
    assert bench.outcomes("a") == ["lost"]
    assert len(bench.launched("a")) == 1


def test_a_task_that_shows_up_after_it_was_given_up_is_stopped(bench: Bench) -> None:
    bench.add(a_job(schedule="R1//P", retries=0))
    bench.service.post(StatusUpdate("ct:1:0:a:", TaskState.RUNNING, agent_id="a"))
    bench.turn()
    assert [effect for effect in bench.driver.effects if type(effect).__name__ == "Kill"]


def test_an_event_that_cannot_be_digested_is_set_aside(bench: Bench) -> None:
    bench.add(a_job(schedule="R/2026-01-01T00:01:00Z/PT1M"))
    bench.service._inbox.put(Posted(StatusUpdate(["not", "a", "text"], TaskState.RUNNING)))  # type: ignore[arg-type]
    bench.service._inbox.put(Posted(RunJob("a")))
    bench.later(minutes=1)
    assert bench.launched("a")


@pytest.mark.parametrize("counters", [[], None, {"run": "x"}, {"run": 50.5, "record": 1, "job": 1, "id_floor": 0}, {}])
def test_damaged_counters_are_reported_and_no_number_is_given_again(bench: Bench, counters: Any) -> None:
    bench.add(a_job(schedule="R1//P"))
    bench.end("a")
    bench.ask(DeleteJob("a"))
    bench.store.records["meta"]["counters"] = counters
    bench.boot()
    assert [record.key for record in bench.service.view.quarantined] == ["counters"]
    bench.add(a_job(schedule="R1//P"))
    bench.end("a")
    numbers = [row.run for row in bench.rows("a")]
    assert len(set(numbers)) == len(numbers)


def test_a_commit_that_fails_costs_a_request_but_no_launch(bench: Bench) -> None:
    bench.add(a_job(schedule="R0//P"))

    def full(changes: Any) -> None:
        raise StoreUnavailable("disk full")

    bench.store.before = full
    with pytest.raises(StoreUnavailable):
        bench.ask(RunJob("a"))
    bench.store.before = lambda changes: None
    bench.service._take_over()
    revived = [effect for effect in bench.driver.effects if isinstance(effect, Revive)]
    assert revived
    assert not bench.launched("a")


def test_everybody_is_answered_when_a_turn_cannot_even_be_begun_again(bench: Bench) -> None:
    def gone() -> Any:
        raise StoreUnavailable("store gone")

    bench.service._inbox.put(Posted(StatusUpdate(["not", "a", "text"], TaskState.RUNNING)))  # type: ignore[arg-type]
    bench.store.load = gone  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        bench.step_for(RunJob("a"))
    assert isinstance(bench.reply.exception(0), StoreUnavailable)


def test_higher_priority_goes_first(bench: Bench) -> None:
    bench.driver.room = bench.driver.room.__class__.of(1, 1e6, 1e6)
    bench.boot()
    bench.service._engine.loop.disconnected()
    for name, priority in (("low", -1), ("plain", None), ("high", 7)):
        bench.add(a_job(name, schedule="R1//P", priority=priority, cpus=1))
    bench.driver.offer("a")
    bench.turn()
    assert bench.driver.launched[0].task.job == "high"


def test_a_deposed_leader_lets_go_of_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    stopped = threading.Event()
    monkeypatch.setattr(bench.driver, "stop", stopped.set)
    before = bench.service._epoch
    bench.service.start()
    while bench.service._epoch == before or not bench.service.leading():  # it is elected, and reads everything anew
        time.sleep(0.01)
    bench.store.open_epoch()  # somebody else leads
    bench.service.post(SubmitJob(a_job("b")))
    assert stopped.wait(10)
    assert not bench.service.health()["ready"]
    bench.service.stop()
