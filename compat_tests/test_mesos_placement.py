"""Where jobs run on a real Mesos cluster: balance, constraints, reservations, and living with other frameworks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from compat_tests.dialects import V2, V3, eventually
from compat_tests.mesos_jobs import Scheduler, resources_of, serving
from compat_tests.mini_framework import TERMINAL, MiniFramework
from compat_tests.servers.mesos import AgentSpec, MesosCluster, missing

pytestmark = pytest.mark.external

EQUAL_JOBS = 90
FAIR = 0.95  # of Jain's index
HOSTS = ("a", "b", "c")
LONG_S = 3600.0


@pytest.fixture(scope="module", autouse=True)
def mesos() -> None:
    lacking = missing()
    if lacking:
        pytest.skip(lacking)


@pytest.fixture(scope="module")
def cluster(mesos: None) -> Iterator[MesosCluster]:
    attributes = ("rack:r1;zone:east;slots:4", "rack:r2;zone:east;slots:8", "rack:r2;zone:west")
    agents = [
        AgentSpec(hostname=host, attributes=text, resources="cpus:10;mem:8192;disk:10240")
        for host, text in zip(HOSTS, attributes, strict=True)
    ]
    with MesosCluster(agents, master_flags={"allocation_interval": "100ms"}) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def scheduler(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, cluster: MesosCluster
) -> Iterator[Scheduler]:
    with serving(request, tmp_path_factory.mktemp("server"), cluster) as scheduler:
        yield scheduler


# --- balance


def jain(shares: list[float]) -> float:
    """Return Jain's index of fairness: 1 when all are equal, 1/n when one has everything."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares)


def seconds_of(run: dict[str, Any]) -> float:
    started, ended = (datetime.fromisoformat(run[key]) for key in ("started", "ended"))
    return (ended - started).total_seconds()


def test_equal_jobs_are_spread_evenly(scheduler):
    names = [
        scheduler.add(f"equal-{number}", V3 if number % 2 else V2, command="sleep 1", cpus=1, mem=64, retries=0)
        for number in range(EQUAL_JOBS)
    ]
    runs = scheduler.all_ended(names, 60)
    assert {run["outcome"] for run in runs} == {"success"}
    used: dict[str, float] = dict.fromkeys(HOSTS, 0.0)
    for run in runs:
        used[run["host"]] += seconds_of(run)  # of one core
    assert sum(used.values()) >= EQUAL_JOBS
    assert jain(list(used.values())) >= FAIR, used


# --- constraints


@pytest.mark.parametrize(
    "attribute, operator, value, allowed",
    [
        ("rack", "EQUALS", "r1", "a"),
        ("zone", "EQUALS", "east", "ab"),
        ("rack", "LIKE", "r[12]", "abc"),
        ("zone", "LIKE", "w.*", "c"),
        ("slots", "LIKE", "8.0", "b"),
        ("rack", "UNLIKE", "r1", "bc"),
        ("slots", "UNLIKE", "4.0", "b"),  # c has no slots
        ("hostname", "EQUALS", "b", "b"),
        ("hostname", "LIKE", "a|c", "ac"),
        ("hostname", "UNLIKE", "a", "bc"),
    ],
)
def test_a_constraint_is_obeyed(scheduler, attribute, operator, value, allowed):
    stem = f"bound-{attribute}-{operator}-{allowed}"
    constraints = [[attribute, operator, value]]
    names = [
        scheduler.add(f"{stem}-{number}", V3 if number % 2 else V2, cpus=1, mem=64, constraints=constraints, retries=0)
        for number in range(4)
    ]
    runs = scheduler.all_ended(names, 30)
    assert {run["outcome"] for run in runs} == {"success"}
    assert {run["host"] for run in runs} <= set(allowed)


def test_an_impossible_constraint_waits_with_a_reason_and_stands_in_nobodys_way(scheduler):
    scheduler.add("nowhere", constraints=[["rack", "EQUALS", "r9"]], priority=1000)
    why = eventually(lambda: scheduler.why("nowhere"), lambda why: why["code"] == "no_fit")
    assert "rack EQUALS r9" in why["sentence"], why
    names = [scheduler.add(f"passing-{number}", cpus=1, mem=64) for number in range(5)]
    assert {run["outcome"] for run in scheduler.all_ended(names, 30)} == {"success"}
    (waiting,) = scheduler.get("/jobs/nowhere/why")["waiting"]
    assert (waiting["code"], waiting["run"]) == ("no_fit", scheduler.runs("nowhere")[-1]["run"])
    assert "rack EQUALS r9" in waiting["sentence"], waiting
    scheduler.add("nowhere", constraints=[["rack", "EQUALS", "r1"]])
    run = scheduler.ended("nowhere")
    assert (run["outcome"], run["host"]) == ("success", "a"), run


