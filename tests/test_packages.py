"""What is built to be carried elsewhere: it installs alone, works there, and is the same each time."""

from __future__ import annotations

import configparser
import hashlib
import os
import re
import subprocess
import sys
import tarfile
import time
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from chronos_py.cli import main
from scripts import dist

ROOT = Path(__file__).parents[1]
PATIENCE_S = 60
SOON = {"name": "soon", "command": "echo it works", "schedule": "R1//PT1M", "owner": "me@example.org"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return what `make dist` makes, by the first word of its name and its ending."""
    made = dist.build(tmp_path_factory.mktemp("dist"))
    return {f"{file.name.split('-')[0]}{file.suffix}": file for file in made}


def metadata(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return archive.read(name).decode()


@pytest.fixture(scope="module")
def installed(built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment outside the repository into which only our wheel was put, with what pip found for it."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, str(built["chronos_py.whl"])], check=True, cwd=folder, timeout=600)
    return python.parent


def eventually(read: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (seen := read()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return seen


@pytest.mark.timeout(600)
def test_the_wheel_alone_serves_and_runs_a_job(installed: Path, tmp_path: Path):
    data = tmp_path / "data"
    command = [str(installed / "chronos-py"), "serve", "--http_address", "127.0.0.1", "--http_port", "0"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([*command, "--data_dir", str(data)], cwd=tmp_path, stderr=log, env=environment)
    try:
        port = eventually(lambda: (data / "http_port").exists() and (data / "http_port").read_text().strip())
        url = f"http://127.0.0.1:{port}"

        def accepted() -> bool:
            return requests.post(f"{url}/v1/scheduler/iso8601", json=SOON, timeout=30).status_code == 204

        eventually(accepted)

        def succeeded() -> list[Any]:
            found = requests.get(f"{url}/api/runs?job=soon", timeout=30).json()["runs"]
            return [run for run in found if run["outcome"] == "success"]

        (run,) = eventually(succeeded)
        output = requests.get(f"{url}/api/runs/{run['run']}/attempts/0/stdout", timeout=30).text
        assert output.endswith("it works\n")
    finally:
        server.terminate()
        assert server.wait(PATIENCE_S) == 0, (tmp_path / "log").read_text()


@pytest.mark.timeout(600)
def test_without_the_extra_mesos_is_refused_with_its_name(installed: Path, tmp_path: Path):
    command = [str(installed / "chronos-py"), "serve", "--http_port", "0", "--data_dir", str(tmp_path)]
    found = subprocess.run(
        [*command, "--master", "127.0.0.1:1"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        cwd=tmp_path,
        check=False,
    )
    assert found.returncode == 2
    assert "chronos-py[mesos]" in found.stderr


def test_the_wheel_names_no_place_and_the_sources_have_all_they_need(built: dict[str, Path]):
    text = metadata(built["chronos_py.whl"])
    assert "file:" not in text
    needs = re.findall(r"Requires-Dist: (\S+?)[<>=].*", text)
    assert {"flask", "kazoo", "pymesos", "http-parser"} <= set(needs)
    assert re.search(r'Requires-Dist: pymesos.*; extra == "mesos"', text)
    with tarfile.open(built["chronos_py.gz"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.py", "setup.cfg", "http-parser/http_parser/http.py", "chronos_py/cli.py"} <= names
    with zipfile.ZipFile(built["chronos_py.whl"]) as archive:
        files = set(archive.namelist())
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "chronos_py").rglob("*.py")}
    assert ours <= files


@pytest.mark.timeout(600)
def test_built_again_it_is_the_same(built: dict[str, Path], tmp_path: Path):
    for file in dist.build(tmp_path):
        before = built[f"{file.name.split('-')[0]}{file.suffix}"]
        assert hashlib.sha256(file.read_bytes()).digest() == hashlib.sha256(before.read_bytes()).digest(), file.name


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_for_shells(shell: str):
    source = CliRunner().invoke(main, ["completion", shell])
    assert source.exit_code == 0
    assert "_CHRONOS_PY_COMPLETE" in source.output


def test_flags_are_completed():
    environment = os.environ | {
        "_CHRONOS_PY_COMPLETE": "bash_complete",
        "COMP_WORDS": "chronos-py serve --zk_",
        "COMP_CWORD": "2",
    }
    command = [Path(sys.executable).parent / "chronos-py"]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert "plain,--zk_hosts" in found.stdout.split()


def test_the_unit_for_systemd_uses_flags_that_exist():
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(ROOT / "packaging" / "chronos-py.service")
    program, *words = unit["Service"]["ExecStart"].split()
    assert program.endswith("/bin/chronos-py")
    flags = {name for option in main.commands["serve"].params for name in option.opts}
    assert words[0] == "serve"
    assert {word for word in words if word.startswith("--")} <= flags
    assert unit["Service"]["KillMode"] == "process"  # its tasks go on without it
