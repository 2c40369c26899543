"""Every situation of the status table, in both lines. Where ours differs from the original, the case says `ours`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
import requests

from compat_tests.lines import FAR, JSON, V2, V3, Line, Target

Body = Any


@dataclass(frozen=True)
class Case:
    """A request and, for each line, what comes back: status and shape (text, json, empty, page)."""

    id: str
    method: str
    path: str
    body: Body = None
    two: tuple[int, str] = (204, "empty")
    three: tuple[int, str] = (204, "empty")
    headers: Any = None


def scheduled(**changes: Any) -> dict[str, Any]:
    return {"name": "{name}", "command": "true", "schedule": FAR, **changes}


def dependent(**changes: Any) -> dict[str, Any]:
    return {"name": "{name}", "command": "true", "parents": ["{name}-parent"], **changes}


OK, PAGE = (204, "empty"), (500, "page")
TEXT, OBJECT, EMPTY = (400, "text"), (400, "json"), (400, "empty")
CREATE, CHILD = "/iso8601", "/dependency"

NEW = [
    Case("create", "POST", CREATE, scheduled()),
    Case("create-now", "POST", CREATE, {"name": "{name}", "command": "true"}),
    Case("put-create", "PUT", CREATE, scheduled(), OK, (405, "empty")),
    Case("bad-name", "POST", CREATE, scheduled(name="{name}!"), TEXT, OBJECT),
    Case("blank-name", "POST", CREATE, scheduled(name="{name}- a"), OK, OBJECT),
    Case("hash-name", "POST", CREATE, scheduled(name="{name}-#a"), OK, OBJECT),
    Case("empty-name", "POST", CREATE, scheduled(name=""), TEXT, OBJECT),
    Case("bad-schedule", "POST", CREATE, scheduled(schedule="R/nonsense/P1D"), EMPTY, OBJECT),
    Case("cron-schedule", "POST", CREATE, scheduled(schedule="* * * * *"), EMPTY, OBJECT),
    Case("null-schedule", "POST", CREATE, scheduled(schedule=None), EMPTY, OBJECT),
    Case("before-1970", "POST", CREATE, scheduled(schedule="R1/1969-12-31T00:00:00Z/PT1S"), OK, OBJECT),
    Case("one-second-in", "POST", CREATE, scheduled(schedule="R0/1970-01-01T00:00:01Z/PT1S"), OK, OK),
    Case("uris-and-fetch", "POST", CREATE, scheduled(uris=["/a"], fetch=[{"uri": "/b"}]), EMPTY, OBJECT),
    Case("dependency-no-parents", "POST", CHILD, dependent(parents=[]), (500, "empty"), (500, "json")),
    Case("dependency-null-parents", "POST", CHILD, dependent(parents=None), (500, "empty"), (500, "json")),
    Case("ours-unknown-parent", "POST", CHILD, dependent(parents=["{name}-nobody"]), TEXT, OBJECT),
    Case("ours-self-parent", "POST", CHILD, dependent(parents=["{name}"]), TEXT, OBJECT),
    Case("empty-body", "POST", CREATE, b"", (500, "empty"), (500, "json"), JSON),
    Case("null-body", "POST", CREATE, b"null", (500, "empty"), (500, "json"), JSON),
    Case("malformed", "POST", CREATE, b'{"name":', PAGE, PAGE, JSON),
    Case("single-quotes", "POST", CREATE, b"{'name': 1}", PAGE, PAGE, JSON),
    Case("trailing-comma", "POST", CREATE, b'{"name":"a",}', PAGE, PAGE, JSON),
    Case("bad-utf8", "POST", CREATE, b'{"name":"\xff"}', PAGE, PAGE, JSON),
    Case("array-body", "POST", CREATE, [], PAGE, PAGE),
    Case("text-body", "POST", CREATE, "x", PAGE, PAGE),
    Case("number-body", "POST", CREATE, 5, PAGE, PAGE),
    Case("no-name", "POST", CREATE, {"command": "true", "schedule": FAR}, PAGE, PAGE),
    Case("ours-no-command", "POST", CREATE, {"name": "{name}", "schedule": FAR}, OK, OK),
    Case("parents-to-iso8601", "POST", CREATE, dependent(), PAGE, PAGE),
    Case("schedule-to-dependency", "POST", CHILD, scheduled(), PAGE, PAGE),
    Case("now-to-dependency", "POST", CHILD, {"name": "{name}", "command": "true"}, PAGE, PAGE),
    Case("bad-network", "POST", CREATE, scheduled(container={"image": "a", "network": "host"}), PAGE, PAGE),
    Case("user-network", "POST", CREATE, scheduled(container={"image": "a", "network": "USER"}), PAGE, OK),
    Case("bad-mode", "POST", CREATE,
         scheduled(container={"image": "a", "volumes": [{"containerPath": "/a", "mode": "x"}]}), PAGE, PAGE),
    Case("volume-no-path", "POST", CREATE, scheduled(container={"image": "a", "volumes": [{}]}), PAGE, PAGE),
    Case("bad-container-type", "POST", CREATE, scheduled(container={"image": "a", "type": "x"}), OK, PAGE),
    Case("container-no-image", "POST", CREATE, scheduled(container={}), PAGE, OK),
    Case("container-null", "POST", CREATE, scheduled(container=None), PAGE, OK),
    Case("env-map", "POST", CREATE, scheduled(environmentVariables={"A": "b"}), PAGE, PAGE),
    Case("env-text", "POST", CREATE, scheduled(environmentVariables="A=b"), PAGE, PAGE),
    Case("env-no-value", "POST", CREATE, scheduled(environmentVariables=[{"name": "A"}]), PAGE, PAGE),
    Case("env-null", "POST", CREATE, scheduled(environmentVariables=None)),
    Case("short-constraint", "POST", CREATE, scheduled(constraints=[["rack"]]), PAGE, PAGE),
    Case("constraint-no-value", "POST", CREATE, scheduled(constraints=[["rack", "EQUALS"]]), PAGE, PAGE),
    Case("constraint-bad-regex", "POST", CREATE, scheduled(constraints=[["rack", "LIKE", "("]]), PAGE, PAGE),
    Case("ours-unknown-operator", "POST", CREATE, scheduled(constraints=[["rack", "NEAR", "a"]]), TEXT, OBJECT),
    Case("fetch-no-object", "POST", CREATE, scheduled(fetch=["/a"]), PAGE, PAGE),
    Case("bad-epsilon", "POST", CREATE, scheduled(epsilon="5 minutes"), PAGE, OK),
    Case("null-epsilon", "POST", CREATE, scheduled(epsilon=None), PAGE, OK),
    Case("ours-unknown-zone", "POST", CREATE, scheduled(scheduleTimeZone="No/Where"), TEXT, OBJECT),
    Case("ours-zero-period", "POST", CREATE, scheduled(schedule="R//PT0S"), TEXT, OBJECT),
    Case("ours-negative-period", "POST", CREATE, scheduled(schedule="R//P-1D"), TEXT, OBJECT),
    Case("ours-field", "POST", CREATE, scheduled(retryDelay="soon"), TEXT, OBJECT),
    Case("once-zero-period", "POST", CREATE, scheduled(schedule="R0//P", disabled=True)),
    Case("form-type", "POST", CREATE, b"{}", (415, "empty"), (415, "empty"),
         {"Content-Type": "application/x-www-form-urlencoded"}),
    Case("no-type", "POST", CREATE, b"{}", (415, "empty"), (415, "empty"), {"Content-Type": None}),
    Case("json-with-charset", "POST", CREATE, json.dumps(scheduled()).encode(), OK, OK,
         {"Content-Type": "application/json; charset=utf-8"}),
    Case("text-json-iso8601", "POST", CREATE, json.dumps(scheduled()).encode(), (415, "empty"), (415, "empty"),
         {"Content-Type": "text/json"}),
]  # fmt: skip

UNKNOWN = [
    Case("delete-unknown", "DELETE", "/job/{name}", None, TEXT, OBJECT),
    Case("run-unknown", "PUT", "/job/{name}", None, TEXT, OBJECT),
    Case("delete-with-a-slash", "DELETE", "/job/{name}%2Fa", None, TEXT, OBJECT),
    Case("stat-unknown", "GET", "/job/stat/{name}", None, TEXT, OBJECT),
    Case("get-unknown", "GET", "/job/{name}", None, (405, "empty"), OBJECT),
    Case("kill-unknown", "DELETE", "/task/kill/{name}", None, (500, "empty"), OBJECT),
    Case("progress-unknown", "POST", "/job/{name}/task/ct:1:0:{name}:/progress", {"numAdditionalElementsProcessed": 1},
         TEXT, OBJECT),
    Case("success-unknown", "PUT", "/job/success/{name}", None, (200, "text"), (200, "text")),
    Case("no-such-percentile", "GET", "/stats/50thPercentile", None, (200, "[]"), (200, "[]")),
    Case("limit-abc", "GET", "/jobs/search?limit=abc", None, (404, "empty"), (404, "empty")),
    Case("limit-empty", "GET", "/jobs/search?limit=&name={name}", None, (200, "[]"), (200, "[]")),
    Case("unknown-path", "GET", "/nothing", None, (404, "empty"), (404, "empty")),
    Case("summary", "GET", "/jobs/summary", None, (404, "empty"), (200, "json")),
    Case("patch", "PATCH", "/job/{name}", None, (405, "empty"), (405, "empty")),
    Case("get-type-form", "GET", "/jobs", None, (415, "empty"), (415, "empty"), {"Content-Type": "text/plain"}),
    Case("accept-text-on-json", "GET", "/jobs", None, (406, "empty"), (406, "empty"), {"Accept": "text/plain"}),
    Case("accept-json-on-csv", "GET", "/graph/csv", None, (406, "empty"), (406, "empty"),
         {"Accept": "application/json"}),
    Case("kill-any-type", "DELETE", "/task/kill/{name}", None, (500, "empty"), OBJECT, {"Content-Type": "text/plain"}),
    Case("task-all", "DELETE", "/task/all", None, OK, (404, "empty")),
    Case("task-delete", "DELETE", "/task/ct:1:0:{name}:", None, (405, "empty"), (404, "empty")),
    Case("async-unknown", "PUT", "/task/ct:1:0:{name}:", {"statusCode": 0}, OK, (404, "empty")),
    Case("async-garbage", "PUT", "/task/garbage", {"statusCode": 0}, OK, (404, "empty")),
    Case("async-extra-key", "PUT", "/task/garbage", {"statusCode": 0, "x": 1}, PAGE, (404, "empty")),
    Case("async-huge", "PUT", "/task/garbage", {"statusCode": 10**30}, PAGE, (404, "empty")),
    Case("async-empty", "PUT", "/task/garbage", b"", (500, "empty"), (404, "empty"), JSON),
]  # fmt: skip


def filled(value: Any, name: str) -> Any:
    if isinstance(value, bytes):
        return value.replace(b"{name}", name.encode())
    return json.loads(json.dumps(value).replace("{name}", name))


def send(target: Target, line: Line, case: Case, name: str) -> requests.Response:
    options: dict[str, Any] = {}
    body = filled(case.body, name)
    if isinstance(body, bytes):
        options["data"] = body
    elif body is not None:
        options["json"] = body
    if case.headers is not None:
        options["headers"] = case.headers
    return target.call(case.method, line.prefix + case.path.replace("{name}", name), **options)


def check(answer: requests.Response, expected: tuple[int, str]) -> None:
    status, shape = expected
    assert answer.status_code == status, (answer.status_code, answer.text[:300])
    if shape == "empty":
        assert answer.content == b""
    elif shape == "page":
        assert answer.headers["Content-Type"] == "text/html;charset=ISO-8859-1"
        assert b"HTTP ERROR: 500" in answer.content
        assert b"message" not in answer.content
    elif shape == "json":
        assert answer.headers["Content-Type"] == "application/json"
        if status >= 400:
            assert list(answer.json()) == ["message", "status"]
            assert answer.json()["status"] in ("Bad Request", "Internal Server Error")
    elif shape == "text":
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.text
        assert not answer.text.startswith("{")
    else:
        assert answer.text == shape


def expected(case: Case, line: Line) -> tuple[int, str]:
    return case.two if line == V2 else case.three


@pytest.mark.parametrize("case", NEW, ids=lambda case: case.id)
def test_creating(target: Target, chronos_line: Line, job_name: str, case: Case) -> None:
    target.add(V2, name=f"{job_name}-parent")
    before = target.names()
    wanted = expected(case, chronos_line)
    answer = send(target, chronos_line, case, job_name)
    check(answer, wanted)
    if wanted[0] >= 400:
        assert target.names() == before


@pytest.mark.parametrize("case", UNKNOWN, ids=lambda case: case.id)
def test_asking_for_what_is_not_there(target: Target, chronos_line: Line, job_name: str, case: Case) -> None:
    check(send(target, chronos_line, case, job_name), expected(case, chronos_line))


def test_the_name_rule_is_quoted(target: Target, chronos_line: Line, job_name: str) -> None:
    answer = target.call("POST", f"{chronos_line.prefix}/iso8601", json=filled(scheduled(name="{name}!"), job_name))
    rule = r"([\w\s\.#_-]+)" if chronos_line == V2 else r"([\w\.-]+)"
    sentence = f"requirement failed: the job's name is invalid. Allowed names: '{rule}'"
    assert sentence in (answer.text if chronos_line == V2 else answer.json()["message"])


def test_the_sentences_that_clients_look_for(target: Target, chronos_line: Line, job_name: str) -> None:
    noun = "Job" if chronos_line == V2 else "JobSchedule"
    answer = target.call("DELETE", f"{chronos_line.prefix}/job/{job_name}")
    sentence = f"requirement failed: {noun} '{job_name}' not found"
    if chronos_line == V2:
        assert answer.text == sentence
    else:
        assert answer.json()["message"].startswith(f"java.lang.IllegalArgumentException: {sentence}")
        bad = target.call(
            "POST", f"{chronos_line.prefix}/iso8601", json=filled(scheduled(schedule="R/x/P1D"), job_name)
        )
        assert bad.json() == {"message": "Cannot parse schedule 'R/x/P1D' (wtf bro)", "status": "Bad Request"}
        early = filled(scheduled(schedule="R1/1960-01-01T00:00:00Z/PT1S"), job_name)
        bad = target.call("POST", f"{chronos_line.prefix}/iso8601", json=early)
        assert bad.json()["message"] == "Scheduled start date '1960-01-01T00:00:00.000Z' is before 1970!"
        both = filled(scheduled(uris=["/a"], fetch=[{"uri": "/b"}]), job_name)
        bad = target.call("POST", f"{chronos_line.prefix}/iso8601", json=both)
        assert bad.json()["message"] == f"Tried to add both uri (deprecated) and fetch parameters on {job_name}"


UPDATES = [
    Case("same", "POST", CREATE, scheduled()),
    Case("put", "PUT", CREATE, scheduled(), OK, (405, "empty")),
    Case("bad-schedule", "POST", CREATE, scheduled(schedule="R/x/P1D"), EMPTY, OBJECT),
    Case("uris-and-fetch-unchecked", "POST", CREATE, scheduled(uris=["/a"], fetch=[{"uri": "/b"}])),
    Case("before-1970-unchecked", "POST", CREATE, scheduled(schedule="R0/1960-01-01T00:00:00Z/PT1S")),
    Case("to-dependent", "POST", CHILD, dependent()),
    Case("no-parents", "POST", CHILD, dependent(parents=[]), TEXT, OBJECT),
    Case("unknown-parent", "POST", CHILD, dependent(parents=["{name}-nobody"]), TEXT, OBJECT),
    Case("self-parent", "POST", CHILD, dependent(parents=["{name}"]), (500, "empty"), (500, "json")),
    Case("cycle", "POST", CHILD, dependent(parents=["{name}-child"]), (500, "empty"), (500, "json")),
]


@pytest.mark.parametrize("case", UPDATES, ids=lambda case: case.id)
def test_updating(target: Target, chronos_line: Line, job_name: str, case: Case) -> None:
    target.add(V3, name=f"{job_name}-parent")
    target.add(V3, name=job_name)
    target.add(V3, name=f"{job_name}-child", parents=[job_name])
    before = target.job(V3, job_name)
    wanted = expected(case, chronos_line)
    check(send(target, chronos_line, case, job_name), wanted)
    if wanted[0] >= 400:
        assert target.job(V3, job_name) == before


def test_an_old_name_can_be_updated_and_deleted_by_the_other_line(target: Target, job_name: str) -> None:
    spaced = f"{job_name}-a b#c"
    target.add(V2, name=spaced)
    target.add(V3, name=spaced, command="false")
    assert target.job(V2, spaced)["command"] == "false"
    assert target.call("DELETE", f"{V3.prefix}/job/{quote(spaced)}").status_code == 204
