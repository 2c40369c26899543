"""The paths of Chronos over a fake service: what is asked of it, and the answers' exact form."""

from __future__ import annotations

import gzip
import json

import pytest

from chronos_py.api.backend import ApiSettings
from chronos_py.model.documents import JobDefaults
from chronos_py.model.history import AttemptRecord
from chronos_py.model.messages import (
    KillTasks,
    MarkSuccess,
    PurgeTasks,
    ReportProgress,
    ReportResult,
    RunJob,
    SubmitJob,
)
from chronos_py.model.run import Outcome
from tests.api.backend import JSON, FakeBackend, a_client
from tests.fakes import NEW_YEAR
from tests.model import documents

PREFIX = {2: "/scheduler", 3: "/v1/scheduler"}
FAR = "R/2090-01-01T00:00:00Z/P1D"


@pytest.fixture(params=[2, 3])
def line(request):
    return request.param


@pytest.fixture
def prefix(line):
    return PREFIX[line]


def create(client, prefix, name="a", **fields):
    path = "dependency" if "parents" in fields else "iso8601"
    fields = fields if "parents" in fields else {"schedule": FAR, **fields}
    answer = client.post(f"{prefix}/{path}", json={"name": name, "command": "true", **fields})
    assert (answer.status_code, answer.data) == (204, b""), answer.text
    assert answer.headers["Content-Type"] == JSON


def test_no_jobs_is_an_empty_array(client, prefix):
    answer = client.get(f"{prefix}/jobs")
    assert (answer.status_code, answer.data, answer.headers["Content-Type"]) == (200, b"[]", JSON)


@pytest.mark.parametrize(
    ("line", "sent", "shown"),
    [(2, documents.SENT_2, documents.DEPENDENT_2), (3, documents.SENT_3, documents.DEPENDENT_3)],
)
def test_a_list_is_one_line_of_whole_documents(client, line, sent, shown):
    create(client, PREFIX[2], sent["parents"][0])
    assert client.post(f"{PREFIX[line]}/dependency", json=sent).status_code == 204
    body = client.get(f"{PREFIX[line]}/jobs").data
    assert body.endswith(documents.compact(shown) + b"]")
    assert b"\n" not in body


def test_the_list_changes_with_the_jobs(client, backend, prefix):
    create(client, prefix)
    assert json.loads(client.get(f"{prefix}/jobs").data)[0]["successCount"] == 0
    backend.change("a", success_count=1)
    assert json.loads(client.get(f"{prefix}/jobs").data)[0]["successCount"] == 1
    client.delete(f"{prefix}/job/a")
    assert client.get(f"{prefix}/jobs").data == b"[]"


def test_only_3x_compresses_and_it_compresses_what_is_there_now(client, backend, line, prefix):
    create(client, prefix, description="long " * 100)
    for _ in range(2):
        plain = client.get(f"{prefix}/jobs")
        packed = client.get(f"{prefix}/jobs", headers={"Accept-Encoding": "gzip, deflate"})
        assert ("Content-Encoding" in packed.headers) == (line == 3)
        assert ("Vary" in packed.headers) == (line == 3)
        assert (gzip.decompress(packed.data) if line == 3 else packed.data) == plain.data
        backend.change("a", success_count=7)


def test_compression_can_be_turned_off(backend):
    client = a_client(backend, ApiSettings(compression=False))
    answer = client.get("/v1/scheduler/jobs/summary", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in answer.headers


def test_a_submitted_job_has_the_servers_defaults(backend, prefix):
    client = a_client(backend, ApiSettings(defaults=JobDefaults(1.5, 2.0, 3.0, "nobody"), default_epsilon="PT9S"))
    create(client, prefix)
    job = backend.view.jobs["a"].job
    assert (job.cpus, job.mem, job.disk, job.run_as_user) == (1.5, 2.0, 3.0, "nobody")
    assert json.loads(client.get("/scheduler/jobs").data)[0]["epsilon"] == "PT9S"


def test_checks_of_new_jobs_are_not_made_of_old_ones(client, backend):
    create(client, PREFIX[2], "a b")
    create(client, PREFIX[3], "a b", uris=["/a"], fetch=[{"uri": "/b"}])
    create(client, PREFIX[3], "a b", schedule="R0/1950-01-01T00:00:00Z/P1D")
    assert [request.job.name for request in backend.requests if isinstance(request, SubmitJob)] == ["a b"] * 3


def test_epsilon_is_stored_as_it_prints(client, backend):
    create(client, PREFIX[2], epsilon="PT0015M")
    assert backend.view.jobs["a"].job.epsilon == "PT15M"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", "one two three"), ("name=T", "two three"), ("command=run", "one two three"), ("command=RUN-2", "two"),
        ("name=one&command=run-2", ""), ("name=one&command=run-2&any=three", "three"), ("any=one", "one two three"),
        ("name=&command=", "one two three"), ("limit=1", "one"), ("limit=1&offset=1", "two"),
        ("offset=-1&limit=2", "one"),
        ("limit=-1", ""), ("limit=0", ""), ("offset=9", ""), ("limit=", "one two three"), ("bogus=1", "one two three"),
    ],
)  # fmt: skip
def test_search(client, prefix, query, names):
    for number, name in enumerate(("one", "two", "three"), 1):
        create(client, prefix, name, command=f"run-{number}")
    found = json.loads(client.get(f"{prefix}/jobs/search?{query}").data)
    assert [job["name"] for job in found] == names.split()


