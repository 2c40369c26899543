"""POST /api/plan on a running server: what would happen, and that nothing of it does."""

from __future__ import annotations

from typing import Any

import pytest

from compat_tests.lines import FAR, V3, Target


@pytest.fixture(autouse=True)
def ours(target: Target) -> None:
    paths = target.call("GET", "/api/openapi.json")
    if paths.status_code == 404 or "/api/plan" not in paths.json()["paths"]:
        pytest.skip("the server has no /api/plan")


def ask(target: Target, **question: Any) -> dict[str, Any]:
    answer = target.call("POST", "/api/plan", json=question)
    assert answer.status_code == 200, answer.text
    plan: dict[str, Any] = answer.json()
    return plan


def row(plan: dict[str, Any], job: str) -> dict[str, Any]:
    """Return what a plan says of one job whose figures differ."""
    found: dict[str, Any] = next(one for one in plan["jobs"] if one["job"] == job)
    return found


def test_a_new_job_and_a_changed_one_are_foreseen_and_nothing_is_done(target: Target, job_name: str) -> None:
    target.add(V3, name=job_name, schedule=FAR, command="true", cpus=0.1, mem=1, disk=1)
    before = target.call("GET", "/v1/scheduler/jobs").content
    new = f"{job_name}-new"
    question = {
        "jobs": [
            {
                "name": new,
                "schedule": "R/2026-01-01T00:00:00Z/PT10M",
                "command": "true",
                "cpus": 0.1,
                "mem": 1,
                "disk": 1,
            },
            {"name": f"{new}-child", "parents": [new], "command": "true", "cpus": 0.1, "mem": 1, "disk": 1},
            {"name": job_name, "schedule": "R/2026-01-01T00:00:00Z/PT30M"},
        ],
        "runTimes": {new: 30, f"{new}-child": 60},
        "failingJobs": {new: 0},
        "seed": 3,
    }
    plan = ask(target, **question)
    assert row(plan, new)["before"] is None
    assert 140 <= row(plan, new)["after"]["success"] <= 145
    assert 140 <= row(plan, f"{new}-child")["after"]["started"] <= 145
    assert 46 <= row(plan, job_name)["after"]["started"] <= 50
    assert {start["job"] for start in plan["starts"]} >= {new, f"{new}-child", job_name}
    assert plan["after"]["share"][0]["cpus"] > 0
    assert target.call("GET", "/v1/scheduler/jobs").content == before
    assert target.call("GET", "/api/runs", params={"job": new}).json()["runs"] == []


def test_agents_that_go_leave_work_waiting_with_a_cause(target: Target, job_name: str) -> None:
    agents = target.call("GET", "/api/resources?agents=true").json()["byAgent"]
    job = {
        "name": job_name,
        "schedule": "R/2026-01-01T00:00:00Z/PT1H",
        "command": "true",
        "cpus": 0.1,
        "mem": 1,
        "disk": 1,
    }
    gone = ask(target, jobs=[job], removeAgents=[{"agent": agent["agent"]} for agent in agents])
    assert gone["after"]["started"] == 0
    assert gone["after"]["waitingAtEnd"] > 0
    assert gone["after"]["share"][-1]["cpus"] is None
    come = ask(
        target,
        jobs=[job],
        removeAgents=[{"agent": agent["agent"]} for agent in agents],
        addAgents=[{"cpus": 4, "mem": 4096, "count": 2}],
    )
    assert row(come, job_name)["after"]["started"] >= 23
    assert {start["agent"] for start in come["starts"]} <= {"new-agent-1", "new-agent-2"}


@pytest.mark.parametrize(
    ("question", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"from": "2020-01-01"}, "from"),
        ({"to": "2020-01-01"}, "to"),
        ({"to": "2999-01-01"}, "to"),
        ({"seed": -1}, "seed"),
        ({"failing": 1.5}, "failing"),
        ({"unknown": 1}, "unknown"),
        ({"jobs": [{"name": "x", "schedule": "R/x/y"}]}, "schedule"),
        ({"jobs": [{"name": "x", "colour": "red", "schedule": "R//PT1H"}]}, "jobs.colour"),
        ({"remove": ["no such job"]}, "remove"),
        ({"addAgents": [{"cpus": 1}]}, "addAgents.0.mem"),
        ({"removeAgents": [{"agent": "nobody"}]}, "removeAgents.0.agent"),
        ({"bucket": 1}, "bucket"),
    ],
)
def test_a_wrong_question_is_refused_with_its_field(target: Target, question: dict[str, Any], field: str) -> None:
    answer = target.call("POST", "/api/plan", json=question)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"].get("field") == field, answer.text


def test_parents_that_are_nowhere_are_refused(target: Target, job_name: str) -> None:
    question = {"jobs": [{"name": job_name, "parents": ["nowhere"], "command": "true"}]}
    answer = target.call("POST", "/api/plan", json=question)
    assert answer.status_code == 400
    assert "nowhere" in answer.json()["error"]["message"]
