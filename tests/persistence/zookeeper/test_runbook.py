"""docs/migration.md as it is written, with a real ZooKeeper and a Mesos; and other commands that name one."""

from __future__ import annotations

import json
import re
import shlex
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kazoo.client import KazooClient

from compat_tests.mortal import MortalServer, until
from compat_tests.servers.chronos_state import document, plant, read, tree
from compat_tests.servers.simulated_mesos import SimulatedMesos
from tests.doc_commands import PAGES, ROOT, SERVERS, commands, run

pytestmark = pytest.mark.external

PAGE = ROOT / "docs" / "migration.md"
LATER = "2090-01-01T00:00:00.000Z"
DUE = "2026-01-01T00:00:00.000Z"
FRAMEWORK = "chronos-2.4.0"


class Site:
    """A Chronos 2.4's ZooKeeper and its cluster. Commands of the pages are run as if it were theirs."""

    def __init__(self, hosts: str, folder: Path) -> None:
        self.hosts, self.folder = hosts, folder
        self.path = f"/{uuid.uuid4().hex}/state"
        self.client = KazooClient(hosts)
        self.client.start(30)
        self.server: MortalServer | None = None

    def here(self, command: str) -> str:
        command = command.partition("  #")[0]
        command = re.sub(r"zk1:2181(,zk\d:2181)*", self.hosts, command)
        if "--zk_path" in command:
            command = command.replace("/chronos/state", self.path)
        elif "--zk_hosts" in command:
            command += f" --zk_path {self.path}"
        if command.startswith("chronos-py shadow"):
            command += " --looks 2 --every 0.05"
        return SERVERS.sub(self.server.url.removeprefix("http://"), command) if self.server else command

    def do(self, command: str, *statuses: int) -> str:
        result = run(self.here(command), self.folder)
        assert result.returncode in (statuses or (0,)), f"{command}\n{result.stdout}\n{result.stderr}"
        return result.stdout

    def serve(self, command: str, master: str) -> MortalServer:
        """Start ours by the page's command, on a free port and with a folder of the test's."""
        flags = shlex.split(self.here(command.replace("\\\n", " ")))[2:]
        flags[flags.index("--master") + 1] = master
        for name in ("--http_port", "--data_dir"):  # what a MortalServer gives itself
            at = flags.index(name)
            del flags[at : at + 2]
        self.server = MortalServer(self.folder, *flags)
        self.server.start()
        self.server.wait()
        return self.server

    def jobs(self) -> dict[str, Any]:
        values = read(self.client, self.path).items()
        return {name.removeprefix("J_"): json.loads(value) for name, value in values if name.startswith("J_")}


@pytest.fixture
def site(zookeeper_server: Any, tmp_path: Path) -> Iterator[Site]:
    site = Site(zookeeper_server.hosts, tmp_path)
    made = tree("2.4", 12, LATER, LATER)
    made.jobs["daily"] = document("2.4", "daily", schedule=f"R/{DUE}/P1D", epsilon="P1D", command="true")
    plant(site.client, site.path, made)
    yield site
    if site.server is not None:
        site.server.stop()
    site.client.stop()
    site.client.close()


def one(beginning: str, number: int = 0) -> str:
    return [command for command in commands(PAGE) if command.startswith(beginning)][number]


def test_over_and_back_and_over_again(site: Site):
    before = site.jobs()
    # Before: nothing is changed
    site.do(one("chronos-py export before.jsonl"))
    site.do(one("chronos-py doctor"), 0, 1)
    site.do(one("chronos-py shadow"), 1)  # nobody runs what is due: that is late
    assert site.jobs() == before
    with SimulatedMesos(agents=2, agent_resources="cpus:8;mem:16384;disk:9000") as mesos:
        # Over
        serve = one("chronos-py serve")
        server = site.serve(serve, mesos.address)
        assert json.loads(site.do(one("curl localhost:4400/health")))["leading"]
        assert json.loads(site.do(one("curl localhost:4400/api/quarantine")))["quarantined"] == []
        assert "nothing to do" in site.do(one("chronos-py sync"))
        until(lambda: [run for run in server.all_runs("daily") if run["outcome"] == "success"], "daily has run")
        # Back
        assert json.loads(site.do(one("curl localhost:4400/api/queue")))["total"] == 0
        site.do(one("chronos-py doctor", 1), 0, 1)
        server.stop()
        site.do(one("chronos-py export after.jsonl"))
        after = site.jobs()
        assert after.keys() == before.keys()
        assert {name: after[name] for name in after if name != "daily"} == {
            name: before[name] for name in before if name != "daily"
        }
        changed = {key for key in after["daily"] if after["daily"][key] != before["daily"].get(key)}
        assert changed <= {"schedule", "successCount", "lastSuccess", "errorsSinceLastSuccess"}
        assert after["daily"]["successCount"] == before["daily"]["successCount"] + 1
        # Over again
        server = site.serve(serve, mesos.address)
        assert "nothing to do" in site.do("chronos-py sync after.jsonl --url http://localhost:4400 --check")
        server.stop()


def test_the_runbook_has_no_other_commands():
    """What is added to it must be tried above."""
    beginnings = [
        "chronos-py export before", "chronos-py doctor", "chronos-py shadow", "chronos-py serve",
        "curl localhost:4400/health", "curl localhost:4400/api/quarantine", "chronos-py sync",
        "curl localhost:4400/api/queue", "chronos-py doctor", "chronos-py export after",
    ]  # fmt: skip
    written = commands(PAGE)
    assert len(written) == len(beginnings)
    assert all(command.startswith(beginning) for command, beginning in zip(written, beginnings, strict=True))


def test_commands_of_other_pages_that_name_a_zookeeper(site: Site):
    for page in PAGES:
        for command in commands(page):
            if page != PAGE and "--zk_hosts" in command and not command.startswith("chronos-py serve"):
                site.do(command, 0, *([1] if " doctor" in command else []))
