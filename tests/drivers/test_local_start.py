"""The local driver: how a task's process begins, what it inherits, and what keeps it from beginning."""

from __future__ import annotations

import os
import resource
import socket
from pathlib import Path

import pytest

from chronos_py.drivers.local.shim import split_environment
from chronos_py.model.job import Container
from chronos_py.model.messages import Acknowledge, Launch
from chronos_py.model.run import Task
from tests.drivers.rig import a_driver, a_task, text


def outcome(folder: Path, task: Task) -> tuple[str, str, str]:
    """Run a task; return its last state, the sentence with it, and its stdout."""
    with a_driver(folder) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        end = listener.end_of(task.id)
        driver.perform(Acknowledge(end))
        stdout = text(driver, task) if end.state in ("TASK_FINISHED", "TASK_FAILED") else ""
        return end.state, end.message, stdout


@pytest.mark.parametrize("builtin", ["exit", "trap", "exec", "cd"])
def test_a_program_is_never_taken_for_a_builtin_of_the_shell(tmp_path: Path, builtin: str) -> None:
    state, message, _ = outcome(tmp_path, a_task("builtin", builtin, shell=False, arguments=("0",)))
    assert state == "TASK_FAILED"
    assert message in ("Command exited with status 127", "Command exited with status 126")  # not found, or not ours


ODD = {
    "with.dot": "1", "OPTIND": "no number", "IFS": ":", "_chronos_record": "/dev/null", "PS4": "$(id)",
    "stat": "x", "two": "a\nb", "empty": "", "ENV": "/nowhere", "LD_X": "y",
}  # fmt: skip


def test_variables_arrive_as_they_are(tmp_path: Path) -> None:
    task = a_task("env", "env", shell=False, arguments=("-0",), environment=tuple(ODD.items()))
    state, _, stdout = outcome(tmp_path, task)
    got = dict(line.split("=", 1) for line in stdout.split("\0") if line)
    assert state == "TASK_FINISHED"
    assert {name: got.get(name) for name in ODD} == ODD
    assert got["MESOS_SANDBOX"] == got["SANDBOX"] == got["PWD"]
    assert set(got) - set(ODD) <= {
        "PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "MESOS_SANDBOX", "SANDBOX", "PWD",
    }  # fmt: skip


def test_a_shim_gets_nothing_that_could_make_it_load_other_code() -> None:
    direct, behind = split_environment({"LD_PRELOAD": "x.so", "GCONV_PATH": "y", "BASH_ENV": "z", "A": "1"})
    assert direct == {"A": "1"}
    assert behind == ["LD_PRELOAD=x.so", "GCONV_PATH=y", "BASH_ENV=z"]


def test_a_task_inherits_no_descriptor_and_the_usual_limit_of_them(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.set_inheritable(True)  # as an HTTP server's socket is that hands it to its successor
        state, _, stdout = outcome(tmp_path, a_task("fds", "ls /proc/self/fd; ulimit -S -n; ulimit -H -n"))
    *descriptors, soft, hard = stdout.split()
    assert state == "TASK_FINISHED"
    assert descriptors == ["0", "1", "2", "3"]  # 3: the folder that ls reads
    assert int(soft) == min(1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    assert int(hard) >= int(soft)


def test_signals_are_as_a_program_expects_them(tmp_path: Path) -> None:
    state, _, stdout = outcome(tmp_path, a_task("signals", "grep -E 'SigIgn|SigBlk' /proc/self/status"))
    ignored = [int(line.split()[1], 16) for line in stdout.splitlines()]
    assert state == "TASK_FINISHED"
    usual = 0
    for number in (1, 2, 3, 13, 15, 17):
        usual |= 1 << (number - 1)
    assert [mask & usual for mask in ignored] == [0, 0]


@pytest.mark.parametrize("command", ["a\0b", "x" * 3_000_000])
def test_what_no_process_can_be_given_is_an_error(tmp_path: Path, command: str) -> None:
    assert outcome(tmp_path, a_task("bad", command))[0] == "TASK_ERROR"


def test_what_this_driver_cannot_do_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    state, message, _ = outcome(tmp_path, a_task("docker", "true", container=Container("image")))
    assert (state, "docker" in message) == ("TASK_ERROR", True)
    state, message, _ = outcome(tmp_path, a_task("executor", "true", executor="own"))
    assert (state, "executor" in message) == ("TASK_ERROR", True)
    assert outcome(tmp_path, a_task("nothing", ""))[0] == "TASK_ERROR"


def test_no_sandbox_means_no_start(tmp_path: Path) -> None:
    with a_driver(tmp_path) as (driver, listener):
        offer = listener.offer()
        (tmp_path / "runs").rmdir()
        (tmp_path / "runs").write_text("in the way, as a full disk would be")
        task = a_task("unmade", "true")
        driver.perform(Launch((offer,), (task,)))
        end = listener.end_of(task.id)
        assert (end.state, end.reason) == ("TASK_DROPPED", "SANDBOX_FAILED")
        assert listener.offer().resources == offer.resources


def test_without_descriptors_left_tasks_are_watched_all_the_same(tmp_path: Path) -> None:
    with a_driver(tmp_path) as (driver, listener):
        offer = listener.offer()
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        tasks = tuple(a_task(f"many{number}", "sleep 0.3; exit 4") for number in range(6))
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 4, before[1]))
            driver.perform(Launch((offer,), tasks))
            ends = {listener.end_of(task.id).state for task in tasks}
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert ends <= {"TASK_FAILED", "TASK_DROPPED"}
        assert "TASK_FAILED" in ends
