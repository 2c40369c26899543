"""The description of /api is right: every path is in it, and answers are as it says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator

from chronos_py.api import create_app
from chronos_py.api.openapi import openapi_document
from chronos_py.model.view import Cause, Waiting
from scripts import rest_doc
from tests.api.backend import FakeBackend, a_client, a_run
from tests.api.test_runs import a_row, a_try, submit

KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict,
}  # fmt: skip
INSIDE = {"/api/openapi.json", "/api/docs"}


def test_the_page_is_current():
    assert rest_doc.PAGE.read_text("utf-8") == rest_doc.document(), "run: python -m scripts.rest_doc"


def test_it_is_valid_openapi():
    assert list(OpenAPIV30SpecValidator(openapi_document()).iter_errors()) == []


def test_every_path_of_ours_is_described_and_no_other():
    rules = create_app(FakeBackend()).url_map.iter_rules()
    served = {
        (rule.rule.translate(str.maketrans("<>", "{}")).replace("int(max=9223372036854775807):number", "run")
         .replace("int:", ""), method.lower())
        for rule in rules
        if rule.rule.startswith("/api")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }  # fmt: skip
    described = {
        (path, method)
        for path, operations in openapi_document()["paths"].items()
        if path.startswith("/api")
        for method in operations
    }
    assert described == {(path, method) for path, method in served if path not in INSIDE}


def test_every_path_of_both_lines_is_described_and_no_other():
    served = {
        (rule.rule.translate(str.maketrans("<>", "{}")), method.lower())
        for rule in create_app(FakeBackend()).url_map.iter_rules()
        if rule.rule.startswith(("/scheduler/", "/v1/scheduler/"))
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {
        (path, method)
        for path, operations in openapi_document()["paths"].items()
        if not path.startswith("/api")
        for method in operations
    }
    # PUT /scheduler/task/all is PUT /scheduler/task/{task_id}: a task may be called so.
    assert described == served - {("/scheduler/task/all", "put")}


def test_every_reference_leads_somewhere():
    text = json.dumps(openapi_document())
    known = openapi_document()["components"]["schemas"]
    for reference in text.split('"#/components/schemas/')[1:]:
        assert reference.partition('"')[0] in known


def follow(schema: dict[str, Any]) -> dict[str, Any]:
    for one in schema.get("allOf", ()):
        schema = {**schema, **follow(one)}
    if "$ref" in schema:
        schema = {**openapi_document()["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], **schema}
    return schema


def choices(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [follow(one) for one in schema.get("anyOf", [schema])]


def check(value: Any, schema: dict[str, Any], place: str = "") -> None:
    """Hold a value to a schema: types, and no property that it does not name."""
    possible = choices(follow(schema))
    if value is None:
        assert any(one.get("nullable") for one in possible), f"{place} is null"
        return
    schema = next((one for one in possible if "properties" in one), possible[0])
    kind = schema.get("type")
    if kind is None:
        return
    assert isinstance(value, KINDS[kind]), f"{place} is {value!r}, not {kind}"
    if isinstance(value, list):
        for number, item in enumerate(value):
            check(item, schema["items"], f"{place}[{number}]")
    elif isinstance(value, dict) and "properties" in schema:
        for key, item in value.items():
            assert key in schema["properties"], f"{place}.{key} is not described"
            check(item, schema["properties"][key], f"{place}.{key}")


@pytest.fixture
def full(backend: FakeBackend) -> FakeBackend:
    """A backend that has something of everything."""
    client = a_client(backend)
    container = {"image": "i", "volumes": [{"containerPath": "/a"}]}
    own = {"priority": 5, "retryDelay": 1.5, "catchUp": "all", "gpus": 1, "ports": 2}
    own |= {"labels": {"a": "b"}, "preemptible": True, "avoidFailedAgents": "soft"}
    files, variables = [{"uri": "/u"}], [{"name": "A", "value": "b"}]
    constraints = [["a", "EQUALS", "b"]]
    submit(
        client, container=container, constraints=constraints, fetch=files, environmentVariables=variables, **own
    )  # fmt: skip
    submit(client, "b", parents=["a"])
    backend.view.runs = {7: a_run(7, attempt=1, launched=1), 8: a_run(8)}
    immediate = {"id": "i", "command": "true", "labels": {"a": "b"}}
    client.post("/api/jobs/immediate", json=immediate)
    backend.view.waiting = {
        1: Waiting(Cause.NO_FIT, "no room", {}),
        8: Waiting(Cause.NO_FIT, "no room", {"need": "cpus:1"}),
    }
    backend.history.rows, backend.history.tries = [a_row(3)], [a_try(7), a_try(3)]
    backend.levels = {0: 2}
    return backend


@pytest.mark.parametrize(
    ("path", "example"),
    [
        ("/api/jobs", "/api/jobs"), ("/api/jobs/{name}", "/api/jobs/a"), ("/api/jobs/{name}", "/api/jobs/b"),
        ("/api/jobs/{name}/why", "/api/jobs/a/why"), ("/api/runs", "/api/runs"), ("/api/runs/{run}", "/api/runs/7"),
        ("/api/runs/{run}", "/api/runs/3"), ("/api/runs/{run}", "/api/runs/8"),
        ("/api/runs/{run}/why", "/api/runs/8/why"),
        ("/api/runs/{run}/attempts", "/api/runs/7/attempts"), ("/api/queue", "/api/queue"),
        ("/api/jobs/immediate", "/api/jobs/immediate"), ("/api/jobs/immediate/{name}", "/api/jobs/immediate/i"),
        ("/api/quotas", "/api/quotas"), ("/api/quarantine", "/api/quarantine"), ("/api/leader", "/api/leader"),
        ("/v1/scheduler/jobs", "/v1/scheduler/jobs"),
        ("/v1/scheduler/job/{name}", "/v1/scheduler/job/a"), ("/scheduler/jobs", "/scheduler/jobs"),
    ],
)  # fmt: skip
def test_answers_are_as_described(full: FakeBackend, path: str, example: str):
    answer = a_client(full).get(example)
    responses = openapi_document()["paths"][path]["get"]["responses"]
    assert answer.status_code == 200
    check(json.loads(answer.data), responses["200"]["content"]["application/json"]["schema"], example)


@pytest.mark.parametrize("path", ["/api/jobs/x", "/api/runs/9", "/api/runs?limit=x"])
def test_refusals_are_as_described(full: FakeBackend, path: str):
    check(json.loads(a_client(full).get(path).data), {"$ref": "#/components/schemas/Error"}, path)


def test_the_document_and_its_page_are_served(full: FakeBackend):
    client = a_client(full)
    assert json.loads(client.get("/api/openapi.json").data) == openapi_document()
    page = client.get("/api/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "//" not in page.text.replace("<!doctype", "").replace("://", "")
