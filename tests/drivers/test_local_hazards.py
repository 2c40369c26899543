"""The local driver where time or a task's files could work against it: late threads, odd archives, links, restarts."""

from __future__ import annotations

import io
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from chronos_py.drivers.local import LocalDriver
from chronos_py.drivers.local.launch import Launcher
from chronos_py.drivers.local.limits import NoLimits
from chronos_py.drivers.local.processes import Watch
from chronos_py.drivers.local.sandbox import Sandbox
from chronos_py.model.job import Fetch
from chronos_py.model.messages import Acknowledge, Launch, Reconcile
from chronos_py.model.resources import Resources
from tests.drivers.rig import ALL, PATIENCE_S, Listener, a_driver, a_task, ends_soon


class Held(BaseHTTPRequestHandler):
    """Answers with an empty file, when the test says so."""

    asked: threading.Event
    go: threading.Event

    def do_GET(self) -> None:
        self.asked.set()
        self.go.wait(PATIENCE_S)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def held() -> Iterator[tuple[str, type[Held]]]:
    class Fresh(Held):
        asked, go = threading.Event(), threading.Event()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Fresh)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/file", Fresh
    Fresh.go.set()
    server.shutdown()
    server.server_close()


def test_a_fetch_that_outlasts_a_restart_of_the_driver_starts_nothing(
    tmp_path: Path, held: tuple[str, type[Held]]
) -> None:
    uri, handler = held
    task, listener = a_task("late", "echo ran > proof", fetch=(Fetch(uri),)), Listener()
    driver = LocalDriver(tmp_path, ALL, host="here", limits="none")
    driver.start(listener.events.put, "")
    driver.perform(Launch((listener.offer(),), (task,)))
    assert handler.asked.wait(PATIENCE_S)
    fetchers = [thread for thread in threading.enumerate() if thread.name.startswith("fetch-")]
    driver.stop()
    driver.start(listener.events.put, "")
    try:
        end = listener.end_of(task.id)
        assert end.state == "TASK_DROPPED"
        driver.perform(Acknowledge(end))
        claim = Path(Sandbox.of(str(tmp_path), task.id).path, "stdout")
        claim.write_text("given up")
        handler.go.set()
        for thread in fetchers:
            thread.join(PATIENCE_S)
        later = a_task("later", "true")  # whatever the fetch left for the driver's thread is done before this
        driver.perform(Reconcile(((later.id, ""),)))
        listener.end_of(later.id)
        assert claim.read_text() == "given up"
        assert not list(tmp_path.glob("runs/*/*/proof"))
    finally:
        driver.stop()


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_an_archive_s_folder_in_place_of_an_output_is_a_failure_with_a_reason(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "files.tar"
    with tarfile.open(archive, "w") as tar:
        inside = tarfile.TarInfo(f"{name}/file")
        inside.size = 1
        tar.addfile(inside, io.BytesIO(b"x"))
    task = a_task("folder", "true", fetch=(Fetch(str(archive)),))
    with a_driver(tmp_path / "data") as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        end = listener.end_of(task.id)
        assert (end.state, end.reason) == ("TASK_FAILED", "FETCH_FAILED")
        assert repr(name) in end.message


def test_an_archive_s_files_and_links_in_place_of_outputs_are_removed(tmp_path: Path) -> None:
    archive = tmp_path / "files.tar"
    with tarfile.open(archive, "w") as tar:
        for name in ("kept", "stdout"):
            inside = tarfile.TarInfo(name)
            inside.size = 4
            tar.addfile(inside, io.BytesIO(b"mine"))
        link = tarfile.TarInfo("stderr")
        link.type, link.linkname = tarfile.SYMTYPE, "kept"
        tar.addfile(link)
    task = a_task("files", "echo theirs >&2; cat kept", fetch=(Fetch(str(archive)),))
    with a_driver(tmp_path / "data") as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        assert listener.end_of(task.id).state == "TASK_FINISHED"
        assert driver.output(task.id, "stdout", 0, 100).data == b"mine"
        assert driver.output(task.id, "stderr", 0, 100).data == b"theirs\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_sandbox_is_not_its_user_s_before_root_has_opened_the_outputs(tmp_path: Path) -> None:
    task = a_task("user", "true", user="nobody")
    sandbox = Sandbox.of(str(tmp_path), task.id)
    assert sandbox.reserve()
    brought = Path(sandbox.path, "brought")
    brought.write_text("x")
    launcher = Launcher(NoLimits(), "root")
    try:
        who = launcher.account(task)
        launcher.give(who, sandbox)
    finally:
        launcher.close()
    assert who.ids is not None
    state = os.stat(sandbox.path)
    assert (state.st_uid, state.st_mode & 0o777) == (0, 0o750)
    assert brought.stat().st_uid == who.ids[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_user_s_path_does_not_choose_what_root_runs_for_it(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    for name in ("chown", "setpriv", "env", "sh"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\necho {name} >> {tmp_path}/taken\n")
        program.chmod(0o755)
    environment = (("PATH", f"{tmp_path}/bin:/usr/bin:/bin"), ("with.dot", "1"))
    task = a_task("path", "/usr/bin/stat -c %U .", user="nobody", environment=environment)
    with a_driver(tmp_path / "data") as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        assert listener.end_of(task.id).state == "TASK_FINISHED"
        assert driver.output(task.id, "stdout", 0, 100).data == b"nobody\n"
    assert not (tmp_path / "taken").exists()


def test_a_bell_that_is_rung_after_its_end_writes_into_no_other_file(tmp_path: Path) -> None:
    watch = Watch()
    watch.close()
    with ExitStack() as stack:  # one of these gets the bell's number
        files = [stack.enter_context((tmp_path / str(number)).open("wb")) for number in range(20)]
        watch.ring()
        assert [os.fstat(file.fileno()).st_size for file in files] == [0] * 20


def test_after_a_restart_of_the_machine_an_answer_does_not_change_when_it_is_asked_for_again(tmp_path: Path) -> None:
    with a_driver(tmp_path):
        pass
    (tmp_path / "boot_id").write_text("another")
    with a_driver(tmp_path) as (driver, listener):
        for _ in range(2):
            driver.perform(Reconcile((("ct:1:0:gone:", ""),)))
            assert listener.end_of("ct:1:0:gone:").state == "TASK_LOST"


def test_a_driver_that_is_stopped_while_it_launches_leaves_none_half_started(tmp_path: Path) -> None:
    tasks = tuple(a_task(f"n{number}", "echo ran >> proof", resources=Resources()) for number in range(200))
    listener = Listener()
    driver = LocalDriver(tmp_path, ALL, host="here", limits="none")
    driver.start(listener.events.put, "")
    driver.perform(Launch((listener.offer(),), tasks))
    listener.running(tasks[0].id)
    driver.stop()
    listener = Listener()
    driver.start(listener.events.put, "")
    try:
        driver.perform(Reconcile(tuple((task.id, "") for task in tasks)))
        ends = {task.id: listener.end_of(task.id).state for task in tasks}
        assert set(ends.values()) <= {"TASK_FINISHED", "TASK_DROPPED"}
        assert ends_soon(lambda: driver.status().detail["used"] != "cpus:0;mem:0;disk:0")
        for task in tasks:
            proof = Path(Sandbox.of(str(tmp_path), task.id).path, "proof")
            assert proof.exists() == (ends[task.id] == "TASK_FINISHED")
    finally:
        driver.stop()
