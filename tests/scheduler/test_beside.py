"""Where runs go beside others of their job, and away from agents that failed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronos_py.model.job import Avoid, Constraint
from chronos_py.model.messages import RunJob
from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources
from chronos_py.model.run import Outcome, Phase, Run, TaskState, Trigger
from chronos_py.scheduler.board import Request
from chronos_py.scheduler.constraints import suits
from chronos_py.scheduler.health import Health, HealthPolicy
from chronos_py.scheduler.holdings import Holdings
from chronos_py.scheduler.placement import place
from chronos_py.scheduler.queue import Shape
from tests.bench import Bench
from tests.builders import a_job

NEED = Resources.of(1, 10, 10)
RACKS = ("r1", "r2", "r3")


def offers(count: int, cpus: float = 4) -> list[Offer]:
    return [
        Offer(f"o{n}", f"agent-{n}", f"host-{n}", Resources.of(cpus, 1000, 1000), attributes={"rack": RACKS[n % 3]})
        for n in range(count)
    ]


def running(number: int, rack: str) -> Run:
    return Run(number, "a", Trigger.MANUAL, 0, 0, 0, phase=Phase.RUNNING, agent_id="x", spots=(("rack", rack),))


rules = st.sampled_from([("UNIQUE", ""), ("CLUSTER", ""), ("GROUP_BY", "3"), ("GROUP_BY", ""), ("MAX_PER", "2")])


@given(st.lists(st.sampled_from(RACKS), max_size=4), rules, st.integers(0, 6), st.integers(0, 7))
def test_every_run_of_a_round_suits_those_before_it(there, rule, agents, wanted):
    limit = Constraint("rack", *rule)
    shape, holdings = Shape(NEED, (limit,), "a"), Holdings()
    for number, rack in enumerate(there):
        holdings.take(running(number, rack), shape, preemptible=False)
    board = offers(agents)
    placement = place([Request(100 + n, shape) for n in range(wanted)], board, holdings=holdings)
    counts = Counter(there)
    room = {offer.agent_id: 4 for offer in board}
    rack_of = {offer.agent_id: offer.attributes["rack"] for offer in board}
    for _, where in placement.launches:
        assert suits(limit, rack_of[where.agent], counts)
        counts[rack_of[where.agent]] += 1
        room[where.agent] -= 1
    if len(placement.launches) < wanted:
        assert not any(left and suits(limit, rack_of[agent], counts) for agent, left in room.items())
        assert sum(placement.refusals[shape].counts.values()) == agents
    assert Counter(there) == Counter(holdings.spots("a", "rack"))


def test_the_refusal_names_the_rule_and_what_it_looks_at():
    shape = Shape(NEED, (Constraint("hostname", "UNIQUE", ""),), "a")
    placement = place([Request(n, shape) for n in range(3)], offers(2))
    assert [where.agent for _, where in placement.launches] == ["agent-0", "agent-1"]
    assert placement.refusals[shape].counts == {"does not meet hostname UNIQUE beside the job's running tasks": 2}


def test_jobs_do_not_look_at_each_others_runs():
    shapes = [Shape(NEED, (Constraint("hostname", "UNIQUE", ""),), job) for job in ("a", "b")]
    placement = place([Request(n, shape) for n, shape in enumerate(shapes * 2)], offers(2))
    assert len(placement.launches) == 4


def test_a_banned_agent_is_a_hard_rule():
    shape = Shape(NEED).without(("agent-0",))
    placement = place([Request(1, shape), Request(2, shape)], offers(1))
    assert not placement.launches
    assert placement.refusals[shape].counts == {"an attempt of the run failed there": 1}


def test_what_is_taken_is_given_back():
    holdings, shape = Holdings(), Shape(NEED, (), "a", quotas=("q",))
    for number in range(3):
        holdings.take(running(number, "r1"), shape, preemptible=True)
        holdings.take(running(number, "r1"), shape, preemptible=True)  # the same again changes nothing
    assert (holdings.use["q"].held.cpus, holdings.use["q"].running) == (3000, 3)
    assert (holdings.spots("a", "rack"), holdings.preemptible) == ({"r1": 3}, {"x": {0, 1, 2}})
    assert all(holdings.release(number) for number in range(3))
    assert not holdings.release(0)
    assert (holdings.use["q"].held, holdings.use["q"].running) == (Resources(), 0)
    assert (holdings.spots("a", "rack"), holdings.preemptible) == ({}, {})


# --- with the engine


@pytest.mark.parametrize("restart", [False, True])
def test_runs_of_a_job_stay_apart_and_wait_with_a_reason(restart):
    bench = Bench()
    job = a_job(
        schedule="R/2035-01-01T00:00:00Z/P1Y", concurrent=True, constraints=(Constraint("@agent", "UNIQUE", ""),)
    )
    bench.add(job)
    for number in range(3):
        bench.ask(RunJob("a", str(number)))
    tasks = bench.launched("a")
    assert sorted(task.agent for task in tasks) == ["a", "b"]
    for task in tasks:
        bench.driver.run(task)
    bench.turn()
    if restart:
        bench.boot()
    waiting = next(run for run in bench.service.view.runs.values() if run.phase is Phase.QUEUED)
    why = bench.service.why(waiting.id)
    assert why
    assert why.sentence == "2 agents: does not meet @agent UNIQUE beside the job's running tasks"
    bench.driver.finish(tasks[0])
    bench.turn()
    assert bench.launched("a")[2].agent == tasks[0].agent


def test_a_run_that_may_not_return_waits_until_it_is_forgiven():
    bench = Bench(forgiveness=60_000)
    bench.driver.agents = ("a",)
    bench.boot()
    bench.service._engine.loop.held.clear()
    bench.driver.offer("a")
    bench.add(a_job(schedule="R1//P", retries=5, retry_delay=1, avoid_failed_agents=Avoid.HARD))
    bench.end("a", TaskState.FAILED)
    bench.later(seconds=2)
    run = next(iter(bench.service.view.runs.values()))
    why = bench.service.why(run.id)
    assert why
    assert why.sentence == "1 agent: an attempt of the run failed there"
    bench.later(seconds=57)
    assert len(bench.launched("a")) == 1
    bench.later(seconds=1)
    assert [task.agent for task in bench.launched("a")] == ["a", "a"]
    assert bench.service.view.runs[run.id].avoid == ()


def test_a_run_that_may_not_return_takes_another_agent_at_once():
    bench = Bench()
    bench.add(a_job(schedule="R1//P", retries=5, retry_delay=1, avoid_failed_agents=Avoid.HARD))
    for _ in range(2):
        bench.end("a", TaskState.FAILED)
        bench.later(seconds=1)
    assert sorted(task.agent for task in bench.launched("a")) == ["a", "b"]


# --- health


def test_an_agent_on_which_many_attempts_in_a_row_failed_is_used_last_for_a_while():
    health = Health(HealthPolicy(failures=3, pause=1000))
    for outcome in (Outcome.FAILED, Outcome.LOST, Outcome.KILLED, Outcome.SUCCESS, Outcome.FAILED, Outcome.TIMED_OUT):
        health.note("a", "host", outcome, 0)
    assert health.suspects(0) == set()
    health.note("a", "host", Outcome.FAILED, 10)
    assert health.suspects(1009) == {"a"}
    assert health.forms(1009) == [
        {"agent": "a", "host": "host", "until": 1010, "reason": "the last 3 attempts on it failed"}
    ]
    assert health.suspects(1010) == set()
    health.note("a", "host", Outcome.SUCCESS, 1010)
    health.note("a", "host", Outcome.FAILED, 1010)
    assert health.suspects(1010) == set()


def test_a_suspect_is_taken_when_nothing_else_has_room():
    board = [*offers(1, cpus=8), *offers(2, cpus=2)[1:]]
    launches = place([Request(n, Shape(NEED)) for n in range(3)], board, suspect={"agent-0"}).launches
    assert [where.agent for _, where in launches] == ["agent-1", "agent-1", "agent-0"]


def test_failures_of_any_job_count():
    bench = Bench()
    names = [f"job-{n}" for n in range(20)]
    for name in names:
        bench.add(a_job(name, schedule="R1//P", retries=0))
        task = bench.launched(name)[0]
        bench.driver.run(task)
        bench.driver.end(task, TaskState.FAILED if task.agent == "a" else TaskState.FINISHED, 0)
        bench.turn()
    on_a = [name for name in names if bench.launched(name)[0].agent == "a"]
    assert len(on_a) == 5
    assert bench.service.health()["avoidedAgents"][0]["agent"] == "a"


def test_holdings_count_by_priority_who_may_be_stopped():
    holdings, shape = Holdings(), Shape(NEED)
    for number, preemptible in ((1, True), (2, True), (3, False)):
        holdings.take(running(number, "r1"), shape, preemptible=preemptible)
    assert holdings.levels == {0: 2}
    holdings.release(1)
    assert holdings.levels == {0: 1}
    holdings.release(2)
    assert holdings.levels == {}
