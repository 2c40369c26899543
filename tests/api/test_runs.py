"""/api: runs and attempts, output, reasons, single fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chronos_py.model.history import AttemptRecord, RunRecord
from chronos_py.model.job import Edge, Token
from chronos_py.model.messages import KillRun, SetPriority, SubmitJob
from chronos_py.model.run import Outcome, Phase, Trigger
from chronos_py.model.view import Cause, Waiting
from chronos_py.persistence.base import Quarantined, RunQuery
from tests.api.backend import a_run
from tests.fakes import NEW_YEAR

FAR = "R/2090-01-01T00:00:00Z/P1D"


def body(answer):
    assert answer.headers["Content-Type"] == "application/json"
    return json.loads(answer.data)


def refused(answer, status=400):
    assert answer.status_code == status, answer.text
    return body(answer)["error"]


def submit(client, name="a", **fields):
    path = "dependency" if "parents" in fields else "iso8601"
    fields = fields if "parents" in fields else {"schedule": FAR, **fields}
    assert client.post(f"/v1/scheduler/{path}", json={"name": name, "command": "true", **fields}).status_code == 204


def a_row(number, job="a", **changes):
    values: dict[str, Any] = {
        "trigger": Trigger.SCHEDULE,
        "outcome": Outcome.SUCCESS,
        "attempts": 1,
        "task_id": f"ct:{number}:0:{job}:",
    }
    return RunRecord(number, job, due=NEW_YEAR, created=NEW_YEAR, ended=NEW_YEAR + 5, **(values | changes))


def a_try(number, attempt=0, job="a"):
    return AttemptRecord(
        number, attempt, f"ct:{number}:{attempt}:{job}:", job, "agent", "host", NEW_YEAR, NEW_YEAR + 1, NEW_YEAR + 2,
        Outcome.FAILED, "TASK_FAILED", "reason", "words", 3, None,
    )  # fmt: skip


# --- jobs


def test_jobs_by_page(client):
    for number in range(5):
        submit(client, f"job{number}")
    seen, cursor, pages = [], "", 0
    while cursor is not None:
        page = body(client.get(f"/api/jobs?limit=2&cursor={cursor}"))
        assert page["total"] == 5
        seen += [job["name"] for job in page["jobs"]]
        cursor, pages = page["cursor"], pages + 1
    assert (seen, pages) == ([f"job{number}" for number in range(5)], 3)
    assert [job["name"] for job in body(client.get("/api/jobs?offset=3"))["jobs"]] == ["job3", "job4"]


def test_a_page_goes_on_where_it_ended_though_jobs_went(client):
    for number in range(4):
        submit(client, f"job{number}")
    cursor = body(client.get("/api/jobs?limit=2"))["cursor"]
    client.delete("/v1/scheduler/job/job0")
    assert [job["name"] for job in body(client.get(f"/api/jobs?cursor={cursor}"))["jobs"]] == ["job2", "job3"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", "one two three"), ("q=O", "one two"), ("q=special", "three"), ("owner=x@y", "two"),
        ("kind=dependent", "three"),
        ("kind=scheduled", "one two"), ("disabled=true", "two"), ("disabled=false&kind=scheduled", "one"),
        ("q=none", ""),
    ],
)  # fmt: skip
def test_jobs_by_filter(client, query, names):
    submit(client, "one")
    submit(client, "two", owner="x@y,z@y", disabled=True)
    submit(client, "three", parents=["one"], command="special")
    assert [job["name"] for job in body(client.get(f"/api/jobs?{query}"))["jobs"]] == names.split()


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "limit=1.5", "cursor=-1", "cursor=x", "offset=-1", "kind=other",
     "disabled=maybe", "limit=" + "9" * 5000],
)  # fmt: skip
def test_a_wrong_filter_is_named(client, query):
    error = refused(client.get(f"/api/jobs?{query}"))
    assert error["field"] == query.partition("=")[0]
    assert error["code"] == "invalid_input"


def test_one_job_has_the_fields_of_both_lines_and_its_state(client, backend):
    submit(client, concurrent=True)
    backend.change("a", running=2, next_due=NEW_YEAR)
    job = body(client.get("/api/jobs/a"))
    assert (job["epsilon"], job["async"], job["concurrent"]) == (None, False, True)
    assert (job["state"], job["status"], job["nextDue"]) == ("2 running", "fresh", "2026-01-01T00:00:00.000Z")
    assert refused(client.get("/api/jobs/b"), 404)["code"] == "unknown_job"


def test_a_due_time_beyond_the_calendar_is_shown_as_a_number(client, backend):
    submit(client)
    backend.change("a", next_due=10**18)
    assert body(client.get("/api/jobs/a"))["nextDue"] == str(10**18)


# --- single fields


def patched(backend):
    request = backend.requests[-1]
    assert isinstance(request, SubmitJob)
    return request


def test_only_the_given_fields_change(client, backend):
    client.post("/scheduler/iso8601", json={"name": "a b", "command": "x", "schedule": FAR, "epsilon": "PT5M",
                                            "async": True, "cpus": 2, "uris": ["/u"], "successCount": 4})  # fmt: skip
    before = backend.view.jobs["a b"].job
    assert client.patch("/api/jobs/a%20b", json={"owner": "me", "concurrent": True}).status_code == 204
    after = patched(backend)
    assert (after.job.owner, after.job.concurrent, after.counters.success_count) == ("me", True, 4)
    assert (after.job.epsilon, after.job.is_async, after.job.cpus, after.job.uris) == ("PT5M", True, 2.0, ("/u",))
    assert after.job.schedule == before.schedule


def test_null_sets_the_default(client, backend):
    submit(client, retries=9, priority=5, cpus=3, container={"image": "a"}, description="x")
    nulls = dict.fromkeys(("retries", "priority", "cpus", "container", "description", "command"))
    assert client.patch("/api/jobs/a", json=nulls).status_code == 204
    job = patched(backend).job
    assert (job.retries, job.priority, job.cpus, job.container, job.description, job.command) == (
        2,
        None,
        0.1,
        None,
        "",
        "",
    )


def test_a_job_changes_its_kind(client, backend):
    submit(client, "parent")
    submit(client, "a")
    assert client.patch("/api/jobs/a", json={"parents": ["parent"]}).status_code == 204
    assert (backend.view.jobs["a"].job.parents, backend.view.jobs["a"].job.schedule) == (("parent",), None)
    assert client.patch("/api/jobs/a", json={"schedule": FAR}).status_code == 204
    assert (backend.view.jobs["a"].job.parents, backend.view.jobs["a"].job.schedule) == (None, FAR)


def test_unknown_stored_fields_survive_a_change(client, backend):
    submit(client)
    view = backend.view.jobs["a"]
    object.__setattr__(view.job, "extra", {"newer": 1})
    client.patch("/api/jobs/a", json={"owner": "me"})
    assert patched(backend).job.extra == {"newer": 1}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"nonsense": 1}, "nonsense"), ({"name": "b"}, "name"), ({"retryDelay": -1}, "retryDelay"),
        ({"schedule": None}, "schedule"), ({"schedule": "R/x/P1D"}, "schedule"),
        ({"constraints": [["a"]]}, "constraints"),
        ({"container": {"image": "a", "network": "x"}}, "container.network"), ([], "body"), ("text", "body"),
        ({"command": "a\0"}, "command"),
    ],
)  # fmt: skip
def test_a_wrong_change_changes_nothing(client, backend, changes, field):
    submit(client)
    count = len(backend.requests)
    error = refused(client.patch("/api/jobs/a", json=changes))
    assert error["field"] == field
    assert len(backend.requests) == count


def test_changes_need_json_and_a_job(client):
    assert client.patch("/api/jobs/a", json={"owner": "me"}).status_code == 404
    submit(client)
    assert refused(client.patch("/api/jobs/a", data="{}", content_type="text/plain"), 415)["code"]
    assert refused(client.patch("/api/jobs/a", data="{", content_type="application/json"))["field"] == "body"
    assert refused(client.patch("/api/jobs/a", json={"parents": []}))["code"] == "no_parents"
    assert refused(client.patch("/api/jobs/a", json={"parents": ["a"]}), 409)["code"] == "dependency_cycle"


# --- runs


def test_active_runs_stand_among_ended_ones_newest_first(client, backend):
    backend.view.runs = {3: a_run(3), 5: a_run(5, "b", phase=Phase.RUNNING, started=NEW_YEAR)}
    backend.history.rows = [a_row(2), a_row(4)]
    runs = body(client.get("/api/runs"))
    assert [(run["run"], run["state"]) for run in runs["runs"]] == [
        (5, "running"), (4, "ended"), (3, "queued"), (2, "ended"),
    ]  # fmt: skip
    assert runs["cursor"] is None


def test_runs_by_page(client, backend):
    backend.view.runs = {number: a_run(number) for number in (2, 5, 6)}
    backend.history.rows = [a_row(number) for number in (1, 3, 4, 7)]
    seen, cursor = [], ""
    while cursor is not None:
        page = body(client.get(f"/api/runs?limit=2&cursor={cursor}"))
        seen += [run["run"] for run in page["runs"]]
        cursor = page["cursor"]
    assert seen == [7, 6, 5, 4, 3, 2, 1]


def test_a_run_that_has_just_ended_is_shown_once_as_ended(client, backend):
    backend.view.runs = {3: a_run(3)}
    backend.history.rows = [a_row(3)]
    runs = body(client.get("/api/runs"))["runs"]
    assert [(run["run"], run["state"]) for run in runs] == [(3, "ended")]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("state=active", [1, 2]), ("state=ended", []), ("job=b", [2]), ("trigger=manual", [1]), ("owner=me", [2]),
        ("owner=you", []), ("outcome=success", []), ("from=2026-01-01T00:00:00.002Z", [2]),
        ("to=2026-01-01T00:00:00.002Z", [1]), ("from=2026-01-01", [1, 2]), ("to=2025-12-31T23:59:59%2B00:00", []),
        ("from=2026-01-01T01:00:00.002%2B01:00", [2]),
    ],
)  # fmt: skip
def test_active_runs_by_filter(client, backend, query, numbers):
    submit(client, "b", owner="me")
    backend.view.runs = {1: a_run(1), 2: a_run(2, "b", trigger=Trigger.SCHEDULE)}
    assert sorted(run["run"] for run in body(client.get(f"/api/runs?{query}"))["runs"]) == numbers


def test_history_is_asked_with_all_filters(client, backend):
    client.get("/api/runs?job=a&outcome=failed&trigger=parents&owner=me&from=2026-01-01&to=2026-01-02&cursor=9&limit=3")
    day = 86_400_000
    assert backend.history.asked == [RunQuery("a", "failed", "parents", "me", NEW_YEAR, NEW_YEAR + day, 9, 3)]
    client.get("/api/runs?state=active")
    assert len(backend.history.asked) == 1


@pytest.mark.parametrize(
    "query",
    ["state=x", "outcome=x", "trigger=x", "from=x", "to=0", "from=99999-01-01", "limit=0", "cursor=0", "cursor=x"],
)
def test_a_wrong_run_filter_is_named(client, query):
    assert refused(client.get(f"/api/runs?{query}"))["field"] == query.partition("=")[0]


def test_one_run_with_its_attempts(client, backend):
    backend.view.runs = {7: a_run(7, attempt=1, phase=Phase.RUNNING, launched=NEW_YEAR, started=NEW_YEAR, host="h")}
    backend.history.tries = [a_try(7)]
    run = body(client.get("/api/runs/7"))
    assert (run["state"], run["attempts"], run["taskId"]) == ("running", 2, f"ct:{NEW_YEAR + 7}:1:a:")
    assert [(one["attempt"], one["outcome"], one["exitCode"]) for one in run["attemptList"]] == [
        (0, "failed", 3), (1, None, None),
    ]  # fmt: skip
    assert run["waiting"] is None
    assert body(client.get("/api/runs/7/attempts"))["attempts"] == run["attemptList"]


def test_one_ended_run(client, backend):
    backend.history.rows, backend.history.tries = [a_row(7, reason="because")], [a_try(7)]
    run = body(client.get("/api/runs/7"))
    assert (run["outcome"], run["reason"], len(run["attemptList"])) == ("success", "because", 1)
    assert body(client.get("/api/runs/7/why"))["sentence"] == "ended: success because"


@pytest.mark.parametrize("path", ["", "/attempts", "/why", "/attempts/0/stdout"])
@pytest.mark.parametrize("number", ["8", "9223372036854775807", "9223372036854775808", "x", "-1"])
def test_unknown_runs(client, path, number):
    assert refused(client.get(f"/api/runs/{number}{path}"), 404)["code"] in ("unknown_run", "not_found")


def test_a_run_is_stopped(client, backend):
    backend.view.runs = {7: a_run(7)}
    assert client.delete("/api/runs/7").status_code == 204
    assert backend.requests == [KillRun(7)]
    assert refused(client.delete("/api/runs/8"), 404)["code"] == "unknown_run"


def test_a_runs_priority_is_changed(client, backend):
    backend.view.runs = {7: a_run(7)}
    assert client.patch("/api/runs/7", json={"priority": 9}).status_code == 204
    assert backend.requests == [SetPriority(7, 9)]
    for wrong in ({}, {"priority": 1.5}, {"priority": None}, {"due": "x"}, []):
        refused(client.patch("/api/runs/7", json=wrong))
    assert refused(client.patch("/api/runs/8", json={"priority": 9}), 404)["code"] == "unknown_run"


def test_the_queue_is_in_the_order_of_placing(client, backend):
    hour = 3_600_000
    dues = {1: (0, NEW_YEAR), 2: (1, NEW_YEAR + hour), 3: (0, NEW_YEAR + hour), 4: (100, NEW_YEAR + hour)}
    backend.view.runs = {number: a_run(number, priority=level, due=due) for number, (level, due) in dues.items()}
    assert [run["run"] for run in body(client.get("/api/queue"))["runs"]] == [4, 1, 2, 3]


# --- reasons


def test_why_a_run_waits(client, backend):
    backend.view.runs = {7: a_run(7), 8: a_run(8, phase=Phase.RUNNING)}
    backend.view.waiting = {7: Waiting(Cause.NO_FIT, "no agent has room", {"need": "cpus:9"})}
    wanted = {"code": "no_fit", "sentence": "no agent has room", "detail": {"need": "cpus:9"}}
    assert body(client.get("/api/runs/7/why")) == wanted
    assert body(client.get("/api/runs/8/why"))["code"] == "running"
    assert body(client.get("/api/runs/7"))["waiting"] == wanted
    submit(client)
    assert body(client.get("/api/jobs/a/why"))["waiting"] == [{"run": 7, **wanted}]


@pytest.mark.parametrize(
    ("fields", "changes", "sentence"),
    [
        ({}, {"next_due": NEW_YEAR}, "next due at 2026-01-01T00:00:00.000Z"), ({}, {"remaining": 0}, "no runs left"),
        ({"disabled": True}, {"remaining": 0}, "it is disabled: all its runs are done"), ({"disabled": True},
        {}, "it is disabled"),
        ({}, {}, "no further due time"), ({"parents": ["p"]}, {"edges": (Edge("p"),)}, "waits for a success of p"),
        ({"parents": ["p"]}, {"edges": (Edge("p", (Token(1, NEW_YEAR),)),)}, "its parents have released it"),
    ],
)  # fmt: skip
def test_why_a_job_does_not_run(client, backend, fields, changes, sentence):
    submit(client, "p")
    submit(client, "a", **fields)
    backend.change("a", **changes)
    assert sentence in body(client.get("/api/jobs/a/why"))["why"]
    assert refused(client.get("/api/jobs/b/why"), 404)["code"] == "unknown_job"


def test_the_queue_is_in_order_with_reasons(client, backend):
    runs = [a_run(1), a_run(2, priority=5), a_run(3, phase=Phase.RUNNING), a_run(4, phase=Phase.RETRYING, due=NEW_YEAR)]
    backend.view.runs = {run.id: run for run in runs}
    backend.view.waiting = {1: Waiting(Cause.NO_OFFERS, "no agent offers anything")}
    backend.levels = {0: 1, 5: 1}
    queue = body(client.get("/api/queue"))
    assert [run["run"] for run in queue["runs"]] == [2, 4, 1]
    assert [run["waiting"] and run["waiting"]["code"] for run in queue["runs"]] == [None, None, "no_offers"]
    assert (queue["total"], queue["byPriority"]) == (3, {"0": 1, "5": 1})
    assert len(body(client.get("/api/queue?limit=1"))["runs"]) == 1


def test_quarantine(client, backend):
    backend.view.quarantined = [Quarantined("job", "a", "is not JSON")]
    wanted = {"quarantined": [{"kind": "job", "key": "a", "reason": "is not JSON"}]}
    assert body(client.get("/api/quarantine")) == wanted
