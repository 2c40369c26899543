"""Both lines of Chronos, and the server under test as a test wants to speak to it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
import requests

JSON = {"Content-Type": "application/json"}
FAR = "R/2035-01-01T00:00:00Z/P1D"  # a schedule that is not due while the tests run
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Line:
    """One line of Chronos: 2 below /scheduler, 3 below /v1/scheduler."""

    number: int
    prefix: str

    def __str__(self) -> str:
        return f"chronos{self.number}"


V2, V3 = Line(2, "/scheduler"), Line(3, "/v1/scheduler")


@dataclass
class Target:
    """The server under test. `pid` is its master process, None when it is not ours."""

    url: str
    pid: int | None = None

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        return requests.request(method, self.url + path, timeout=30, **options)

    def add(self, line: Line, **document: Any) -> None:
        """Create a job; scheduled far ahead unless the document says otherwise."""
        path = "dependency" if "parents" in document else "iso8601"
        if path == "iso8601":
            document.setdefault("schedule", FAR)
        document.setdefault("command", "true")
        answer = self.call("POST", f"{line.prefix}/{path}", json=document)
        assert (answer.status_code, answer.content) == (204, b""), answer.text

    def job(self, line: Line, name: str) -> dict[str, Any]:
        """Return a job as the list shows it."""
        jobs: list[dict[str, Any]] = self.call("GET", f"{line.prefix}/jobs").json()
        return next(job for job in jobs if job["name"] == name)

    def names(self) -> set[str]:
        return {job["name"] for job in self.call("GET", f"{V3.prefix}/jobs").json()}


@pytest.fixture(scope="session")
def target(server: Any) -> Target:
    return Target(server.url, server.pid)


@pytest.fixture(params=[V2, V3], ids=str)
def chronos_line(request: pytest.FixtureRequest) -> Line:
    chosen: Line = request.param
    return chosen


@pytest.fixture
def job_name(target: Target) -> Iterator[str]:
    """A name for a job, good in both lines; it and all names that begin with it are deleted in the end."""
    fresh = f"t{os.getpid()}.{next(_numbers)}"
    yield fresh
    for job in target.names():
        if job == fresh or job.startswith(f"{fresh}-"):
            target.call("DELETE", f"{V3.prefix}/job/{quote(job)}")
