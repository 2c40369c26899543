from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronos_py.model.job import Job
from chronos_py.model.resources import Resources
from chronos_py.scheduler.policy import Policy, PreemptionPolicy
from chronos_py.simulation.agents import Move, VirtualAgent, outages, several
from chronos_py.simulation.chance import Chance
from chronos_py.simulation.figures import Figures
from chronos_py.simulation.world import Observer, TooMuch, World
from tests.fakes import NEW_YEAR
from tests.simulation.worlds import HOUR, Lines, a_world


def hourly(name: str, **details) -> Job:
    values = {"command": "true", "schedule": "R/2026-01-01T00:00:00Z/PT1H", "cpus": 1.0, "mem": 1.0, "disk": 1.0}
    return Job(name=name, **{**values, **details})


def events(lines: Lines, event: str) -> list[dict[str, Any]]:
    return [line for line in map(orjson.loads, lines.kept) if line["event"] == event]


def test_due_times_start_when_they_are_due_and_run_as_long_as_drawn():
    lines = Lines()
    world = a_world([hourly("a")], chance=Chance(run_times={"a": (5000,)}), observers=[lines])
    world.run(NEW_YEAR + 3 * HOUR - 1)
    assert [line["at"] for line in events(lines, "launched")] == [NEW_YEAR, NEW_YEAR + HOUR, NEW_YEAR + 2 * HOUR]
    assert [line["at"] for line in events(lines, "run ended")] == [NEW_YEAR + n * HOUR + 5000 for n in range(3)]
    assert world.at == NEW_YEAR + 3 * HOUR - 1
    assert world.used_cpus == 0


def test_failures_are_tried_again_and_counted():
    lines = Lines()
    job = hourly("a", retries=2, retry_delay=10.0)
    world = a_world([job], chance=Chance(usual=(1000,), failing=1.0), observers=[lines])
    world.run(NEW_YEAR + HOUR - 1)
    assert [line["at"] - NEW_YEAR for line in events(lines, "launched")] == [0, 11_000, 22_000]
    (ended,) = events(lines, "run ended")
    assert (ended["outcome"], ended["attempts"]) == ("failed", 3)


def test_a_wait_has_a_cause_and_is_told_once():
    lines, figures = Lines(), Figures(NEW_YEAR, NEW_YEAR + HOUR, HOUR)
    jobs = [hourly("a", cpus=4.0), hourly("b", cpus=4.0), hourly("c", parents=("a",), schedule=None)]
    world = a_world(jobs, ["cpus:4;mem:100"], Chance(usual=(60_000,)), observers=[lines, figures])
    world.run(NEW_YEAR + HOUR - 1)
    assert [(line["job"], line["cause"]) for line in events(lines, "waits")] == [("b", "no_fit"), ("c", "no_fit")]
    assert [start["job"] for start in figures.starts] == ["a", "b", "c"]
    assert [start["wait"] for start in figures.starts] == [0, 60_000, 60_000]
    assert figures.total.causes == {"no_fit": 2}
    assert [share["cpus"] for share in figures.shares()] == [pytest.approx((4 * 120 + 60) / (4 * 3600), abs=1e-3)]


def test_an_agent_that_goes_takes_its_tasks_along_and_they_go_elsewhere():
    lines = Lines()
    agents = several(["2*cpus:1;mem:100"])
    moves = [Move(NEW_YEAR + 10_000, "agent-1"), Move(NEW_YEAR + 20_000, "agent-1", agents[0])]
    jobs = [hourly("a"), hourly("b", retries=0)]
    world = a_world(jobs, agents, Chance(usual=(60_000,)), moves=moves, observers=[lines])
    world.run(NEW_YEAR + HOUR - 1)
    assert Counter(line["outcome"] for line in events(lines, "run ended")) == {"success": 2}  # a fault costs no retry
    assert Counter(line["outcome"] for line in events(lines, "attempt ended")) == {"lost": 1, "success": 2}
    assert len(events(lines, "agent down")) == 1
    assert world.total_cpus == 2000


