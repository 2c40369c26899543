"""The doctor on an installation, a master, and jobs of a server or in files: each finding, and that nothing changes."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from chronos_py.cli import main
from chronos_py.doctor import installation
from chronos_py.doctor.checkup import CheckUp
from chronos_py.persistence.lockfile import LockFile
from compat_tests.servers.old_chronos import DEFAULTS, OldChronos

CAREFUL = ("--http_address", "127.0.0.1", "--http_port", "0")


def ask(*options: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(main, ["doctor", "--json", *options])
    assert result.exit_code in (0, 1, 2), result.output
    report: dict[str, Any] = json.loads(result.stdout)
    assert report["status"] == result.exit_code
    return result.exit_code, report


def levels(report: dict[str, Any]) -> dict[str, str]:
    return {finding["code"]: finding["level"] for finding in report["findings"]}


def look(folder: Path, *options: str) -> tuple[int, dict[str, str]]:
    code, report = ask(*CAREFUL, "--data_dir", str(folder), *options)
    return code, levels(report)


def test_an_installation_without_faults(tmp_path: Path):
    code, report = ask(*CAREFUL, "--data_dir", str(tmp_path / "data"), "--http_credentials", "me:secret")
    assert code == 0
    assert set(levels(report).values()) <= {"note"}
    assert not (tmp_path / "data").exists()  # only looked at
    assert report["facts"]["Zones"].startswith("tzdata 20")
    assert "secret" not in json.dumps(report)


def test_the_text_names_fixes(tmp_path: Path):
    result = CliRunner().invoke(main, ["doctor", "--data_dir", str(tmp_path), "--http_port", "0"])
    assert result.exit_code == 1
    assert "warning: nobody is asked for a password" in result.stdout
    assert "  do: give --http_credentials" in result.stdout
    assert result.stdout.endswith("It works; see the warnings.\n")


def test_flags(tmp_path: Path):
    assert look(tmp_path, "--schedule_horizon", "30")[1]["idle_flag"] == "note"
    result = CliRunner().invoke(main, ["doctor", "--master", "zk://"])
    assert result.exit_code == 2 and "--master" in result.stderr
    result = CliRunner().invoke(main, ["doctor", "--url", "http://a", "--jobs", "b"])
    assert result.exit_code == 2 and "--installation" in result.stderr


def test_a_folder_that_is_a_file(tmp_path: Path):
    (tmp_path / "file").write_text("")
    assert look(tmp_path / "file")[1]["folder"] == "fatal"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path):
    tmp_path.chmod(0o500)
    assert look(tmp_path)[1]["folder"] == "fatal"


def test_a_network_file_system_and_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(installation, "_filesystem", lambda path: "nfs4")
    monkeypatch.setattr(installation, "LITTLE", 2**62)
    code, found = look(tmp_path)
    assert (code, found["filesystem"], found["disk"]) == (2, "fatal", "warning")


def test_stores(tmp_path: Path):
    for name, version in (("state.sqlite", 99), ("history.sqlite", 1)):
        with sqlite3.connect(tmp_path / name) as database:
            database.execute("CREATE TABLE t (x)")
            database.execute(f"PRAGMA user_version = {version}")
        database.close()
    (tmp_path / "state.sqlite").chmod(0o644)
    (tmp_path / "history.sqlite").chmod(0o600)
    code, report = ask(*CAREFUL, "--data_dir", str(tmp_path))
    found = levels(report)
    assert (code, found["store"], found["readable"]) == (2, "fatal", "warning")
    assert "newer version" in json.dumps(report)
    (tmp_path / "state.sqlite").write_bytes(b"no database at all, and longer than a page's head" * 100)
    assert look(tmp_path)[1]["store"] == "fatal"


def test_a_server_that_runs_here_has_its_port(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert look(tmp_path, "--http_port", port)[1]["port"] == "fatal"
        lock = LockFile(tmp_path / "server.pid")
        try:
            code, report = ask(*CAREFUL, "--data_dir", str(tmp_path), "--http_port", port)
        finally:
            lock.release()
        assert (code, levels(report)["running"]) == (0, "note")
        assert f"process {os.getpid()}" in json.dumps(report)
    assert "running" not in look(tmp_path)[1]


def test_a_history_that_is_away(tmp_path: Path):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"postgresql+psycopg://me:secret@127.0.0.1:{nobody.getsockname()[1]}/db"
        code, report = ask(*CAREFUL, "--data_dir", str(tmp_path), "--history_url", url)
    assert (code, levels(report)["history"]) == (1, "warning")
    assert "secret" not in json.dumps(report)


def test_zones(monkeypatch: pytest.MonkeyPatch):
    found = CheckUp()
    monkeypatch.setattr(installation, "tzdata_version", lambda: "2019c")
    installation.check_zones(found, 2026)
    assert [(one.code, one.level) for one in found.findings] == [("old_zones", "warning")]
    found = CheckUp()
    monkeypatch.setattr(installation, "zone_named", lambda name: None)
    installation.check_zones(found, 2019)
    assert [(one.code, one.level) for one in found.findings] == [("zones", "fatal")]


class Master:
    """Answers as a Mesos master does to what the doctor asks. Paths that are not in `answers` are 403."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.flags: dict[str, str] = {"authenticate_http_frameworks": "false"}
        self.answers: dict[str, Any] = {
            "/version": {"version": "1.11.0"},
            "/metrics/snapshot": {"master/elected": 1.0, "master/slaves_active": 2.0},
            "/flags": {"flags": self.flags},
        }
        master = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                master.asked.append((self.command, self.path))
                body = json.dumps(master.answers.get(self.path, {})).encode()
                self.send_response(200 if self.path in master.answers else 403)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def master() -> Iterator[Master]:
    master = Master()
    yield master
    master.server.shutdown()
    master.server.server_close()


