"""A server that is killed and started again on the same port and data."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import requests

from compat_tests.servers.chronos import free_port

PATIENCE_S = 30


def until(done: Callable[[], object], what: str, seconds: float = PATIENCE_S) -> None:
    """Return once done() is true; an assertion fails when that takes too long."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"not within {seconds:g} seconds: {what}"
        time.sleep(0.05)


class MortalServer:
    """`options` are flags of the server; it keeps its data in `folder`/data and its log in `folder`/server.log."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "chronos_py", "serve", "--http_address", "127.0.0.1"]
        command += ["--http_port", str(self.port), "--data_dir", str(self.folder / "data"), *self.options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def wait(self) -> None:
        """Return once it leads and reaches its machines."""
        until(self.ready, "the server came up")

    def ready(self) -> bool:
        assert self.process is not None and self.process.poll() is None, f"the server has ended, see {self.log}"
        try:
            return requests.get(f"{self.url}/health", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def health(self) -> dict[str, Any]:
        """Return what it says of itself; nothing while it does not answer."""
        try:
            found: dict[str, Any] = requests.get(f"{self.url}/health", timeout=5).json()
        except requests.RequestException:
            return {"driver": {}}
        return found

    def get(self, path: str, **params: str) -> Any:
        answer = requests.get(f"{self.url}{path}", params, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def post_job(self, document: dict[str, Any]) -> None:
        answer = requests.post(f"{self.url}/v1/scheduler/iso8601", json=document, timeout=10)
        assert answer.status_code == 204, answer.text

    def all_runs(self, job: str) -> list[dict[str, Any]]:
        """Return a job's runs, under way and ended, the newest 1000."""
        rows: list[dict[str, Any]] = self.get("/api/runs", job=job, limit="1000")["runs"]
        return rows

    def active_runs(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.get("/api/runs", state="active", limit="1000")["runs"]
        return rows

    def jobs(self) -> dict[str, dict[str, Any]]:
        return {job["name"]: job for job in self.get("/v1/scheduler/jobs")}

    @staticmethod
    def moment(text: str) -> float:
        """Return an instant of the API in seconds since 1970."""
        return datetime.fromisoformat(text).timestamp()

    def pids(self) -> list[int]:
        """Return the pids of the master process and its workers."""
        assert self.process is not None
        return [self.process.pid, *sorted(child.pid for child in psutil.Process(self.process.pid).children())]

    def kill(self, workers: bool = True) -> None:
        """Kill the master process, and its workers with it; tasks are in sessions of their own and live on."""
        assert self.process is not None
        for pid in self.pids() if workers else [self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
