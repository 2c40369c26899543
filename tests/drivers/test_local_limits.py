"""The local driver: limits that hold, and that nothing of a task is left anywhere."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from chronos_py.drivers.local.limits import ROOT, ControlGroups, NoLimits, ResourceLimits, choose_limits
from chronos_py.model.job import Fetch
from chronos_py.model.messages import Acknowledge, Kill, Launch
from chronos_py.model.resources import Resources
from tests.drivers.rig import a_driver, a_task, ends_soon, living, text
from tests.waiting import until

HUNGRY = f"""{sys.executable} -c "x = bytearray(200 * 1024 * 1024); print('fed')" """

LEAVES_A_GROUP = """
import os, time
if os.fork() == 0:
    os.setpgid(0, 0)
    print(os.getpid(), flush=True)
    time.sleep(600)
time.sleep(0.5)
"""


def cgroups() -> bool:
    limits = choose_limits("cgroup", "chronos-test-probe")
    limits.close(set())
    return isinstance(limits, ControlGroups)


needs_cgroups = pytest.mark.skipif(not cgroups(), reason="cgroups cannot be used here")


@pytest.mark.parametrize(
    "mode", [pytest.param("cgroup", marks=needs_cgroups), "rlimit", pytest.param("auto", marks=needs_cgroups)]
)
def test_memory_is_limited(tmp_path: Path, mode: str) -> None:
    small = a_task("small", HUNGRY, resources=Resources.of(0.1, 64, 10))
    large = a_task("large", HUNGRY, resources=Resources.of(0.1, 400, 10))
    with a_driver(tmp_path, limits=mode) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (small, large)))
        end = listener.end_of(small.id)
        assert end.state == "TASK_FAILED"
        if mode != "rlimit":
            assert end.reason == "MEMORY_LIMIT"
            assert "64 MiB" in end.message
        assert listener.end_of(large.id).state == "TASK_FINISHED"
        assert text(driver, large) == "fed\n"


@needs_cgroups
def test_that_memory_was_short_is_found_out_after_a_restart(tmp_path: Path) -> None:
    task = a_task("later", f"while ! [ -e go ]; do sleep 0.02; done; {HUNGRY}", resources=Resources.of(0.1, 64, 10))
    with a_driver(tmp_path, limits="cgroup") as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        listener.running(task.id)
    sandbox = next(tmp_path.glob("runs/*/*"))
    (sandbox / "go").touch()
    assert ends_soon(lambda: b"exit" not in next(tmp_path.glob("live/*")).read_bytes())
    with a_driver(tmp_path, limits="cgroup") as (driver, listener):
        assert listener.end_of(task.id).reason == "MEMORY_LIMIT"


def test_without_limits_there_are_none(tmp_path: Path) -> None:
    task = a_task("free", HUNGRY, resources=Resources.of(0.1, 16, 10))
    with a_driver(tmp_path, limits="none") as (driver, listener):
        assert driver.status().detail["limits"] == "none"
        driver.perform(Launch((listener.offer(),), (task,)))
        assert listener.end_of(task.id).state == "TASK_FINISHED"


@needs_cgroups
def test_a_cgroup_holds_all_of_a_task_and_goes_with_it(tmp_path: Path) -> None:
    task = a_task("escapes", "setsid sleep 600 & echo $!; cat /proc/self/cgroup")
    with a_driver(tmp_path, limits="cgroup") as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        assert listener.end_of(task.id).state == "TASK_FINISHED"
        pid, *groups = text(driver, task).splitlines()
        own = {line.rpartition("/")[2] for line in groups if "/chronos-" in line}
        assert len(own) == 1
        assert ends_soon(lambda: int(pid) in living())
        assert ends_soon(lambda: bool(list(ROOT.glob(f"**/{next(iter(own))}"))))


def test_the_best_that_a_mode_allows_is_chosen(tmp_path: Path) -> None:
    assert type(choose_limits("none", "x")) is NoLimits
    assert type(choose_limits("rlimit", "x")) is ResourceLimits
    with pytest.raises(OSError):
        ControlGroups("x", tmp_path)


def test_a_second_version_s_cgroup_is_set_up(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "own"):
        folder.mkdir(exist_ok=True)
        (folder / "cgroup.controllers").write_text("cpu memory")
        (folder / "cgroup.subtree_control").write_text("")
    probe = tmp_path / "own/probe"
    for group in (probe, tmp_path / "own/key"):
        group.mkdir()
        (group / "memory.max").touch()
        (group / "cpu.weight").touch()
    limits = ControlGroups("own", tmp_path)
    shutil.rmtree(probe)
    joined = limits.prepare("key", Resources.of(0.5, 100, 0))
    assert joined == (f"{tmp_path}/own/key/cgroup.procs", "", "")
    assert (tmp_path / "own/key/memory.max").read_text() == str(100 * 1024 * 1024)
    assert (tmp_path / "own/key/cpu.weight").read_text() == "50"
    assert (tmp_path / "own/cgroup.subtree_control").read_text() == "+memory +cpu"
    (tmp_path / "own/key/memory.events").write_text("oom 1\noom_kill 1\n")
    assert limits.out_of_memory("key")


def test_what_a_task_leaves_in_a_group_of_its_own_is_ended(tmp_path: Path) -> None:
    task = a_task("leaves", f'exec {sys.executable} -c "$CODE"', environment=(("CODE", LEAVES_A_GROUP),))
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        assert listener.end_of(task.id).state == "TASK_FINISHED"
        child = int(text(driver, task))
        assert ends_soon(lambda: child in living())


def test_a_child_that_ends_while_the_driver_stands_still_is_reaped(tmp_path: Path) -> None:
    task = a_task("between", "echo $PPID; while ! [ -e go ]; do sleep 0.02; done")
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        listener.running(task.id)
        assert ends_soon(lambda: not text(driver, task).endswith("\n"))
        shim = int(text(driver, task))
    Path(next(tmp_path.glob("runs/*/*")), "go").touch()
    assert ends_soon(lambda: shim in living())
    assert os.path.exists(f"/proc/{shim}")
    with a_driver(tmp_path) as (driver, listener):
        assert listener.end_of(task.id).state == "TASK_FINISHED"
        assert not os.path.exists(f"/proc/{shim}")


def test_a_task_that_a_stranger_killed_has_failed(tmp_path: Path) -> None:
    task = a_task("victim", "echo $$; exec sleep 600")
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (task,)))
        listener.running(task.id)
        assert ends_soon(lambda: not text(driver, task).endswith("\n"))
        os.kill(int(text(driver, task)), signal.SIGSEGV)
        end = listener.end_of(task.id)
        assert (end.state, end.signal) == ("TASK_FAILED", signal.SIGSEGV)
        assert end.message == "Command terminated with signal Segmentation fault"


def test_many_are_stopped_with_a_few_looks_at_the_processes(tmp_path: Path) -> None:
    command = "touch begun; exec sleep 600"
    tasks = tuple(a_task(f"many{n}", command, resources=Resources.of(0.01, 1, 1)) for n in range(100))
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Launch((listener.offer(),), tasks))
        for task in tasks:
            listener.running(task.id)
        until(lambda: len(list(tmp_path.rglob("begun"))) == len(tasks))  # what has not is stopped without a signal
        for task in tasks:
            driver.perform(Kill(task.id, "", 20))
        for task in tasks:
            end = listener.end_of(task.id)
            assert (end.state, end.signal) == ("TASK_KILLED", signal.SIGTERM)
            driver.perform(Acknowledge(end))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_user_s_task_fetches_what_its_user_may_read(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    for name, mode in (("open", 0o644), ("closed", 0o600)):
        (tmp_path / name).write_text(name)
        (tmp_path / name).chmod(mode)
    good, bad = (
        a_task(name, f"cat {name}; stat -c '%U %a' . {name}", user="nobody", fetch=(Fetch(str(tmp_path / name)),))
        for name in ("open", "closed")
    )
    with a_driver(tmp_path) as (driver, listener):
        driver.perform(Launch((listener.offer(),), (good, bad)))
        assert listener.end_of(good.id).state == "TASK_FINISHED"
        assert text(driver, good) == "opennobody 750\nnobody 644\n"
        end = listener.end_of(bad.id)
        assert (end.state, end.reason) == ("TASK_FAILED", "FETCH_FAILED")
        assert "permission denied" in end.message
