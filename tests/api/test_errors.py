"""From errors to answers: every error has one on every face, and none tells of our insides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from chronos_py import errors
from chronos_py.api.errors import Refusal, api_answer, verdict
from chronos_py.api.transport import BodyTooLarge, EmptyBody, MalformedBody
from tests.api.backend import FakeBackend, a_client, raising

JOB = {"name": "a", "command": "true", "schedule": "R/2090-01-01T00:00:00Z/P1D"}
SAMPLES: list[errors.ChronosError] = [
    errors.InvalidInput("field", "value", "is wrong"),
    errors.InvalidSchedule("schedule", "R/x/P1D", "cannot be read"),
    errors.UnusableSchedule("schedule", "R//PT0S", "never ends"),
    errors.IdInUse("id", "a"),
    errors.InvalidName("a!", r"([\w\.-]+)"),
    errors.BadDocument("body", [], "must be an object"),
    Refusal("start", "x", "a sentence"),
    EmptyBody("body", None, "is empty"),
    MalformedBody("body", b"{", "is no JSON"),
    BodyTooLarge("the body is longer than 100 bytes"),
    errors.Forbidden("a reader may change nothing"),
    errors.UnknownJob("a"),
    errors.UnknownRun(7),
    errors.UnknownTask("ct:1:0:a:"),
    errors.UnknownRevision("a", 7),
    errors.JobExists("a"),
    errors.JobChanged("a"),
    errors.GraphError("a", "a sentence"),
    errors.NoParents("a", new=True),
    errors.NoParents("a", new=False),
    errors.MissingParents("a", ["b"], new=True),
    errors.MissingParents("a", ["b"], new=False),
    errors.DependencyCycle("a", ["a", "b", "a"]),
    errors.Unavailable("later"),
    errors.StoreUnavailable("the disk is full"),
    errors.StaleLeader("another node leads"),
    errors.UnknownOutcome("ZooKeeper gave no answer"),
    errors.StaleAndUnknown("another node leads"),
    errors.NotLeader("this node does not lead"),
    errors.Overloaded("9 requests wait already"),
    errors.BadGateway("the leader gave no answer"),
    errors.ChronosError("something"),
]
UNAVAILABLE = (errors.Unavailable,)
CONTRACT_500 = (errors.BadDocument, errors.DependencyCycle)


def described(error):
    return f"{type(error).__name__}-{getattr(error, 'new', '')}".rstrip("-")


def kinds(kind: type[errors.ChronosError] = errors.ChronosError) -> Iterator[type]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ in ("chronos_py.errors", "chronos_py.api.errors", "chronos_py.api.transport"):
            yield from kinds(child)


def test_the_samples_have_every_kind_of_error():
    assert set(kinds()) == {type(error) for error in SAMPLES}


@pytest.mark.parametrize("error", SAMPLES, ids=described)
@pytest.mark.parametrize("line", [2, 3])
@pytest.mark.parametrize("view", ["scheduled", "kill", "delete", "report"])
def test_every_error_has_a_status_of_the_contract(error, line, view):
    judged = verdict(error, line, view)
    if isinstance(error, UNAVAILABLE) and not isinstance(error, errors.UnknownOutcome):
        assert judged.status == 503
    elif isinstance(error, errors.BadGateway | errors.UnknownOutcome):
        assert judged.status == 502
    elif isinstance(error, errors.Forbidden):
        assert judged.status == 403
    elif isinstance(error, BodyTooLarge):
        assert judged.status == 413
    elif isinstance(error, CONTRACT_500) or (isinstance(error, errors.NoParents) and error.new):
        assert judged.status == 500
    elif isinstance(error, errors.UnknownJob):
        assert judged.status == (500 if (line, view) == (2, "kill") else 400)
    else:
        assert judged.status == 400


@pytest.mark.parametrize("error", SAMPLES, ids=described)
@pytest.mark.parametrize("prefix", ["/scheduler", "/v1/scheduler"])
def test_an_answer_has_its_lines_shape(error, prefix):
    answer = a_client(raising(error)).post(f"{prefix}/iso8601", json=JOB)
    kind = answer.headers["Content-Type"]
    assert answer.status_code >= 400
    assert "Traceback" not in answer.text
    if kind.startswith("text/html"):
        assert "message" not in answer.text
        assert answer.headers["Cache-Control"] == "must-revalidate,no-cache,no-store"
    elif prefix == "/scheduler":
        assert not answer.text.startswith("{")
        assert answer.data or answer.headers["X-Chronos-Error"]
    else:
        body = json.loads(answer.data)
        assert list(body) == ["message", "status"]
        assert body["status"] == HTTPStatus(answer.status_code).phrase


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (errors.UnknownJob("a"), "unknown_job", 404), (errors.UnknownRun(7), "unknown_run", 404),
        (errors.UnknownTask("x"), "unknown_task", 404),
        (errors.InvalidInput("f", "v", "is wrong"), "invalid_input", 400),
        (errors.InvalidSchedule("s", "v", "is wrong"), "invalid_schedule", 400),
        (errors.DependencyCycle("a", ["a", "a"]), "dependency_cycle", 409),
        (errors.MissingParents("a", ["b"], new=True), "missing_parents", 400),
        (errors.StoreUnavailable("no"), "unavailable", 503), (errors.NotLeader("no"), "unavailable", 503),
        (errors.BadGateway("no"), "bad_gateway", 502),
        (errors.Overloaded("no"), "unavailable", 503), (errors.UnknownOutcome("no"), "unknown_outcome", 502),
        (errors.StaleAndUnknown("no"), "unknown_outcome", 502), (errors.ChronosError("no"), "refused", 400),
    ],
)  # fmt: skip
def test_our_own_paths_name_the_error(error, code, status):
    answer = api_answer(error)
    detail = json.loads(answer.data)["error"]
    assert (answer.status_code, detail["code"], detail["message"]) == (status, code, str(error))
    if isinstance(error, errors.InvalidInput):
        assert (detail["field"], detail["value"]) == (error.field, error.value)


@pytest.mark.parametrize("value", [{"a": 1}, ["x" * 10_000], b"\xff", "x" * 10_000, 10**400])
def test_a_value_that_is_wrong_is_shown_in_short(value):
    shown = json.loads(api_answer(errors.InvalidInput("f", value, "is wrong")).data)["error"]["value"]
    assert len(str(shown)) <= 401


@pytest.mark.parametrize("name", ["a\r\nSet-Cookie: x", "\ud800", "ä" * 5000, "\x00"])
def test_a_header_carries_any_name(name):
    client = a_client(FakeBackend())
    answer = client.post("/scheduler/iso8601", json={**JOB, "schedule": name})
    assert answer.status_code == 400
    assert len(answer.headers["X-Chronos-Error"]) <= 1000
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/scheduler/job/a", "/v1/scheduler/job/a"])
def test_a_bug_is_told_to_the_log_alone(path, capsys):
    answer = a_client(raising(RuntimeError("secret detail"))).put(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (500, "text/html;charset=ISO-8859-1")
    assert "secret detail" not in answer.text
    assert "Traceback" not in answer.text
    assert "message" not in answer.text
    capsys.readouterr()


def test_a_bug_below_api_is_json(capsys):
    backend = raising(RuntimeError("secret detail"))
    backend.view.runs[7] = None  # type: ignore[assignment]
    answer = a_client(backend).delete("/api/runs/7")
    assert (answer.status_code, json.loads(answer.data)["error"]["code"]) == (500, "internal")
    assert "secret detail" not in answer.text
    capsys.readouterr()


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/nothing", "text/html;charset=ISO-8859-1"), ("/scheduler/nothing", None), ("/api/nothing", "application/json")],
)
def test_unknown_paths(path, kind):
    answer = a_client(FakeBackend()).get(path)
    assert (answer.status_code, answer.headers.get("Content-Type")) == (404, kind)
    assert "Allow" not in answer.headers
