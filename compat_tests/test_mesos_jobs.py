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
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from compat_tests.dialects import FAR, V2, V3, eventually
from compat_tests.mesos_jobs import PATIENCE_S, Scheduler, serving
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
        "user": ({"command": "id -un > mine; cat mine", "runAsUser": another_user()}, says(f"{another_user()}\n")),
        "needs": ({"command": told, "cpus": 1.5, "mem": 300, "disk": 500}, says("1.5 300.0 500.0\n")),
        "failing": ({"command": "exit 3", **soon}, fails(3, 3)),
        "recovering": (
            {"command": 'echo "$CHRONOS_JOB_RUN_ATTEMPT"; test "$CHRONOS_JOB_RUN_ATTEMPT" = 1', **soon},
            says("1\n", attempts=2),
        ),
    }


def add_dag(scheduler: Scheduler, stem: str, file: Path) -> list[str]:
    """Create a root, two children and their common child; each writes its name into the file."""
    root, left, right, last = (f"{stem}-{part}" for part in ("root", "left", "right", "last"))
    fields = {"retries": 0, "cpus": 0.2}
    command = f"echo $CHRONOS_JOB_NAME >> {file}"
    scheduler.add(root, V2, command=command, schedule=FAR, **fields)
    scheduler.add(left, V3, command=command, parents=[root], **fields)
    scheduler.add(right, V2, command=command, parents=[root], **fields)
    scheduler.add(last, V3, command=command, parents=[left, right], **fields)
    scheduler.add(root, V2, command=command, **fields)  # now that its children are there
    return [root, left, right, last]


@pytest.mark.timeout(240)
def test_two_hundred_mixed_jobs_come_to_their_right_ends(scheduler, website, tmp_path):
    wanted = kinds(tmp_path, website)
    dags = [add_dag(scheduler, f"dag{number}", tmp_path / f"dag{number}") for number in range(DAGS)]
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
        order = (tmp_path / f"dag{number}").read_text().split()
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


# --- what goes wrong


def test_a_job_that_fails_on_one_agent_is_tried_on_another(scheduler, tmp_path):
    file = tmp_path / "first"
    command = f'test -e {file} || {{ echo "$HOST" > {file}; exit 1; }}; test "$HOST" != "$(cat {file})"'
    for number in range(3):
        name = scheduler.add(f"elsewhere-{number}", command=command, retries=1, retryDelay=0.1)
        run = scheduler.ended(name)
        assert (run["outcome"], run["attempts"]) == ("success", 2), run
        first, second = run["attemptList"]
        assert first["host"] == file.read_text().strip() != second["host"]
        file.unlink()


def test_a_time_limit_ends_a_run(scheduler):
    started = time.monotonic()
    scheduler.add("limit", command="echo begun; sleep 100", maxCompletionTime=1, retries=1, retryDelay=0.1)
    run = scheduler.ended("limit")
    assert 2 <= time.monotonic() - started < 15
    assert (run["outcome"], run["attempts"]) == ("timed_out", 2), run
    assert [attempt["outcome"] for attempt in run["attemptList"]] == ["timed_out"] * 2
    assert [scheduler.output("limit", attempt) for attempt in (0, 1)] == ["begun\n"] * 2
    assert scheduler.jobs()["limit"]["errorCount"] == 1


def test_a_job_larger_than_any_agent_waits_and_says_why(scheduler):
    scheduler.add("huge", mem=1_000_000)
    why = eventually(lambda: scheduler.why("huge"), lambda why: why["code"] == "no_fit")
    assert "mem" in why["sentence"], why
    scheduler.add("small")
    assert scheduler.ended("small")["outcome"] == "success"
    assert scheduler.why("huge")["code"] == "no_fit"
    scheduler.delete("huge")


