"""Jobs on a real Mesos cluster: each kind runs to its right end, and can be watched and stopped."""

from __future__ import annotations

import getpass
import json
import pwd
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from compat_tests.dialects import V2, V3, eventually
from compat_tests.mesos_jobs import Scheduler, serving
from compat_tests.servers.mesos import AgentSpec, MesosCluster, missing, users_differ

pytestmark = pytest.mark.external

PORTION = 18  # jobs of each kind
DAGS = 5
KILL_S = 2.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[MesosCluster]:
    lacking = missing()
    if lacking:
        pytest.skip(lacking)
    agents = [AgentSpec(hostname=host, resources="cpus:8;mem:8192;disk:10240") for host in ("a", "b", "c")]
    with MesosCluster(agents, master_flags={"allocation_interval": "100ms"}) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def scheduler(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, cluster: MesosCluster
) -> Iterator[Scheduler]:
    with serving(request, tmp_path_factory.mktemp("server"), cluster) as scheduler:
        yield scheduler


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def website(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder and the http:// address under which it is served."""
    folder = tmp_path_factory.mktemp("website")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def shared_folder(tmp_path: Path) -> Path:
    """A folder that tasks of any user can use."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    tmp_path.chmod(0o777)
    return tmp_path


def another_user() -> str:
    """Return a user that tasks can run as, not ours where that is possible."""
    known = "nobody" in {entry.pw_name for entry in pwd.getpwall()}
    return "nobody" if known and users_differ() else getpass.getuser()


# --- many jobs of all kinds

Check = Callable[[Scheduler, dict[str, Any]], None]


def says(expected: str, attempts: int = 1) -> Check:
    """The run succeeds, and its last attempt's output is this; {host} in it stands for where it ran."""

    def check(scheduler: Scheduler, run: dict[str, Any]) -> None:
        assert (run["outcome"], run["attempts"]) == ("success", attempts), run
        text = scheduler.output(run["job"], attempts - 1)
        assert text == expected.format(host=run["host"], name=run["job"]), run

    return check


def fails(code: int, attempts: int) -> Check:
    """The run fails after so many attempts, each with this exit code."""

    def check(scheduler: Scheduler, run: dict[str, Any]) -> None:
        assert (run["outcome"], run["attempts"]) == ("failed", attempts), run
        found = scheduler.attempts(run["job"])
        assert [(attempt["outcome"], attempt["exitCode"]) for attempt in found] == [("failed", code)] * attempts

    return check


def kinds(folder: Path, website: tuple[Path, str]) -> dict[str, tuple[dict[str, Any], Check]]:
    """Return fields of a job and what must become of it, by a word for the kind."""
    (folder / "note.txt").write_text("from a file\n")
    (folder / "note.txt").chmod(0o644)
    (website[0] / "page.txt").write_text("from a server\n")
    variables = [{"name": "COLOUR", "value": "two words"}, {"name": "HOST", "value": "not this"}]
    told = 'echo "$CHRONOS_RESOURCE_CPU $CHRONOS_RESOURCE_MEM $CHRONOS_RESOURCE_DISK"'
    soon = {"retries": 2, "retryDelay": 0.1}
    return {
        "shell": ({"command": 'echo "on $HOST" | cat; cd /; exit 0'}, says("on {host}\n")),
        "argv": (
            {"command": "/bin/echo", "shell": False, "arguments": ["two  blanks", "$HOME", "*"]},
            says("two  blanks $HOME *\n"),
        ),
        "arguments": ({"command": "echo one", "arguments": ["two", "'three  3'"]}, says("one two three  3\n")),
        "environment": (
            {"command": 'echo "$COLOUR|$HOST|$CHRONOS_JOB_NAME"', "environmentVariables": variables},
            says("two words|{host}|{name}\n"),
        ),
        "file": ({"command": "cat note.txt", "uris": [f"file://{folder}/note.txt"]}, says("from a file\n")),
        "web": ({"command": "cat page.txt", "uris": [f"{website[1]}/page.txt"]}, says("from a server\n")),
        "user": ({"command": "id -un", "runAsUser": another_user()}, says(f"{another_user()}\n")),
        "needs": ({"command": told, "cpus": 1.5, "mem": 300, "disk": 500}, says("1.5 300.0 500.0\n")),
        "failing": ({"command": "exit 3", **soon}, fails(3, 3)),
        "recovering": (
            {"command": 'echo "$CHRONOS_JOB_RUN_ATTEMPT"; test "$CHRONOS_JOB_RUN_ATTEMPT" = 1', **soon},
            says("1\n", attempts=2),
        ),
    }


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def add_dag(scheduler: Scheduler, stem: str, file: Path) -> list[str]:
    """Create a root, two children and their common child; each writes its name into the file."""
    root, left, right, last = (f"{stem}-{part}" for part in ("root", "left", "right", "last"))
    fields = {"retries": 0, "cpus": 0.2}
    command = f"echo $CHRONOS_JOB_NAME >> {file}"
    scheduler.add(root, V2, command=command, schedule=f"R1/{in_seconds(6)}/PT24H", **fields)
    scheduler.add(left, V3, command=command, parents=[root], **fields)
    scheduler.add(right, V2, command=command, parents=[root], **fields)
    scheduler.add(last, V3, command=command, parents=[left, right], **fields)
    return [root, left, right, last]


@pytest.mark.timeout(240)
def test_two_hundred_mixed_jobs_come_to_their_right_ends(scheduler, website, shared_folder):
    wanted = kinds(shared_folder, website)
    dags = [add_dag(scheduler, f"dag{number}", shared_folder / f"dag{number}") for number in range(DAGS)]
    names = [name for dag in dags for name in dag]
    for number in range(PORTION):
        for kind, (fields, _) in wanted.items():
            fields = {"cpus": 0.2, "mem": 64, "retries": 0, **fields}
            names.append(scheduler.add(f"{kind}-{number}", V3 if number % 2 else V2, **fields))
    assert len(names) == 200

    runs = scheduler.all_ended(names, 120)
    assert set(Counter(run["job"] for run in runs).values()) == {1}, "one run of each"
    by_job = {run["job"]: run for run in runs}
    for name in names:
        kind = name.partition("-")[0]
        if kind in wanted:
            wanted[kind][1](scheduler, by_job[name])
        else:
            assert by_job[name]["outcome"] == "success", by_job[name]
    for number, (root, left, right, last) in enumerate(dags):
        order = (shared_folder / f"dag{number}").read_text().split()
        assert (order[0], {*order[1:3]}, order[3:]) == (root, {left, right}, [last])
        assert sorted(by_job[last]["causes"]) == sorted([by_job[left]["run"], by_job[right]["run"]])
    for listed in (scheduler.jobs(V2), scheduler.jobs(V3)):
        counters = {name: (listed[name]["successCount"], listed[name]["errorCount"]) for name in names}
        assert counters == {name: (0, 1) if name.startswith("failing-") else (1, 0) for name in names}
    assert {run["host"] for run in runs} == {"a", "b", "c"}


def test_a_url_is_fetched_and_run(scheduler, website):
    (website[0] / "script.sh").write_text('#!/bin/sh\necho "script says $1 $2"\n')
    scheduler.add("url", command=f"{website[1]}/script.sh one", arguments=["two"])
    run = scheduler.ended("url")
    assert run["outcome"] == "success", run
    assert scheduler.output("url") == "script says one two\n"
