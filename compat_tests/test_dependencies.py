"""The dependency endpoint: which parents are refused, with which sentences, and that a refusal changes nothing."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import requests

from compat_tests.dialects import FAR, JSON, V2, V3, Api

ERROR = {400: "Bad Request", 500: "Internal Server Error"}
UNKNOWN_PARENT_ON_CREATE = {
    V2: "requirement failed: Job {} does not have all parents defined!",
    V3: "does not have all parents defined!",
}


def child(name: str, *parents: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "command": "true", "parents": list(parents), **fields}


def assert_shape(api: Api, answer: requests.Response, status: int, text: str) -> None:
    """Expect 3.x's error object with this text; from 2.x the bare text for 400 and nothing for 500."""
    assert answer.status_code == status, answer.text[:300]
    assert answer.headers["Content-Type"] == JSON
    if api.dialect == V3:
        assert list(answer.json()) == ["message", "status"]
        assert text in answer.json()["message"]
        assert answer.json()["status"] == ERROR[status]
    else:
        assert answer.text == (text if status == 400 else "")


@pytest.fixture
def family(api: Api, name: str) -> list[str]:
    """Four jobs in a chain: the first is scheduled, each other is the child of the one before."""
    names = [f"{name}-{letter}" for letter in "abcd"]
    api.create(names[0])
    for parent, job in pairwise(names):
        api.create(job, parents=[parent], description="as it was")
    return names


def everything(api: Api) -> tuple[list[dict[str, Any]], str]:
    return api.jobs(), api.get("/graph/csv").text


def test_create_with_unknown_parent(api: Api, family: list[str], name: str) -> None:
    before = everything(api)
    for parents in ([f"{name}-no"], [family[0], f"{name}-no"]):
        answer = api.post("/dependency", child(name, *parents))
        assert_shape(api, answer, 400, UNKNOWN_PARENT_ON_CREATE[api.dialect].format(name))
    assert everything(api) == before


def test_create_with_itself_as_parent(api: Api, family: list[str], name: str) -> None:
    before = everything(api)
    for parents in ([name], [family[0], name]):
        answer = api.post("/dependency", child(name, *parents))
        assert_shape(api, answer, 400, UNKNOWN_PARENT_ON_CREATE[api.dialect].format(name))
    assert everything(api) == before


def test_create_without_parents(api: Api, name: str) -> None:
    before = everything(api)
    assert_shape(api, api.post("/dependency", child(name)), 500, "Error, parent does not exist")
    assert everything(api) == before


def test_update_without_parents(api: Api, family: list[str]) -> None:
    before = everything(api)
    answer = api.post("/dependency", child(family[1]))
    assert_shape(api, answer, 400, "requirement failed: Error, parent does not exist")
    assert everything(api) == before


def test_update_with_unknown_parent(api: Api, family: list[str], name: str) -> None:
    before = everything(api)
    answer = api.post("/dependency", child(family[1], family[0], f"{name}-no"))
    noun = "JobSchedule" if api.dialect == V3 else "Job"
    assert_shape(api, answer, 400, f"requirement failed: {noun} {family[1]} does not have all parents defined!")
    assert everything(api) == before


@pytest.mark.parametrize(("job", "parent"), [(1, 1), (1, 2), (1, 3), (2, 3), (0, 3), (0, 0)])
def test_a_cycle_on_update_changes_nothing(api: Api, family: list[str], job: int, parent: int) -> None:
    before = everything(api)
    parents = [family[0], family[parent]] if job else [family[parent]]
    answer = api.post("/dependency", child(family[job], *parents))
    assert_shape(api, answer, 500, "")
    assert everything(api) == before
    assert api.post("/dependency", child(family[3], family[0])).status_code == 204


def test_update_of_the_parents(api: Api, family: list[str], name: str) -> None:
    a, b, c, d = family
    assert api.post("/dependency", child(d, b, a)).status_code == 204
    assert sorted(api.job(d)["parents"]) == [a, b]
    links = {row for row in api.get("/graph/csv").text.splitlines() if row.startswith(f"link,{name}")}
    assert links == {f"link,{a},{b}", f"link,{b},{c}", f"link,{a},{d}", f"link,{b},{d}"}


def test_uris_and_fetch_together_are_not_checked_here(api: Api, family: list[str], name: str) -> None:
    both = child(name, family[0], uris=["a"], fetch=[{"uri": "b"}])
    assert api.post("/dependency", both).status_code == 204
    job = api.job(name)
    assert (job["uris"], [entry["uri"] for entry in job["fetch"]]) == (["a"], ["b"])


def test_names_are_checked_here_too(api: Api, family: list[str], name: str) -> None:
    answer = api.post("/dependency", child(f"{name}/x", family[0]))
    assert answer.status_code == 400
    assert "the job's name is invalid" in answer.text
    blanks = api.post("/dependency", child(f"{name} x", family[0]))
    assert blanks.status_code == (400 if api.dialect == V3 else 204)


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("path", ["/iso8601", "/dependency"])
def test_put_is_2x_only(api: Api, family: list[str], name: str, method: str, path: str) -> None:
    document = child(name, family[0]) if path == "/dependency" else {"name": name, "command": "true", "schedule": FAR}
    status = 405 if (method, api.dialect) == ("PUT", V3) else 204
    for _ in range(2):
        answer = api.post(path, document, method)
        assert (answer.status_code, answer.content) == (status, b"")
    assert (api.find(name) is not None) == (status == 204)


@pytest.mark.parametrize("path", ["/iso8601", "/dependency"])
@pytest.mark.parametrize("body", ["", "null"])
def test_no_body(api: Api, path: str, body: str) -> None:
    assert_shape(api, api.text(path, body), 500, "")


@pytest.mark.parametrize("path", ["/iso8601", "/dependency"])
@pytest.mark.parametrize("body", ["{", "[]", '"x"', "5", "true", "{}", '{"command":"true"}', "{'name':'x'}", "[1]"])
def test_bodies_that_are_no_job(api: Api, path: str, body: str) -> None:
    answer = api.text(path, body)
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == "text/html;charset=ISO-8859-1"
    assert answer.headers["Cache-Control"] == "must-revalidate,no-cache,no-store"
    assert answer.headers["Content-Length"] == str(len(answer.content))
    assert "HTTP ERROR: 500" in answer.text
    assert f"Problem accessing {api.dialect.prefix}{path}. Reason:" in answer.text
    assert "message" not in answer.text