@pytest.mark.parametrize("query", ["limit=abc", "offset=1.5", "limit=99999999999", "limit=%20", "offset=0x1"])
def test_a_search_with_numbers_that_are_none_is_an_unknown_path(client, prefix, query):
    answer = client.get(f"{prefix}/jobs/search?{query}")
    assert (answer.status_code, answer.data) == (404, b"")


def test_summary(client, backend):
    create(client, PREFIX[3])
    create(client, PREFIX[3], "b", parents=["a"], disabled=True)
    backend.change("a", running=2, last_success="2026-01-01T00:00:00.000Z")
    backend.change("b", queued=1, last_error="2026-01-01T00:00:00.000Z")
    assert client.get("/v1/scheduler/jobs/summary").data == (
        b'{"jobs":[{"name":"a","status":"success","state":"2 running","schedule":"R/2090-01-01T00:00:00Z/P1D",'
        b'"parents":[],"disabled":false},{"name":"b","status":"failure","state":"queued","schedule":"",'
        b'"parents":["a"],"disabled":true}]}'
    )


def test_one_job(client, line, prefix):
    create(client, prefix, uris=["/a"])
    answer = client.get(f"{prefix}/job/a")
    if line == 2:
        assert (answer.status_code, answer.data, answer.headers["Allow"]) == (405, b"", "DELETE,OPTIONS,PUT")
    else:
        job = json.loads(answer.data)
        assert (job["uris"], job["fetch"]) == (["/a"], [])


def test_run_now(client, backend, line, prefix):
    create(client, prefix, "stat")
    for query in ("", "?arguments=", "?arguments=%20", "?arguments=-x+a%3Bb"):
        assert client.put(f"{prefix}/job/stat{query}").status_code == 204
    given = [request for request in backend.requests if isinstance(request, RunJob)]
    last = "-x a;b" if line == 2 else "-x ab"
    assert [request.arguments for request in given] == [None, None, None, last]


def test_mark_success(client, backend, prefix):
    create(client, prefix)
    for name, known in (("a", "true"), ("nobody", "false")):
        answer = client.put(f"{prefix}/job/success/{name}")
        assert answer.text == f"marked job {name} as successful: {known}"
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, JSON)
    assert backend.requests[-1] == MarkSuccess("nobody")


def test_kill(client, backend, prefix):
    create(client, prefix)
    assert client.delete(f"{prefix}/task/kill/a", content_type="text/plain").status_code == 204
    assert backend.requests[-1] == KillTasks("a")


@pytest.mark.parametrize("body", [{"statusCode": 0}, {}, {"statusCode": None}, {"statusCode": "0"}])
def test_the_callback_of_2x_reports_a_success(client, backend, body):
    for path in ("ct:1:0:a:", "ct%3A1%3A0%3Aa%3A"):
        assert client.put(f"/scheduler/task/{path}", json=body).status_code == 204
        assert backend.requests[-1] == ReportResult("ct:1:0:a:", success=True)


def test_the_callback_of_2x_reports_a_failure_and_is_strict(client, backend):
    assert client.put("/scheduler/task/ct:1:0:a b:", json={"statusCode": 3}).status_code == 204
    assert backend.requests == [ReportResult("ct:1:0:a b:", success=False)]
    for body in ({"statusCode": 0, "more": 1}, {"statusCode": []}, {"statusCode": True}, [], {"statusCode": "x"}):
        assert client.put("/scheduler/task/a", json=body).status_code == 500
    assert client.put("/scheduler/task/all", json={"statusCode": 0}).status_code == 204


def test_purge_is_2x_only(client, backend):
    assert client.delete("/scheduler/task/all").status_code == 204
    assert backend.requests == [PurgeTasks()]
    assert client.delete("/v1/scheduler/task/all").status_code == 404
    assert client.delete("/scheduler/task/ct:1:0:a:").status_code == 405


