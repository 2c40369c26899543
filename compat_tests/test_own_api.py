"""The paths below /api: what Chronos never had."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from compat_tests.lines import FAR, V2, V3, Target

PATIENCE_S = 30


@pytest.fixture(autouse=True)
def ours(target: Target) -> None:
    if target.call("GET", "/api/openapi.json").status_code == 404:
        pytest.skip("the server has no /api")


def wait_for_run(target: Target, job: str, state: str = "ended") -> dict[str, Any]:
    """Return the job's newest run once it is in a state."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        runs: list[dict[str, Any]] = target.call("GET", "/api/runs", params={"job": job}).json()["runs"]
        if runs and runs[0]["state"] == state:
            return runs[0]
        assert time.monotonic() < deadline, runs
        time.sleep(0.05)


def test_a_run_its_attempts_and_its_output(target: Target, job_name: str) -> None:
    target.add(V3, name=job_name, schedule="R1//P", command="printf 'abc\\ndef'; echo no >&2; exit 3", retries=0)
    run = wait_for_run(target, job_name)
    assert (run["outcome"], run["trigger"], run["attempts"]) == ("failed", "schedule", 1)
    whole = target.call("GET", f"/api/runs/{run['run']}").json()
    attempt = whole["attemptList"][0]
    assert (attempt["exitCode"], attempt["state"], attempt["taskId"]) == (3, "TASK_FAILED", run["taskId"])
    output = f"/api/runs/{run['run']}/attempts/0"
    assert target.call("GET", f"{output}/stdout").text == "abc\ndef"
    assert target.call("GET", f"{output}/stderr").text == "no\n"
    part = target.call("GET", f"{output}/stdout?offset=2&length=3")
    assert (part.text, part.headers["X-Offset"], part.headers["X-Size"]) == ("c\nd", "2", "7")
    assert target.call("GET", f"{output}/stdout?offset=-3").text == "def"
    assert target.call("GET", f"{output}/stdout?follow=0").text == "abc\ndef"
    assert target.call("GET", f"{output}/stdout?follow=maybe").status_code == 400
    assert target.call("GET", f"/api/runs/{run['run']}/attempts/7/stdout").status_code == 404


def test_output_is_followed_to_its_end(target: Target, job_name: str) -> None:
    target.add(V3, name=job_name, schedule="R1//P", command="echo one; sleep 1; echo two")
    run = wait_for_run(target, job_name, "running")
    url = f"{target.url}/api/runs/{run['run']}/attempts/0/stdout?follow=1"
    with requests.get(url, stream=True, timeout=PATIENCE_S) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        text = b"".join(answer.iter_content(None)).decode()
    assert text.index('"one\\n"') < text.index('"two\\n"') < text.index("event: end")


def test_runs_are_filtered_and_paged(target: Target, job_name: str) -> None:
    target.add(V3, name=job_name, command="true", owner="api@example.org")
    for _ in range(3):
        target.call("PUT", f"{V3.prefix}/job/{job_name}")
        wait_for_run(target, job_name)
    query = {"job": job_name, "outcome": "success", "trigger": "manual", "owner": "api@example.org", "limit": "2"}
    page = target.call("GET", "/api/runs", params=query).json()
    rest = target.call("GET", "/api/runs", params={**query, "cursor": page["cursor"]}).json()
    numbers = [run["run"] for run in page["runs"] + rest["runs"]]
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) == 3
    for wrong in ({"outcome": "nice"}, {"limit": "0"}, {"from": "yesterday"}, {"state": "x"}):
        answer = target.call("GET", "/api/runs", params=wrong)
        assert answer.status_code == 400
        assert answer.json()["error"]["field"] == next(iter(wrong))
    assert target.call("GET", "/api/runs/1180591620717411303424").status_code == 404
    assert target.call("GET", "/api/runs/999999999/why").status_code == 404


def test_a_waiting_run_says_why_and_can_be_stopped(target: Target, job_name: str) -> None:
    target.add(V3, name=job_name, cpus=100_000)
    target.call("PUT", f"{V3.prefix}/job/{job_name}")
    run = wait_for_run(target, job_name, "queued")
    why = target.call("GET", f"/api/runs/{run['run']}/why").json()
    assert why["code"] == "no_fit"
    assert "not enough cpus" in why["sentence"]
    assert "cpus:100000" in why["detail"]["need"]
    queue = target.call("GET", "/api/queue").json()
    assert run["run"] in [entry["run"] for entry in queue["runs"]]
    assert target.call("GET", f"/api/jobs/{job_name}/why").json()["waiting"][0]["run"] == run["run"]
    assert target.call("DELETE", f"/api/runs/{run['run']}").status_code == 204
    assert wait_for_run(target, job_name)["outcome"] == "killed"
    assert target.call("DELETE", f"/api/runs/{run['run']}").status_code == 404


def test_a_waiting_run_jumps_the_queue(target: Target, job_name: str) -> None:
    names = [f"{job_name}-{number}" for number in range(3)]
    for name in names:
        target.add(V3, name=name, cpus=100_000)
        target.call("PUT", f"{V3.prefix}/job/{name}")
    runs = [wait_for_run(target, name, "queued")["run"] for name in names]

    def order() -> list[int]:
        return [run["run"] for run in target.call("GET", "/api/queue").json()["runs"] if run["run"] in runs]

    assert order() == runs
    assert target.call("PATCH", f"/api/runs/{runs[2]}", json={"priority": 7}).status_code == 204
    assert order() == [runs[2], runs[0], runs[1]]
    assert target.call("PATCH", f"/api/jobs/{names[1]}", json={"priority": 8}).status_code == 204
    assert order() == [runs[1], runs[2], runs[0]]
    for wrong in ({"priority": "x"}, {"priority": None}, {"state": "queued"}):
        answer = target.call("PATCH", f"/api/runs/{runs[0]}", json=wrong)
        assert (answer.status_code, answer.json()["error"]["field"]) == (400, next(iter(wrong)))
    assert target.call("PATCH", "/api/runs/999999999", json={"priority": 1}).status_code == 404
    for run in runs:
        assert target.call("DELETE", f"/api/runs/{run}").status_code == 204


