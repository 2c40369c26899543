"""Immediate jobs by real processes: thousands in a request, kill -9 at any moment, and each id runs exactly once."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from compat_tests.group import Group
from compat_tests.mesos_rig import QUICK, a_rig
from compat_tests.mortal import MortalServer, until
from compat_tests.servers import mesos, zookeeper

PATH = "/api/jobs/immediate"
ROOM = ("--resources", "cpus:64;mem:65536;disk:100000", "--failure_retry", "500")
MANY = 2000
KILLS = int(os.environ.get("IMMEDIATE_KILLS", "4"))  # the full count is 50
MORTAL = 50 * KILLS


@pytest.fixture(scope="module", autouse=True)
def own_server(pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--url", default=None):
        pytest.skip("starts its own servers")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MortalServer]:
    server = MortalServer(tmp_path, *ROOM)
    server.start()
    try:
        server.wait()
        yield server
    finally:
        server.stop()


def call(server: MortalServer, method: str, path: str = "", document: Any = None) -> requests.Response:
    return requests.request(method, f"{server.url}{PATH}{path}", json=document, timeout=60)


def a_document(name: str, file: Path, between: str = ":", /, **fields: Any) -> dict[str, Any]:
    """Return a job that writes its id to `file` when it begins and when it ends."""
    command = f"echo begin $CHRONOS_IMMEDIATE_ID >> {file}; {between} && echo end $CHRONOS_IMMEDIATE_ID >> {file}"
    return {"id": name, "command": command, "cpus": 0.1, "mem": 8, "disk": 1, "retries": 0, **fields}


def account(file: Path) -> tuple[Counter[str], Counter[str]]:
    """Return how often each id began and how often it ended."""
    begun, ended = Counter[str](), Counter[str]()
    for line in file.read_text().splitlines() if file.exists() else ():
        kind, name = line.split()
        (begun if kind == "begin" else ended)[name] += 1
    return begun, ended


def counts(server: MortalServer) -> dict[str, int]:
    found: dict[str, int] = call(server, "GET", "?limit=0").json()["byState"]
    return found


def wait_for(server: MortalServer, name: str, state: str) -> dict[str, Any]:
    """Return the status of a job once it is in a state."""
    status: dict[str, Any] = {}

    def there() -> bool:
        status.update(call(server, "GET", f"/{name}").json())
        return bool(status.get("state") == state)

    until(there, f"{name} is {state}")
    return status


def answered(server: MortalServer, documents: list[dict[str, Any]], seconds: float = 60) -> dict[str, int]:
    """Send until there is an answer, as a client would that cannot know what became of its request."""
    answers: list[dict[str, int]] = []

    def sent() -> bool:
        with contextlib.suppress(requests.RequestException):
            answer = call(server, "POST", "", documents)
            if answer.status_code == 200:
                answers.append({one["id"]: one["run"] for one in answer.json()["jobs"]})
        return bool(answers)

    until(sent, "the request is answered", seconds)
    return answers[0]


def test_it_runs_and_is_seen_everywhere_but_in_chronos(server: MortalServer, tmp_path: Path):
    document = a_document("first", tmp_path / "out", "echo hello", owner="me", labels={"k": "v"}, name="cut")
    started = call(server, "POST", "", document)
    assert (started.status_code, started.json()["id"]) == (200, "first")
    status = wait_for(server, "first", "success")
    number = started.json()["run"]
    assert (status["run"], status["owner"], status["labels"], status["name"]) == (number, "me", {"k": "v"}, "cut")
    run = server.get(f"/api/runs/{number}")
    assert (run["job"], run["outcome"], run["immediate"]) == ("immediate:cut", "success", "first")
    output = requests.get(f"{server.url}/api/runs/{number}/attempts/0/stdout", timeout=10)
    assert output.text == "hello\n"
    assert server.get(f"/api/runs/{number}/why")["code"] == "ended"

    def summed() -> bool:
        return any(row["job"] == "immediate:cut" for row in server.get("/api/statistics", by="job")["rows"])

    until(summed, "statistics have it")
    assert server.get("/v1/scheduler/jobs") == server.get("/scheduler/jobs") == []
    assert server.get("/v1/scheduler/jobs/summary") == {"jobs": []}
    assert "first" not in requests.get(f"{server.url}/v1/scheduler/graph/dot", timeout=10).text
    assert requests.get(f"{server.url}/v1/scheduler/job/first", timeout=10).status_code == 400
    assert server.get("/api/jobs")["jobs"] == []


def test_the_same_again_another_content_and_a_bad_batch(server: MortalServer, tmp_path: Path):
    document = a_document("one", tmp_path / "out")
    answer = call(server, "POST", "", document)
    assert call(server, "POST", "", document).content == answer.content
    refused = call(server, "POST", "", [a_document("two", tmp_path / "out"), {**document, "cpus": 0.2}])
    assert (refused.status_code, refused.json()["error"]["field"]) == (409, "[1].id")
    assert refused.json()["error"]["value"] == "one"
    refused = call(server, "POST", "", [a_document("two", tmp_path / "out"), {**document, "retries": "many"}])
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, "[1].retries")
    assert call(server, "GET", "/two").status_code == 404
    wait_for(server, "one", "success")
    assert call(server, "POST", "", document).content == answer.content
    assert account(tmp_path / "out") == (Counter(one=1), Counter(one=1))


def test_stopping_by_id_and_label_and_forgetting(server: MortalServer, tmp_path: Path):
    file, labels = tmp_path / "out", {"colour": "red"}
    documents = [a_document(f"j{n}", file, "sleep 60", labels=labels if n else {}) for n in range(4)]
    answered(server, documents)
    until(lambda: sum(account(file)[0].values()) == 4, "all have begun")
    stopped = call(server, "POST", "/kill", {"ids": ["j0", "x"]}).json()
    assert stopped == {"stopped": ["j0"], "forgotten": [], "notFound": ["x"]}
    assert call(server, "DELETE", "/j1").status_code == 204
    assert call(server, "GET", "/j1").status_code == 404
    assert call(server, "POST", "/kill", {"labels": labels}).json()["stopped"] == ["j2", "j3"]
    for name in ("j0", "j2", "j3"):
        wait_for(server, name, "killed")
    until(lambda: not server.active_runs(), "all have ended")
    assert account(file)[1] == Counter()


def test_a_result_goes_when_its_time_is_over(server: MortalServer, tmp_path: Path):
    document = a_document("brief", tmp_path / "out", retention=2)
    number = call(server, "POST", "", document).json()["run"]
    wait_for(server, "brief", "success")
    until(lambda: call(server, "GET", "/brief").status_code == 404, "the result is gone")
    assert server.get(f"/api/runs/{number}")["outcome"] == "success"  # history has its own time
    assert call(server, "POST", "", {**document, "retention": 3}).json()["run"] != number


@pytest.mark.timeout(300)
def test_thousands_in_one_request(server: MortalServer, tmp_path: Path):
    file = tmp_path / "out"
    documents = [a_document(f"m{n}", file, labels={"half": str(n % 2)}) for n in range(MANY)]
    began = time.monotonic()
    runs = answered(server, documents)
    assert time.monotonic() - began < 30
    assert len(set(runs.values())) == MANY
    until(lambda: counts(server) == {"success": MANY}, "all have succeeded", 120)
    assert account(file) == (Counter(runs.keys()), Counter(runs.keys()))
    page = call(server, "GET", "?label=half=1&limit=3").json()
    assert (page["total"], [job["id"] for job in page["jobs"]]) == (MANY // 2, ["m1999", "m1997", "m1995"])
    found = call(server, "POST", "/status", {"ids": [*runs, "x"]}).json()
    assert {job["id"]: job["run"] for job in found["jobs"]} == runs
    assert found["notFound"] == ["x"]
    assert answered(server, documents) == runs
    assert sum(account(file)[0].values()) == MANY


@pytest.mark.timeout(180 + 20 * KILLS)
def test_none_is_lost_and_none_doubled_by_kill_9(server: MortalServer, tmp_path: Path):
    rng, file = random.Random(20_261_125), tmp_path / "out"
    documents = [a_document(f"k{n}", file, f"sleep {rng.choice((0, 0.2, 2))}") for n in range(MORTAL)]
    parts = [documents[first::KILLS] for first in range(KILLS)]
    runs: dict[str, int] = {}
    for part in parts:
        with contextlib.suppress(requests.RequestException):  # killed before, while or after it takes the request
            requests.post(f"{server.url}{PATH}", json=part, timeout=rng.choice((0.02, 0.1, 1, 10)))
        time.sleep(rng.uniform(0, 0.3))  # the moment of death is what is tested
        server.kill(workers=rng.random() < 0.7)
        server.start()
        server.wait()
        for name, number in answered(server, part).items():
            assert runs.setdefault(name, number) == number
    assert answered(server, documents) == runs
    until(lambda: counts(server) == {"success": MORTAL}, "all have succeeded", 120)
    assert account(file) == (Counter(runs.keys()), Counter(runs.keys()))
    rows = [server.get(f"/api/runs/{number}") for number in sorted(runs.values())[:: max(1, MORTAL // 40)]]
    assert {(row["outcome"], row["trigger"]) for row in rows} == {("success", "immediate")}


@pytest.mark.external
@pytest.mark.timeout(300)
def test_the_next_leader_of_a_group_knows_them(tmp_path: Path):
    if zookeeper.missing():
        pytest.skip(zookeeper.missing())
    file = tmp_path / "out"
    with zookeeper.ZooKeeperEnsemble() as ensemble:
        folder = tmp_path / f"group-{uuid4().hex[:6]}"
        group = Group.started(folder, ensemble.hosts, 2, resources="cpus:4;mem:4096;disk:10000")
        try:
            leader = group.leader()
            (other,) = group.others(leader)
            documents = [a_document(f"g{n}", file, f"sleep {n % 4}") for n in range(60)]
            runs = answered(other, documents)  # passed on
            leader.kill()
            assert group.wait_for(1, other) is other
            assert answered(other, documents) == runs
            leader.start()
            group.wait_for(2)
            until(lambda: counts(other) == {"success": 60}, "all have succeeded", 90)
            assert account(file) == (Counter(runs.keys()), Counter(runs.keys()))
        finally:
            group.close()


@pytest.mark.external
@pytest.mark.timeout(300)
def test_they_run_on_mesos_and_outlive_the_server(tmp_path: Path):
    if mesos.missing():
        pytest.skip(mesos.missing())
    file = tmp_path / "out"
    agents = [mesos.AgentSpec(hostname=host, resources="cpus:4;mem:4096;disk:10240") for host in ("a", "b")]
    cluster = mesos.MesosCluster(agents, master_flags={"allocation_interval": QUICK["allocation_interval"]})
    with a_rig(tmp_path, cluster) as rig:
        documents = [a_document(f"z{n}", file, f"sleep {n % 3}", shell=True) for n in range(20)]
        runs = answered(rig.server, documents)
        until(lambda: sum(account(file)[0].values()) >= 5, "some have begun")
        rig.server.kill()
        rig.server.start()
        rig.server.wait()
        assert answered(rig.server, documents) == runs
        until(lambda: counts(rig.server) == {"success": 20}, "all have succeeded", 120)
        assert account(file) == (Counter(runs.keys()), Counter(runs.keys()))
