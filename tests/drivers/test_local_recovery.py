"""The local driver after a crash: each state that a record and its processes can be left in."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from chronos_py.drivers.local.processes import all_shims, sessions
from chronos_py.drivers.local.sandbox import Sandbox, boot_id
from chronos_py.drivers.local.shim import shim_words
from chronos_py.model.job import Fetch
from chronos_py.model.messages import Acknowledge, Kill, Launch, Reconcile, StatusUpdate
from tests.drivers.rig import PATIENCE_S, a_driver, a_task, ends_soon, text


def a_launched(folder: Path, name: str, boot: str = "") -> Sandbox:
    """Make what a server leaves that is killed just before it starts a process."""
    with a_driver(folder):
        pass
    task = a_task(name, "echo ran > proof")
    sandbox = Sandbox.of(str(folder), task.id)
    assert sandbox.reserve()
    sandbox.describe(task, boot or boot_id())
    return sandbox


def fate(folder: Path, name: str) -> tuple[str, str]:
    with a_driver(folder) as (driver, listener):
        end = listener.end_of(f"ct:1:0:{name}:")
        driver.perform(Acknowledge(end))
        return end.state, end.reason


def test_a_shim_that_comes_late_does_nothing(tmp_path: Path) -> None:
    sandbox = a_launched(tmp_path, "late")
    assert fate(tmp_path, "late") == ("TASK_DROPPED", "NEVER_STARTED")
    words = shim_words(sandbox.path, sandbox.live, "022", ("", "", ""), ["/bin/sh", "-c", "echo ran > proof"])
    assert subprocess.run(words, executable="/bin/sh", check=False).returncode == 125
    assert not Path(sandbox.path, "proof").exists()
    assert not sandbox.is_live()


@pytest.mark.parametrize(
    ("lines", "boot", "expected"),
    [
        (b"\nexit 0\n", "", ("TASK_FINISHED", "")),
        (b"\nrun 4194303\n\nexit 3\n", "other", ("TASK_FAILED", "COMMAND_FAILED")),
        (b"\nrun 4194303\n\nkill 1\n\nexit 143\n", "", ("TASK_KILLED", "KILLED")),
        (b"\nrun 4194303\n\nkill 1\n", "", ("TASK_KILLED", "KILLED")),
        (b"\nrun 4194303\n", "", ("TASK_LOST", "EXECUTOR_TERMINATED")),
        (b"\nrun 4194303\n", "other", ("TASK_LOST", "AGENT_RESTARTED")),
        (b"\nrun 4194303\n\nexit 1", "", ("TASK_LOST", "EXECUTOR_TERMINATED")),
        (b"\nru", "", ("TASK_DROPPED", "NEVER_STARTED")),
        (b"", "", ("TASK_DROPPED", "NEVER_STARTED")),
        (b"", "other", ("TASK_LOST", "AGENT_RESTARTED")),
        (b"\nrun 1\n", "", ("TASK_LOST", "EXECUTOR_TERMINATED")),
    ],
)
def test_what_a_claimed_task_s_record_means(tmp_path: Path, lines: bytes, boot: str, expected: tuple[str, str]) -> None:
    sandbox = a_launched(tmp_path, "left", boot)
    assert sandbox.claim()
    with open(sandbox.live, "ab") as record:
        record.write(lines)
    assert fate(tmp_path, "left") == expected


def test_a_record_that_was_not_written_whole_was_never_started(tmp_path: Path) -> None:
    sandbox = a_launched(tmp_path, "torn")
    Path(sandbox.live).write_bytes(b'{"id":"ct:1:')
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Reconcile((("ct:1:0:torn:", ""),)))
        assert listener.end_of("ct:1:0:torn:").state in ("TASK_DROPPED", "TASK_LOST")
    assert not Path(sandbox.path, "proof").exists()


def test_after_a_restart_of_the_machine_it_is_not_certain_that_a_task_never_started(tmp_path: Path) -> None:
    with a_driver(tmp_path):
        pass
    (tmp_path / "boot_id").write_text("another")
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Reconcile((("ct:1:0:gone:", ""),)))
        end = listener.end_of("ct:1:0:gone:")
        assert (end.state, end.reason) == ("TASK_LOST", "AGENT_RESTARTED")


def test_a_stop_that_was_asked_for_is_carried_on(tmp_path: Path) -> None:
    task = a_task("stubborn", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        listener.running(task.id)
        assert ends_soon(lambda: "ready" not in text(driver, task))
        driver.perform(Kill(task.id, "", 0.5))
        driver.perform(Reconcile(((task.id, ""),)))
        listener.running(task.id)
    with a_driver(tmp_path) as (driver, listener):
        end = listener.end_of(task.id)
        assert (end.state, end.signal) == ("TASK_KILLED", 9)


def test_what_a_dead_supervisor_left_running_is_ended(tmp_path: Path) -> None:
    task = a_task("orphan", "sleep 600 & echo $PPID; sleep 600")
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        listener.running(task.id)
        assert ends_soon(lambda: not text(driver, task).endswith("\n"))
        shim = int(text(driver, task))
    os.kill(shim, signal.SIGKILL)
    assert len(sessions([shim])[shim]) >= 2
    assert fate(tmp_path, "orphan") == ("TASK_LOST", "EXECUTOR_TERMINATED")
    with a_driver(tmp_path):
        assert ends_soon(lambda: bool(sessions([shim])[shim]))


class Slow(BaseHTTPRequestHandler):
    """Answers when the test says so."""

    asked, go = threading.Event(), threading.Event()

    def do_GET(self) -> None:
        self.asked.set()
        self.go.wait(PATIENCE_S)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"late")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_a_task_is_stopped_while_its_files_are_fetched(tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    task = a_task("fetches", "echo ran > proof", fetch=(Fetch(f"http://127.0.0.1:{server.server_port}/file"),))
    try:
        with a_driver(tmp_path) as (driver, listener):
            driver.perform(Launch((listener.offer(),), (task,)))
            assert listener.news(task.id).state == "TASK_STARTING"
            assert Slow.asked.wait(PATIENCE_S)
            driver.perform(Kill(task.id, "", 10))
            assert listener.end_of(task.id).state == "TASK_KILLED"
            Slow.go.set()
    finally:
        Slow.go.set()
        server.shutdown()
        server.server_close()
    assert not list(tmp_path.glob("runs/*/*/proof"))


HOST = """
    import sys, time
    from pathlib import Path
    from chronos_py.drivers.local import LocalDriver
    from chronos_py.model.messages import Acknowledge, Kill, Launch, OffersReceived, StatusUpdate
    from chronos_py.model.resources import Resources
    from chronos_py.model.run import Task

    folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    told = open(folder / "told", "a")
    def post(event):
        global first
        if isinstance(event, OffersReceived) and first is not None:
            begin, first = first, None
            driver.perform(Launch(tuple(event.offers), tuple(
                Task(id=f"ct:{n}:0:j{n}:", run=n, job=f"j{n}", resources=Resources.of(0.001, 1, 1),
                     command=f"echo $$ >> {folder}/out-{n}; sleep 0.{n % 4}; exit {n % 3}")
                for n in range(begin, begin + count))))
            print("launched", flush=True)
        elif isinstance(event, StatusUpdate) and event.uuid:
            told.write(f"{event.task_id} {event.state} {event.uuid}\\n")
            told.flush()
            driver.perform(Acknowledge(event))
    driver = LocalDriver(folder / "data", Resources.of(4, 4096, 4096), host="here", limits="none")
    driver.start(post, "")
    time.sleep(60)
