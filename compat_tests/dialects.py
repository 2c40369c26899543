"""The two lines of Chronos, and a small HTTP client that speaks either of them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

import requests

JSON = "application/json"
FAR = "R/2090-01-01T00:00:00Z/P1D"

T = TypeVar("T")


@dataclass(frozen=True)
class Dialect:
    """One line of Chronos: where it lives and which of the two it is."""

    label: str
    prefix: str
    is_v3: bool


V2 = Dialect("2.x", "/scheduler", False)
V3 = Dialect("3.x", "/v1/scheduler", True)
DIALECTS = (V2, V3)


def unique_name(stem: str = "t") -> str:
    """Return a job name that nobody has used, valid in both dialects."""
    return f"{stem}{uuid.uuid4().hex[:12]}"


def eventually(read: Callable[[], T], wanted: Callable[[T], bool], seconds: float = 30) -> T:
    """Read until the wanted state is seen, and return it. Raises AssertionError with the last reading."""
    deadline = time.monotonic() + seconds
    while True:
        seen = read()
        if wanted(seen):
            return seen
        assert time.monotonic() < deadline, f"not within {seconds} s; last seen: {seen!r}"
        time.sleep(0.05)


@dataclass
class Api:
    """Requests to one dialect of one server; remembers the jobs it made."""

    url: str
    dialect: Dialect
    session: requests.Session
    made: list[str] = field(default_factory=list)

    def send(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """Send to a path below the prefix; no media type unless the headers name one."""
        return self.root(method, self.dialect.prefix + path, body, headers)

    def root(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        data = body.encode() if isinstance(body, str) else body
        return self.session.request(
            method, self.url + path, data=data, headers=dict(headers or {}), timeout=30, allow_redirects=False
        )

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.send("GET", path, headers={key.replace("_", "-"): value for key, value in headers.items()})

    def post(self, path: str, document: Any, method: str = "POST") -> requests.Response:
        """Send a JSON document. Its job name is remembered for the cleaning up."""
        if isinstance(document, dict) and isinstance(document.get("name"), str):
            self.made.append(document["name"])
        return self.send(method, path, json.dumps(document, ensure_ascii=False), {"Content-Type": JSON})

    def text(self, path: str, body: str, made: str = "") -> requests.Response:
        """POST exactly this text as JSON."""
        if made:
            self.made.append(made)
        return self.send("POST", path, body, {"Content-Type": JSON})

    def create(self, name: str, **fields: Any) -> str:
        """Create a job (dependent if `parents` is given, else far in the future) and wait until it is visible."""
        answer = self.post(*a_job(name, **fields))
        assert answer.status_code == 204, (answer.status_code, answer.text[:500])
        eventually(lambda: self.find(name), lambda job: job is not None, 10)
        return name

    def find(self, name: str) -> dict[str, Any] | None:
        """Return the job as stored (search does not mirror uris and fetch)."""
        answer = self.get(f"/jobs/search?name={quote(name, safe='')}&limit=100000")
        assert answer.status_code == 200, answer.text[:500]
        found: list[dict[str, Any]] = [job for job in answer.json() if job["name"] == name]
        return found[0] if found else None

    def job(self, name: str) -> dict[str, Any]:
        job = self.find(name)
        assert job is not None, f"no job {name}"
        return job

    def jobs(self) -> list[dict[str, Any]]:
        answer = self.get("/jobs")
        assert answer.status_code == 200, answer.text[:500]
        found: list[dict[str, Any]] = answer.json()
        return found

    def listed(self, name: str) -> dict[str, Any]:
        """Return the job as GET /jobs shows it."""
        return next(job for job in self.jobs() if job["name"] == name)

    def delete(self, name: str) -> requests.Response:
        return self.send("DELETE", f"/job/{quote(name, safe='')}")

    def clean(self) -> None:
        for name in reversed(dict.fromkeys(self.made)):
            self.delete(name)
        self.made.clear()


def a_job(name: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    """Return the endpoint and the document of a job that does nothing by itself."""
    document = {"name": name, "command": "true", **fields}
    if "parents" in document:
        return "/dependency", document
    return "/iso8601", {"schedule": FAR, **document}
