"""Who runs first, and where, on a machine of several agents: real processes, through HTTP."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from compat_tests.conftest import show_log
from compat_tests.dialects import eventually
from compat_tests.placing import Placed, agents

MACHINE = (
    "name:a; cpus:2; cpus(news):2; mem:4096; mem(news):1024; disk:4096; attributes:rack:r1,dc:x,size:4"
    "| name:b; host:b.example; cpus:4; mem:4096; disk:4096; attributes:rack:r1,dc:y,size:8"
    "| name:c; cpus:4; mem:4096; disk:4096; attributes:rack:r2,dc:y"
)
QUOTAS = '{"channel=news": {"running": 1, "borrow": true}, "channel=film": {"running": 1}}'
OPTIONS = ("--mesos_role", "news", "--failure_retry", "100", "--quotas", QUOTAS, "--preemption_after", "0.2",
           "--attributes", "zone:z1", "--suspect_agent_after", "0")  # fmt: skip
A, B, C = "a", "b.example", "c"


@pytest.fixture(scope="module")
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Placed]:
    if request.config.getoption("--url"):
        pytest.skip("the server must be started with several agents")
    failed_before = request.session.testsfailed
    with agents(tmp_path_factory.mktemp("placing"), MACHINE, *OPTIONS) as placed:
        yield placed
    if request.session.testsfailed > failed_before:
        show_log(request.config, placed.server.log)


@pytest.fixture
def placed(machine: Placed) -> Iterator[Placed]:
    yield machine
    machine.clear()


# --- where


def test_tasks_are_spread_over_agents_and_each_says_why_it_is_there(placed: Placed) -> None:
    runs = [placed.run(f"spread-{n}", cpus=0.5) for n in range(6)]
    attempts = [placed.running(run) for run in runs]
    assert Counter(attempt["host"] for attempt in attempts) == {A: 2, B: 2, C: 2}
    placements = [attempt["placement"] for attempt in attempts]
    assert max(placement["candidates"] for placement in placements) == 3  # fewer while offers are on their way
    assert {placement["rank"] for placement in placements} <= {"balance", "order"}
    last = placements[-1]
    assert last["share"] == pytest.approx(0.125)
    assert last["next"]["share"] == pytest.approx(0.25)
    assert "of it was in use" in last["sentence"]
    assert placed.why(runs[-1]) == {
        "code": "running",
        "sentence": f"it runs on {attempts[-1]['host']}: {last['sentence']}",
        "detail": {"agent": attempts[-1]["agent"], "host": attempts[-1]["host"], "placement": last},
    }


OPERATORS: list[tuple[list[str], set[str]]] = [
    (["rack", "EQUALS", "r2"], {C}),
    (["rack", "LIKE", "r[13]"], {A, B}),
    (["rack", "UNLIKE", "r1"], {C}),
    (["size", "IS", "8"], {B}),
    (["size", "<", "8"], {A}),
    (["size", "<=", "4.0"], {A}),
    (["size", ">", "4"], {B}),
    (["size", ">=", "5"], {B}),
    (["dc", "CLUSTER", "x"], {A}),
    (["hostname", "EQUALS", "b.example"], {B}),
    (["@hostname", "LIKE", "[ac]"], {A, C}),
    (["zone", "EQUALS", "z1"], {A, B, C}),
]


@pytest.mark.parametrize(("constraint", "hosts"), OPERATORS, ids=lambda value: "-".join(sorted(value)))
def test_each_operator_leaves_the_agents_that_are_fit(placed: Placed, constraint: list[str], hosts: set[str]) -> None:
    attempt = placed.running(placed.run("fit", constraints=[constraint]))
    assert attempt["host"] in hosts
    assert attempt["placement"]["candidates"] == len(hosts)


def test_an_agents_id_is_an_attribute_too(placed: Placed) -> None:
    ids = {one["host"]: one["agent"] for one in placed.get("/resources", agents="true")["byAgent"]}
    assert placed.running(placed.run("by-id", constraints=[["@agent", "EQUALS", ids[C]]]))["host"] == C


@pytest.mark.parametrize(
    ("constraint", "most", "each"),
    [
        (["hostname", "UNIQUE"], 3, 1), (["rack", "MAX_PER", "1"], 2, 1), (["rack", "UNIQUE"], 2, 1),
        (["hostname", "GROUP_BY"], 6, 2),
    ],
)  # fmt: skip
def test_operators_about_the_jobs_other_tasks(placed: Placed, constraint: list[str], most: int, each: int) -> None:
    placed.add("beside", constraints=[constraint], concurrent=True)
    runs = [placed.run("beside") for _ in range(most)]
    hosts = Counter(placed.running(run)["host"] for run in runs)
    assert max(hosts.values()) == each
    if each == 1:
        extra = placed.run("beside")
        why = placed.waits_for(extra, "no_fit")
        assert f"{constraint[0]} {constraint[1]}" in why["sentence"]
        assert "beside the job's running tasks" in why["sentence"]


def test_what_no_agent_meets_and_what_is_no_operator(placed: Placed) -> None:
    why = placed.waits_for(placed.run("unfit", constraints=[["rack", "EQUALS", "r9"]]), "no_fit")
    assert why["detail"]["refusals"] == {"does not meet rack EQUALS r9": 3}
    job = {"name": "odd", "command": "true", "schedule": "R1//P1D", "constraints": [["rack", "NEAR", "r1"]]}
    answer = placed.call("POST", "/v1/scheduler/iso8601", json=job)
    assert answer.status_code == 400
    assert "NEAR" in answer.text


# --- retries


def test_a_retry_avoids_agents_on_which_an_attempt_failed(placed: Placed) -> None:
    attempts = placed.ended(placed.run("fails", command="exit 3", retries=2))["attemptList"]
    assert {attempt["host"] for attempt in attempts} == {A, B, C}
    first, second, third = (attempt["placement"] for attempt in attempts)
    assert "avoided" not in first
    assert set(second["avoided"]) == {attempts[0]["agent"]}
    weights = third["avoided"]
    assert 0.4 < weights[attempts[0]["agent"]] <= 0.5 < 0.9 < weights[attempts[1]["agent"]] <= 1


def test_when_only_avoided_agents_have_room_soft_and_hard(placed: Placed) -> None:
    only_b = {"command": "exit 1", "retries": 1, "constraints": [["hostname", "EQUALS", B]]}
    attempts = placed.ended(placed.run("soft", **only_b))["attemptList"]
    assert [attempt["host"] for attempt in attempts] == [B, B]
    assert attempts[1]["placement"]["rank"] == "last_resort"
    run = placed.run("hard", **only_b, avoidFailedAgents="hard")
    why = placed.waits_for(run, "no_fit")
    assert why["detail"]["refusals"]["an attempt of the run failed there"] == 1
    assert len(placed.detail(run)["attemptList"]) == 1


# --- from whose part


def test_shared_first_and_reserved_first(placed: Placed) -> None:
    on_a = {"constraints": [["hostname", "EQUALS", A]]}

    def taken(name: str, **fields: Any) -> dict[str, str]:
        found: dict[str, str] = placed.running(placed.run(name, **on_a, **fields))["placement"]["taken"]
        return found

    assert taken("shared", cpus=1) == {"*": "cpus:1;mem:8;disk:8"}
    assert taken("reserved", cpus=1, resourceOrder="reserved") == {
        "news": "cpus:1;mem:8;disk:0",
        "*": "cpus:0;mem:0;disk:8",
    }
    assert taken("both", cpus=1.5) == {"*": "cpus:1;mem:8;disk:8", "news": "cpus:0.5;mem:0;disk:0"}
    report = placed.get("/resources", agents="true")
    assert report["reserved"]["news"]["cpus"] == 2
    assert (report["usedOfReserved"]["news"]["cpus"], report["usedOfReserved"]["*"]["cpus"]) == (1.5, 2)
    (agent,) = (one for one in report["byAgent"] if one["host"] == A)
    assert (agent["total"]["cpus"], agent["free"]["cpus"], agent["usedOf"]["news"]["cpus"]) == (4, 0.5, 1.5)


def test_a_role_has_an_order_of_its_own_and_the_job_wins(tmp_path: Any) -> None:
    machine = "cpus:2; cpus(news):2; cpus(film):2; cpus(other):1; mem:1000; disk:1000"
    with agents(tmp_path, machine, "--mesos_role", "news,film", "--resource_order", "shared,film:reserved") as placed:

        def taken(name: str, **fields: Any) -> str:
            return ",".join(placed.running(placed.run(name, **fields))["placement"]["taken"])

        assert taken("first", cpus=2).split(",")[0] == "film"
        assert taken("second", cpus=1, mem=8) == "*"
        assert taken("third", cpus=1, resourceOrder="reserved").split(",")[0] == "news"
        assert taken("fourth", cpus=2) == "*,news"
        why = placed.waits_for(placed.run("fifth", cpus=1), "no_fit")  # other's core is not for us
        assert why["sentence"] == "1 agent: not enough cpus free"


# --- the order, quotas, preemption


def test_old_runs_of_low_priority_go_before_new_ones_of_a_higher(placed: Placed) -> None:
    big = {"cpus": 100}
    placed.add("old", **big, schedule="R1/2020-01-01T00:00:00Z/P1D", priority=0)
    new = placed.run("new", **big, priority=5)
    old = eventually(lambda: placed.get("/runs", job="old")["runs"], bool)[0]["run"]
    order = [run["run"] for run in placed.get("/queue")["runs"]]
    assert order == [old, new]
    assert placed.call("PATCH", f"/api/runs/{new}", json={"priority": 10**6}).status_code == 204
    assert [run["run"] for run in placed.get("/queue")["runs"]] == [new, old]


def test_quotas_bind_and_lend(placed: Placed) -> None:
    placed.add("film", concurrent=True, labels={"channel": "film"})
    placed.add("news", concurrent=True, labels={"channel": "news"})
    film, news = ([placed.run(name) for _ in range(2)] for name in ("film", "news"))
    placed.running(film[0])
    for run in news:  # the second borrows
        placed.running(run)
    why = placed.waits_for(film[1], "quota")
    assert (why["detail"]["quota"], why["detail"]["exceeded"]) == ("channel=film", ["running"])
    forms = {one["quota"]: one for one in placed.get("/quotas")["quotas"]}
    assert {name: (form["used"]["running"], form["waiting"]) for name, form in forms.items()} == {
        "channel=film": (1, 1),
        "channel=news": (2, 0),
    }
    assert placed.call("DELETE", f"/api/runs/{film[0]}").status_code == 204
    placed.running(film[1])


def test_room_is_made_by_stopping_the_fewest_and_youngest(placed: Placed) -> None:
    placed.add("full", cpus=2, concurrent=True, preemptible=True, command="sleep 300")
    low = [placed.run("full") for _ in range(6)]
    places = {run: placed.running(run)["host"] for run in low}
    assert Counter(places.values()) == {A: 2, B: 2, C: 2}
    urgent = placed.run("urgent", cpus=2, priority=10)
    placed.running(urgent)
    victims = [run for run in low if placed.detail(run)["state"] != "running"]
    assert len(victims) == 1
    (victim,) = victims
    assert victim == max(run for run in low if places[run] == places[victim])
    (attempt,) = [one for one in placed.detail(victim)["attemptList"] if one["outcome"]]
    assert (attempt["outcome"], attempt["message"]) == ("preempted", f"made room for run {urgent}")
    why = placed.waits_for(victim, "no_fit")
    assert why["detail"]["preemptedBy"] == urgent
    assert placed.call("DELETE", f"/api/runs/{urgent}").status_code == 204
    assert placed.running(victim)["attempt"] == 1  # with retries 0: it was not charged


# --- reports


def test_resources_by_an_attribute(placed: Placed) -> None:
    placed.running(placed.run("one", cpus=1, constraints=[["dc", "EQUALS", "x"]]))
    report = placed.get("/resources", attribute="dc", cpus=1)
    groups = {one["value"]: one for one in report["byAttribute"]}
    assert {value: (one["agents"], one["total"]["cpus"], one["used"]["cpus"], one["slots"]) for value, one in
            groups.items()} == {"x": (1, 4, 1, 3), "y": (2, 8, 0, 8)}  # fmt: skip
    assert (report["total"]["cpus"], report["usedByUs"]["cpus"], report["running"]) == (12, 1, 1)


def test_each_cause_has_its_numbers(placed: Placed) -> None:
    placed.add("single")
    first = placed.run("single")
    placed.running(first)
    second = placed.run("single")
    assert placed.waits_for(second, "job_running")["sentence"]
    assert placed.call("DELETE", f"/api/runs/{first}").status_code == 204
    placed.ended(first)
    why = placed.why(first)
    assert (why["code"], why["detail"]["cause"], why["detail"]["placement"]["rank"]) == ("ended", "killed", "order")
    retried = placed.run("retried", command="exit 9", retries=1, retryDelay=600)
    assert placed.waits_for(retried, "retry_delay")["detail"]["notBefore"]
    large = placed.run("large", cpus=5)
    why = placed.waits_for(large, "no_fit")
    assert why["detail"]["refusals"] == {"not enough cpus free": 3}
    assert why["detail"]["largestFree"].startswith("cpus:4;")
    assert placed.call("DELETE", "/v1/scheduler/job/large").status_code == 204
    assert placed.why(large)["detail"]["cause"] == "job_deleted"
    failed = placed.run("failed", command="exit 7")
    placed.ended(failed)
    detail = placed.why(failed)["detail"]
    assert (detail["cause"], detail["exit"], detail["outcome"]) == ("failed", "exit 7", "failed")
    placed.add("overdue", schedule="R1/2020-01-01T00:00:00Z/P1D", catchUp="skip")
    late = eventually(lambda: placed.get("/runs", job="overdue")["runs"], bool)[0]
    assert placed.why(late["run"])["detail"]["cause"] == "late"


def test_statistics_agree_with_the_folders_of_tasks(placed: Placed) -> None:
    placed.add("ok", command="true", concurrent=True)
    placed.add("bad", command="exit 2", concurrent=True, retries=1)
    for run in [placed.run(name) for name in ("ok", "bad") for _ in range(5)]:
        placed.ended(run)
    folders = list((placed.server.data_dir / "runs").glob("*/ct_*"))
    counted = Counter(job for folder in folders for job in ("ok", "bad") if f"_{job}_" in folder.name)
    assert counted == {"ok": 5, "bad": 10}

    def rows() -> dict[str, dict[str, Any]]:
        return {row["job"]: row for row in placed.get("/statistics", by="job")["rows"]}

    found = eventually(rows, lambda rows: all(rows.get(job, {}).get("launched") == n for job, n in counted.items()))
    assert (found["ok"]["success"], found["ok"]["due"], found["ok"]["attemptsFailed"]) == (5, 5, 0)
    assert (found["bad"]["failed"], found["bad"]["due"], found["bad"]["attemptsFailed"]) == (5, 5, 10)


def test_the_commands_say_the_same_as_the_api(placed: Placed) -> None:
    run = placed.run("asked", cpus=100)
    placed.waits_for(run, "no_fit")

    def command(*words: str) -> str:
        words = (sys.executable, "-m", "chronos_py", *words, "--url", placed.server.url)
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    assert command("why", str(run)).startswith("no_fit: 3 agents: not enough cpus free")
    assert f"{run}" in command("queue")
    assert "1 runs wait" in command("resources", "--attribute", "rack", "--agents")


# --- what outlives the server


def test_a_task_of_an_agent_that_is_gone_runs_on_and_its_agent_takes_no_more(tmp_path: Any) -> None:
    both = "name:a;cpus:1;mem:100;disk:100|name:b;cpus:2;cpus(news):1;mem:100;disk:100"
    with agents(tmp_path, both, "--mesos_role", "news", leave=True) as placed:
        run = placed.run("stays", cpus=3)
        attempt = placed.running(run)
        assert attempt["host"] == "b"
    with agents(tmp_path, both.partition("|")[0], "--mesos_role", "news") as again:
        there = again.running(run)
        for key in ("agent", "host", "placement", "taskId"):
            assert there[key] == attempt[key]

        def by_host() -> dict[str, dict[str, Any]]:
            return {one["host"]: one for one in again.get("/resources", agents="true")["byAgent"]}

        gone = eventually(by_host, lambda found: "b" in found)["b"]
        assert (gone["active"], gone["used"]["cpus"], gone["free"]["cpus"]) == (False, 3, 0)
        assert gone["usedOf"]["news"]["cpus"] == 1
        assert again.running(again.run("other", cpus=1))["host"] == "a"
        assert again.call("DELETE", f"/api/runs/{run}").status_code == 204
        ended = again.ended(run)
        assert (ended["outcome"], ended["attemptList"][-1]["placement"]) == ("killed", attempt["placement"])
        assert eventually(by_host, lambda found: "b" not in found).keys() == {"a"}
