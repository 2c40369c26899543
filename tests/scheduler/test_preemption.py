"""Preemption: room for the urgent, at the cost of few, young and lesser ones, and of no retry."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronos_py.model.job import Constraint, Counters
from chronos_py.model.messages import ChangeJob, DeleteJob, Kill, KillRun, SetPriority
from chronos_py.model.resources import Resources
from chronos_py.model.run import Outcome, Run, TaskState, Trigger
from chronos_py.model.view import Cause
from chronos_py.scheduler.policy import PreemptionPolicy
from chronos_py.scheduler.preemption import fewest
from tests.scheduler.tight import TightBench

LOW: dict[str, Any] = {"preemptible": True, "priority": 0}


def candidate(number: int, cpus: int, mem: int = 0) -> tuple[Run, Resources]:
    return Run(number, "a", Trigger.MANUAL, 0, 0, 0, launched=number), Resources(cpus, mem)


# --- which ones


@given(st.lists(st.integers(0, 5), max_size=8), st.integers(1, 15))
def test_as_few_as_possible_where_one_kind_lacks(sizes: list[int], lack: int) -> None:
    candidates = [candidate(number, size) for number, size in reversed(list(enumerate(sizes)))]
    chosen = fewest({"cpus": lack}, candidates)
    enough = [
        count for count in range(1, len(sizes) + 1) if any(sum(some) >= lack for some in combinations(sizes, count))
    ]
    assert len(chosen) == (min(enough) if enough else 0)
    assert not chosen or sum(sizes[run.id] for run in chosen) >= lack


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=8), st.integers(1, 8), st.integers(1, 8))
def test_what_is_chosen_is_enough_and_nobody_of_it_can_be_spared(
    sizes: list[tuple[int, int]], cpus: int, mem: int
) -> None:
    candidates = [candidate(number, *size) for number, size in reversed(list(enumerate(sizes)))]
    chosen = [sizes[run.id] for run in fewest({"cpus": cpus, "mem": mem}, candidates)]

    def enough(some: list[tuple[int, int]]) -> bool:
        return sum(size[0] for size in some) >= cpus and sum(size[1] for size in some) >= mem

    assert bool(chosen) == enough(sizes)
    if chosen:
        assert enough(chosen)
        assert not any(enough([*chosen[:n], *chosen[n + 1 :]]) for n in range(len(chosen)))


def test_the_youngest_goes_where_one_is_enough():
    assert [run.id for run in fewest({"cpus": 2}, [candidate(n, 3) for n in (9, 5, 1)])] == [9]
    assert [run.id for run in fewest({"cpus": 5}, [candidate(n, 3) for n in (9, 5, 1)])] == [9, 5]


# --- with the engine


def a_bench(agents: dict[str, float] | None = None, after: int = 5000, per_minute: int = 60, **more: Any) -> TightBench:
    return TightBench(agents, preemption=PreemptionPolicy(after, per_minute), **more)


def attempts(bench: TightBench, job: str) -> list[tuple[Outcome, str]]:
    return [(attempt.outcome, attempt.reason) for attempt in bench.attempts(job)]


def test_it_is_off_unless_somebody_wants_it():
    bench = TightBench()
    bench.want("low", 4, **LOW)
    bench.want("high", priority=9)
    bench.seconds(60)
    assert bench.running() == {"low": 4}


def test_a_run_of_higher_priority_gets_room_when_it_has_waited_long_enough():
    bench = a_bench()
    for _ in range(4):
        bench.want("low", **LOW)
        bench.start_all()
        bench.seconds(1)
    youngest = bench.launched("low")[-1]
    bench.want("high", priority=9)
    bench.seconds(4.9)
    assert bench.running() == {"low": 4}
    bench.seconds(0.2)
    assert bench.running() == {"low": 3, "high": 1}
    assert youngest.state is TaskState.KILLED
    assert attempts(bench, "low") == [(Outcome.PREEMPTED, "preempted")]
    waiting = bench.why("low")
    high = next(run for run in bench.service.view.runs.values() if run.job == "high")
    assert waiting.code is Cause.NO_FIT
    assert waiting.detail["preemptedBy"] == high.id
    assert f"it was stopped to make room for run {high.id}" in waiting.sentence
    bench.start_all()
    bench.finish("high")
    assert bench.running() == {"low": 4}
    bench.start_all()
    while bench.running():
        bench.finish("low")
    assert bench.outcomes("low") == ["success"] * 4
    assert bench.state("low").error_count == 0


def test_it_costs_no_retry_and_avoids_nobody():
    bench = a_bench({"x": 1.0}, after=1000)
    bench.want("low", retries=1, retry_delay=1, **LOW)
    for _ in range(3):
        bench.start_all()
        bench.want("high", priority=9)
        bench.seconds(1.1)
        assert bench.running() == {"high": 1}
        bench.start_all()
        bench.finish("high")
    run = next(iter(bench.service.view.runs.values()))
    assert (run.attempt, run.faults, run.avoid) == (3, 3, ())
    for _ in range(2):
        bench.start_all()
        bench.driver.fail(next(task for task in bench.launched("low") if task.state is TaskState.RUNNING))
        bench.turn()
        bench.seconds(1)
    assert bench.outcomes("low") == ["failed"]


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ({"preemptible": False}, {"priority": 9}),
        ({"preemptible": True, "priority": 9}, {"priority": 9}),
        ({"preemptible": True, "priority": 10}, {"priority": 9}),
        ({"preemptible": True}, {"priority": 9, "constraints": (Constraint("rack", "EQUALS", "other"),)}),
        ({"preemptible": True}, {"priority": 9, "cpus": 5}),
    ],
)
def test_who_is_not_stopped(low: dict[str, Any], high: dict[str, Any]) -> None:
    bench = a_bench(after=1000)
    bench.want("low", 4, **low)
    bench.start_all()
    bench.want("high", **high)
    bench.seconds(30)
    assert bench.running() == {"low": 4}
    assert not [effect for effect in bench.driver.effects if isinstance(effect, Kill)]


def test_the_agent_is_one_that_the_run_may_use_and_where_few_must_go():
    bench = a_bench({"x": 2.0, "y": 2.0, "z": 2.0}, after=1000)
    for agent, rack in (("x", "r1"), ("y", "r2"), ("z", "r2")):
        bench.driver.attributes[agent] = {"rack": rack}  # type: ignore[attr-defined]
        bench.driver.offer(agent)
    bench.turn()
    bench.want("small", 2, constraints=(Constraint("hostname", "EQUALS", "y"),), **LOW)
    bench.want("big", 1, cpus=2, constraints=(Constraint("hostname", "EQUALS", "z"),), **LOW)
    bench.want("first", 1, cpus=2, constraints=(Constraint("hostname", "EQUALS", "x"),), **LOW)
    bench.start_all()
    bench.want("high", cpus=2, priority=9, constraints=(Constraint("rack", "EQUALS", "r2"),))
    bench.seconds(1.1)
    assert bench.running() == {"small": 2, "first": 1, "high": 1}
    assert bench.launched("high")[0].agent == "z"


def test_no_more_are_stopped_in_a_minute_than_allowed():
    bench = a_bench(after=1000, per_minute=2)
    bench.want("low", 4, **LOW)
    bench.start_all()
    bench.want("high", 4, priority=9)
    bench.seconds(10)
    assert bench.running() == {"low": 2, "high": 2}
    bench.seconds(45)
    assert bench.running() == {"low": 2, "high": 2}
    bench.seconds(8)
    assert bench.running() == {"high": 4}


@pytest.mark.parametrize("restart", [False, True])
def test_nobody_else_is_stopped_while_the_first_takes_his_time(restart: bool) -> None:
    bench = a_bench(after=1000)
    bench.want("low", 4, **LOW)
    bench.start_all()
    bench.want("high", priority=9)
    bench.driver.deaf = True
    bench.seconds(3)
    if restart:
        bench.boot()
        bench.start_all()
    bench.seconds(20)
    stopping = [run for run in bench.service.view.runs.values() if run.killing]
    assert len(stopping) == 1
    why = bench.service.why(stopping[0].id)
    assert why
    assert (why.code, why.detail["reason"]) == (Cause.STOPPING, "preempted")
    assert bench.why("high").detail["claim"] == {"agent": "x", "stopping": [stopping[0].id]}
    bench.driver.end(bench.driver.tasks[stopping[0].task_id], TaskState.KILLED)
    bench.turn()
    assert bench.running() == {"low": 3, "high": 1}


def test_what_was_made_free_goes_to_him_for_whom_it_was_made():
    bench = a_bench(after=1000, ageing=1000)
    bench.want("low", 4, **LOW)
    bench.start_all()
    bench.want("old", priority=0)
    bench.seconds(30)
    bench.want("high", priority=9)  # behind the old one, for that has waited longer
    bench.seconds(1.2)
    assert bench.running() == {"low": 3, "high": 1}


def test_a_success_in_the_last_moment_counts():
    bench = a_bench({"x": 1.0}, after=1000)
    bench.want("low", **LOW)
    bench.start_all()
    bench.driver.deaf = True
    bench.want("high", priority=9)
    bench.seconds(1.1)
    bench.finish("low")
    assert bench.outcomes("low") == ["success"]
    assert bench.running() == {"high": 1}


@pytest.mark.parametrize("what", ["user", "deleted", "disabled"])
def test_what_else_may_befall_one_that_is_being_stopped(what: str) -> None:
    bench = a_bench({"x": 1.0}, after=1000)
    bench.want("low", **LOW)
    bench.start_all()
    bench.driver.deaf = True
    bench.want("high", priority=9)
    bench.seconds(1.1)
    low = next(run for run in bench.service.view.runs.values() if run.job == "low")
    if what == "user":
        bench.ask(KillRun(low.id))
    elif what == "deleted":
        bench.ask(DeleteJob("low"))
    else:
        bench.ask(ChangeJob("low", lambda job, state: (replace(job, disabled=True), Counters())))
    bench.driver.end(bench.launched("low")[0], TaskState.KILLED)
    bench.turn()
    assert bench.running() == {"high": 1}
    assert bench.outcomes("low") == ([] if what == "disabled" else ["killed"])  # a user's run of a disabled job goes on


def test_a_run_that_jumps_the_queue_may_have_others_stopped():
    bench = a_bench(after=1000)
    bench.want("low", 4, **LOW)
    bench.start_all()
    bench.want("other", priority=0)
    bench.seconds(5)
    assert bench.running() == {"low": 4}
    bench.ask(SetPriority(max(bench.service.view.runs), 1))
    bench.seconds(1.1)
    assert bench.running() == {"low": 3, "other": 1}


def test_a_burst_of_urgent_runs_starts_within_a_second_on_a_cluster_full_of_others():
    agents = {f"agent-{n}": 20.0 for n in range(10)}
    bench = a_bench(agents, after=200, per_minute=10_000, queued_per_job=10_000)
    bench.want("low", 200, **LOW)
    bench.want("more", 50, **LOW)  # they wait all the time
    bench.start_all()
    assert bench.running() == {"low": 200}
    asked = bench.clock.at
    bench.want("urgent", 150, priority=9)
    while bench.running()["urgent"] < 150:
        bench.seconds(0.1)
        assert bench.clock.at - asked <= 1000, bench.running()
    assert bench.running() == {"low": 50, "urgent": 150}
    loads = [sum(task.agent == agent for task in bench.launched("urgent")) for agent in agents]
    assert sum(loads) ** 2 / (len(loads) * sum(load**2 for load in loads)) >= 0.95  # Jain's index of fairness
