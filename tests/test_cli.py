"""The command itself, in processes of its own: starting, stopping, dying, and being told nonsense."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from click.testing import CliRunner

from chronos_py import __version__
from chronos_py.cli import main
from chronos_py.flags import FLAGS

COMMAND = [sys.executable, "-m", "chronos_py"]
JOB = {"name": "a", "command": "true", "schedule": "R/2040-01-01T00:00:00Z/P1D", "owner": "me@example.org"}


class Server:
    """`chronos-py serve`, on a free port of its own choice unless told otherwise."""

    def __init__(self, folder: Path, *options: str, port: int = 0, environment: dict[str, str] | None = None) -> None:
        self.folder = folder / "data"
        self.log = folder / "server.log"
        self.port = port
        command = [*COMMAND, "serve", "--http_address", "127.0.0.1", "--http_port", str(port)]
        command += ["--data_dir", str(self.folder), "--resources", "cpus:4;mem:4096;disk:4096", *options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, env=os.environ | (environment or {})
            )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait(self) -> Server:
        """Return once the server leads, or asks for credentials."""
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        return self

    def _answers(self) -> bool:
        try:
            self.port = int((self.folder / "http_port").read_text())
            return requests.get(f"{self.url}/health", timeout=5).status_code in (200, 401)
        except (OSError, ValueError):
            return False

    @property
    def workers(self) -> list[psutil.Process]:
        return [child for child in psutil.Process(self.process.pid).children() if not has_ended(child)]

    def post(self, document: dict[str, Any]) -> None:
        assert requests.post(f"{self.url}/v1/scheduler/iso8601", json=document, timeout=10).status_code == 204

    def jobs(self) -> list[str]:
        return [job["name"] for job in requests.get(f"{self.url}/v1/scheduler/jobs", timeout=10).json()]

    def stop(self, number: int = signal.SIGTERM, seconds: float = 15) -> int:
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(25)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Servers:
    """Starts servers and sees that none is left."""

    def __init__(self) -> None:
        self._started: list[Server] = []

    def __call__(self, folder: Path, *options: str, **more: Any) -> Server:
        server = Server(folder, *options, **more)
        self._started.append(server)
        return server

    def end(self) -> None:
        for server in self._started:
            server.end()


@pytest.fixture
def serve() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    servers.end()


def wait_for(condition: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def has_ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# --- starting and stopping


def test_it_serves_and_stops(tmp_path: Path, serve: Servers):
    server = serve(tmp_path).wait()
    assert requests.get(f"{server.url}/ping", timeout=5).text == "pong\n"
    assert int((server.folder / "server.pid").read_text()) == server.process.pid
    assert len(server.workers) == 1
    assert (server.folder / "state.sqlite").stat().st_mode & 0o077 == 0
    assert server.stop() == 0
    assert "stopped" in server.log.read_text()
    assert "Traceback" not in server.log.read_text()
    assert not (server.folder / "http_port").exists()
    assert (server.folder / "server.pid").read_text() == ""


def test_ctrl_c_is_as_good_as_term(tmp_path: Path, serve: Servers):
    server = serve(tmp_path).wait()
    server.post(JOB)
    os.killpg(server.process.pid, signal.SIGINT)  # a terminal tells all processes
    assert server.process.wait(10) == 0
    assert "stopped" in server.log.read_text()
    assert "Traceback" not in server.log.read_text()
    assert serve(tmp_path).wait().jobs() == ["a"]


def test_open_streams_do_not_delay_the_end(tmp_path: Path, serve: Servers):
    server = serve(tmp_path).wait()
    stream = requests.get(f"{server.url}/api/events", stream=True, timeout=30)
    assert next(stream.iter_content(16)).startswith(b": here")
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 10
    assert "stopped" in server.log.read_text()
    assert b"".join(stream.iter_content(16)) == b""
    stream.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_answered_is_there_after_the_end(tmp_path: Path, serve: Servers, number: int):
    server = serve(tmp_path).wait()
    kept: list[str] = []

    def post_until_it_ends(client: int) -> None:
        with requests.Session() as session:
            for count in range(10_000):
                job = JOB | {"name": f"{client}-{count}"}
                try:
                    answer = session.post(f"{server.url}/v1/scheduler/iso8601", json=job, timeout=10)
                except requests.RequestException:
                    return
                if answer.status_code != 204:
                    return
                kept.append(job["name"])

    clients = [threading.Thread(target=post_until_it_ends, args=(client,)) for client in range(6)]
    for client in clients:
        client.start()
    wait_for(lambda: len(kept) > 100)
    server.stop(number)
    for client in clients:
        client.join()
    assert set(kept) <= set(serve(tmp_path).wait().jobs())


def test_tasks_outlive_the_server_and_are_found_again(tmp_path: Path, serve: Servers):
    server = serve(tmp_path).wait()
    started, ended = tmp_path / "started", tmp_path / "ended"
    server.post(JOB | {"command": f"touch {started}; sleep 3; touch {ended}", "cpus": 0.1, "mem": 32})
    assert requests.put(f"{server.url}/v1/scheduler/job/a", timeout=5).status_code == 204
    wait_for(started.exists)
    assert server.stop() == 0
    assert not ended.exists()
    server = serve(tmp_path).wait()
    wait_for(lambda: requests.get(f"{server.url}/v1/scheduler/jobs", timeout=5).json()[0]["successCount"] == 1)
    assert ended.exists()


# --- dying


def test_after_kill_9_another_takes_port_and_data_at_once(tmp_path: Path, serve: Servers):
    server = serve(tmp_path).wait()
    server.post(JOB)
    worker, port = server.workers[0], server.port
    server.process.kill()
    server.process.wait()
    began = time.monotonic()
    successor = serve(tmp_path, port=port)
    wait_for(lambda: has_ended(worker), 10)
    successor.wait()
    assert time.monotonic() - began < 20
    assert successor.jobs() == ["a"]


def test_a_worker_that_dies_is_replaced(tmp_path: Path, serve: Servers):
    server = serve(tmp_path).wait()
    server.post(JOB)
    worker = server.workers[0]
    worker.kill()
    wait_for(lambda: [other for other in server.workers if other.pid != worker.pid])
    server.wait()
    assert server.jobs() == ["a"]
    assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR2, signal.SIGWINCH])
def test_no_signal_makes_a_second_worker(tmp_path: Path, serve: Servers, number: int):
    server = serve(tmp_path).wait()
    before = server.workers
    server.process.send_signal(number)
    time.sleep(0.3)
    assert server.workers == before
    assert requests.get(f"{server.url}/ping", timeout=5).ok


def test_folder_and_port_have_one_server_at_a_time(tmp_path: Path, serve: Servers):
    server = serve(tmp_path).wait()
    (tmp_path / "other").mkdir()
    same_folder = serve(tmp_path)
    same_port = serve(tmp_path / "other", port=server.port)
    assert same_folder.process.wait(20) == 1
    assert same_port.process.wait(20) == 1
    assert f"in use by process {server.process.pid}" in server.log.read_text()
    assert f"--http_port {server.port}: Address already in use" in same_port.log.read_text()
    assert server.wait().jobs() == []
    assert int((server.folder / "server.pid").read_text()) == server.process.pid


def test_an_address_that_is_not_ours_stops_the_start_at_once(tmp_path: Path):
    command = [*COMMAND, "serve", "--http_address", "192.0.2.1", "--data_dir", str(tmp_path / "data")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 1
    assert "--http_address 192.0.2.1" in result.stderr


def test_a_folder_that_cannot_be_made_stops_the_start(tmp_path: Path):
    (tmp_path / "file").write_text("")
    command = [*COMMAND, "serve", "--http_port", "0", "--data_dir", str(tmp_path / "file" / "data")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 1
    assert "--data_dir" in result.stderr


# --- being served


def test_credentials_guard_every_path_and_the_examples_get_past_them(tmp_path: Path, serve: Servers):
    environment = {
        "MESOSPHERE_HTTP_CREDENTIALS": "me:größe:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }
    server = serve(tmp_path, "--examples", "--log_level", "debug", environment=environment)
    with requests.Session() as session:
        session.trust_env = False
        wait_for((server.folder / "http_port").exists)
        server.port = int((server.folder / "http_port").read_text())
        wait_for(lambda: "example jobs loaded" in server.log.read_text())
        for path in ("/", "/ping", "/health", "/metrics", "/api/runs", "/v1/scheduler/jobs", "/scheduler/jobs"):
            assert session.get(server.url + path, timeout=5).status_code == 401
        session.auth = requests.auth.HTTPBasicAuth(b"me", "größe:9".encode())
        jobs = session.get(f"{server.url}/v1/scheduler/jobs", timeout=5).json()
        assert "example.report" in [job["name"] for job in jobs]
    assert "größe" not in server.log.read_text()


def test_examples_are_loaded_into_an_empty_server_only(tmp_path: Path, serve: Servers):
    server = serve(tmp_path).wait()
    server.post(JOB)
    server.stop()
    server = serve(tmp_path, "--examples").wait()
    time.sleep(0.5)
    assert server.jobs() == ["a"]


def test_the_log_as_json_is_json_line_by_line_and_keeps_secrets(tmp_path: Path, serve: Servers):
    server = serve(tmp_path, "--log_format", "json", "--log_level", "debug", "--access_log").wait()
    secrets = {
        "environmentVariables": [{"name": "PASSWORD", "value": "geheim"}],
        "fetch": [{"uri": "http://user:geheim@127.0.0.1:9/file"}],
        "retries": 0,
        "cpus": 0.1,
        "mem": 32,
    }
    server.post(JOB | secrets)
    requests.put(f"{server.url}/v1/scheduler/job/a", timeout=5)
    wait_for(lambda: requests.get(f"{server.url}/v1/scheduler/jobs", timeout=5).json()[0]["errorCount"] == 1)
    server.stop()
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert {"listening", "leading", "stopped"} <= {line["event"] for line in lines}
    assert any('"POST /v1/scheduler/iso8601 HTTP/1.1" 204' in line["event"] for line in lines)
    assert "geheim" not in server.log.read_text()


def test_each_flag_without_effect_is_named_once(tmp_path: Path, serve: Servers):
    server = serve(
        tmp_path,
        "--cassandra_port",
        "9042",
        "--schedule_horizon",
        "5",
        environment={"CHRONOS_CASSANDRA_PASSWORD": "x/y"},
    )
    server.wait()
    server.workers[0].kill()
    time.sleep(0.2)
    server.wait()
    log = server.log.read_text()
    for flag in ("--cassandra_port", "--schedule_horizon", "--cassandra_password"):
        assert log.count(flag) == 1
    assert "x/y" not in log


def test_connections_are_kept_and_requests_have_limits(tmp_path: Path, serve: Servers):
    server = serve(tmp_path).wait()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for _ in range(3):
        connection.request("GET", "/ping")
        assert connection.getresponse().read() == b"pong\n"
        assert connection.sock is not None
    connection.close()
    for target, headers, statuses in (
        ("/scheduler/jobs/search?name=" + "a" * 8000, {}, {200}),
        ("/ping?" + "a" * 9000, {}, {414, 400}),  # 400: older versions of gunicorn
        ("/ping", {"X-Long": "a" * 20000}, {431, 400}),
    ):
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status in statuses
        connection.close()


def test_clients_that_say_nothing_do_not_keep_threads(tmp_path: Path, serve: Servers):
    server = serve(tmp_path, "--http_threads", "2").wait()
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
    began = time.monotonic()
    assert requests.get(f"{server.url}/ping", timeout=60).ok
    assert time.monotonic() - began < 1
    idle[0].sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
    assert idle[0].recv(100).startswith(b"HTTP/1.1 200 OK")
    for connection in idle:
        connection.close()


def test_metrics_count(tmp_path: Path, serve: Servers):
    server = serve(tmp_path).wait()
    server.post(JOB | {"cpus": 0.1, "mem": 32})
    requests.put(f"{server.url}/v1/scheduler/job/a", timeout=5)
    wait_for(lambda: requests.get(f"{server.url}/v1/scheduler/jobs", timeout=5).json()[0]["successCount"] == 1)
    text = requests.get(f"{server.url}/metrics", headers={"Accept": "text/plain"}, timeout=5).text
    assert 'chronos_runs_ended_total{outcome="success"} 1.0' in text
    assert "chronos_start_delay_seconds_count 1.0" in text
    assert "process_resident_memory_bytes" in text
    figures = requests.get(f"{server.url}/metrics", timeout=5).json()
    assert figures["counters"]["chronos.runs.success"] == {"count": 1}
    assert figures["counters"]["jobs.run.success.a"] == {"count": 1}
    assert figures["histograms"]["chronos.start_delay"]["count"] == 1
    assert figures["gauges"]["jvm.threads.count"]["value"] > 1


# --- the command line


def test_the_version_is_told():
    assert CliRunner().invoke(main, ["version"]).output == f"{__version__}\n"
    assert __version__ in CliRunner().invoke(main, ["--version"]).output


def test_help_names_every_flag():
    result = CliRunner().invoke(main, ["serve", "--help"])
    assert result.exit_code == 0
    for flag in FLAGS:
        assert f"--{flag.name}" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--http_prot", "80"], "No such option"),
        (["--http_por", "80"], "No such option"),
        (["--http_port", "eighty"], "http_port"),
        (["--http_port"], "http_port"),
        (["--http_port", "70000"], "http_port 70000: must be at most 65535"),
        (["--examples=yes"], "examples"),
        (["--examples", "yes"], "unexpected extra argument"),
        (["--catch_up", "maybe"], "catch_up"),
        (["--http_credentials", "nobody"], "must be user:password"),
        (["--master", "zk://zk:2181"], "must be local, host:port"),
        (["-z", "zk"], "'zk' is not of the form host:port"),
        (["-z", "user:geheim@zk:2181"], "they are for --zk_auth"),
        (["-d", "5"], "No such option"),
        (["-h"], "No such option"),
        (["--ssl_keystore_path", "/x"], "cannot be read"),
    ],
)
def test_nonsense_stops_the_start_with_code_2(arguments: list[str], said: str, tmp_path: Path):
    result = CliRunner().invoke(main, ["serve", "--data_dir", str(tmp_path / "data"), *arguments])
    assert result.exit_code == 2
    assert said in result.output
    assert "nobody" not in result.output
    assert "geheim" not in result.output
    assert not (tmp_path / "data").exists()
