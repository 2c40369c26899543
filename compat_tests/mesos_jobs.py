"""A server of ours on a Mesos cluster, as a test wants to speak to it: HTTP only, and the unmodified chronos-python."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlsplit

import chronos
import pytest
import requests

from compat_tests.conftest import show_log
from compat_tests.dialects import V2, V3, Dialect, eventually
from compat_tests.servers.chronos import ChronosServer
from compat_tests.servers.mesos import MesosCluster

NOW_ONCE = "R1//PT24H"
PATIENCE_S = 30
httplib2: Any = chronos.httplib2


class Scheduler:
    """A running server. Jobs are made through chronos-python, what became of them is read below /api."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        address = [urlsplit(url).netloc]
        self.clients = {
            V2: chronos.connect(address, scheduler_api_version=None),
            V3: chronos.connect(address, scheduler_api_version="v1"),
        }

    def add(self, name: str, dialect: Dialect = V3, **fields: Any) -> str:
        """Create a job that runs once, now, unless the fields say otherwise; return its name."""
        job = {"name": name, "command": "true", "owner": "a@example.org", "disabled": False, "async": False, **fields}
        self.clients[dialect].add(job if "parents" in job else {"schedule": NOW_ONCE, **job})
        return name

    def jobs(self, dialect: Dialect = V3) -> dict[str, dict[str, Any]]:
        """Return all jobs by name as chronos-python lists them."""
        return {job["name"]: job for job in self.clients[dialect].list()}

    def get(self, path: str) -> Any:
        answer = self.session.get(f"{self.url}/api{path}", timeout=60)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:500])
        return answer.json()

    def runs(self, name: str = "") -> list[dict[str, Any]]:
        """Return the runs of a job, or all, oldest first; at most a thousand."""
        query = f"&job={quote(name, safe='')}" if name else ""
        found: list[dict[str, Any]] = self.get(f"/runs?limit=1000{query}")["runs"]
        return found[::-1]

    def detail(self, name: str) -> dict[str, Any]:
        """Return the newest run of a job with its attempts."""
        newest = eventually(lambda: self.runs(name), bool)[-1]
        found: dict[str, Any] = self.get(f"/runs/{newest['run']}")
        return found

    def attempts(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.detail(name)["attemptList"]
        return found

    def started(self, name: str, seconds: float = PATIENCE_S) -> dict[str, Any]:
        """Wait until a job's newest run runs."""
        return eventually(lambda: self.detail(name), lambda run: run["state"] == "running", seconds)

    def ended(self, name: str, seconds: float = PATIENCE_S) -> dict[str, Any]:
        """Wait until a job's newest run has ended; return it with its attempts."""
        return eventually(lambda: self.detail(name), lambda run: run["state"] == "ended", seconds)

    def all_ended(self, names: list[str], seconds: float) -> list[dict[str, Any]]:
        """Wait until each of the jobs has a run and none that has not ended; return the runs."""
        wanted = set(names)

        def read() -> list[dict[str, Any]]:
            return [run for run in self.runs() if run["job"] in wanted]

        def done(runs: list[dict[str, Any]]) -> bool:
            return {run["job"] for run in runs} == wanted and all(run["state"] == "ended" for run in runs)

        end = time.monotonic() + seconds
        while not done(runs := read()) and time.monotonic() < end:
            time.sleep(0.2)
        if done(runs):
            return runs
        raise AssertionError(f"not within {seconds} s: {[run for run in runs if run['state'] != 'ended'][:5]}")

    def output(self, name: str, attempt: int = 0, stream: str = "stdout") -> str:
        """Return what an attempt of a job's newest run has written."""
        number = self.runs(name)[-1]["run"]
        answer = self.session.get(f"{self.url}/api/runs/{number}/attempts/{attempt}/{stream}", timeout=60)
        assert answer.status_code == 200, (name, answer.status_code, answer.text[:500])
        return answer.text

    def why(self, name: str) -> dict[str, Any]:
        """Return what a job's newest run waits for."""
        found: dict[str, Any] = self.get(f"/runs/{self.runs(name)[-1]['run']}/why")
        return found

    def kill(self, name: str, dialect: Dialect = V3) -> None:
        self.clients[dialect].delete_tasks(name)

    def delete(self, *names: str) -> None:
        for name in names:
            self.clients[V3].delete(name)


@contextmanager
def serving(request: pytest.FixtureRequest, folder: Path, cluster: MesosCluster, *options: str) -> Iterator[Scheduler]:
    """Run a server on the cluster; its log is shown when a test has failed meanwhile."""
    failed_before = request.session.testsfailed
    server = ChronosServer(folder, "--master", cluster.master_address, *options)
    try:
        server.wait()
        with _closing(), pytest.MonkeyPatch.context() as patch:
            # the library's list of required fields grows with each job of 2.x
            patch.setattr(chronos.ChronosJob, "legacy_fields", [])
            scheduler = Scheduler(server.url)
            with scheduler.session:
                yield scheduler
    finally:
        server.stop()
        if request.session.testsfailed > failed_before:
            show_log(request.config, server.log)


@contextmanager
def _closing() -> Iterator[None]:
    """chronos-python leaves its connections open; each is closed when the next is opened, the last in the end."""
    opened: list[Any] = []

    def open_one(*args: Any, **options: Any) -> Any:
        while opened:
            opened.pop().close()
        opened.append(httplib2.Http(*args, **options))
        return opened[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chronos, "httplib2", SimpleNamespace(**{**vars(httplib2), "Http": open_one}))
        yield
        for http in opened:
            http.close()


def resources_of(cluster: MesosCluster, task_id: str) -> list[dict[str, Any]]:
    """Return what a task took, as the master tells: "name", "role" (of a reservation, `*` for none), "type" (STATIC,
    DYNAMIC or empty), "allocated" (to which role) and "value"."""
    known = cluster.operator({"type": "GET_TASKS"})["get_tasks"]
    tasks = [task for key in ("tasks", "completed_tasks") for task in known.get(key, [])]
    task = next(task for task in tasks if task["task_id"]["value"] == task_id)
    found = []
    for resource in task["resources"]:
        reservations = resource.get("reservations") or [{}]
        found.append(
            {
                "name": resource["name"],
                "role": reservations[-1].get("role", "*"),
                "type": reservations[-1].get("type", ""),
                "allocated": resource["allocation_info"]["role"],
                "value": resource["scalar"]["value"],
            }
        )
    return found