def test_a_task_that_mesos_refuses_fails_with_its_message(scheduler, tmp_path):
    """Two executors of one name that are not alike: the master answers TASK_ERROR."""
    script = an_executor(tmp_path)
    fields = {"taskInfoData": "wait", "concurrent": True, "retries": 0}
    scheduler.add("alike", executor=script, constraints=[["hostname", "EQUALS", "a"]], **fields)
    scheduler.started("alike")
    scheduler.add(
        "alike", executor=f"{script} more", constraints=[["hostname", "EQUALS", "a"]], **{**fields, "retries": 2},
        retryDelay=0.1,
    )  # fmt: skip
    run = scheduler.ended("alike")
    assert (run["outcome"], run["attempts"]) == ("failed", 3), run  # on another agent it could do better
    last = run["attemptList"][-1]
    assert (last["state"], last["reason"]) == ("TASK_ERROR", "TASK_INVALID"), last
    assert "ExecutorInfo" in run["reason"], run
    scheduler.kill("alike")


def test_a_name_too_long_for_mesos_fails_with_a_message(scheduler):
    name = scheduler.add("n" * 300, retries=1, retryDelay=0.1)
    run = scheduler.ended(name)
    assert (run["outcome"], run["attempts"]) == ("failed", 1), run
    assert "255 bytes" in run["reason"], run


def test_a_user_whom_agents_do_not_know_fails(scheduler):
    if not users_differ():
        pytest.skip("agents do not switch users here")
    scheduler.add("stranger", runAsUser="nosuchuser", retries=2, retryDelay=0.1)
    run = scheduler.ended("stranger")
    assert (run["outcome"], run["attempts"]) == ("failed", 3), run
    assert "nosuchuser" in run["reason"], run


# --- stopping


@pytest.mark.parametrize("dialect", [V2, V3], ids=lambda dialect: dialect.label)
def test_a_kill_takes_two_seconds_at_most(scheduler, cluster, dialect):
    name = scheduler.add(f"killed-{dialect.label}", dialect, command='echo "$$"; sleep 1000', killGrace=0.5)
    scheduler.started(name)
    pid = int(eventually(lambda: scheduler.output(name), bool))
    assert pid in cluster.processes()
    asked = time.monotonic()
    scheduler.kill(name, dialect)
    run = scheduler.ended(name)
    assert time.monotonic() - asked < KILL_S
    assert (run["outcome"], run["attempts"]) == ("killed", 1), run
    assert run["attemptList"][0]["state"] == "TASK_KILLED"
    assert pid not in cluster.processes()


def test_a_task_that_ignores_the_term_signal_is_killed_after_its_grace(scheduler, cluster):
    command = "trap '' TERM; echo \"$$\"; while :; do sleep 0.1; done"
    scheduler.add("stubborn", command=command, killGrace=1, retries=0)
    scheduler.started("stubborn")
    pid = int(eventually(lambda: scheduler.output("stubborn"), bool))
    asked = time.monotonic()
    scheduler.kill("stubborn")
    run = scheduler.ended("stubborn")
    assert 1 <= time.monotonic() - asked < 1 + KILL_S
    assert run["outcome"] == "killed", run
    assert pid not in cluster.processes()


def test_one_run_is_killed_by_its_number(scheduler):
    scheduler.add("one", command="sleep 1000", killGrace=0.5)
    number = scheduler.started("one")["run"]
    assert scheduler.session.delete(f"{scheduler.url}/api/runs/{number}", timeout=30).status_code == 204
    assert scheduler.ended("one")["outcome"] == "killed"


# --- output


def test_output_is_followed_from_the_first_line_to_the_end(scheduler, tmp_path):
    gate = tmp_path / "gate"
    command = f"echo first; while ! test -e {gate}; do sleep 0.05; done; echo last; echo wrong >&2"
    scheduler.add("talker", command=command)
    scheduler.started("talker")
    number = scheduler.runs("talker")[-1]["run"]
    url = f"{scheduler.url}/api/runs/{number}/attempts/0/stdout?follow=1"
    text, kinds_seen = "", list[str]()
    with scheduler.session.get(url, stream=True, timeout=PATIENCE_S) as answer:
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream")
        for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
            word, _, rest = line.partition(": ")
            if word == "event":
                kinds_seen.append(rest)
            elif word == "data":
                text += json.loads(rest).get("text", "")
            if text == "first\n":
                gate.touch()
    assert text == "first\nlast\n"
    assert kinds_seen[-1] == "end" and set(kinds_seen) == {"output", "end"}
    assert scheduler.ended("talker")["outcome"] == "success"
    assert "wrong\n" in scheduler.output("talker", stream="stderr")