"""


def test_over_many_crashes_each_task_runs_at_most_once_and_has_one_result(tmp_path: Path) -> None:
    rounds, count, moments = 8, 25, random.Random(7)
    script = tmp_path / "host.py"
    script.write_text(textwrap.dedent(HOST))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(Path(__file__).parents[2]), *sys.path))}
    for number in range(rounds):
        words = [sys.executable, str(script), str(tmp_path), str(number * count), str(count)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment) as host:
            assert host.stdout is not None
            try:
                assert b"launched\n" in iter(host.stdout.readline, b"")
                time.sleep(moments.uniform(0, 0.25))  # the moment of death is what is tested
            finally:
                host.kill()
    ids = [f"ct:{number}:0:j{number}:" for number in range(rounds * count)]
    results: dict[str, set[str]] = {task_id: set() for task_id in ids}
    for line in (tmp_path / "told").read_text().splitlines():
        task_id, state, _ = line.split()
        results[task_id].add(state)
    with a_driver(tmp_path / "data") as (driver, listener):
        driver.perform(Reconcile(tuple((task_id, "") for task_id in ids)))
        for task_id in ids:
            end: StatusUpdate = listener.end_of(task_id)
            results[task_id].add(end.state)
    assert not [sandbox for sandbox in all_shims() if sandbox.startswith(str(tmp_path))]
    for number, task_id in enumerate(ids):
        runs = tmp_path / f"out-{number}"
        ran = len(runs.read_text().splitlines()) if runs.exists() else 0
        usual = "TASK_FAILED" if number % 3 else "TASK_FINISHED"
        assert (ran, results[task_id]) in ((1, {usual}), (0, {"TASK_DROPPED"})), task_id
    assert Counter(map(len, results.values())) == {1: len(ids)}
