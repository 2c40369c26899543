"""More is wanted than this machine gives: priorities, quotas, preemption, and a reason for every wait."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from compat_tests.mortal import MortalServer, until

FAR = "R/2035-01-01T00:00:00Z/P1Y"
RESOURCES = ("--resources", "cpus:2;mem:1024;disk:2000", "--kill_grace", "0.2", "--task_limits", "none")


@pytest.fixture(autouse=True)
def our_own_server(pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--url", default=None):
        pytest.skip("needs servers with settings of their own")


@contextmanager
def a_server(folder: Path, *options: str) -> Iterator[MortalServer]:
    server = MortalServer(folder, *RESOURCES, *options)
    server.start()
    try:
        server.wait()
        yield server
        end(server, *(run["run"] for run in server.active_runs() if run["state"] == "queued"))
        end(server, *(run["run"] for run in server.active_runs()))  # tasks outlive their server
    finally:
        server.stop()


def want(server: MortalServer, name: str, command: str = "sleep 300", **fields: Any) -> int:
    """Make a job and ask for a run of it; return the run's number."""
    job = {"name": name, "command": command, "schedule": FAR, "cpus": 1, "mem": 64, "disk": 10, "concurrent": True}
    server.post_job({**job, **fields})
    return run_again(server, name)


def run_again(server: MortalServer, name: str, arguments: str = "") -> int:
    before = {run["run"] for run in server.all_runs(name)}
    answer = requests.put(f"{server.url}/v1/scheduler/job/{name}", params={"arguments": arguments}, timeout=10)
    assert answer.status_code == 204, answer.text
    found: list[int] = []

    def there() -> bool:
        found[:] = [run["run"] for run in server.all_runs(name) if run["run"] not in before]
        return bool(found)

    until(there, f"{name} has another run")
    return found[0]


def state(server: MortalServer, run: int) -> str:
    return str(server.get(f"/api/runs/{run}")["state"])


def until_state(server: MortalServer, run: int, *states: str) -> None:
    until(lambda: state(server, run) in states, f"run {run} is {states}")


def end(server: MortalServer, *runs: int) -> None:
    for run in runs:
        assert requests.delete(f"{server.url}/api/runs/{run}", timeout=10).status_code == 204
        until_state(server, run, "ended")


def test_the_urgent_get_room_and_the_others_go_on_after(tmp_path: Path) -> None:
    with a_server(tmp_path, "--preemption_after", "0.5") as server:
        low = [want(server, f"low-{n}", preemptible=True, retries=0) for n in range(2)]
        for run in low:
            until_state(server, run, "running")
        high = want(server, "high", command="sleep 1", priority=10)
        until(lambda: state(server, high) == "ended", "the urgent one is done")
        assert server.get(f"/api/runs/{high}")["outcome"] == "success"
        attempts = [server.get(f"/api/runs/{run}")["attemptList"] for run in low]
        stopped = [run for run in attempts if run[0]["outcome"] == "preempted"]
        assert len(stopped) == 1
        assert stopped[0][0]["reason"] == "preempted"
        for run in low:
            until_state(server, run, "running")


def test_why_one_that_was_stopped_waits(tmp_path: Path) -> None:
    with a_server(tmp_path, "--preemption_after", "0.5") as server:
        low = want(server, "low", cpus=2, preemptible=True)
        until_state(server, low, "running")
        high = want(server, "high", priority=10)
        until_state(server, high, "running")
        until_state(server, low, "queued")
        why = server.get(f"/api/runs/{low}/why")
        assert (why["code"], why["detail"]["preemptedBy"]) == ("no_fit", high)


def test_a_quota_holds_and_what_others_leave_is_lent(tmp_path: Path) -> None:
    file = tmp_path / "quotas.json"
    quotas = {"channel=news": {"cpus": 1, "borrow": True}, "channel=film": {"running": 1}}
    file.write_text(json.dumps(quotas), "utf-8")
    with a_server(tmp_path, "--quotas", str(file)) as server:
        film = [want(server, "film", labels={"channel": "film"}), run_again(server, "film", "2")]
        until_state(server, film[0], "running")
        until_state(server, film[1], "queued")
        why = server.get(f"/api/runs/{film[1]}/why")
        assert (why["code"], why["detail"]["quota"], why["detail"]["exceeded"]) == (
            "quota",
            "channel=film",
            ["running"],
        )
        end(server, *reversed(film))
        news = [want(server, "news", labels={"channel": "news"}), run_again(server, "news", "2")]
        for run in news:
            until_state(server, run, "running")
        shown = {quota["quota"]: quota for quota in server.get("/api/quotas")["quotas"]}
        assert shown["channel=news"]["used"]["cpus"] == 2
        assert shown["channel=news"]["guaranteed"] == {"cpus": 1}


def test_numbers_pseudo_attributes_and_runs_apart(tmp_path: Path) -> None:
    with a_server(tmp_path, "--attributes", "cores:16;rack:r1") as server:
        fit = want(server, "fit", command="true", constraints=[["cores", ">=", 8], ["rack", "IS", "r1"]])
        until_state(server, fit, "ended")
        small = want(server, "small", constraints=[["cores", ">", "16"]])
        until(lambda: server.get(f"/api/runs/{small}/why")["code"] == "no_fit", "it waits")
        assert server.get(f"/api/runs/{small}/why")["detail"]["refusals"] == {"does not meet cores > 16": 1}
        first = want(server, "apart", constraints=[["@hostname", "UNIQUE"]])
        until_state(server, first, "running")
        second = run_again(server, "apart", "2")
        text = "does not meet @hostname UNIQUE beside the job's running tasks"
        until(lambda: text in server.get(f"/api/runs/{second}/why")["sentence"], "it waits for the first")
        end(server, first)
        until_state(server, second, "running")


@pytest.mark.parametrize("text", ["{", '{"channel": {}}', "/nowhere/quotas.json"])
def test_quotas_that_cannot_be_used_stop_the_start(tmp_path: Path, text: str) -> None:
    command = [sys.executable, "-m", "chronos_py", "serve", "--http_port", "0", "--data_dir", str(tmp_path)]
    done = subprocess.run([*command, "--quotas", text], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "--quotas" in done.stderr
    assert "Traceback" not in done.stderr
