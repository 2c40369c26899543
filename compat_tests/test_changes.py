"""Endpoints that change something: create, update, run, delete, mark as successful, kill, progress, callback."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
import requests

from compat_tests.dialects import FAR, JSON, V2, V3, Api, unique_name

RICH: dict[str, Any] = {
    "command": "echo child",
    "shell": False,
    "owner": "a@example.org",
    "ownerName": "Ann",
    "description": "a child",
    "retries": 5,
    "cpus": 0.5,
    "errorsSinceLastSuccess": 3,
    "successCount": 7,
    "runAsUser": "nobody",
    "environmentVariables": [{"name": "A", "value": "b"}],
    "arguments": ["x", "y"],
    "dataProcessingJobType": True,
    "constraints": [["rack", "EQUALS", "r1"]],
    "highPriority": True,
    "softError": True,
    "disabled": True,
}
CONTAINER = {"type": "DOCKER", "image": "example/image:1", "network": "BRIDGE"}


def assert_empty(answer: requests.Response, status: int = 204) -> None:
    assert (answer.status_code, answer.content) == (status, b""), answer.text[:300]
    assert answer.headers["Content-Type"] == JSON


def assert_refused(api: Api, answer: requests.Response, text: str, status: int = 400) -> None:
    """Expect a refusal in the dialect's shape that says this after `requirement failed: `."""
    assert answer.status_code == status, answer.text[:300]
    assert answer.headers["Content-Type"] == JSON
    text = f"requirement failed: {text}"
    if api.dialect == V2:
        assert answer.text == text
        return
    assert list(answer.json()) == ["message", "status"]
    assert answer.json()["message"].splitlines()[0] == f"java.lang.IllegalArgumentException: {text}"
    assert answer.json()["status"] == "Bad Request"


@pytest.mark.parametrize("query", ["", "?arguments=", "?arguments=-v%20%3B%20x", "?arguments=%20", "?other=1"])
def test_run_now(api: Api, name: str, query: str) -> None:
    api.create(name, disabled=True, arguments=["a"])
    before = api.job(name)
    assert_empty(api.send("PUT", f"/job/{name}{query}"))
    changed = {key: (value, api.job(name)[key]) for key, value in before.items() if api.job(name)[key] != value}
    assert changed.keys() <= {"schedule", "successCount", "lastSuccess"}, changed


def test_run_now_with_a_json_body_that_is_ignored(api: Api, name: str) -> None:
    api.create(name, disabled=True)
    for body in (json.dumps({"name": "other", "command": "false"}), '""', "{"):
        assert_empty(api.send("PUT", f"/job/{name}", body, {"Content-Type": JSON}))
    assert api.job(name)["command"] == "true"


def test_unknown_jobs(api: Api, name: str) -> None:
    noun = "JobSchedule" if api.dialect == V3 else "Job"
    assert_refused(api, api.send("PUT", f"/job/{name}"), f"Job '{name}' not found")
    assert_refused(api, api.get(f"/job/stat/{name}"), f"Job '{name}' not found")
    assert_refused(api, api.delete(name), f"{noun} '{name}' not found")
    if api.dialect == V3:
        assert_refused(api, api.get(f"/job/{name}"), f"Job '{name}' not found")
        assert_refused(api, api.send("DELETE", f"/task/kill/{name}"), f"JobSchedule '{name}' not found")
    else:
        assert api.get(f"/job/{name}").status_code == 405
        assert_empty(api.send("DELETE", f"/task/kill/{name}"), 500)


def test_names_are_case_sensitive(api: Api, name: str) -> None:
    api.create(name)
    assert api.delete(name.upper()).status_code == 400
    assert_empty(api.delete(name))
    assert api.find(name) is None


def test_deleting_a_dependent_job_hands_its_parents_to_its_children(api: Api, name: str) -> None:
    a, b, c, d, e = (f"{name}-{letter}" for letter in "abcde")
    api.create(a)
    api.create(b)
    api.create(c, parents=[a, b])
    api.create(d, parents=[c], **RICH)
    api.create(e, parents=[c, a])
    before = api.job(d)
    assert_empty(api.delete(c))
    assert api.find(c) is None
    after = api.job(d)
    assert sorted(after.pop("parents")) == [a, b]
    assert before.pop("parents") == [c]
    assert after == before
    assert sorted(api.job(e)["parents"]) == [a, b]
    links = [line for line in api.get("/graph/csv").text.splitlines() if line.startswith(f"link,{name}")]
    assert sorted(links) == [f"link,{a},{d}", f"link,{a},{e}", f"link,{b},{d}", f"link,{b},{e}"]


def test_deleting_a_scheduled_job_hands_its_schedule_to_its_children(api: Api, name: str) -> None:
    a, b, c, d = (f"{name}-{letter}" for letter in "abcd")
    schedule = "R5/2091-02-03T04:05:06Z/PT1H"
    api.create(a, schedule=schedule, scheduleTimeZone="Europe/Berlin")
    api.create(b)
    api.create(c, parents=[a, b], container=CONTAINER, **RICH)
    api.create(d, parents=[c])
    before = api.job(c)
    assert_empty(api.delete(a))
    after = api.job(c)
    assert (after.pop("schedule"), after.pop("scheduleTimeZone")) == (schedule, "Europe/Berlin")
    assert "parents" not in after
    before.pop("parents")
    assert after == before
    assert api.job(d)["parents"] == [c]