# --- other frameworks


def launch(other: MiniFramework, host: str, name: str, command: str, **amounts: float) -> None:
    """Let another framework wait for offers of all agents, run a task on one, and leave all the rest to others."""
    offers = other.offers(len(HOSTS))
    other.launch(offers.pop(host), name, command, refuse=LONG_S, **amounts)
    other.call("DECLINE", offer_ids=[offer["id"] for offer in offers.values()], filters={"refuse_seconds": LONG_S})
    other.call("SUPPRESS")


def test_another_framework_gets_offers_while_ours_is_idle(scheduler, cluster):
    scheduler.add("before")
    assert scheduler.ended("before")["outcome"] == "success"
    with MiniFramework(cluster.master_url) as other:
        launch(other, "a", "theirs", "true")
        assert other.status("theirs", TERMINAL)["state"] == "TASK_FINISHED"


def test_another_framework_gets_offers_while_ours_waits_for_what_there_is_not(scheduler, cluster):
    scheduler.add("too-big", mem=1_000_000)
    eventually(lambda: scheduler.why("too-big"), lambda why: why["code"] == "no_fit")
    with MiniFramework(cluster.master_url) as other:
        launch(other, "b", "theirs-too", "true")
        assert other.status("theirs-too", TERMINAL)["state"] == "TASK_FINISHED"
        scheduler.add("ours")
        assert scheduler.ended("ours")["outcome"] == "success"
    scheduler.delete("too-big")


def test_what_another_framework_uses_is_waited_for(scheduler, cluster):
    """The only agent that will do is full of somebody else's task; ours runs when that has ended."""
    with MiniFramework(cluster.master_url) as other:
        launch(other, "a", "filling", "sleep 2", cpus=9.5, mem=1024)
        other.status("filling", {"TASK_RUNNING"})
        scheduler.add("patient", cpus=1, constraints=[["hostname", "EQUALS", "a"]])
        assert other.status("filling", TERMINAL)["state"] == "TASK_FINISHED"
        assert scheduler.ended("patient")["outcome"] == "success"


# --- roles

STATIC = "cpus:2;mem:1024;disk:4096;cpus(prod):2;mem(prod):512"
TWO_ROLES = "cpus(dev):1;mem(dev):256;disk(dev):1024;cpus(qa):1;mem(qa):256;disk(qa):1024"
PLAIN = "cpus:2;mem:1024;disk:4096"


@pytest.fixture(scope="module")
def reserved(mesos: None) -> Iterator[MesosCluster]:
    agents = [
        AgentSpec(hostname="static", resources=STATIC),
        AgentSpec(hostname="roles", resources=TWO_ROLES),
        AgentSpec(hostname="dynamic", resources=PLAIN),
    ]
    with MesosCluster(agents, master_flags={"allocation_interval": "100ms"}) as cluster:
        yield cluster


def held(scheduler: Scheduler, cluster: MesosCluster, name: str, **fields: Any) -> dict[str, dict[str, float]]:
    """Start a job that goes on; return what it took, by name and role."""
    scheduler.add(name, command="sleep 1000", killGrace=0.1, retries=0, **fields)
    took: dict[str, dict[str, float]] = defaultdict(dict)
    for resource in resources_of(cluster, scheduler.started(name)["taskId"]):
        took[resource["name"]][resource["role"]] = resource["value"]
    return dict(took)


def let_go(scheduler: Scheduler, *names: str) -> None:
    for name in names:
        scheduler.kill(name)
        assert scheduler.ended(name)["outcome"] == "killed"


def on(host: str) -> dict[str, Any]:
    return {"constraints": [["hostname", "EQUALS", host]], "disk": 100}


