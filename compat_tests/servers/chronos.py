"""A chronos_py server for tests: the real command, its own folder, a free port."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import requests


def free_port() -> int:
    """Return a port that nobody listened on a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class ChronosServer:
    """A server in a process of its own; `url` is where it answers, `pid` its master process."""

    def __init__(self, folder: Path, *options: str, resources: str = "cpus:32;mem:65536;disk:100000") -> None:
        self.data_dir = folder / "data"
        self.log = folder / "server.log"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "chronos_py", "serve", "--http_address", "127.0.0.1"]
        command += ["--http_port", str(port), "--data_dir", str(self.data_dir), "--resources", resources, *options]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        self.pid = self._process.pid

    def wait(self, seconds: float = 30) -> None:
        """Return once the server is ready. Raises RuntimeError with its log when it does not come up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if requests.get(f"{self.url}/ping", timeout=5).status_code == 401:
                    return
                if requests.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"the server did not come up:\n{self.log.read_text()[-4000:]}")

    def stop(self, seconds: float = 20) -> int:
        """Stop the server and return its exit code."""
        self._process.terminate()
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
