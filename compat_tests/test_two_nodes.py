"""Two servers that stand in for each other, over a real ZooKeeper: either may be asked, and one leads."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from compat_tests.mortal import MortalServer, until
from compat_tests.servers.zookeeper import ZooKeeperEnsemble, missing

pytestmark = pytest.mark.external
FAR = "R/2090-01-01T00:00:00Z/P1D"
LONG_SESSION, SHORT_SESSION = "30000", "3000"


class Pair:
    """Two nodes of one group, the first one leading."""

    def __init__(self, folder: Path, hosts: str, session: str, *options: str) -> None:
        self.hosts, self.path = hosts, f"/{uuid.uuid4().hex}/state"
        self.nodes = [self._node(folder / name, session, options) for name in ("first", "second")]
        try:
            for node in self.nodes:
                node.start()
                until(lambda node=node: self.status(node) in (200, 401), "the node is ready")  # type: ignore[misc]
        except BaseException:
            print(*(node.log.read_text(errors="replace")[-10_000:] for node in self.nodes if node.log.exists()))
            self.close()
            raise

    def _node(self, folder: Path, session: str, options: tuple[str, ...]) -> MortalServer:
        folder.mkdir(parents=True)
        given = ["--zk_hosts", self.hosts, "--zk_path", self.path, "--zk_timeout", session, "--hostname", "127.0.0.1"]
        return MortalServer(folder, *given, "--resources", "cpus:8;mem:8192;disk:10000", *options)

    @staticmethod
    def status(node: MortalServer) -> int:
        try:
            return requests.get(f"{node.url}/health", timeout=5).status_code
        except requests.RequestException:
            return 0

    @staticmethod
    def election(node: MortalServer) -> dict[str, Any]:
        found: dict[str, Any] = node.health().get("election", {})
        return found

    def leads(self, node: MortalServer) -> bool:
        return bool(node.health().get("leading"))

    def close(self) -> None:
        for node in self.nodes:
            node.stop()


@pytest.fixture(scope="module")
def zookeeper() -> Iterator[ZooKeeperEnsemble]:
    if missing():
        pytest.skip(missing())
    with ZooKeeperEnsemble() as server:
        yield server


@pytest.fixture(scope="module")
def pair(zookeeper: ZooKeeperEnsemble, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two nodes that nothing happens to."""
    pair = Pair(tmp_path_factory.mktemp("pair"), zookeeper.hosts, LONG_SESSION)
    yield pair
    pair.close()
    assert not any("Traceback" in node.log.read_text() for node in pair.nodes)


def job(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "command": "true", "schedule": FAR, **fields}


# --- a follower


@pytest.mark.timeout(300)
def test_a_follower_answers_as_a_leader_does(pair: Pair):
    """The suite itself, against the node that does not lead."""
    files = [f"compat_tests/test_{name}.py" for name in ("status_codes", "answers", "transport", "chronos_python")]
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files, "--url", pair.nodes[1].url],
        cwd=Path(__file__).parents[1], env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:]
    assert not pair.leads(pair.nodes[1])


def test_nodes_tell_who_leads_and_of_themselves(pair: Pair):
    first, second = pair.nodes
    address = first.url.removeprefix("http://")
    for node in pair.nodes:
        own = node.url.removeprefix("http://")
        for prefix in ("/scheduler", "/v1/scheduler"):
            answer = requests.get(f"{node.url}{prefix}/leader", timeout=10)
            assert (answer.status_code, answer.text) == (200, f'{{"leader":"{address}"}}')
        standing = node.get("/api/leader")
        assert (standing["address"], standing["leader"], standing["session"]) == (own, address, "connected")
        assert standing["role"] == ("leader" if node is first else "follower")
        assert standing == node.health()["election"]
        assert requests.get(f"{node.url}/ping", timeout=10).text == "pong\n"
        text = requests.get(f"{node.url}/metrics?format=prometheus", timeout=10).text
        assert f"chronos_leading {float(node is first)}" in text
    assert first.health()["ready"]
    assert second.health()["ready"]
    assert not second.health()["leading"]


def test_what_is_sent_to_a_follower_is_done(pair: Pair):
    first, second = pair.nodes
    second.post_job(job("work", command="echo done; sleep 0.1"))
    assert "work" in first.jobs()
    assert requests.put(f"{second.url}/v1/scheduler/job/work", timeout=10).status_code == 204
    until(lambda: second.jobs()["work"]["successCount"] == 1, "the job ran")
    (run,) = second.all_runs("work")
    assert requests.get(f"{second.url}/api/runs/{run['run']}/attempts/0/stdout", timeout=10).text == "done\n"
    changed = requests.patch(f"{second.url}/api/jobs/work", json={"owner": "me@example.org"}, timeout=10)
    assert changed.status_code == 204
    assert first.jobs()["work"]["owner"] == "me@example.org"
    assert requests.delete(f"{second.url}/scheduler/job/work", timeout=10).status_code == 204
    assert "work" not in first.jobs()


