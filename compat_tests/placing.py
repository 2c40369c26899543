"""A server on a machine of several agents, as a test wants to speak to it: HTTP only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from compat_tests.dialects import eventually
from compat_tests.servers.chronos import ChronosServer

FAR = "R/2035-01-01T00:00:00Z/P1D"
LONG = "sleep 300"


class Placed:
    """A running server; `add` makes a job, and `run` has it run once more."""

    def __init__(self, server: ChronosServer) -> None:
        self.server = server
        self.session = requests.Session()
        self.session.trust_env = False

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, self.server.url + path, timeout=60, **options)

    def get(self, path: str, **query: Any) -> Any:
        answer = self.call("GET", f"/api{path}", params=query)
        assert answer.status_code == 200, (path, answer.text[:500])
        return answer.json()

    def add(self, name: str, **fields: Any) -> None:
        job = {"name": name, "command": LONG, "schedule": FAR, "cpus": 0.1, "mem": 8, "disk": 8, "retries": 0, **fields}
        answer = self.call("POST", "/v1/scheduler/iso8601", json=job)
        assert answer.status_code == 204, answer.text

    def run(self, name: str, **fields: Any) -> int:
        """Have a job run now, which is made before when there are fields; return the run's number."""
        if fields:
            self.add(name, **fields)
        before = {run["run"] for run in self.get("/runs", job=name)["runs"]}

        def new() -> list[int]:  # while one of its runs is queued, a request for another does nothing
            assert self.call("PUT", f"/v1/scheduler/job/{quote(name)}").status_code == 204
            return [run["run"] for run in self.get("/runs", job=name)["runs"] if run["run"] not in before]

        return eventually(new, bool)[0]

    def detail(self, run: int) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/runs/{run}")
        return found

    def why(self, run: int) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/runs/{run}/why")
        return found

    def waits_for(self, run: int, code: str) -> dict[str, Any]:
        """Wait until a run waits for this cause; return it."""
        return eventually(lambda: self.why(run), lambda why: why["code"] == code)

    def running(self, run: int) -> dict[str, Any]:
        """Wait until a run runs; return its present attempt."""
        whole = eventually(lambda: self.detail(run), lambda run: run["state"] == "running")
        attempt: dict[str, Any] = whole["attemptList"][-1]
        return attempt

    def ended(self, run: int) -> dict[str, Any]:
        return eventually(lambda: self.detail(run), lambda run: run["state"] == "ended")

    def clear(self) -> None:
        """Delete all jobs, and wait until nothing of them runs."""
        for job in self.get("/jobs", limit=1000)["jobs"]:
            self.call("DELETE", f"/v1/scheduler/job/{quote(job['name'])}")
        eventually(lambda: self.get("/runs", state="active")["runs"], lambda runs: not runs)


@contextmanager
def agents(folder: Path, resources: str, *options: str, leave: bool = False) -> Iterator[Placed]:
    """Run a server on these agents; nothing of its tasks is left in the end, unless they are to run on: `leave`."""
    server = ChronosServer(folder, *options, resources=resources)
    try:
        server.wait()
        placed = Placed(server)
        with placed.session:
            left = False
            try:
                yield placed
                left = leave
            finally:
                if not left:
                    placed.clear()
    finally:
        server.stop()
