"""Priorities that change while runs wait."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chronos_py.errors import UnknownRun
from chronos_py.model.job import Counters
from chronos_py.model.messages import ChangeJob, RunJob, SetPriority
from chronos_py.model.resources import Resources
from tests.bench import Bench
from tests.builders import a_job

LATER = "R/2035-01-01T00:00:00Z/P1Y"


def a_full_bench(**policy: int) -> Bench:
    """Return a bench without room: jobs one, two and three wait, in this order."""
    bench = Bench(**policy)
    bench.driver.room = Resources.of(0.01, 1, 1)
    for agent in bench.driver.agents:
        bench.driver.offer(agent)
    bench.service._engine.loop.held.clear()
    bench.turn()
    for name in ("one", "two", "three"):
        bench.add(a_job(name, schedule=LATER, cpus=1))
        bench.ask(RunJob(name))
        bench.clock.advance(seconds=1)
    return bench


def waiting(bench: Bench) -> list[str]:
    queue, runs = bench.service._engine.book.queue, bench.service.view.runs
    return [runs[number].job for number, _ in queue.in_order(set())]


def number_of(bench: Bench, job: str) -> int:
    return next(run.id for run in bench.service.view.runs.values() if run.job == job)


@pytest.mark.parametrize("restart", [False, True])
def test_one_run_jumps_the_queue_and_keeps_its_place_when_its_job_is_edited(restart: bool) -> None:
    bench = a_full_bench()
    assert waiting(bench) == ["one", "two", "three"]
    bench.ask(SetPriority(number_of(bench, "three"), 5))
    if restart:
        bench.boot()
    assert waiting(bench) == ["three", "one", "two"]
    bench.ask(ChangeJob("three", lambda job, state: (replace(job, owner="x"), Counters())))
    assert waiting(bench) == ["three", "one", "two"]
    bench.ask(ChangeJob("three", lambda job, state: (replace(job, priority=-1), Counters())))
    assert waiting(bench) == ["one", "two", "three"]


def test_a_jobs_priority_is_that_of_its_waiting_runs_at_once() -> None:
    bench = a_full_bench()
    bench.ask(ChangeJob("two", lambda job, state: (replace(job, high_priority=True), Counters())))
    assert waiting(bench) == ["two", "one", "three"]
    assert bench.service.queue_levels() == {0: 2, 100: 1}


def test_a_level_is_worth_some_waiting() -> None:
    bench = a_full_bench(ageing=1500)
    bench.ask(SetPriority(number_of(bench, "three"), 1))  # due 2 s after the first
    assert waiting(bench) == ["one", "three", "two"]


def test_a_run_in_its_jobs_own_line_jumps_that() -> None:
    bench = Bench()
    bench.add(a_job("one", schedule=LATER))
    for arguments in ("x", "y", "z"):
        bench.ask(RunJob("one", arguments))
    runs = {run.arguments: run.id for run in bench.service.view.runs.values()}
    bench.ask(SetPriority(runs["z"], 1))
    for _ in range(3):
        bench.end("one")
    assert [task.task.command.split()[-1] for task in bench.launched("one")] == ["x", "z", "y"]


def test_a_run_that_has_ended_has_no_priority() -> None:
    bench = Bench()
    with pytest.raises(UnknownRun):
        bench.ask(SetPriority(77, 1))