def test_a_follower_streams_what_changes(pair: Pair):
    first, second = pair.nodes
    with requests.get(f"{second.url}/api/events", stream=True, timeout=30) as events:
        assert events.headers["Content-Type"] == "text/event-stream"
        lines = events.iter_lines(chunk_size=None)
        assert next(lines) == b": here"
        first.post_job(job("seen"))
        assert json.loads(next(line for line in lines if line.startswith(b"data:"))[5:]) == {
            "job": "seen", "present": True,
        }  # fmt: skip


def test_a_follower_follows_a_tasks_output(pair: Pair, tmp_path: Path):
    """The task writes its second line only once the first was read through the follower."""
    _, second = pair.nodes
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    second.post_job(job("talks", command=f"echo one; cat {gate}; echo three"))
    assert requests.put(f"{second.url}/v1/scheduler/job/talks", timeout=10).status_code == 204
    until(lambda: any(run["state"] == "running" for run in second.active_runs()), "it runs")
    (run,) = second.active_runs()
    url = f"{second.url}/api/runs/{run['run']}/attempts/0/stdout?follow=1"
    text = ""
    with requests.get(url, stream=True, timeout=30) as output:
        for line in output.iter_lines(chunk_size=None):
            if line.startswith(b"data:"):
                text += json.loads(line[5:]).get("text", "")
            if text == "one\n" and gate.exists():
                with gate.open("w") as writer:
                    writer.write("two\n")
                gate.unlink()
            if line.startswith(b"event: end"):
                break
    assert text == "one\ntwo\nthree\n"


# --- changes of leader


