"""Making jobs, checking what would be saved, schedules, revisions."""

from __future__ import annotations

import json

import pytest

from chronos_py.edits import AUTHOR
from chronos_py.model.revision import Author, Revision, definition
from tests.api.test_runs import submit

JOB = {"name": "a", "command": "true", "schedule": "R/2030-01-01T00:00:00Z/P1D"}


def problems(client, **body):
    answer = client.post("/api/validate", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json["valid"] == (not answer.json["problems"])
    return {problem["field"]: problem["message"] for problem in answer.json["problems"]}


def test_a_job_is_made_once(client, backend):
    answer = client.post("/api/jobs", json=JOB)
    assert answer.status_code == 201
    assert answer.headers["ETag"] == client.get("/api/jobs/a").headers["ETag"]
    again = client.post("/api/jobs", json=JOB | {"command": "false"})
    assert (again.status_code, again.json["error"]["code"]) == (409, "job_exists")
    assert backend.view.jobs["a"].job.command == "true"


def test_fields_of_both_lines_are_taken(client, backend):
    assert client.post("/api/jobs", json=JOB | {"epsilon": "PT15M", "async": True}).status_code == 201
    job = backend.view.jobs["a"].job
    assert (job.epsilon, job.is_async) == ("PT15M", True)


@pytest.mark.parametrize("change", [{"nonsense": 1}, {"schedule": None}, {"name": None}, {"epsilon": "soon"}])
def test_what_cannot_be_made(client, backend, change):
    assert client.post("/api/jobs", json=JOB | change).status_code == 400
    assert not backend.view.jobs


def test_checking_changes_nothing(client, backend):
    assert problems(client, document=JOB) == {}
    assert not backend.view.jobs
    submit(client, **JOB)
    assert problems(client, name="a", changes={"command": "false"}) == {}
    assert backend.view.jobs["a"].job.command == "true"


def test_every_wrong_field_is_told(client):
    found = problems(
        client,
        document={"name": "no!", "schedule": "daily", "priority": "x", "gpus": -1, "nonsense": 1, "parents": None},
    )
    assert set(found) == {"name", "schedule", "priority", "gpus", "nonsense"}
    submit(client, **JOB)
    found = problems(
        client, name="a", changes={"schedule": "R/2030-01-01T00:00:00Z/P1D", "retryDelay": -1, "name": "b"}
    )
    assert set(found) == {"retryDelay", "name"}
    assert set(problems(client, name="a", changes={"parents": ["nobody"]})) == {"parents"}
    assert set(problems(client, document=JOB)) == {"name"}


def test_a_check_of_nobody(client):
    assert client.post("/api/validate", json={"name": "nobody", "changes": {}}).status_code == 404
    for body in ([], {"name": "a"}, {"document": 1}, {"document": {}, "more": 1}):
        assert client.post("/api/validate", json=body).status_code in (400, 404)


def test_due_times_over_summer_time(client, backend):
    found = client.get("/api/schedule?schedule=R5/2030-03-30T12:00:00/P1D&zone=Europe/Berlin&count=3").json
    assert [time["at"] for time in found["times"]] == [
        "2030-03-30T11:00:00.000Z",
        "2030-03-31T10:00:00.000Z",
        "2030-04-01T10:00:00.000Z",
    ]
    assert [time["note"] for time in found["times"]] == ["", "the clocks were changed by +1 h", ""]
    assert (found["runs"], found["passed"]) == (5, 0)


def test_due_times_that_are_over(client, backend):
    found = client.get("/api/schedule?schedule=R3/2020-01-01T00:00:00Z/P1D").json
    assert (found["passed"], found["times"]) == (3, [])


@pytest.mark.parametrize(
    "query", ["schedule=daily", "", "schedule=R//PT0S", "schedule=R//P1D&zone=Mars", "schedule=R//P1D&count=0"]
)
def test_schedules_that_are_none(client, query):
    assert client.get(f"/api/schedule?{query}").status_code == 400


def test_the_second_of_two_editors_is_told(client, backend):
    submit(client, **JOB)
    etag = client.get("/api/jobs/a").headers["ETag"]
    assert client.patch("/api/jobs/a", json={"owner": "x"}, headers={"If-Match": etag}).status_code == 204
    answer = client.patch("/api/jobs/a", json={"owner": "y"}, headers={"If-Match": etag})
    assert (answer.status_code, answer.json["error"]["code"]) == (412, "job_changed")
    assert backend.view.jobs["a"].job.owner == "x"
    assert client.patch("/api/jobs/a", json={"owner": "y"}, headers={"If-Match": "*"}).status_code == 204


def test_revisions_and_restoring(client, backend):
    submit(client, **JOB)
    first = definition(backend.view.jobs["a"].job)
    second = first | {"command": "false"}
    client.patch("/api/jobs/a", json={"command": "false"})
    author = Author("ada", "10.0.0.1")
    backend.revisions.kept = [
        Revision(1, "a", 1000, author, None, json.dumps(first)),
        Revision(2, "a", 2000, author, json.dumps(first), json.dumps(second)),
    ]
    listed = client.get("/api/jobs/a/revisions?limit=1").json
    assert [r["revision"] for r in listed["revisions"]] == [2]
    assert listed["revisions"][0]["changes"] == [{"field": "command", "before": "true", "after": "false"}]
    assert listed["revisions"][0]["user"] == "ada"
    assert listed["cursor"] == 2
    listed = client.get(f"/api/jobs/a/revisions?cursor={listed['cursor']}").json
    assert ([r["kind"] for r in listed["revisions"]], listed["cursor"]) == (["created"], None)
    one = client.get("/api/jobs/a/revisions/1").json
    assert one["sinceThen"] == [{"field": "command", "before": "true", "after": "false"}]
    assert client.post("/api/jobs/a/revisions/1/restore", headers={"If-Match": '"other"'}).status_code == 412
    assert client.post("/api/jobs/a/revisions/1/restore").status_code == 204
    assert definition(backend.view.jobs["a"].job) == first
    client.delete("/v1/scheduler/job/a")
    assert client.post("/api/jobs/a/revisions/2/restore").status_code == 204
    assert definition(backend.view.jobs["a"].job) == second


def test_revisions_that_are_none(client):
    for path in ("/api/jobs/a/revisions", "/api/jobs/a/revisions/7", f"/api/jobs/a/revisions/{10**30}"):
        assert client.get(path).status_code == 404
    assert client.post("/api/jobs/a/revisions/7/restore").status_code == 404


@pytest.mark.parametrize(
    ("environ", "headers", "author"),
    [
        ({"REMOTE_ADDR": "10.0.0.1"}, {}, Author("", "10.0.0.1")),
        ({"REMOTE_ADDR": "10.0.0.1", "REMOTE_USER": "ada"}, {}, Author("ada", "10.0.0.1")),
        ({"REMOTE_ADDR": "10.0.0.1"}, {"X-Chronos-Passed-For": "10.0.0.9"}, Author("", "10.0.0.1")),
        (
            {"REMOTE_ADDR": "10.0.0.2"},
            {"X-Chronos-Passed-On": "b:4400", "X-Chronos-Passed-For": "10.0.0.9"},
            Author("", "10.0.0.9 by 10.0.0.2"),
        ),
    ],
)
def test_the_service_learns_who_asked(client, backend, monkeypatch, environ, headers, author):
    asked = []
    monkeypatch.setattr(backend, "call", lambda request, timeout: asked.append(AUTHOR.get()))
    client.post("/v1/scheduler/iso8601", json=JOB, environ_overrides=environ, headers=headers)
    assert asked == [author]
