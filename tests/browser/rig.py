"""A started server with jobs that have run, and a browser that looks at it and complains of what it should not see."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from playwright.sync_api import Browser, BrowserContext, Error, Locator, Page

__all__ = ["Browser", "Locator", "Page", "Server", "Watched", "holds", "missing", "requests", "until", "watched"]

CHROMIUM = "/usr/bin/chromium"
PATIENCE_S = 60.0
FAR = "R/2090-01-01T00:00:00Z/P1D"
EVIL = '<script>window.pwned=1</script><img src=x onerror="window.pwned=2">\u202etxt.exe\u0007\x1b[31mred\x1b[0m'

JOBS: tuple[dict[str, Any], ...] = (
    {"name": "extract", "command": "sleep 0.1; echo got 42 rows", "schedule": "R1//PT1H", "owner": "ada@example.org",
     "labels": {"team": "data"}, "description": "reads the orders"},
    {"name": "clean", "command": "echo cleaned", "parents": ["extract"], "owner": "ada@example.org"},
    {"name": "report", "command": "sleep 0.1; echo report", "parents": ["clean"]},
    {"name": "mail", "command": "echo mailed", "parents": ["report"]},
    {"name": "index", "command": "echo indexed", "parents": ["clean"]},
    {"name": "broken", "command": "echo this will not do >&2; exit 3", "schedule": "R1//PT1H", "retries": 0},
    {"name": "long", "command": "echo begun; exec sleep 600", "schedule": "R1//PT1H"},
    {"name": "midnight", "command": "true", "schedule": "R/2026-01-01T00:00:00/P1D",
     "scheduleTimeZone": "Europe/Berlin"},
    {"name": "quarterly", "command": "true", "schedule": FAR.replace("2090", "2030")},
    {"name": "evil", "command": f"printf '%s\\n' '{EVIL}'; head -c 300000 /dev/zero | tr '\\0' x", "owner": EVIL,
     "description": EVIL, "schedule": "R1//PT1H", "environmentVariables": [{"name": "X", "value": EVIL}]},
)  # fmt: skip


IMMEDIATE: tuple[dict[str, Any], ...] = (
    {"id": "cut-1", "name": "cut", "command": "echo cut", "owner": "ada@example.org", "labels": {"video": "1"}},
    {
        "id": "cut-2",
        "name": "cut",
        "command": "exit 4",
        "owner": "bob@example.org",
        "labels": {"video": "2"},
        "retries": 0,
    },
    {"id": "cut-3", "name": "cut", "command": "true", "cpus": 4000, "mem": 1},
)


def missing() -> str:
    """Say why there is no browser, empty when there is one."""
    return "" if Path(CHROMIUM).exists() else f"{CHROMIUM} is missing: Debian's package chromium"


class Server:
    """`chronos-py serve` on a free port, with the jobs above."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder / "data", folder / "server.log"
        command = [sys.executable, "-m", "chronos_py", "serve", "--http_address", "127.0.0.1", "--http_port", "0"]
        command += ["--data_dir", str(self.folder), "--resources", "cpus:8;mem:8192;disk:8192", "--http_threads", "32"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=os.environ)
        self.url = ""
        self._wait()

    def _wait(self) -> None:
        def answers() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            try:
                self.url = f"http://127.0.0.1:{int((self.folder / 'http_port').read_text())}"
                return requests.get(f"{self.url}/health", timeout=5).status_code == 200
            except (OSError, ValueError):
                return False

        until(answers)

    def get(self, path: str) -> Any:
        answer = requests.get(self.url + path, timeout=20)
        assert answer.ok, answer.text
        return answer.json()

    def post(self, document: dict[str, Any]) -> None:
        answer = requests.post(f"{self.url}/api/jobs", json=document, timeout=20)
        assert answer.status_code == 201, answer.text

    def patch(self, name: str, changes: dict[str, Any]) -> None:
        answer = requests.patch(f"{self.url}/api/jobs/{name}", json=changes, timeout=20)
        assert answer.status_code == 204, answer.text

    def seed(self) -> Server:
        """Make the jobs, and wait until those that end have ended."""
        for job in JOBS:
            self.post(job)
        answer = requests.post(f"{self.url}/api/jobs/immediate", json=list(IMMEDIATE), timeout=20)
        assert answer.ok, answer.text

        def done() -> bool:
            ended = {run["job"] for run in self.get("/api/runs?state=ended")["runs"]}
            started = {run["job"] for run in self.get("/api/runs?state=active")["runs"] if run["state"] == "running"}
            return {"mail", "index", "broken", "evil", "immediate:cut"} <= ended and "long" in started

        until(done)
        self.patch("extract", {"cpus": 0.2, "description": "reads all orders"})
        return self

    def stop(self) -> None:
        for run in self.get("/api/runs?state=active")["runs"]:
            requests.delete(f"{self.url}/api/runs/{run['run']}", timeout=20)
        until(lambda: not self.get("/api/runs?state=active")["runs"])
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            shutil.rmtree(self.folder, ignore_errors=True)


def until(true: Callable[[], bool]) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def holds(page: Page, expression: str, arg: Any = None) -> None:
    """Wait until an expression is true in a page. (The page's policy does not let Playwright wait there.)"""

    def true() -> bool:
        try:
            return bool(page.evaluate(expression, arg))
        except Error:  # the page was left a moment ago
            return False

    until(true)


class Watched:
    """A page that keeps what went wrong: errors in its console, failures, requests to elsewhere."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.origin = origin
        self.wrong: list[str] = []
        self.expected: tuple[str, ...] = ()  # parts of messages that are meant to come
        page.set_default_timeout(PATIENCE_S * 1000)
        page.on("console", lambda message: self._console(message.type, message.text))
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("request", lambda request: self._request(request.url))
        page.on("dialog", self._dialog)

    def _console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not any(part in text for part in self.expected):
            self.wrong.append(f"console {kind}: {text}")

    def _request(self, address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme != "data" and f"{parts.scheme}://{parts.netloc}" != self.origin:
            self.wrong.append(f"request to {address[:200]}")

    def _dialog(self, dialog: Any) -> None:
        if dialog.type != "beforeunload":
            self.wrong.append(f"dialog: {dialog.message}")
        dialog.accept()

    def go(self, path: str) -> Page:
        answer = self.page.goto(self.origin + path, wait_until="load")
        assert answer is not None and answer.status < 400, f"{path}: {answer and answer.status}"
        return self.page

    def check(self) -> None:
        assert self.wrong == []
        assert self.page.evaluate("window.pwned") is None


@contextmanager
def watched(browser: Browser, server: Server, **options: Any) -> Iterator[Watched]:
    """Open a page of its own, and complain at the end of what it saw."""
    context: BrowserContext = browser.new_context(
        **{"locale": "en-US", "viewport": {"width": 1280, "height": 850}} | options
    )
    try:
        seen = Watched(context.new_page(), server.url)
        yield seen
        seen.check()
    finally:
        context.close()
