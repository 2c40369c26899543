"""The local driver with real processes: what it tells, what it stops, what it finds again after kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from chronos_py.drivers.local.processes import sessions
from chronos_py.errors import UnknownTask
from chronos_py.model.job import Fetch
from chronos_py.model.messages import Acknowledge, DriverReady, Kill, Launch, OfferRescinded, Reconcile
from chronos_py.model.resources import Resources
from tests.drivers.rig import ALL, PATIENCE_S, a_driver, a_task, ends_soon, living, text


def test_it_is_ready_then_offers_all_it_has(tmp_path: Path) -> None:
    with a_driver(tmp_path, attributes={"rack": "r1"}) as (driver, listener):
        assert isinstance(listener.events.get(timeout=PATIENCE_S), DriverReady)
        offer = listener.offer()
        assert (offer.resources, offer.total, offer.attributes) == (ALL, ALL, {"rack": "r1"})
        assert driver.status().live


def test_a_shell_command_runs_in_its_sandbox_and_its_end_is_told_until_acknowledged(tmp_path: Path) -> None:
    task = a_task("a b#.c", 'echo "$A"; pwd; echo oops >&2', environment=(("A", "x  y"),))
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        assert listener.running(task.id).host == "here"
        end = listener.end_of(task.id)
        assert (end.state, end.exit_code, bool(end.uuid)) == ("TASK_FINISHED", 0, True)
        lines = text(driver, task).splitlines()
        assert lines[0] == "x  y"
        assert lines[1].startswith(str(tmp_path / "runs"))
        assert text(driver, task, "stderr") == "oops\n"
    with a_driver(tmp_path) as (driver, listener):
        again = listener.end_of(task.id)
        assert (again.state, again.exit_code) == ("TASK_FINISHED", 0)
        driver.perform(Acknowledge(again))
        driver.perform(Reconcile(((task.id, ""),)))
        assert listener.end_of(task.id).state == "TASK_FINISHED"
    with a_driver(tmp_path) as (driver, listener):
        listener.offer()
        assert driver.status().detail["tasks"] == 0
        assert text(driver, task).startswith("x  y")


@pytest.mark.parametrize("argument", ["a b", "c'd\"e", "$HOME", "é\n\\", "/:*", ""])
def test_without_a_shell_each_argument_arrives_once_and_unchanged(tmp_path: Path, argument: str) -> None:
    task = a_task("exec", "printf", shell=False, arguments=("[%s]", argument))
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        assert listener.end_of(task.id).state == "TASK_FINISHED"
        assert text(driver, task) == f"[{argument}]"


@pytest.mark.parametrize(
    ("command", "code", "by", "sentence"),
    [
        ("exit 3", 3, None, "Command exited with status 3"),
        ("no-such-program", 127, None, "Command exited with status 127"),
        ("kill -9 $$", None, 9, "Command terminated with signal Killed"),
    ],
)
def test_how_a_task_failed_is_told(
    tmp_path: Path, command: str, code: int | None, by: int | None, sentence: str
) -> None:
    task = a_task("fails", command)
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        end = listener.end_of(task.id)
        assert (end.state, end.exit_code, end.signal, end.message) == ("TASK_FAILED", code, by, sentence)


def test_an_unknown_user_is_an_error_that_names_him(tmp_path: Path) -> None:
    task = a_task("nobody", "true", user="no-such-user")
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        end = listener.end_of(task.id)
        assert end.state == "TASK_ERROR"
        assert "no-such-user" in end.message


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_task_runs_as_its_user_who_may_write_to_its_output(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder != Path("/tmp") and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    task = a_task("user", "id -un; touch made; echo again > /dev/stderr", user="nobody")
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        assert listener.end_of(task.id).state == "TASK_FINISHED"
        assert text(driver, task) == "nobody\n"
        assert text(driver, task, "stderr") == "again\n"


def test_what_does_not_fit_is_never_started(tmp_path: Path) -> None:
    big, other = (a_task(name, "true", resources=Resources.of(3, 10, 10)) for name in ("big", "other"))
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(
            Launch((listener.offer(),), (a_task("hold", "sleep 60", resources=Resources.of(2, 10, 10)), big))
        )
        end = listener.end_of(big.id)
        assert (end.state, end.reason) == ("TASK_DROPPED", "INVALID_OFFERS")
        offer = listener.offer()
        assert offer.resources.cpus == 2000
        driver.perform(Kill("ct:1:0:hold:", "", 0))
        listener.end_of("ct:1:0:hold:")
        listener.wait(lambda e: isinstance(e, OfferRescinded) and e.offer_id == offer.id)
        driver.perform(Launch((listener.offer(),), (other,)))
        assert listener.end_of(other.id).state == "TASK_FINISHED"


def test_a_kill_takes_the_whole_session_after_its_grace(tmp_path: Path) -> None:
    task = a_task("stubborn", "trap '' TERM; sleep 600 & echo $! > child; echo ready; while :; do sleep 0.05; done")
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        listener.running(task.id)
        deadline = time.monotonic() + PATIENCE_S
        while "ready" not in text(driver, task):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        child = int(next(tmp_path.glob("runs/*/*/child")).read_text())
        driver.perform(Kill(task.id, "", 0.2))
        end = listener.end_of(task.id)
        assert (end.state, end.signal) == ("TASK_KILLED", 9)
        assert ends_soon(lambda: child in living())


def test_what_a_task_leaves_behind_in_its_group_is_ended(tmp_path: Path) -> None:
    task = a_task("leaves", "sleep 600 & echo $!")
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        assert listener.end_of(task.id).state == "TASK_FINISHED"
        child = int(text(driver, task))
        assert ends_soon(lambda: child in living())


def test_files_are_fetched_before_the_start(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "data").write_text("hello\n")
    (source / "script").write_text("#!/bin/sh\necho run $1\n")
    subprocess.run(["tar", "-czf", source / "packed.tar.gz", "-C", source, "data"], check=True)
    fetch = (
        Fetch(str(source / "script"), executable=True),
        Fetch(f"file://{source}/packed.tar.gz"),
        Fetch(str(source / "data"), output_file="sub/copy", cache=True),
    )
    task = a_task("fetch", "./script 1; cat data sub/copy", fetch=fetch)
    missing = a_task("missing", "true", fetch=(Fetch(str(source / "nothing")),))
    outside = a_task("outside", "true", fetch=(Fetch(str(source / "data"), output_file="../../x"),))
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task, missing, outside)))
        assert listener.end_of(task.id).state == "TASK_FINISHED"
        assert text(driver, task) == "run 1\nhello\nhello\n"
        for failed in (missing, outside):
            end = listener.end_of(failed.id)
            assert (end.state, end.reason) == ("TASK_FAILED", "FETCH_FAILED")
            assert str(source) in end.message


def test_a_long_output_is_rotated_and_offsets_go_on_counting(tmp_path: Path) -> None:
    task = a_task("long", "i=0; while [ $i -lt 4000 ]; do echo 0123456789; i=$((i+1)); done; sleep 60")
    with a_driver(tmp_path, output_max_bytes=10_000) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        listener.running(task.id)
        sandbox = next(tmp_path.glob("runs/*/*"))
        deadline = time.monotonic() + PATIENCE_S
        while not (sandbox / "stdout.1").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        driver.perform(Kill(task.id, "", 0))
        listener.end_of(task.id)
        chunk = driver.output(task.id, "stdout", -5, 100)
        assert chunk.size > 10_000
        assert chunk.ended
        assert driver.output(task.id, "stdout", 0, 100).offset == chunk.size - (
            (sandbox / "stdout").stat().st_size + (sandbox / "stdout.1").stat().st_size
        )
        with pytest.raises(UnknownTask):
            driver.output("ct:9:9:none:", "stdout", 0, 1)


def test_a_task_that_was_never_launched_never_will_be(tmp_path: Path) -> None:
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Reconcile((("ct:5:0:ghost:", ""),)))
        assert listener.end_of("ct:5:0:ghost:").state == "TASK_DROPPED"


def test_of_another_machines_task_nothing_is_known(tmp_path: Path) -> None:
    """Another node of the group may have it running: it must not be said that it never started."""
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Reconcile((("ct:5:0:theirs:", "local-0123456789ab"),)))
        driver.perform(Kill("ct:6:0:theirs:", "local-0123456789ab", 0))
        for task_id in ("ct:5:0:theirs:", "ct:6:0:theirs:"):
            update = listener.news(task_id)
            assert (update.state, update.agent_id, update.host) == ("TASK_UNKNOWN", "local-0123456789ab", "")
        assert not list((tmp_path / "runs").iterdir())


HOST = """
    import sys, time
    from pathlib import Path
    from chronos_py.drivers.local import LocalDriver
    from chronos_py.model.messages import Launch, OffersReceived
    from chronos_py.model.resources import Resources
    from chronos_py.model.run import Task

    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    def post(event):
        if isinstance(event, OffersReceived) and not launched:
            launched.append(True)
            tasks = tuple(Task(id=f"ct:{n}:0:j{n}:", run=n, job=f"j{n}", resources=Resources.of(0.01, 1, 1),
                               command=f"echo x >> {folder}/out-{n}; sleep 0.5; echo y >> {folder}/out-{n}")
                          for n in range(count))
            driver.perform(Launch(tuple(event.offers), tasks))
            print("launched", flush=True)
    launched = []
    driver = LocalDriver(folder / "data", Resources.of(4, 4096, 4096), host="here", limits="none")
    driver.start(post, "")
    time.sleep(60)
