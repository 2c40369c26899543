"""/api/jobs/immediate: documents in, one answer for all of them, and looking for what became of them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronos_py.api.backend import ApiSettings
from chronos_py.errors import InvalidInput
from chronos_py.model.documents import JobDefaults, read_job
from chronos_py.model.immediate_documents import MOST, read_immediate
from chronos_py.model.job import Avoid, Constraint, Fetch, OnUncertain, Pair, Variable
from chronos_py.model.messages import StopImmediate, SubmitImmediate
from chronos_py.model.run import Ended, Outcome, Phase
from tests.api.backend import FakeBackend, a_client
from tests.fakes import NEW_YEAR

PATH = "/api/jobs/immediate"
FULL: dict[str, Any] = {
    "id": "a-1", "name": "cut", "command": "cut", "shell": True, "arguments": ["-x"], "owner": "me",
    "environmentVariables": [{"name": "A", "value": "b"}], "uris": ["u"], "fetch": [{"uri": "f"}],
    "container": {"image": "i", "type": "DOCKER"}, "constraints": [["dc", "EQUALS", "a"]],
    "cpus": 2, "mem": 64, "disk": 5, "gpus": 1, "ports": 2, "priority": 7, "labels": {"k": "v"},
    "retries": 3, "retryDelay": 1, "retryBackoff": 2, "retryMaxDelay": 60, "maxCompletionTime": 9, "killGrace": 4,
    "preemptible": True, "avoidFailedAgents": "hard", "onUncertain": "skip", "runAsUser": "nobody", "retention": 30,
    "description": "d", "ownerName": "n", "highPriority": False,
}  # fmt: skip


def post(backend: FakeBackend, document: Any, path: str = PATH, **settings: Any) -> tuple[int, Any]:
    answer = a_client(backend, ApiSettings(**settings)).post(path, json=document)
    return answer.status_code, json.loads(answer.data)


def get(backend: FakeBackend, path: str) -> tuple[int, Any]:
    answer = a_client(backend).get(path)
    return answer.status_code, json.loads(answer.data)


def test_one_and_many_are_answered_in_their_own_shape(backend: FakeBackend):
    assert post(backend, {"id": "a", "command": "true"}) == (200, {"id": "a", "run": 1})
    status, answer = post(backend, [{"id": "b", "command": "true"}, {"id": "a", "command": "true"}])
    assert (status, answer) == (200, {"jobs": [{"id": "b", "run": 2}, {"id": "a", "run": 1}]})


def test_all_that_a_run_has_can_be_asked_for(backend: FakeBackend):
    assert post(backend, FULL) == (200, {"id": "a-1", "run": 1})
    request = backend.requests[0]
    assert isinstance(request, SubmitImmediate)
    one, job = request.jobs[0], request.jobs[0].job
    assert (one.id, one.retention, job.name, job.owner, job.owner_name) == ("a-1", 30, "immediate:cut", "me", "n")
    assert (job.command, job.arguments, job.uris, job.fetch) == ("cut", ("-x",), ("u",), (Fetch("f", extract=True),))
    assert (job.environment, job.labels) == ((Variable("A", "b"),), (Pair("k", "v"),))
    assert (job.cpus, job.mem, job.disk, job.gpus, job.ports, job.priority) == (2, 64, 5, 1, 2, 7)
    assert (job.retries, job.retry_delay, job.retry_backoff, job.retry_max_delay) == (3, 1, 2, 60)
    assert (job.max_completion_time, job.kill_grace, job.preemptible) == (9, 4, True)
    assert (job.avoid_failed_agents, job.on_uncertain, job.run_as_user) == (Avoid.HARD, OnUncertain.SKIP, "nobody")
    assert job.constraints == (Constraint("dc", "EQUALS", "a"),)
    assert job.container is not None and job.container.image == "i"
    assert (job.schedule, job.parents) == (None, None)


def test_what_is_not_said_has_the_servers_defaults(backend: FakeBackend):
    defaults = JobDefaults(0.5, 10.0, 20.0, "me")
    status, answer = post(backend, {"command": "true"}, retention=77.0, defaults=defaults)
    request = backend.requests[0]
    assert isinstance(request, SubmitImmediate)
    one = request.jobs[0]
    assert status == 200 and answer["id"] == one.id and len(one.id) == 32
    assert (one.retention, one.job.name, one.job.retries) == (77, "immediate:unnamed", 2)
    assert (one.job.cpus, one.job.mem, one.job.disk, one.job.run_as_user) == (0.5, 10, 20, "me")


@pytest.mark.parametrize(
    ("document", "field", "value"),
    [
        ({"command": "x", "priority": "high"}, "priority", "high"),
        ({"command": "x", "schedule": "R/x"}, "schedule", "R/x"),
        ({"command": "x", "parents": ["a"]}, "parents", "['a']"),
        ({"command": "x", "colour": 1}, "colour", 1),
        ({"command": "x", "id": ""}, "id", ""),
        ({"command": "x", "id": "a/b"}, "id", "a/b"),
        ({"command": "x", "id": "x" * 129}, "id", "x" * 129),
        ({"command": "x", "id": 7}, "id", 7),
        ({"command": "x", "name": "a b"}, "name", "a b"),
        ({"command": "x", "retention": -1}, "retention", -1),
        ({"command": "x", "constraints": [["a", "NEAR", "b"]]}, "constraints", "NEAR"),
        ({"command": "x", "retries": "many"}, "retries", "many"),
        ({"command": "a\0b"}, "command", "a\0b"),
        ({"command": "x", "container": {}}, "container.image", None),
        ({"command": "x", "container": "i"}, "container", "i"),
        ({"command": "x", "cpus": -1}, "cpus", -1),
        ({"command": "x", "shell": "yes"}, "shell", "yes"),
        ({"command": 5}, "command", 5),
        ({"command": "x", "arguments": [1]}, "arguments", "[1]"),
        ({"command": "x", "uris": "u"}, "uris", "u"),
        ({"command": "x", "fetch": [{}]}, "fetch.uri", None),
        ({"command": "x", "constraints": "a"}, "constraints", "a"),
        ({"id": "a"}, "command", None),
    ],
)
def test_what_is_wrong_is_named_alone_and_in_a_list(backend: FakeBackend, document: Any, field: str, value: Any):
    status, answer = post(backend, document)
    assert (status, answer["error"]["field"], answer["error"]["value"]) == (400, field, value)
    good = {"command": "true"}
    status, answer = post(backend, [good, good, document, good])
    assert (status, answer["error"]["field"], answer["error"]["value"]) == (400, f"[2].{field}", value)
    assert backend.requests == []


@pytest.mark.parametrize("document", [[], "x", 5, ["x"], [[{}]], [{}] * (MOST + 1)])
def test_what_is_no_document_is_refused(backend: FakeBackend, document: Any):
    status, answer = post(backend, document)
    assert (status, answer["error"]["code"]) == (400, "invalid_input")
    assert answer["error"]["field"] in ("body", "[0]")


fields = st.fixed_dictionaries(
    {"command": st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1)},
    optional={key: st.just(FULL[key]) for key in FULL.keys() - {"command", "id", "name", "retention"}},
)


@settings(max_examples=80, deadline=None)
@given(fields)
def test_a_document_means_what_it_means_for_a_job(document: dict[str, Any]):
    defaults = JobDefaults()
    as_job = read_job({**document, "name": "n", "schedule": "R/x"}, 3, defaults, NEW_YEAR).job
    (one,), _ = read_immediate(document, defaults, 1, str)
    assert one.job == replace(as_job, name="immediate:unnamed", schedule=None)


def test_the_error_of_a_list_keeps_its_hint():
    with pytest.raises(InvalidInput, match=r"\[0\].constraints: is no operator .*; one of EQUALS"):
        read_immediate([{"command": "x", "constraints": [["a", "NEAR", "b"]]}], JobDefaults(), 1, str)


# --- to know


@pytest.fixture
def some(backend: FakeBackend) -> FakeBackend:
    labels = {"k": "v"}
    post(backend, [{"id": f"i{n}", "command": "true", "owner": f"o{n % 2}", "labels": labels} for n in range(5)])
    run = backend.view.immediate.get("i0")
    assert run is not None
    ended = Ended(Outcome.FAILED, NEW_YEAR + 1000, NEW_YEAR + 61_000, 2, "why", "exit 1")
    backend.view.immediate.put(replace(run, phase=Phase.ENDED, ended=ended))
    backend.requests.clear()
    return backend


def ids(answer: Any) -> list[str]:
    return [job["id"] for job in answer["jobs"]]


def test_the_status_of_one(some: FakeBackend):
    status, answer = get(some, f"{PATH}/i0")
    assert status == 200
    assert (answer["state"], answer["exitReason"], answer["attempts"]) == ("failed", "exit 1", 2)
    assert answer["keptUntil"] == "2026-01-01T00:01:01.000Z"
    assert get(some, f"{PATH}/i1")[1]["state"] == "queued"
    assert get(some, f"{PATH}/x")[0] == 404


def test_many_are_listed_by_page_and_by_what_they_are(some: FakeBackend):
    _, page = get(some, f"{PATH}?limit=2")
    assert (page["total"], ids(page), page["byState"]) == (5, ["i4", "i3"], {"queued": 4, "failed": 1})
    _, page = get(some, f"{PATH}?limit=2&cursor={page['cursor']}")
    assert ids(page) == ["i2", "i1"]
    _, page = get(some, f"{PATH}?limit=2&cursor={page['cursor']}")
    assert (ids(page), page["cursor"]) == (["i0"], None)
    assert ids(get(some, f"{PATH}?owner=o1")[1]) == ["i3", "i1"]
    assert ids(get(some, f"{PATH}?label=k=v&state=ended")[1]) == ["i0"]
    assert ids(get(some, f"{PATH}?state=active,failed&owner=o0")[1]) == ["i4", "i2", "i0"]
    assert get(some, f"{PATH}?limit=0")[1]["total"] == 5
    assert ids(get(some, f"{PATH}?name=other")[1]) == []


def test_many_are_told_of_by_id(some: FakeBackend):
    _, answer = get(some, f"{PATH}?ids=i3,x,i0")
    assert (ids(answer), answer["notFound"]) == (["i3", "i0"], ["x"])
    assert post(some, {"ids": ["i3", "x", "i0"]}, f"{PATH}/status") == (200, answer)


@pytest.mark.parametrize("query", ["state=asleep", "label=k", "label==v", "limit=x", "limit=1001", "cursor=0"])
def test_a_wrong_query_is_refused(some: FakeBackend, query: str):
    status, answer = get(some, f"{PATH}?{query}")
    assert (status, answer["error"]["field"]) == (400, query.partition("=")[0])


# --- to stop


def test_which_to_stop(some: FakeBackend):
    status, answer = post(some, {"ids": ["i1", "x"], "labels": {"k": "v"}}, f"{PATH}/kill")
    assert (status, answer) == (200, {"stopped": ["i1"], "forgotten": [], "notFound": ["x"]})
    assert some.requests == [StopImmediate(["i1", "x"], (Pair("k", "v"),), forget=False)]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "ids"), ({"ids": "a"}, "ids"), ({"ids": [1]}, "ids"), ({"labels": {}}, "ids"), ({"labels": "k"}, "labels"),
        ({"ids": ["a"], "forget": 1}, "forget"), ({"name": "a"}, "name"), ([], "body"),
    ],
)  # fmt: skip
def test_nothing_is_stopped_for_an_order_that_is_wrong(some: FakeBackend, document: Any, field: str):
    status, answer = post(some, document, f"{PATH}/kill")
    assert (status, answer["error"]["field"], some.requests) == (400, field, [])


def test_one_is_deleted(some: FakeBackend):
    client = a_client(some)
    assert client.delete(f"{PATH}/i1").status_code == 204
    assert some.requests == [StopImmediate(("i1",), (), forget=True)]
    assert client.delete(f"{PATH}/x").status_code == 404


def test_a_job_called_immediate_can_still_be_reached(backend: FakeBackend):
    client = a_client(backend)
    job = {"name": "immediate", "command": "true", "schedule": "R/2090-01-01T00:00:00Z/P1D"}
    assert client.post("/v1/scheduler/iso8601", json=job).status_code == 204
    assert client.get("/v1/scheduler/job/immediate").status_code == 200
    assert client.patch("/api/jobs/immediate", json={"priority": 3}).status_code == 204
    assert json.loads(client.get("/api/jobs").data)["jobs"][0]["name"] == "immediate"
    assert json.loads(client.get(PATH).data)["total"] == 0