def test_a_reservation_is_used_when_what_is_shared_is_used_up(request, tmp_path, reserved):
    with serving(request, tmp_path, reserved, "--mesos_role", "prod") as scheduler:
        took = held(scheduler, reserved, "wish", cpus=1, mem=64, resourceOrder="reserved", **on("static"))
        assert took == {"cpus": {"prod": 1}, "mem": {"prod": 64}, "disk": {"*": 100}}
        let_go(scheduler, "wish")
        took = held(scheduler, reserved, "first", cpus=1.5, mem=800, **on("static"))
        assert took == {"cpus": {"*": 1.5}, "mem": {"*": 800}, "disk": {"*": 100}}
        took = held(scheduler, reserved, "second", cpus=1, mem=256, **on("static"))
        assert took == {"cpus": {"*": 0.5, "prod": 0.5}, "mem": {"*": 224, "prod": 32}, "disk": {"*": 100}}
        took = held(scheduler, reserved, "third", cpus=1.5, mem=480, **on("static"))
        assert took == {"cpus": {"prod": 1.5}, "mem": {"prod": 480}, "disk": {"*": 100}}
        scheduler.add("fourth", cpus=0.5, **on("static"))
        eventually(lambda: scheduler.why("fourth"), lambda why: why["code"] in ("no_fit", "no_offers"))
        let_go(scheduler, "first")
        assert scheduler.ended("fourth")["outcome"] == "success"
        let_go(scheduler, "second", "third")


def test_a_reservation_is_used_first_when_told_so(request, tmp_path, reserved):
    with serving(request, tmp_path, reserved, "--mesos_role", "prod", "--resource_order", "reserved") as scheduler:
        took = held(scheduler, reserved, "wish", cpus=0.5, mem=64, resourceOrder="shared", **on("static"))
        assert took == {"cpus": {"*": 0.5}, "mem": {"*": 64}, "disk": {"*": 100}}
        let_go(scheduler, "wish")
        took = held(scheduler, reserved, "first", cpus=1.5, mem=500, **on("static"))
        assert took == {"cpus": {"prod": 1.5}, "mem": {"prod": 500}, "disk": {"*": 100}}
        took = held(scheduler, reserved, "second", cpus=1.5, mem=500, **on("static"))
        assert took == {"cpus": {"*": 1, "prod": 0.5}, "mem": {"*": 488, "prod": 12}, "disk": {"*": 100}}
        let_go(scheduler, "first", "second")


def test_a_framework_without_the_role_gets_nothing_reserved(request, tmp_path, reserved):
    with serving(request, tmp_path, reserved) as scheduler:
        took = held(scheduler, reserved, "first", cpus=2, mem=64, **on("static"))
        assert took == {"cpus": {"*": 2}, "mem": {"*": 64}, "disk": {"*": 100}}
        scheduler.add("second", cpus=0.5, **on("static"))
        eventually(lambda: scheduler.why("second"), lambda why: why["code"] in ("no_fit", "no_offers"))
        let_go(scheduler, "first")
        assert scheduler.ended("second")["outcome"] == "success"


def test_both_of_two_roles_are_used(request, tmp_path, reserved):
    with serving(request, tmp_path, reserved, "--mesos_role", "dev,qa") as scheduler:
        fields = {"cpus": 1, "mem": 200, **on("roles")}
        took = [held(scheduler, reserved, name, **fields) for name in ("first", "second")]
        roles = [list(one["cpus"]) for one in took]
        assert sorted(roles) == [["dev"], ["qa"]]
        for (role,), one in zip(roles, took, strict=True):
            assert one == {"cpus": {role: 1}, "mem": {role: 200}, "disk": {role: 100}}
        allocated = {
            resource["allocated"]
            for name in ("first", "second")
            for resource in resources_of(reserved, scheduler.detail(name)["taskId"])
        }
        assert allocated == {"dev", "qa"}
        let_go(scheduler, "first", "second")


def test_a_dynamic_reservation_is_used(request, tmp_path, reserved):
    resources = [
        {
            "name": name,
            "type": "SCALAR",
            "scalar": {"value": value},
            "reservations": [{"type": "DYNAMIC", "role": "later"}],
        }
        for name, value in (("cpus", 2), ("mem", 512))
    ]
    named = {"agent_id": {"value": reserved.agent_id(2)}, "resources": resources}
    reserved.operator({"type": "RESERVE_RESOURCES", "reserve_resources": named})
    with serving(request, tmp_path, reserved, "--mesos_role", "later") as scheduler:
        took = held(scheduler, reserved, "first", cpus=1, mem=600, **on("dynamic"))
        assert took == {"cpus": {"later": 1}, "mem": {"*": 512, "later": 88}, "disk": {"*": 100}}
        found = resources_of(reserved, scheduler.detail("first")["taskId"])
        assert {resource["type"] for resource in found if resource["role"] == "later"} == {"DYNAMIC"}
        let_go(scheduler, "first")
    reserved.operator({"type": "UNRESERVE_RESOURCES", "unreserve_resources": named})