def test_a_part_of_the_output_of_a_running_task(scheduler):
    scheduler.add("half", command="echo 0123456789; sleep 1000", killGrace=0.1)
    scheduler.started("half")
    eventually(lambda: scheduler.output("half"), lambda text: text == "0123456789\n")
    url = f"{scheduler.url}/api/runs/{scheduler.runs('half')[-1]['run']}/attempts/0/stdout"
    answer = scheduler.session.get(f"{url}?offset=-4&length=3", timeout=30)
    sent = {key: answer.headers[key] for key in ("X-Offset", "X-Size", "X-Ended")}
    assert (answer.text, sent) == ("789", {"X-Offset": "7", "X-Size": "11", "X-Ended": "false"})
    scheduler.kill("half")
    scheduler.ended("half")
    assert scheduler.session.get(url, timeout=30).headers["X-Ended"] == "true"


def test_the_sandbox_link_shows_the_tasks_files(scheduler):
    scheduler.add("tidy", command="echo kept > kept.txt")
    (attempt,) = scheduler.ended("tidy")["attemptList"]
    listing = scheduler.session.get(attempt["sandbox"], timeout=30)
    assert listing.status_code == 200, listing.text
    assert {"stdout", "stderr", "kept.txt"} <= {Path(entry["path"]).name for entry in listing.json()}


# --- executors of the user's own

EXECUTOR = """#!{python} -u
import os, sys, threading, time
from base64 import b64decode
from pymesos import Executor, MesosExecutorDriver

class Own(Executor):
    def launchTask(self, driver, task):
        data = b64decode(task.get("data", "")).decode()
        print("data", data, "colour", os.environ.get("COLOUR"))
        self.tell(driver, task, "TASK_RUNNING", "")
        if data != "wait":
            self.end(driver, task, "TASK_FAILED" if data == "fail" else "TASK_FINISHED", "own executor: " + data)

    def killTask(self, driver, task_id):
        self.end(driver, {{"task_id": task_id}}, "TASK_KILLED", "own executor: killed")

    def end(self, driver, task, state, message):
        self.tell(driver, task, state, message)
        driver.stop()

    def tell(self, driver, task, state, message):
        driver.sendStatusUpdate(
            {{"task_id": task["task_id"], "state": state, "message": message, "timestamp": time.time()}})

MesosExecutorDriver(Own()).run()
"""


def an_executor(folder: Path) -> str:
    """Write an executor that tells what its tasks' data say; return the command that runs it."""
    script = folder / "executor.py"
    script.write_text(EXECUTOR.format(python=sys.executable))
    script.chmod(0o755)
    return str(script)


def test_a_job_with_an_executor_of_its_own(scheduler, tmp_path):
    script = an_executor(tmp_path)
    variables = [{"name": "COLOUR", "value": "red"}]
    scheduler.add("own", V2, executor=script, taskInfoData="some data", environmentVariables=variables, retries=0)
    run = scheduler.ended("own")
    assert (run["outcome"], run["attemptList"][-1]["message"]) == ("success", "own executor: some data"), run
    scheduler.add("own-flags", V3, executor=script, executorFlags="--fast", command="work", retries=0)
    assert scheduler.ended("own-flags")["attemptList"][-1]["message"] == "own executor: --fast|work"
    scheduler.add("own-fails", executor=script, taskInfoData="fail", retries=0)
    run = scheduler.ended("own-fails")
    assert (run["outcome"], run["reason"]) == ("failed", "own executor: fail"), run
    assert "data some data colour red\n" in scheduler.output("own")


def test_a_task_of_an_executor_of_its_own_is_killed(scheduler, tmp_path):
    scheduler.add("own-waits", executor=an_executor(tmp_path), taskInfoData="wait", retries=0)
    scheduler.started("own-waits")
    scheduler.kill("own-waits")
    run = scheduler.ended("own-waits")
    assert (run["outcome"], run["reason"]) == ("killed", "own executor: killed"), run
