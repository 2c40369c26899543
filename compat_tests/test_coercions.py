"""What becomes of values of the wrong type, of schedules and of names.

Where ours differs on purpose from the original, a case says so in its note.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from compat_tests.dialects import FAR, JSON, V2, V3, Api

ENV = [{"name": "A", "value": "b"}]
NULL = "ours: null counts as absent"

COERCIONS: list[tuple[str, Any, Any, str]] = [
    ("command", 5, "5", ""),
    ("command", True, "true", ""),
    ("command", 1.5, "1.5", ""),
    ("command", [], "", ""),
    ("command", {"a": 1}, "", ""),
    ("owner", None, "", NULL),
    ("description", None, "", NULL),
    ("ownerName", None, "", NULL),
    ("runAsUser", None, "root", NULL),
    ("lastSuccess", None, "", NULL),
    ("scheduleTimeZone", None, "", NULL),
    ("executor", ["a"], "", ""),
    ("retries", "7", 7, ""),
    ("retries", "7.9", 7, ""),
    ("retries", 3.9, 3, ""),
    ("retries", "x", 0, ""),
    ("retries", None, 0, ""),
    ("retries", -4, -4, ""),
    ("retries", {}, 0, ""),
    ("retries", True, 1, ""),
    ("successCount", "12", 12, ""),
    ("successCount", None, 0, ""),
    ("successCount", 2**40, 2**40, ""),
    ("errorCount", "x", 0, ""),
    ("errorsSinceLastSuccess", None, 0, ""),
    ("cpus", "0.5", 0.5, ""),
    ("cpus", "x", 0.1, ""),
    ("cpus", 0, 0.1, ""),
    ("cpus", "0", 0.1, ""),
    ("cpus", None, 0.1, ""),
    ("mem", 0.0, 128.0, ""),
    ("mem", None, 128.0, ""),
    ("mem", [], 128.0, ""),
    ("disk", "x", 256.0, ""),
    ("disk", "1e3", 1000.0, ""),
    ("disk", -1, -1.0, ""),
    ("disabled", "true", True, ""),
    ("disabled", " true ", True, ""),
    ("disabled", "yes", False, ""),
    ("disabled", "false", False, ""),
    ("disabled", 1, True, ""),
    ("disabled", -3, True, ""),
    ("disabled", 0, False, ""),
    ("disabled", None, False, ""),
    ("disabled", [], False, ""),
    ("shell", None, False, ""),
    ("shell", "x", False, ""),
    ("shell", "true", True, ""),
    ("softError", None, False, ""),
    ("highPriority", 1, True, ""),
    ("uris", None, [], ""),
    ("uris", "a", [], ""),
    ("uris", [1, True, "a"], ["1", "true", "a"], ""),
    ("arguments", None, [], ""),
    ("arguments", "a", [], ""),
    ("arguments", [1, "b", {}], ["1", "b", ""], ""),
    ("environmentVariables", None, [], ""),
    ("environmentVariables", [{"name": 1, "value": True}], [{"name": "1", "value": "true"}], ""),
    ("environmentVariables", [*ENV, *ENV], [*ENV, *ENV], ""),
    ("environmentVariables", [{"name": "A", "value": "b", "other": 1}], ENV, ""),
    ("fetch", None, [], ""),
    ("constraints", None, [], ""),
    ("constraints", [["a", "EQUALS", 5]], [["a", "EQUALS", "5"]], ""),
]


@pytest.mark.parametrize(
    ("field", "sent", "stored", "note"), COERCIONS, ids=[f"{case[0]}={json.dumps(case[1])}" for case in COERCIONS]
)
def test_coercion(api: Api, name: str, field: str, sent: Any, stored: Any, note: str) -> None:
    api.create(name, **{field: sent})
    value = api.job(name)[field]
    assert (value, type(value)) == (stored, type(stored)), note


IGNORED = {
    "dataJob": True,
    "user": "x",
    "labels": {},
    "taskInfo": {},
    "id": 5,
    "persisted": True,
    "zzz": None,
}


def test_unknown_keys_are_ignored(api: Api, name: str) -> None:
    api.create(name)
    plain = api.job(name)
    api.create(name, **IGNORED)
    assert api.job(name) == plain


def test_fields_of_the_other_line_are_not_shown(api: Api, name: str) -> None:
    foreign = {"async": True, "epsilon": "PT15M"} if api.dialect == V3 else {"concurrent": True, "maxCompletionTime": 5}
    api.create(name, **foreign)
    assert not foreign.keys() & api.job(name).keys()


def test_no_answer_has_null(api: Api, name: str) -> None:
    api.create(name, **dict.fromkeys(("owner", "uris", "fetch", "constraints", "lastError", "disabled")))
    assert "null" not in api.get(f"/jobs/search?name={name}").text


@pytest.mark.parametrize("container", [None, {}, {"network": "HOST"}, "x", 5, []])
def test_unusable_containers(api: Api, name: str, container: Any) -> None:
    answer = api.post("/iso8601", {"name": name, "command": "true", "schedule": FAR, "container": container})
    if api.dialect == V3:
        assert answer.status_code == 204
        assert "container" not in api.job(name)
    else:
        assert answer.status_code == 500
        assert answer.headers["Content-Type"] == "text/html;charset=ISO-8859-1"


@pytest.mark.parametrize(("sent", "stored"), [(True, True), ("true", True), ("True", True), ("x", False), (1, False)])
def test_force_pull_is_read_as_text(api: Api, name: str, sent: Any, stored: bool) -> None:
    api.create(name, container={"image": "i", "forcePullImage": sent})
    assert api.job(name)["container"]["forcePullImage"] is stored


def test_extract_null_is_false(api: Api, name: str) -> None:
    api.create(name, fetch=[{"uri": "u", "extract": None, "cache": "true"}])
    assert api.job(name)["fetch"] == [{"uri": "u", "executable": False, "cache": True, "extract": False}]


@pytest.mark.parametrize(
    "constraint", [["a", "equals", "b"], ["a", "NEAR", "b"], ["a", "GROUP_BY", "b"], ["a", "", "b"]]
)
def test_ours_refuses_an_unknown_operator_instead_of_dropping_it(api: Api, name: str, constraint: list[str]) -> None:
    constraints = [["a", "EQUALS", "b"], constraint]
    answer = api.post("/iso8601", {"name": name, "command": "true", "schedule": FAR, "constraints": constraints})
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, JSON)
    assert api.find(name) is None


def test_last_of_a_duplicate_key_and_text_after_the_object(api: Api, name: str) -> None:
    body = f'{{"name":"x","command":"a","schedule":"{FAR}","command":"b","name":"{name}"}} and more'
    assert api.text("/iso8601", body).status_code == 204
    assert api.job(name)["command"] == "b"


@pytest.mark.parametrize("parents", [None, [], "a", {}, 5])
def test_parents_without_any_parent(api: Api, name: str, parents: Any) -> None:
    document = {"name": name, "command": "true", "schedule": FAR, "parents": parents}
    page = api.post("/iso8601", document)
    assert (page.status_code, page.headers["Content-Type"][:9]) == (500, "text/html")
    answer = api.post("/dependency", document)
    assert (answer.status_code, answer.headers["Content-Type"]) == (500, JSON)
    assert api.find(name) is None


def test_null_name_is_a_missing_name(api: Api) -> None:
    page = api.post("/iso8601", {"name": None, "command": "true", "schedule": FAR})
    assert (page.status_code, page.headers["Content-Type"][:9]) == (500, "text/html")


def test_null_schedule_is_refused(api: Api, name: str) -> None:
    answer = api.post("/iso8601", {"name": name, "command": "true", "schedule": None})
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, JSON)


EPSILONS = [("PT15M", "PT15M"), ("PT60S", "PT60S"), ("P1DT2H", "P1DT2H")]


@pytest.mark.parametrize(("sent", "shown"), EPSILONS)
def test_epsilon_is_2x_only(api: Api, name: str, sent: str, shown: str) -> None:
    api.create(name, epsilon=sent)
    assert api.job(name).get("epsilon") == (shown if api.dialect == V2 else None)


@pytest.mark.parametrize("epsilon", [None, "x", "", 5])
def test_bad_epsilon(api: Api, name: str, epsilon: Any) -> None:
    answer = api.post("/iso8601", {"name": name, "command": "true", "schedule": FAR, "epsilon": epsilon})
    assert answer.status_code == (500 if api.dialect == V2 else 204)