@pytest.fixture
def changing(zookeeper: ZooKeeperEnsemble, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Two nodes that end; with a short session where its end is waited for."""
    pair = Pair(tmp_path / "nodes", zookeeper.hosts, getattr(request, "param", SHORT_SESSION))
    yield pair
    pair.close()


@pytest.mark.parametrize("changing", [LONG_SESSION], indirect=True)
def test_a_leader_that_stops_hands_over(changing: Pair):
    """At once, not when its session would have ended; and what stops comes back as a follower."""
    first, second = changing.nodes
    first.post_job(job("kept"))
    began = time.monotonic()
    first.stop()
    until(lambda: changing.leads(second), "the other leads")
    assert time.monotonic() - began < int(LONG_SESSION) / 1000 / 2
    assert "kept" in second.jobs()
    first.start()
    until(lambda: changing.status(first) == 200, "it is back")
    assert changing.election(first)["role"] == "follower"
    assert "kept" in first.jobs()


def test_a_leader_that_stops_does_not_wait_for_its_clients(changing: Pair):
    """One that is in the middle of a request keeps the process up for three seconds, the lead not."""
    first, second = changing.nodes
    with socket.create_connection(("127.0.0.1", first.port), timeout=10) as slow:
        slow.sendall(b"POST /scheduler/iso8601 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        until(lambda: not changing.leads(second), "it follows")
        assert first.process is not None
        first.process.terminate()
        until(lambda: changing.leads(second), "the other leads")
        slow.sendall(b"}" * 99)
        assert slow.recv(100).startswith(b"HTTP/1.1 415 ")  # it says not of what kind its body is
    first.stop()


def ticking(file: Path) -> dict[str, Any]:
    """Return a job that leaves its due time in a file, each time it runs.

    A run that was under way on the node that went is of unknown fate for a while: the others do not wait for it.
    """
    start = (datetime.now(UTC) + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    command = f"echo $CHRONOS_JOB_RUN_TIME >> {file}"
    return job("ticks", command=command, schedule=f"R/{start}/PT1S", concurrent=True)


def ticks(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def test_a_leader_that_is_killed_is_replaced(changing: Pair, tmp_path: Path):
    first, second = changing.nodes
    file = tmp_path / "ticks"
    first.post_job(ticking(file))
    until(lambda: len(ticks(file)) >= 3, "it runs")
    first.kill()
    until(lambda: changing.leads(second), "the other leads")
    seen = len(ticks(file))
    until(lambda: len(ticks(file)) >= seen + 3, "it runs on")
    twice = [due for due, count in Counter(ticks(file)).items() if count > 1]
    assert not twice


def test_a_leader_that_hangs_leads_no_more_when_it_wakes(changing: Pair, tmp_path: Path):
    first, second = changing.nodes
    file = tmp_path / "ticks"
    first.post_job(ticking(file))
    until(lambda: len(ticks(file)) >= 2, "it runs")
    pids = first.pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: changing.leads(second), "the other leads")
        seen = len(ticks(file))
        until(lambda: len(ticks(file)) >= seen + 2, "it runs on")
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    until(lambda: changing.election(first).get("role") == "follower", "it follows")
    assert changing.election(first)["leader"] == second.url.removeprefix("http://")
    assert "ticks" in first.jobs()
    seen = len(ticks(file))
    until(lambda: len(ticks(file)) >= seen + 2, "it runs on")
    twice = [due for due, count in Counter(ticks(file)).items() if count > 1]
    assert not twice


def test_a_zookeeper_that_hangs_ends_nobody(tmp_path: Path):
    """Nodes answer 503, neither exit nor launch, and one leads when it is back."""
    if missing():
        pytest.skip(missing())
    with ZooKeeperEnsemble() as server:
        pair = Pair(tmp_path / "nodes", server.hosts, SHORT_SESSION)
        try:
            first, second = pair.nodes
            first.post_job(job("kept"))
            server.pause(0)
            until(lambda: not pair.leads(first), "it steps down")
            answer = requests.get(f"{first.url}/v1/scheduler/jobs", timeout=30)
            assert (answer.status_code, answer.json()["status"]) == (503, "Service Unavailable")
            assert requests.post(f"{second.url}/scheduler/iso8601", json=job("no"), timeout=60).status_code == 503
            for node in pair.nodes:
                until(lambda node=node: pair.status(node) == 503, "it is not ready")  # type: ignore[misc]
                assert requests.get(f"{node.url}/ping", timeout=10).status_code == 200
                assert requests.get(f"{node.url}/scheduler/leader", timeout=10).status_code == 200
            server.resume(0)
            until(lambda: any(map(pair.leads, pair.nodes)), "one leads again")
            for node in pair.nodes:
                until(lambda node=node: pair.status(node) == 200, "it is ready")  # type: ignore[misc]
                assert set(node.jobs()) == {"kept"}
                assert node.process is not None
                assert node.process.poll() is None
        finally:
            server.resume(0)
            pair.close()


def test_credentials_are_asked_for_everywhere(zookeeper: ZooKeeperEnsemble, tmp_path: Path):
    """A follower lets nobody through whom the leader would not, and passes on what it was given."""
    both = ["--http_credentials", "me:secret", "--zk_auth", "chronos:secret"]
    pair = Pair(tmp_path / "nodes", zookeeper.hosts, LONG_SESSION, *both)
    try:
        for node in pair.nodes:
            until(lambda node=node: _asked(node, "/health", ("me", "secret")) == 200, "it is ready")  # type: ignore[misc]
        follower = pair.nodes[1]
        assert _asked(follower, "/v1/scheduler/jobs", None) == 401
        assert _asked(follower, "/v1/scheduler/jobs", ("me", "wrong")) == 401
        assert _asked(follower, "/v1/scheduler/jobs", ("me", "secret")) == 200
    finally:
        pair.close()


def _asked(node: MortalServer, path: str, credentials: tuple[str, str] | None) -> int:
    try:
        return requests.get(node.url + path, auth=credentials, timeout=10).status_code
    except requests.RequestException:
        return 0


def test_many_clients_of_a_follower_while_leaders_change(changing: Pair):
    """Every answer is the jobs, or says that there is none now; nothing is taken for done that was not."""
    first, second = changing.nodes
    first.post_job(job("kept"))
    over = threading.Event()
    statuses: Counter[int] = Counter()
    wrong: list[str] = []
    acknowledged: list[str] = []

    def ask(number: int) -> None:
        count = 0
        while not over.is_set():
            name = f"j{number}-{count}"
            count += 1
            try:
                answer = requests.get(f"{second.url}/v1/scheduler/jobs", timeout=30)
                statuses[answer.status_code] += 1
                if answer.status_code == 200 and "kept" not in answer.text:
                    wrong.append(answer.text[:200])
                made = requests.post(f"{second.url}/v1/scheduler/iso8601", json=job(name), timeout=30)
                if made.status_code == 204:
                    acknowledged.append(name)
            except requests.RequestException as error:
                wrong.append(repr(error))

    clients = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for client in clients:
        client.start()
    try:
        until(lambda: len(acknowledged) > 10, "work is done")
        first.kill()
        until(lambda: changing.leads(second), "the other leads")
        seen = len(acknowledged)
        until(lambda: len(acknowledged) > seen + 10, "work is done again")
    finally:
        over.set()
        for client in clients:
            client.join(60)
    assert not wrong
    assert set(statuses) <= {200, 502, 503}
    assert set(acknowledged) <= set(second.jobs())
