"""The commands that ask a server: what they say, and what they say when there is none, or it says no."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from click.testing import CliRunner, Result

from chronos_py.cli import main

AMOUNTS = {"cpus": 4.0, "mem": 100.0, "disk": 1.0, "gpus": 0.0}
SUMS = {"agents": 2, "total": AMOUNTS, "used": AMOUNTS, "usedByUs": AMOUNTS, "free": AMOUNTS, "slots": 3}
LEVEL = {"priority": 5, "waiting": 2, "oldestRun": 8, "oldestWait": 1.5}
COUNTS = ("due", "success", "failed", "timedOut", "lost", "killed", "preempted", "skipped", "merged", "launched")
ANSWERS: dict[str, Any] = {
    "/api/runs/7/why": {
        "code": "running", "sentence": "it runs on a",
        "detail": {"agent": "x", "placement": {"rank": "only", "taken": {"*": "cpus:1"}, "sentence": "no other"}},
    },
    "/api/resources": {
        **SUMS, "running": 1, "reserved": {"*": AMOUNTS}, "queue": {"waiting": 2, "byPriority": [LEVEL]},
        "byAttribute": [{"value": "", **SUMS}],
    },
    "/api/statistics": {"rows": [{"job": "a", **dict.fromkeys(COUNTS, 3), "wait": {"p50": 1500, "p99": None}}]},
    "/api/queue": {"total": 1, "runs": [
        {"run": 9, "job": "a", "priority": 1, "due": "T", "waiting": {"sentence": "S"}},
    ]},
    "/api/odd": {},
}  # fmt: skip


@pytest.fixture(scope="module")
def asked() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A server that knows ANSWERS, and what it was asked: path, and credentials."""
    seen: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers.get("Authorization", "")))
            form = ANSWERS.get(self.path.partition("?")[0])
            status = 200 if form is not None else 401 if self.path.endswith("/1/why") else 404
            data = json.dumps(form if status == 200 else {"error": {"message": "there is no such run"}}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(b"<html>" if self.path.endswith("limit=3") else data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


def ask(url: str, *words: str, **environment: str) -> Result:
    return CliRunner().invoke(main, [*words, "--url", url], env=environment)


def test_answers_are_shown_as_text(asked: tuple[str, list[tuple[str, str]]]) -> None:
    url, seen = asked
    assert ask(url, "why", "7").stdout.splitlines() == [
        "running: it runs on a", "  agent: x", "  placed: no other", "  placement: rank only, taken * cpus:1",
    ]  # fmt: skip
    text = ask(url, "resources", "--cpus", "1", "--attribute", "dc").stdout
    assert text.startswith("2 agents, 1 tasks, room for 3 more of this shape")
    assert "(none)" in text
    assert "1.5s" in text
    assert seen[-1][0] == "/api/resources?cpus=1.0&attribute=dc"
    lines = ask(url, "statistics", "--by", "job", "--from", "2026-01-01T00:00:00Z").stdout.splitlines()
    assert lines[0].split()[:3] == ["job", "due", "success"]
    assert lines[1].split()[-4:] == ["1.5s", "-", "-", "-"]
    assert ask(url, "queue").stdout.splitlines()[-1].split() == ["9", "a", "1", "T", "S"]


def test_answers_are_shown_as_they_are(asked: tuple[str, list[tuple[str, str]]]) -> None:
    url, seen = asked
    found = ask(url, "why", "7", "--json", CHRONOS_HTTP_CREDENTIALS="me:secret")
    assert json.loads(found.stdout) == ANSWERS["/api/runs/7/why"]
    assert seen[-1] == ("/api/runs/7/why", "Basic bWU6c2VjcmV0")


def test_what_goes_wrong_is_said(asked: tuple[str, list[tuple[str, str]]]) -> None:
    url, _ = asked
    for words, status, sentence in (
        (("why", "8"), 1, "the server says 404: there is no such run"),
        (("why", "1"), 1, "the server wants credentials"),
        (("queue", "--limit", "3"), 2, "the answer is no JSON"),
    ):
        found = ask(url, *words)
        assert (found.exit_code, sentence in found.stderr) == (status, True), found.stderr
    assert ask("ftp://h", "queue").exit_code == 2
    nobody = ask("http://127.0.0.1:1", "queue")
    assert (nobody.exit_code, "cannot be reached" in nobody.stderr) == (2, True)