def test_progress(client, backend, line, prefix):
    create(client, prefix, dataProcessingJobType=True)
    create(client, prefix, "b")
    path = f"{prefix}/job/a/task/ct:1:0:a:/progress"
    assert client.post(path, json={"numAdditionalElementsProcessed": 5}).status_code == 204
    assert backend.requests[-1] == ReportProgress("a", "ct:1:0:a:", 5)
    count = len(backend.requests)
    assert client.post(path, json={}).status_code == 204
    assert client.post(path, json={"numAdditionalElementsProcessed": -1}).status_code == 400
    assert client.post(f"{prefix}/job/a/task/x/progress", json={}).status_code == 400
    refused = client.post(f"{prefix}/job/b/task/ct:1:0:b:/progress", json={})
    noun = "Job" if line == 2 else "JobSchedule"
    assert f"{noun} 'b' is not enabled to track data" in refused.text
    for wrong in ({"x": 1}, {"numAdditionalElementsProcessed": 10**30}, {"numAdditionalElementsProcessed": "x"}):
        assert client.post(path, json=wrong).status_code == 500
    assert len(backend.requests) == count


def test_stat_of_a_job_that_never_ran(client, prefix):
    create(client, prefix)
    assert client.get(f"{prefix}/job/stat/a").data == (
        b'{"histogram":{"75thPercentile":0.0,"95thPercentile":0.0,"98thPercentile":0.0,"99thPercentile":0.0,'
        b'"median":0.0,"mean":0.0,"count":0},"taskStatHistory":[]}'
    )


def test_stat_with_history(backend, prefix):
    client = a_client(backend, ApiSettings(history_limit=2))
    create(client, prefix)
    backend.samples["a"] = [3000, 1000, 2000]
    for number in range(3):
        backend.history.tries.append(
            AttemptRecord(
                number,
                0,
                f"ct:{number}:0:a:",
                "a",
                "agent",
                "host",
                NEW_YEAR + number,
                NEW_YEAR + number,
                NEW_YEAR + number + 62_000,
                Outcome.FAILED if number else Outcome.SUCCESS,
                "TASK_FAILED",
            )
        )
    document = json.loads(client.get(f"{prefix}/job/stat/a").data)
    assert (document["histogram"]["median"], document["histogram"]["count"]) == (2000.0, 3)
    assert [entry["taskId"] for entry in document["taskStatHistory"]] == ["ct:2:0:a:", "ct:1:0:a:"]
    entry = document["taskStatHistory"][0]
    assert list(entry) == ["taskId", "jobName", "slaveId", "startTime", "endTime", "duration", "status"]
    assert (entry["duration"], entry["status"]) == ("1m2s", "Fail")


def test_percentiles_are_seconds_and_the_slowest_is_first(client, backend, prefix):
    for name in ("fast", "never", "slow"):
        create(client, prefix, name)
    backend.samples = {"fast": [500], "slow": [12345]}
    answer = client.get(f"{prefix}/stats/95thPercentile")
    assert answer.data == (
        b'[{"jobNameLabel":"slow","time":12.345},{"jobNameLabel":"fast","time":0.5},{"jobNameLabel":"never","time":0.0}]'
    )
    assert json.loads(client.get(f"{prefix}/stats/count").data)[0]["time"] == 0.001
    assert client.get(f"{prefix}/stats/50thPercentile").data == b"[]"


def test_graphs(client, backend, line, prefix):
    assert client.get(f"{prefix}/graph/dot").text == "digraph G {\n}\n"
    assert (client.get(f"{prefix}/graph/csv").status_code, client.get(f"{prefix}/graph/csv").data) == (200, b"")
    create(client, prefix, "a")
    create(client, prefix, "b", parents=["a"])
    backend.change("a", running=1)
    answer = client.get(f"{prefix}/graph/csv")
    state = "running" if line == 2 else "1 running"
    assert answer.text == f"node,a,fresh,{state}\nnode,b,fresh,idle\nlink,a,b\n"
    assert answer.headers["Content-Type"] == "text/plain"
    dot = 'digraph G {\n  1 [ label="a" ];\n  2 [ label="b" ];\n  1 -> 2;\n}\n'
    assert client.get(f"{prefix}/graph/dot").text == dot


def test_leader(client, prefix):
    assert client.get(f"{prefix}/leader").data == b'{"leader":"node1.example.org:4400"}'


def test_names_with_blanks_and_pluses(client, prefix):
    create(client, PREFIX[2], "a b#c")
    assert client.put(f"{prefix}/job/a%20b%23c").status_code == 204
    assert client.put(f"{prefix}/job/a+b%23c").status_code == 400


def test_nothing_is_shown_before_it_is_known():
    backend = FakeBackend()
    backend.view.loaded = False
    client = a_client(backend)
    for path in ("/scheduler/jobs", "/v1/scheduler/jobs", "/api/jobs", "/api/runs"):
        assert client.get(path).status_code == 503
    assert client.get("/ping").status_code == 200