"""


@pytest.mark.parametrize("moment", [0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7])
def test_each_task_runs_once_or_never_when_the_server_is_killed(tmp_path: Path, moment: float) -> None:
    count = 60
    script = tmp_path / "host.py"
    script.write_text(textwrap.dedent(HOST))
    root = Path(__file__).parents[2]
    host = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path), str(count)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(root), *sys.path))},
    )
    assert host.stdout is not None
    try:
        while host.stdout.readline() != b"launched\n":
            assert host.poll() is None
        time.sleep(moment)  # the moment of death is what is tested
    finally:
        host.send_signal(signal.SIGKILL)
        host.wait()
        host.stdout.close()
    ids = [f"ct:{number}:0:j{number}:" for number in range(count)]
    with a_driver(tmp_path / "data") as (driver, listener):
        driver.perform(Reconcile(tuple((task_id, "") for task_id in ids)))
        ends = {task_id: listener.end_of(task_id).state for task_id in ids}
    for number, task_id in enumerate(ids):
        file = tmp_path / f"out-{number}"
        if ends[task_id] == "TASK_FINISHED":
            assert file.read_text() == "x\ny\n", task_id
        else:
            assert ends[task_id] == "TASK_DROPPED"
            assert not file.exists(), task_id


def test_a_killed_supervisor_is_a_lost_task_and_nothing_of_it_lives_on(tmp_path: Path) -> None:
    task = a_task("orphan", "echo $PPID; sleep 600")
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        listener.running(task.id)
        deadline = time.monotonic() + PATIENCE_S
        while not text(driver, task).endswith("\n"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        shim = int(text(driver, task))
        os.kill(shim, signal.SIGKILL)
        end = listener.end_of(task.id)
        assert (end.state, end.reason) == ("TASK_LOST", "EXECUTOR_TERMINATED")
    assert ends_soon(lambda: bool(sessions([shim])[shim]))
