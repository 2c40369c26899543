"""The doctor tells what a takeover would do, and changes nothing."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from kazoo.client import KazooClient
from kazoo.security import make_digest_acl

from chronos_py.cli import main
from chronos_py.clock import SystemClock, iso_utc
from compat_tests.servers.chronos_state import Tree, document, entry, plant
from tests.fakes import NEW_YEAR
from tests.persistence.zookeeper.test_takeover import Place

pytestmark = pytest.mark.external

LATER = "2090-01-01T00:00:00.000Z"


class Patient:
    """A path of ZooKeeper, and what the doctor says of it."""

    def __init__(self, hosts: str) -> None:
        self.hosts, self.path = hosts, f"/{uuid.uuid4().hex}/state"
        self.client = KazooClient(hosts)
        self.client.start(30)

    def ask(self, *options: str) -> tuple[int, dict[str, Any]]:
        code, text = self.text("--json", *options)
        return code, json.loads(text)

    def text(self, *options: str) -> tuple[int, str]:
        given = ["doctor", "--zk_hosts", self.hosts, "--zk_path", self.path, "--zk_timeout", "30000", *options]
        result = CliRunner().invoke(main, given)
        return result.exit_code, result.stdout

    def nodes(self, path: str = "") -> dict[str, Any]:
        """Return the stat of every node below the path."""
        found: dict[str, Any] = {path: self.client.exists(path or self.path)}
        for name in self.client.get_children(path or self.path):
            found |= self.nodes(f"{path or self.path}/{name}")
        return found

    def latch(self, address: str) -> None:
        name = f"{self.path}/candidate/_c_{uuid.uuid4()}-latch-"
        self.client.create(name, address.encode(), ephemeral=True, sequence=True, makepath=True)


@pytest.fixture
def patient(zookeeper_server: Any) -> Iterator[Patient]:
    patient = Patient(zookeeper_server.hosts)
    yield patient
    patient.client.stop()
    patient.client.close()


def daily(version: str, name: str, **more: Any) -> str:
    return document(version, name, **{"schedule": f"R/{LATER}/P1D", **more})


def codes(report: dict[str, Any]) -> dict[str, list[str]]:
    return {finding["code"]: finding["names"] for finding in report["findings"]}


def test_a_healthy_tree(patient: Patient):
    jobs = {"a": daily("3.0.2", "a"), "b": document("3.0.2", "b", parents=["a"], disabled=True)}
    plant(patient.client, patient.path, Tree(jobs, framework_id="f-1"))
    code, report = patient.ask()
    assert (code, report["status"], report["findings"], report["quarantined"], report["tasks"]) == (0, 0, [], [], [])
    assert (report["framework_id"], report["line"], report["leader"], report["own"]) == ("f-1", "3.x", "", {})
    assert report["jobs"] == {"all": 2, "scheduled": 1, "dependent": 1, "disabled": 1}
    code, text = patient.text()
    assert code == 0
    assert "Framework    f-1\n" in text
    assert text.endswith("It can be taken over.\n")


def test_nothing_is_changed(patient: Patient):
    now = SystemClock().now()
    text = daily("2.4", "a b", shell=False, arguments=["x"])
    plant(patient.client, patient.path, Tree({"a b": text}, {f"ct:{now + 60_000}:0:a b:": text}))
    patient.client.create(f"{patient.path}/state/J_bad", b"")
    patient.latch("old:4400")
    before = patient.nodes()
    assert patient.text()[0] == 1
    assert patient.ask()[0] == 1
    assert patient.nodes() == before


JOBS_2 = {
    "arguments_twice": daily("2.5", "arguments_twice", shell=False, arguments=["x"]),
    "slash_in_arguments": daily("2.5", "slash_in_arguments", arguments=["/etc"]),
    "command_like_a_url": daily("2.5", "command_like_a_url", command="httpd -X"),
    "zone": daily("2.5", "zone", scheduleTimeZone="null"),
    "schedule": daily("2.5", "schedule", schedule=f"R/{LATER}/PT0S"),
    "end_of_month": daily("2.5", "end_of_month", schedule="R/2090-01-31T00:00:00Z/P1M"),
    "pattern": daily("2.5", "pattern", constraints=[["rack", "LIKE", "\\p{javaLowerCase}"]]),
    "parents": document("2.5", "parents", parents=["nobody"]),
    "cycle": document("2.5", "cycle", parents=["cycle"]),
    "lateness": daily("2.5", "lateness", epsilon="soon"),
}


def test_each_construct_that_differs_has_its_finding(patient: Patient):
    plant(patient.client, patient.path, Tree(JOBS_2))
    code, report = patient.ask()
    found = codes(report)
    assert len(found.pop("epsilon")) == len(JOBS_2) - 1
    assert found == {name: [name] for name in JOBS_2}
    assert code == 1
    assert all(finding["fix"] for finding in report["findings"])


def test_constructs_of_chronos_3(patient: Patient):
    jobs = {
        "a b": daily("3.0.2", "a b"),
        "c": daily("3.0.2", "c")[:-1] + ',"epsilon":"PT60S"}',
        "d": daily("3.0.2", "d"),
    }
    plant(patient.client, patient.path, Tree({}))
    for name, text in jobs.items():
        patient.client.create(f"{patient.path}/state/J_{name}", entry(f"J_{name}", text.encode()))
    code, report = patient.ask()
    assert (code, report["line"], codes(report)) == (1, "3.x", {"name_chronos_3": ["a b"], "epsilon_chronos_3": ["c"]})


def test_what_cannot_be_read_has_a_reason_and_a_fix(patient: Patient):
    plant(patient.client, patient.path, Tree({"odd": daily("2.4", "odd", constraints=[["a", "NEAR", "b"]])}))
    patient.client.create(f"{patient.path}/state/J_empty", b"")
    code, report = patient.ask()
    assert code == 1
    assert {(lost["kind"], lost["name"]) for lost in report["quarantined"]} == {("job", "odd"), ("job", "empty")}
    fixes = {finding["names"][0]: finding["fix"] for finding in report["findings"] if finding["code"] == "quarantined"}
    assert "EQUALS, LIKE, UNLIKE" in fixes["odd"]
    assert fixes["empty"]


def test_the_fate_of_pending_tasks(patient: Patient):
    now, text = SystemClock().now(), daily("2.4", "a b")
    tasks = {
        f"ct:{now + 600_000}:0:a b:": f"runs at {iso_utc(now + 600_000)}",
        f"ct:{now - 1000}:1:a b:": "runs at once",
    }
    tasks |= {f"ct:{now - 600_000}:0:a b:": "left out, with a row in history: late"}
    tasks |= {
        f"ct:{now}:0:gone:": "left out, with a row in history: its job is gone",
        f"ct:{now}:0:bad:": "stays: its job",
    }
    plant(patient.client, patient.path, Tree({"a b": text}, dict.fromkeys(tasks, text)))
    for name in ("J_bad", "T_hello"):
        patient.client.create(f"{patient.path}/state/{name}", b"")
    _, report = patient.ask("--task_epsilon", "60")
    fates = {task["id"]: task["fate"] for task in report["tasks"]}
    assert fates.pop("hello").startswith("stays: ")
    assert fates.keys() == tasks.keys()
    assert all(fates[task].startswith(fate) for task, fate in tasks.items())
    assert codes(report)["strange_tasks"] == ["hello"]


def test_who_leads(patient: Patient):
    plant(patient.client, patient.path, Tree({"a": daily("3.0.2", "a")}))
    for address in ("one:4400", "two:4400"):
        patient.latch(address)
    code, report = patient.ask()
    assert (code, report["leader"], report["candidates"]) == (0, "one:4400", ["one:4400", "two:4400"])


def test_credentials_that_are_missing_or_wrong(patient: Patient):
    plant(patient.client, patient.path, Tree({"a": daily("3.0.2", "a")}))
    mine = [make_digest_acl("chronos", "secret", all=True)]
    patient.client.set_acls(f"{patient.path}/state/J_a", [*mine])
    code, report = patient.ask()
    assert (code, codes(report)["closed_nodes"]) == (1, ["J_a"])
    patient.client.set_acls(f"{patient.path}/state", [*mine, make_digest_acl("x", "y", read=True)])
    assert patient.ask()[0] == 2
    code, report = patient.ask("--zk_auth", "chronos:secret")
    assert (code, report["findings"]) == (0, [])
    assert "secret" not in json.dumps(report)


def test_where_there_is_nothing(patient: Patient):
    code, report = patient.ask()
    assert (code, list(codes(report))) == (2, ["nothing_there"])
    patient.client.ensure_path(f"{patient.path}/state")
    code, report = patient.ask()
    assert (code, list(codes(report))) == (1, ["framework"])


def test_servers_that_do_not_answer():
    options = ["doctor", "--zk_hosts", "127.0.0.1:1", "--zk_timeout", "1000", "--json"]
    result = CliRunner().invoke(main, options)
    assert (result.exit_code, codes(json.loads(result.stdout))) == (2, {"unavailable": []})


def test_our_own_state(zookeeper_server: Any):
    place = Place(zookeeper_server.hosts)
    place.plant(
        Tree({"a": document("2.4", "a", schedule=f"R/{iso_utc(NEW_YEAR)}/P1D", constraints=[["a", "EQUALS", "b"]])})
    )
    place.boot()
    patient = Patient(zookeeper_server.hosts)
    patient.path = place.path
    before = patient.nodes()
    code, report = patient.ask()
    assert (code, report["own"]["runs"], codes(report)["only_ours"]) == (0, 1, ["a"])
    assert patient.nodes() == before
    place.client.set(f"{place.path}/x/format", b"99")
    assert patient.ask()[0] == 2
    patient.client.stop()
    patient.client.close()
    place.end()
