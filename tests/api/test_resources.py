"""GET /api/resources: sums, slots, groups, and what waits."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from chronos_py.api.openapi import openapi_document
from chronos_py.model.capacity import AgentCapacity, parts, slots
from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources
from chronos_py.model.run import Phase
from tests.api.backend import FakeBackend, a_run
from tests.api.test_openapi import check
from tests.api.test_runs import submit
from tests.fakes import NEW_YEAR


@pytest.fixture(autouse=True)
def cluster(client: FlaskClient, backend: FakeBackend) -> None:
    """Two agents of one data centre, one of another that takes no tasks, one of none; our tasks run on the first."""
    reserved = {"other": Resources.of(2, 0), "ours": Resources.of(1, 0)}
    size = Resources.of(8, 8000, 8000)
    backend.agents = [
        AgentCapacity("s1", "n1", size, Resources.of(1, 1000), reserved, {"dc": "x"}, ours=frozenset(("*", "ours"))),
        AgentCapacity("s2", "n2", size, Resources.of(6, 1000), {}, {"dc": "x"}, age=1.5),
        AgentCapacity("s3", "n3", size, Resources(), {}, {"dc": "y"}, active=False),
        AgentCapacity("s4", "n4", size, Resources(), {}, {"zone": 3.0}),
    ]
    backend.held = [Offer("o", "s1", "n1", Resources.of(1, 10)), Offer("p", "s1", "n1", Resources.of(1, 10))]
    submit(client, name="a", cpus=2, mem=100, disk=0)
    backend.view.runs = {
        1: a_run(1, phase=Phase.RUNNING, agent_id="s1"),
        2: a_run(2, phase=Phase.LAUNCHING, agent_id="s1"),
        3: a_run(3, phase=Phase.REPORTING, agent_id="s1"),
        4: a_run(4, due=NEW_YEAR - 5000, priority=7),
        5: a_run(5, due=NEW_YEAR - 9000, phase=Phase.RETRYING),
        6: a_run(6, due=NEW_YEAR - 8000),
    }


def ask(client: FlaskClient, query: str = "") -> Any:
    response = client.get(f"/api/resources?{query}")
    assert response.status_code == 200, response.text
    check(response.get_json(), openapi_document()["components"]["schemas"]["Resources"])
    return response.get_json()


def test_sums(client: FlaskClient) -> None:
    form = ask(client)
    assert form["agents"] == 4
    assert form["total"] == {"cpus": 32, "mem": 32_000, "disk": 32_000, "gpus": 0}
    assert form["usedByUs"]["cpus"] == 4  # two tasks
    assert form["used"]["cpus"] == 10  # the first agent's at least what ours have
    assert form["offered"]["cpus"] == 2
    assert form["free"]["cpus"] == 4 + 2 + 0 + 8
    assert form["reserved"]["*"]["cpus"] == 29
    assert (form["reserved"]["other"]["cpus"], form["reserved"]["ours"]["cpus"]) == (2, 1)
    assert (form["age"], form["running"], form["shape"], form["slots"]) == (1.5, 2, None, None)
    assert form["largestFree"]["cpus"] == 8


def test_what_is_reserved_for_others_is_not_free(client: FlaskClient, backend: FakeBackend) -> None:
    backend.view.runs.clear()
    backend.agents = [AgentCapacity("s", "n", Resources.of(8, 10), Resources(), {"other": Resources.of(5, 0)})]
    assert ask(client)["free"]["cpus"] == 3


def test_how_many_of_a_shape_would_fit(client: FlaskClient) -> None:
    form = ask(client, "cpus=2&mem=1000&agents=true")
    assert [(agent["agent"], agent["slots"]) for agent in form["byAgent"]] == [
        ("s1", 2),
        ("s2", 1),
        ("s3", 0),
        ("s4", 4),
    ]
    assert form["slots"] == 7
    assert form["shape"] == {"cpus": 2, "mem": 1000, "disk": 0, "gpus": 0}
    assert ask(client, "gpus=1")["slots"] == 0


def test_groups_by_an_attribute(client: FlaskClient) -> None:
    groups = ask(client, "cpus=1&attribute=dc")["byAttribute"]
    assert [(group["value"], group["agents"], group["slots"]) for group in groups] == [
        ("", 1, 8),
        ("x", 2, 6),
        ("y", 1, 0),
    ]
    assert [group["value"] for group in ask(client, "attribute=zone")["byAttribute"]] == ["", "3"]


def test_what_waits_by_priority(client: FlaskClient) -> None:
    assert ask(client)["queue"] == {
        "waiting": 3,
        "byPriority": [
            {"priority": 7, "waiting": 1, "oldestRun": 4, "oldestDue": "2025-12-31T23:59:55.000Z", "oldestWait": 5.0},
            {"priority": 0, "waiting": 2, "oldestRun": 5, "oldestDue": "2025-12-31T23:59:51.000Z", "oldestWait": 9.0},
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "field"),
    [("cpus=many", "cpus"), ("mem=-1", "mem"), ("cpus=nan", "cpus"), ("cpus=0", "cpus"), ("agents=all", "agents")],
)
def test_what_makes_no_sense_is_refused_and_named(client: FlaskClient, query: str, field: str) -> None:
    response = client.get(f"/api/resources?{query}")
    assert response.status_code == 400
    assert response.get_json()["error"]["field"] == field


@pytest.mark.parametrize(
    ("room", "need", "count"),
    [
        (Resources.of(4, 100, ports=3), Resources.of(1, 10, ports=2), 1),
        (Resources.of(4, 100), Resources(), 0),
        (Resources.of(-1, 100), Resources.of(1, 1), 0),
    ],
)
def test_slots(room: Resources, need: Resources, count: int) -> None:
    assert slots(parts(room), parts(need)) == count