def test_the_urgent_make_room():
    lines = Lines()
    policy = Policy(preemption=PreemptionPolicy(after=500))
    jobs = [
        hourly("low", preemptible=True),
        hourly("high", priority=10, schedule="R1/2026-01-01T00:01:00Z/PT1H"),
    ]
    world = a_world(jobs, ["cpus:1;mem:100"], Chance(usual=(300_000,)), policy, observers=[lines])
    world.run(NEW_YEAR + HOUR - 1)
    launched = [(line["job"], line["at"] - NEW_YEAR) for line in events(lines, "launched")]
    assert launched == [("low", 0), ("high", 60_600), ("low", 360_600)]
    assert Counter(line["outcome"] for line in events(lines, "attempt ended")) == {"preempted": 1, "success": 2}


def test_asynchronous_jobs_and_time_limits_end_too():
    lines = Lines()
    jobs = [hourly("async", is_async=True), hourly("long", max_completion_time=30, retries=0)]
    world = a_world(jobs, chance=Chance(usual=(60_000,)), observers=[lines])
    world.run(NEW_YEAR + HOUR - 1)
    assert {line["job"]: line["outcome"] for line in events(lines, "run ended")} == {
        "async": "success",
        "long": "timed_out",
    }


def test_too_many_attempts_end_it():
    world = a_world([hourly("a", schedule="R/2026-01-01T00:00:00Z/PT1S")], chance=Chance(usual=(0,)))
    world._most_launches = 100
    with pytest.raises(TooMuch, match="100"):
        world.run(NEW_YEAR + HOUR)
    assert world.launches == 101


def test_where_one_stops_between_does_not_matter():
    whole, parts = Lines(), Lines()
    for lines, stops in ((whole, [6]), (parts, range(1, 7))):
        world = busy(3, [lines])
        for hour in stops:
            world.run(NEW_YEAR + hour * HOUR)
    assert whole.kept == parts.kept
    assert len(whole.kept) > 200


def busy(seed: int, observers: list[Observer]) -> World:
    """A world in which everything happens."""
    jobs = [
        hourly(
            f"j{number}",
            schedule=f"R/2026-01-01T00:{number % 60:02}:00Z/PT{15 + number}M",
            cpus=0.5 + number % 3,
            preemptible=number % 2 == 0,
            priority=number % 5,
            retries=number % 3,
            retry_delay=20.0,
        )
        for number in range(12)
    ]
    jobs.append(hourly("child", schedule=None, parents=("j1", "j2")))
    agents = several(["3*cpus:3;mem:100"])
    moves = outages(agents, seed, NEW_YEAR, NEW_YEAR + 24 * HOUR, 4.0, 600_000)
    chance = Chance(seed, usual=tuple(range(60_000, 2_400_000, 60_000)), failing=0.1)
    policy = Policy(preemption=PreemptionPolicy(after=10_000))
    return a_world(jobs, agents, chance, policy, moves, observers)


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 2**40))
def test_the_same_seed_gives_the_same_log(seed):
    first, second, other = Lines(), Lines(), Lines()
    for lines, one in ((first, seed), (second, seed), (other, seed + 1)):
        busy(one, [lines]).run(NEW_YEAR + 3 * HOUR)
    assert first.digest == second.digest
    assert first.kept == second.kept
    assert first.digest != other.digest


PROGRAM = """
from tests.simulation.test_world import busy
from tests.simulation.worlds import Lines
lines = Lines()
busy(11, [lines]).run(1_767_225_600_000 + 4 * 3_600_000)
print(lines.digest)
"""


def test_the_log_does_not_depend_on_the_process():
    said = set()
    for number in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": number, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, env=environment, check=True)
        said.add(done.stdout)
    assert len(said) == 1


def test_tasks_that_run_at_the_beginning_hold_what_they_hold():
    world = busy(1, [])
    world.run(NEW_YEAR + 2 * HOUR)
    for name, agent in world.agents.items():
        held = Resources()
        for task, need in agent.tasks.items():
            assert world._tasks[task] == name
            held = held + need
        assert agent.free + held == agent.agent.total
    assert isinstance(next(iter(world.agents.values())).agent, VirtualAgent)