def test_single_fields_are_changed_and_nothing_else(target: Target, job_name: str) -> None:
    target.add(V2, name=job_name, epsilon="PT5M", retries=7, environmentVariables=[{"name": "A", "value": "b"}])
    assert target.call("PATCH", f"/api/jobs/{job_name}", json={"owner": "me", "retries": None}).status_code == 204
    job = target.job(V2, job_name)
    assert (job["owner"], job["retries"], job["epsilon"], job["schedule"]) == ("me", 2, "PT5M", FAR)
    assert job["environmentVariables"] == [{"name": "A", "value": "b"}]
    before = target.job(V2, job_name)
    for wrong in ({"nonsense": 1}, {"name": "other"}, {"retryDelay": "x"}, {"epsilon": "zz"}, {"schedule": "R/x/P1D"}):
        answer = target.call("PATCH", f"/api/jobs/{job_name}", json=wrong)
        assert answer.status_code == 400, wrong
        assert answer.json()["error"]["field"] == next(iter(wrong))
    assert target.job(V2, job_name) == before
    assert target.call("PATCH", f"/api/jobs/{job_name}-none", json={}).status_code == 404


def test_our_own_fields_are_shown_only_when_set(target: Target, job_name: str) -> None:
    own = {"priority": 5, "retryDelay": 1.5, "catchUp": "all", "onUncertain": "skip", "killGrace": 2.0}
    own |= {"gpus": 2.0, "ports": 3, "avoidFailedAgents": "hard", "labels": {"channel": "news"}, "preemptible": True}
    target.add(V3, name=job_name, **own)
    job = target.job(V3, job_name)
    assert {key: job[key] for key in own} == own
    target.add(V3, name=job_name)
    assert not own.keys() & target.job(V3, job_name).keys()


def test_jobs_are_listed_by_page_and_filter(target: Target, job_name: str) -> None:
    target.add(V3, name=job_name, owner="list@example.org")
    target.add(V3, name=f"{job_name}-child", parents=[job_name], owner="list@example.org")
    listed = target.call("GET", "/api/jobs", params={"owner": "list@example.org", "kind": "dependent"}).json()
    assert (listed["total"], listed["jobs"][0]["name"]) == (1, f"{job_name}-child")
    one = target.call("GET", f"/api/jobs/{job_name}").json()
    assert (one["nextDue"], one["state"], one["status"]) == ("2035-01-01T00:00:00.000Z", "idle", "fresh")


def test_the_api_describes_itself(target: Target) -> None:
    document = target.call("GET", "/api/openapi.json").json()
    assert document["openapi"].startswith("3.")
    assert {"Job", "Run", "Attempt", "Error"} <= document["components"]["schemas"].keys()
    assert "schedule" in document["components"]["schemas"]["Job"]["properties"]
    assert "/api/runs/{run}" in document["paths"]
    page = target.call("GET", "/api/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "http://" not in page.text.replace("http://www.w3.org", "")


def test_a_run_is_counted_with_its_waits_and_its_exit(target: Target, job_name: str) -> None:
    target.add(V3, name=job_name, schedule="R1//P", command="sleep 0.3; exit 3", retries=0, startWithin=PATIENCE_S)
    wait_for_run(target, job_name)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        form = target.call("GET", "/api/statistics", params={"job": job_name, "by": "exit", "per": "day"}).json()
        if form["rows"] and form["rows"][0]["launched"]:
            break
        assert time.monotonic() < deadline, form
        time.sleep(0.05)
    (row,) = form["rows"]
    assert (row["exit"], row["due"], row["failed"], row["launched"], row["attemptsFailed"]) == ("exit 3", 1, 1, 1, 1)
    assert row["wait"]["count"] == row["runTime"]["count"] == 1
    assert row["runTime"]["max"] >= 250
    assert row["slo"]["startWithin"]["kept"] == 1
    text = target.call("GET", "/api/statistics", params={"job": job_name, "by": "host", "format": "csv"}).text
    assert text.splitlines()[0].startswith("host,due,success,failed")


def test_resources_tell_of_a_task_while_it_runs_and_of_runs_that_wait(target: Target, job_name: str) -> None:
    target.add(V3, name=job_name, schedule="R1//P", command="sleep 60", cpus=0.2)
    run = wait_for_run(target, job_name, "running")
    form = target.call("GET", "/api/resources", params={"cpus": 0.1, "mem": 1, "agents": "true"}).json()
    try:
        assert form["agents"] == len(form["byAgent"]) >= 1
        assert form["running"] >= 1
        assert form["usedByUs"]["cpus"] >= 0.2
        assert form["used"]["cpus"] >= form["usedByUs"]["cpus"]
        assert form["slots"] == sum(agent["slots"] for agent in form["byAgent"])
        assert form["free"]["cpus"] <= form["total"]["cpus"] - form["used"]["cpus"] + 1e-6
    finally:
        target.call("DELETE", f"/api/runs/{run['run']}")
