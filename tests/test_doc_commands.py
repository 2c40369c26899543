"""Every command in README.md and docs/ is run as it stands, or is listed here with the reason why not."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import requests

from chronos_py.cli import main
from compat_tests.mortal import MortalServer, until
from tests.doc_commands import PAGES, SERVERS, commands, environment, run

RUNBOOK = "tests/persistence/zookeeper/test_runbook.py runs it with a ZooKeeper"
# By their beginnings.
NOT_RUN = {
    "make run": "it serves until it is stopped; `chronos-py serve`, which it starts, is run here",
    "make test": "it would run itself",
    "python3 -m venv venv": "tests/test_packages.py installs into an empty environment",
    "venv/bin/pip install .": "tests/test_packages.py installs into an empty environment",
    "chronos-py notify-test --mail_server": "it sends mail; tests/notify/test_server.py runs it with a real receiver",
    "chronos-py serve --zk_hosts zk1:2181,zk2:2181,zk3:2181": "it needs ZooKeeper, Mesos and PostgreSQL; compat_tests",
}
ZOOKEEPER = re.compile(r"\bzk1:2181\b")
CRONTAB = "MAILTO=me@example.org\n30 2 * * *\tdate\n"
SYSTEM_CRONTAB = "17 3 * * 1 root date\n"
RESOURCES = "name:node7;cpus:2;mem:2048;disk:4000;attributes:dc:x | name:node8;cpus:2;mem:2048;disk:4000"
DAILY = {"name": "report", "command": "true", "owner": "me@example.org", "schedule": "R/2026-01-01T06:00:00Z/P1D"}


def reason_not_to(command: str) -> str:
    for beginning, reason in NOT_RUN.items():
        if command.startswith(beginning):
            return reason
    return RUNBOOK if ZOOKEEPER.search(command) else ""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MortalServer]:
    server = MortalServer(tmp_path_factory.mktemp("server"), "--resources", RESOURCES)
    server.start()
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@pytest.fixture
def emptied(server: MortalServer) -> MortalServer:
    """The server with one job, which has run."""
    for name in reversed(server.jobs()):
        requests.delete(f"{server.url}/v1/scheduler/job/{name}", timeout=30)
    server.post_job(DAILY)
    requests.put(f"{server.url}/v1/scheduler/job/report", timeout=30)
    ended_run(server)
    return server


def ended_run(server: MortalServer) -> str:
    """Return the number of a run that has succeeded, once there is one."""
    found: list[dict[str, object]] = []

    def succeeded() -> bool:
        found[:] = server.get("/api/runs", outcome="success", limit="1")["runs"]
        return bool(found)

    until(succeeded, "a run succeeds")
    return str(found[0]["run"])


def as_run_here(command: str, server: MortalServer, folder: Path) -> str:
    """Return a command with this machine's server, files and run numbers in it."""
    command = SERVERS.sub(f"127.0.0.1:{server.port}", command)
    command = command.replace("/backup/", f"{folder}/backup/")
    command = re.sub(r"^sqlite3 (\w+\.sqlite)", rf"sqlite3 {server.folder}/data/\1", command)
    command = command.replace("/var/spool/cron/me", "crontab").replace("/etc/crontab", "system-crontab")
    command = command.replace("/srv/chronos", f"{folder}/srv").replace("--http_port 8081", "--http_port 0")
    if command.startswith("chronos-py shadow"):
        command += " --looks 2 --every 0.05"  # else it looks until it is interrupted
    if re.search(r"/api/runs/\d+/", command):
        command = re.sub(r"/api/runs/\d+/", f"/api/runs/{ended_run(server)}/", command)
    return command


def serve(command: str, folder: Path) -> None:
    """Start a server as the command says, but on a free port with a folder of its own; see it lead; stop it."""
    words = shlex.split(command.replace("\\\n", " "))
    data = folder / "data-of-another"
    here = ["--http_address", "127.0.0.1", "--http_port", "0", "--data_dir", str(data)]
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen([*words, *here], cwd=folder, env=environment(folder), stderr=log)
    try:
        until(lambda: process.poll() is not None or (data / "http_port").exists(), command)
        assert process.poll() is None, (folder / "server.log").read_text()
        url = f"http://127.0.0.1:{(data / 'http_port').read_text().strip()}"

        def leads() -> bool:
            try:
                return requests.get(f"{url}/health", timeout=5).status_code == 200
            except requests.ConnectionError:
                return False

        until(leads, command)
    finally:
        process.terminate()
        assert process.wait(30) == 0


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_commands_do_what_they_say(page: Path, emptied: MortalServer, tmp_path: Path):
    (tmp_path / "backup").mkdir()
    (tmp_path / "before.jsonl").write_text(requests.get(f"{emptied.url}/v1/scheduler/jobs", timeout=30).text)
    (tmp_path / "crontab").write_text(CRONTAB)
    (tmp_path / "system-crontab").write_text(SYSTEM_CRONTAB)
    for command in commands(page):
        if reason_not_to(command):
            continue
        if command.startswith("chronos-py serve"):
            serve(command, tmp_path)
            continue
        result = run(as_run_here(command, emptied, tmp_path), tmp_path)
        assert result.returncode == 0, f"{command}\n{result.returncode}\n{result.stdout}\n{result.stderr}"


def test_what_is_not_run_is_still_there():
    written = [command for page in PAGES for command in commands(page)]
    for beginning in NOT_RUN:
        assert any(command.startswith(beginning) for command in written), beginning


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_stand_in_shell_blocks(page: Path):
    """A block that looks like commands and is none of ```sh would not be run."""
    text = page.read_text()
    opened = re.findall(r"^ *```(.*)$", text, re.MULTILINE)[::2]
    assert set(opened) <= {"sh", "toml", "json", "python", "yaml"}, opened
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    loose = re.findall(
        r"^(?: {4,}|\t)\$? ?(?:chronos-py|curl|make|sqlite3|pip|python3?|docker|systemctl)\b.*", prose, re.M
    )
    assert not loose


def spans(page: Path) -> Iterator[str]:
    """Yield all commands of ours on a page, those in the midst of a sentence too."""
    yield from (command for command in commands(page) if command.startswith("chronos-py "))
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    yield from re.findall(r"`(chronos-py [^`]+)`", prose)


def find(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that the words name, and the rest of them."""
    command: click.Command = main
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_exist(page: Path):
    for text in spans(page):
        command, rest = find(text.split()[1:])
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert command is not main or rest == ["--version"] or not rest, text
        given = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert given <= known | {"--help"}, text
