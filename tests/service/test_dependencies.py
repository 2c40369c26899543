"""Jobs that depend on others: cycles, reruns, changed graphs."""

from __future__ import annotations

import pytest

from chronos_py.errors import (
    ChronosError,
    DependencyCycle,
    MissingParents,
    NoParents,
    UnknownJob,
)
from chronos_py.model.messages import (
    DeleteJob,
    MarkSuccess,
    RunJob,
)
from chronos_py.model.run import TaskState
from tests.bench import Bench
from tests.builders import a_job


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
