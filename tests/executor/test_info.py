"""What Mesos is told, and the file that agents fetch."""

from __future__ import annotations

import ast
import io
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import chronos_py
from chronos_py.executor import archive
from chronos_py.executor.info import NAME, Setup, executor_info, output_folder, task_data, uses_own_executor
from chronos_py.executor.runtime.order import Order, decode
from chronos_py.executor.runtime.surroundings import Options
from chronos_py.model.job import Container, Fetch
from chronos_py.model.resources import Resources
from chronos_py.model.run import Task

RUNTIME = Path(chronos_py.__file__).parent / "executor" / "runtime"


def a_task(**more) -> Task:
    return Task(
        **{"id": "ct:1:0:job:", "run": 1, "job": "job", "command": "true", "resources": Resources.of(1, 32), **more}
    )


@pytest.mark.parametrize(
    ("more", "asked", "by_default"),
    [
        ({}, False, True),
        ({"executor": NAME}, True, True),
        ({"executor": "/opt/another"}, False, False),
        ({"executor": NAME, "container": Container("image")}, False, False),
        ({"executor": NAME, "fetch": (Fetch("http://x/y"),)}, False, False),
        ({"executor": NAME, "command": ""}, False, False),
        ({"executor": NAME, "resources": Resources.of(1, 32, gpus=1)}, False, False),
    ],
)
def test_which_tasks_run_in_it(more, asked, by_default):
    assert uses_own_executor(a_task(**more)) is asked
    assert uses_own_executor(a_task(**more), by_default=True) is by_default


def test_what_a_task_is_told_to_run():
    assert decode(task_data(a_task(command="a | b", environment=(("A", "b"),)))) == Order(
        ("/bin/sh", "-c", "a | b"), (("A", "b"),)
    )
    assert decode(task_data(a_task(shell=False, command="/bin/x", arguments=("y z", "")))).program == (
        "/bin/x",
        "y z",
        "",
    )
    assert output_folder("ct:1:0:job:") == "tasks/ct:1:0:job:"


def test_an_executor_that_is_fetched():
    uri = "http://host:4400/executor/x.pyz"
    setup = Setup(uri=uri, options=Options(idle_exit=60), resources=Resources.of(cpus=0.1, mem=64))
    info = executor_info("f", "batch", setup)
    command = info["command"]
    assert command["uris"] == [{"value": setup.uri, "executable": False, "extract": False, "cache": True}]
    assert command["value"].startswith("exec python3 ./x.pyz --idle_exit=60 ") and command["user"] == "batch"
    assert info["framework_id"] == {"value": "f"} and info["type"] == "CUSTOM"
    assert {r["name"]: r["scalar"]["value"] for r in info["resources"]} == {"cpus": 0.1, "mem": 64.0}


def test_an_executor_that_is_installed_and_runs_as_the_framework_does():
    info = executor_info("f", "", Setup(command="/opt/chronos/bin/chronos-py executor"))
    assert info["command"]["value"].startswith("exec /opt/chronos/bin/chronos-py executor --idle_exit=")
    assert "uris" not in info["command"] and "user" not in info["command"]


def test_ids_are_stable_and_differ_with_whatever_differs():
    setups = [
        Setup(),
        Setup(uri="http://a/x"),
        Setup(options=Options(keep_tasks=1)),
        Setup(resources=Resources.of(1, 1)),
    ]
    infos = [executor_info("f", user, setup) for setup in setups for user in ("root", "batch", "", "o/d d")]
    ids = [info["executor_id"]["value"] for info in infos]
    assert len(set(ids)) == len(ids)
    assert not any(set(name) & set("/ \\") for name in ids)
    assert infos == [executor_info("f", user, setup) for setup in setups for user in ("root", "batch", "", "o/d d")]


def test_the_archive_is_the_same_each_time_and_named_by_its_content(tmp_path):
    one, two = archive.build(), archive.build()
    assert one == two
    assert one.write(tmp_path / "new") == tmp_path / "new" / one.name
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / one.name]
    assert (tmp_path / "new" / one.name).read_bytes() == one.content
    with zipfile.ZipFile(io.BytesIO(one.content)) as opened:
        assert "chronos_py/executor/runtime/executor.py" in opened.namelist()


def test_the_archive_runs_by_itself(agent, start, tmp_path):
    file = archive.build().write(tmp_path)
    executing = start(words=(sys.executable, "-I", "-S", str(file)), environment={"PYTHONPATH": ""})
    agent.shell("task", "true")
    agent.wait_state("task", "TASK_FINISHED")
    assert "subscribed" in executing.log


@pytest.mark.parametrize("minor", [9, 10, 12, 13, 14])
def test_the_archive_runs_with_other_pythons(agent, start, tmp_path, minor):
    python = shutil.which(f"python3.{minor}")
    if python is None or subprocess.run([python, "-c", ""], check=False, capture_output=True).returncode:
        pytest.skip(f"no Python 3.{minor} here")
    start(
        words=(python, "-I", "-S", "-W", "error", str(archive.build().write(tmp_path))), environment={"PYTHONPATH": ""}
    )
    agent.shell("task", "exec sleep 1000", max_completion_time={"nanoseconds": 1})
    assert agent.wait_state("task", "TASK_FAILED")["reason"] == "REASON_MAX_COMPLETION_TIME_REACHED"
    agent.launch("missing", ["no-such-program"])
    agent.wait_state("missing", "TASK_FAILED")


def test_it_is_a_command_of_ours(agent, start):
    start(words=(sys.executable, "-m", "chronos_py", "executor", "--idle_exit=60"))
    agent.shell("task", "true")
    agent.wait_state("task", "TASK_FINISHED")


SHIPPED = [*sorted(RUNTIME.glob("*.py")), RUNTIME.parent / "__init__.py", RUNTIME.parents[1] / "__init__.py"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_is_shipped_needs_an_old_python_and_nothing_else(path):
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    for name in names:
        assert name.split(".")[0] in sys.stdlib_module_names or name.startswith("chronos_py.executor.runtime"), name
