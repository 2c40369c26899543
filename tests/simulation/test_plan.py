from __future__ import annotations

import threading

import pytest

from chronos_py.errors import InvalidInput, MissingParents, Overloaded
from chronos_py.model.job import Counters, Job
from chronos_py.planner.process import PlanLimits, Planner
from chronos_py.planner.worker import Work, answer
from chronos_py.scheduler.policy import Policy
from chronos_py.simulation.agents import Move, several
from chronos_py.simulation.chance import Chance
from chronos_py.simulation.plan import Changes, Question, Situation, plan
from chronos_py.simulation.start import states_at
from tests.fakes import NEW_YEAR

HOUR = 3_600_000


def a_job(name: str, **details) -> Job:
    values = {"command": "true", "schedule": "R/2026-01-01T00:00:00Z/PT1H", "cpus": 1.0, "mem": 1.0, "disk": 1.0}
    return Job(name=name, **{**values, **details})


NO_CHANGES = Changes()


def a_question(changes: Changes = NO_CHANGES, *names: str, **details) -> Question:
    jobs = {name: a_job(name) for name in names or ("a", "b")}
    situation = Situation(
        NEW_YEAR, Policy(), jobs, states_at(jobs.values(), Policy(), NEW_YEAR), {}, tuple(several(["cpus:2;mem:100"]))
    )
    chance = Chance(1, usual=(60_000, 120_000, 180_000), failing=0.1)
    return Question(situation, changes, chance, NEW_YEAR, NEW_YEAR + 12 * HOUR, **details)


def test_without_changes_both_futures_are_one():
    found = plan(a_question())
    assert found["before"] == found["after"]
    assert found["jobs"] == []
    assert found["before"]["started"] == 24
    assert plan(a_question()) == found


def test_new_gone_and_changed_jobs():
    jobs = ((a_job("child", parents=("new",), schedule=None), Counters()), (a_job("new"), Counters()))
    changes = Changes((*jobs, (a_job("a", schedule="R/2026-01-01T00:00:00Z/PT2H"), Counters())), ("b",))
    found = plan(a_question(changes))
    rows = {row["job"]: row for row in found["jobs"]}
    assert set(rows) == {"a", "b", "child", "new"}
    assert (rows["a"]["before"]["started"], rows["a"]["after"]["started"]) == (12, 7)  # one was due already
    assert (rows["b"]["before"]["started"], rows["b"]["after"]["started"]) == (12, 0)
    assert (rows["new"]["before"], rows["new"]["after"]["started"]) == (None, 12)


def test_fewer_agents_make_work_wait_and_say_why():
    found = plan(a_question(Changes(moves=(Move(NEW_YEAR + HOUR + 1, "agent-1"),)), rows=5))
    assert found["after"]["waitingAtEnd"] == 2
    assert found["after"]["share"][-1]["cpus"] is None
    assert len(found["starts"]) <= 5 <= found["startsTotal"] + 1


def test_changes_that_would_be_refused_are():
    with pytest.raises(InvalidInput, match="no such job"):
        plan(a_question(Changes(removed=("nobody",))))
    with pytest.raises(MissingParents):
        plan(a_question(Changes(((a_job("c", parents=("nobody",), schedule=None), Counters()),))))


def test_a_worker_answers_and_says_what_is_too_much():
    assert answer(Work(a_question(), 60, 1 << 30))["plan"]["before"]["started"] == 24
    error = answer(Work(a_question(most_launches=10), 60, 1 << 30))["error"]
    assert error["field"] == "to"
    assert "10 attempts" in error["reason"]
    assert "took more than" in answer(Work(a_question(), 0, 1 << 30))["error"]["reason"]
    assert answer(Work(a_question(Changes(removed=("x",))), 60, 1 << 30))["error"]["field"] == "remove"


def test_a_plan_by_a_process_of_its_own_and_no_more_than_there_is_room_for():
    planner = Planner(threading.Event(), PlanLimits(at_once=1))
    assert planner.plan(a_question())["before"]["started"] == 24
    with pytest.raises(InvalidInput, match="no such job"):
        planner.plan(a_question(Changes(removed=("x",))))
    planner._places.acquire()
    with pytest.raises(Overloaded):
        planner.plan(a_question())