def test_delete_needs_no_force(api: Api, name: str) -> None:
    api.create(name)
    api.create(f"{name}-child", parents=[name])
    assert_empty(api.send("DELETE", f"/job/{name}?force=false"))
    assert api.job(f"{name}-child")["schedule"] == FAR


def test_mark_as_successful(api: Api, name: str) -> None:
    schedule = "R5/2091-02-03T04:05:06Z/PT1H"
    api.create(name, schedule=schedule, errorsSinceLastSuccess=4, errorCount=6, successCount=2)
    answer = api.send("PUT", f"/job/success/{name}")
    assert (answer.status_code, answer.text) == (200, f"marked job {name} as successful: true")
    assert answer.headers["Content-Type"] == JSON
    job = api.job(name)
    assert (job["successCount"], job["errorCount"], job["errorsSinceLastSuccess"]) == (3, 6, 0)
    assert len(job["lastSuccess"]) == len("2016-11-15T09:51:39.560Z")
    assert job["lastSuccess"].endswith("Z")
    assert job["schedule"] == schedule
    assert f"node,{name},success,idle" in api.get("/graph/csv").text.splitlines()


def test_mark_an_unknown_job(api: Api) -> None:
    nobody = unique_name()
    answer = api.send("PUT", f"/job/success/{nobody}")
    assert (answer.status_code, answer.text) == (200, f"marked job {nobody} as successful: false")


def test_kill_with_nothing_running(api: Api, name: str) -> None:
    api.create(name, successCount=1, errorCount=1)
    before = api.job(name)
    assert_empty(api.send("DELETE", f"/task/kill/{name}"))
    assert api.job(name) == before


def progress(api: Api, job: str, task: str, body: Any) -> requests.Response:
    text = body if isinstance(body, str) else json.dumps(body)
    return api.send("POST", f"/job/{job}/task/{task}/progress", text, {"Content-Type": JSON})


ADDED = "numAdditionalElementsProcessed"


def test_progress(api: Api, name: str) -> None:
    api.create(name, dataProcessingJobType=True)
    task = f"ct:1428515194358:0:{name}:"
    assert_empty(progress(api, name, task, {ADDED: 5}))
    assert_empty(progress(api, name, quote(task, safe=""), {ADDED: 0}))
    assert_empty(progress(api, name, task, {}))
    nobody = unique_name()
    answer = progress(api, nobody, task, {ADDED: 5})
    assert answer.status_code == 400
    assert f"'{nobody}' not found" in answer.text


def test_progress_that_is_refused(api: Api, name: str) -> None:
    api.create(name, dataProcessingJobType=True)
    api.create(f"{name}-plain")
    noun = "JobSchedule" if api.dialect == V3 else "Job"
    task = f"ct:1428515194358:0:{name}:"
    assert_refused(api, progress(api, name, "garbage", {ADDED: 1}), "Invalid task id format garbage")
    assert_refused(api, progress(api, name, task, {ADDED: -1}), f"{ADDED} (-1) is not positive")
    sentence = f"{noun} '{name}-plain' is not enabled to track data"
    assert_refused(api, progress(api, f"{name}-plain", task, {ADDED: 1}), sentence)
    assert progress(api, name, task, "").status_code == 500
    page = progress(api, name, task, {ADDED: 1, "other": 2})
    assert page.status_code == 500
    assert page.headers["Content-Type"] == "text/html;charset=ISO-8859-1"


def test_callback(api: Api, name: str) -> None:
    if api.dialect == V3:
        answer = api.post("/task/ct:1:0:x:", {"statusCode": 0}, "PUT")
        assert (answer.status_code, answer.content) == (404, b"")
        return
    api.create(name)
    before = api.job(name)
    for task in (f"ct:1428515194358:0:{name}:", quote(f"ct:1428515194358:0:{name}:", safe=""), "garbage"):
        for body in ({"statusCode": 0}, {"statusCode": 7}, {}):
            assert_empty(api.post(f"/task/{task}", body, "PUT"))
    assert api.job(name) == before
    strict = api.post("/task/garbage", {"statusCode": 0, "other": 1}, "PUT")
    assert strict.status_code == 500
    assert strict.headers["Content-Type"] == "text/html;charset=ISO-8859-1"
    assert_empty(api.send("PUT", "/task/garbage", "", {"Content-Type": JSON}), 500)
    refused = api.send("DELETE", "/task/garbage")
    assert (refused.status_code, refused.content) == (405, b"")


def test_purge(api: Api) -> None:
    if api.dialect == V3:
        pytest.skip("2.x only")
    assert_empty(api.send("DELETE", "/task/all"))