def test_a_master_that_would_take_us(master: Master, tmp_path: Path):
    code, report = ask(*CAREFUL, "--data_dir", str(tmp_path), "--master", master.address)
    assert (code, report["findings"]) == (0, [])
    assert report["facts"]["Mesos"] == "1.11.0"
    assert {method for method, _ in master.asked} == {"GET"}


def test_what_is_wrong_with_a_master(master: Master, tmp_path: Path):
    def found(*options: str) -> dict[str, str]:
        return look(tmp_path, "--master", master.address, *options)[1]

    secret = tmp_path / "secret"
    secret.write_text("x")
    named = ("--mesos_authentication_principal", "me", "--mesos_authentication_secret_file", str(secret))
    assert found(*named) == {"no_authentication": "warning"}
    master.flags |= {"authenticate_http_frameworks": "true", "http_framework_authenticators": "basic"}
    assert found() == {"credentials": "fatal"}
    assert found(*named) == {}
    master.flags["http_framework_authenticators"] = "jwt"
    assert found(*named) == {"authenticator": "fatal"}
    master.flags |= {"authenticate_http_frameworks": "false", "roles": "web,batch"}
    assert found("--mesos_role", "batch") == {}
    assert found("--mesos_role", "batch,news") == {"roles": "fatal"}
    master.answers["/metrics/snapshot"] = {"master/elected": 0.0, "master/slaves_active": 0.0}
    assert found() == {"follower": "warning", "no_agents": "warning"}
    master.answers["/version"] = {"version": "1.0.1"}
    del master.answers["/metrics/snapshot"], master.answers["/flags"]
    assert found() == {"mesos_version": "fatal", "flags": "note"}
    master.answers["/version"] = ["a list"]
    assert found() == {"master": "fatal"}


def test_a_master_that_is_away(tmp_path: Path):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        code, found = look(tmp_path, "--master", f"127.0.0.1:{nobody.getsockname()[1]}")
    assert (code, found) == (2, {"master": "fatal"})


JOBS: dict[str, dict[str, Any]] = {
    "end_of_month": {"schedule": "R/2090-01-31T00:00:00Z/P1M"},
    "zone": {"schedule": "R/2090-01-01T00:00:00Z/P1D", "scheduleTimeZone": "Middle/Earth"},
    "parents": {"parents": ["nobody"]},
    "command_like_a_url": {"schedule": "R/2090-01-01T00:00:00Z/P1D", "command": "httpd"},
}
DOCUMENTS = [{"name": name, "command": "true", "owner": "", **more} for name, more in JOBS.items()]


@pytest.mark.parametrize("version", ["2.4", "3.0.2"])
def test_jobs_of_a_server(version: Any):
    old = OldChronos(version)
    try:
        old.jobs = {document["name"]: {**DEFAULTS, **document} for document in DOCUMENTS}
        code, report = ask("--url", old.url)
        assert old.changes == []
    finally:
        old.close()
    assert (code, report["facts"]["Chronos"], report["facts"]["Jobs"]) == (1, f"{version[0]}.x", "4")
    found = {finding["code"]: finding["names"] for finding in report["findings"]}
    found.pop("epsilon", None)  # the old server gives each job one
    assert found == {name: [name] for name in JOBS}
    assert all(finding["fix"] for finding in report["findings"])


def test_jobs_in_a_file(tmp_path: Path):
    file = tmp_path / "jobs.json"
    bad = {
        "name": "bad",
        "command": "true",
        "schedule": "R/2090-01-01T00:00:00Z/P1D",
        "constraints": [["rack", "ODD", "x"]],
    }
    file.write_text(json.dumps([*DOCUMENTS, bad]))
    code, report = ask("--jobs", str(file))
    assert (code, levels(report)) == (1, dict.fromkeys(("refused", *JOBS), "warning"))
    assert any("bad" in name and "ODD" in name for one in report["findings"] for name in one["names"])
    file.write_text("no json")
    assert ask("--jobs", str(file))[0] == 2


def test_a_server_that_is_away():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        code, report = ask("--url", f"http://127.0.0.1:{nobody.getsockname()[1]}")
    assert (code, levels(report)) == (2, {"server": "fatal"})
