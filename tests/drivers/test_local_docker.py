"""Tasks in containers, with a real Docker engine."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from chronos_py.drivers.local.processes import all_shims, sessions
from chronos_py.model.job import Container, Pair, Volume
from chronos_py.model.messages import Acknowledge, Kill, Launch
from chronos_py.model.resources import Resources
from chronos_py.model.run import Task
from compat_tests.servers.docker_engine import IMAGE, DockerEngine, missing
from tests.drivers.rig import a_driver, ends_soon, text

pytestmark = pytest.mark.external


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerEngine]:
    reason = missing()
    if reason:
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    before = os.environ.get("DOCKER_HOST")
    with DockerEngine() as engine:
        os.environ["DOCKER_HOST"] = engine.host
        yield engine
    if before is None:
        del os.environ["DOCKER_HOST"]
    else:
        os.environ["DOCKER_HOST"] = before


def a_task(name: str, command: str, container: Container, **changes: object) -> Task:
    return Task(
        id=f"ct:1:0:{name}:", run=1, job=name, command=command, resources=Resources.of(0.1, 64, 10),
        container=container, **changes,  # type: ignore[arg-type]
    )  # fmt: skip


def run_to_end(folder: Path, task: Task) -> tuple[str, str, str]:
    """Run a task; return its last state, its stdout and its stderr."""
    with a_driver(folder) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        end = listener.end_of(task.id)
        driver.perform(Acknowledge(end))
        return end.state, text(driver, task), text(driver, task, "stderr")


def test_command_environment_volumes_and_sandbox(engine: DockerEngine, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("from the host\n")
    container = Container(IMAGE, volumes=(Volume("/inside", str(outside), "RO"), Volume("/mine", "mine", "RW")))
    command = "echo $A; cat /inside/file; pwd; echo kept > /mine/made; touch here; touch /inside/no || echo read-only"
    task = a_task("shell", command, container, environment=(("A", "x  y"),))
    state, stdout, _ = run_to_end(tmp_path, task)
    assert state == "TASK_FINISHED"
    assert stdout == "x y\nfrom the host\n/mnt/mesos/sandbox\nread-only\n"
    sandbox = next(tmp_path.glob("runs/*/*"))
    assert (sandbox / "mine/made").read_text() == "kept\n"
    assert (sandbox / "here").exists()


def test_without_a_shell_the_program_is_the_entrypoint(engine: DockerEngine, tmp_path: Path) -> None:
    task = a_task("exec", "/bin/echo", Container(IMAGE), shell=False, arguments=("a b", "$HOME"))
    assert run_to_end(tmp_path, task)[:2] == ("TASK_FINISHED", "a b $HOME\n")


def test_parameters_and_failures_are_passed_on(engine: DockerEngine, tmp_path: Path) -> None:
    container = Container(IMAGE, parameters=(Pair("env", "B=from a parameter"), Pair("user", "1234")))
    state, stdout, stderr = run_to_end(tmp_path, a_task("fails", "echo $B; id; exit 3", container))
    assert state == "TASK_FAILED"
    assert stdout.startswith("from a parameter\nuid=1234"), stderr


def test_an_image_that_is_not_there_is_a_failure_with_a_reason(engine: DockerEngine, tmp_path: Path) -> None:
    state, _, stderr = run_to_end(tmp_path, a_task("no-image", "true", Container("localhost/none:1", network="HOST")))
    assert state == "TASK_FAILED"
    assert "localhost/none" in stderr


def test_a_kill_ends_the_container(engine: DockerEngine, tmp_path: Path) -> None:
    task = a_task("long", "echo ready; sleep 600", Container(IMAGE))
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        listener.running(task.id)
        assert ends_soon(lambda: "ready" not in text(driver, task))
        driver.perform(Kill(task.id, "", 1))
        assert listener.end_of(task.id).state == "TASK_KILLED"
    assert ends_soon(lambda: bool(engine.run("ps", "--all", "--quiet").stdout.strip()))


def test_a_container_is_found_again_after_a_restart(engine: DockerEngine, tmp_path: Path) -> None:
    task = a_task("survives", "echo ready; while ! ls go; do sleep 0.1; done; echo done", Container(IMAGE))
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        listener.running(task.id)
        assert ends_soon(lambda: "ready" not in text(driver, task))
    with a_driver(tmp_path) as (driver, listener):
        (next(tmp_path.glob("runs/*/*")) / "go").touch()
        assert listener.end_of(task.id).state == "TASK_FINISHED"
        assert text(driver, task).endswith("done\n")


def test_a_container_has_gone_when_its_end_is_told(engine: DockerEngine, tmp_path: Path) -> None:
    task = a_task("orphan", "echo ready; sleep 600", Container(IMAGE))
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        listener.running(task.id)
        assert ends_soon(lambda: "ready" not in text(driver, task))
        shim = next(pid for path, pid in all_shims().items() if path.startswith(str(tmp_path)))
        for pid in sessions([shim])[shim]:
            os.kill(pid, signal.SIGKILL)
        assert listener.end_of(task.id).state == "TASK_LOST"
        assert engine.run("ps", "--all", "--quiet").stdout.strip() == ""


def test_a_container_s_variables_show_in_no_list_of_processes(engine: DockerEngine, tmp_path: Path) -> None:
    command = "echo $SECRET $PATH_LIKE; echo $DOCKER_HOST; echo $MESOS_SANDBOX; sleep 600"
    variables = (("SECRET", "hidden"), ("PATH_LIKE", "a b"), ("DOCKER_HOST", "the job's own"))
    task = a_task("secret", command, Container(IMAGE), environment=variables)
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        listener.running(task.id)
        assert ends_soon(lambda: "/mnt" not in text(driver, task))
        assert text(driver, task) == "hidden a b\nthe job's own\n/mnt/mesos/sandbox\n"
        shim = next(pid for path, pid in all_shims().items() if path.startswith(str(tmp_path)))
        for pid in sessions([shim])[shim]:
            assert b"hidden" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        driver.perform(Kill(task.id, "", 0))
        assert listener.end_of(task.id).state == "TASK_KILLED"
        assert engine.run("ps", "--all", "--quiet").stdout.strip() == ""
