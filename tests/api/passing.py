"""The process of a node that does not lead, and how tests talk to it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import requests

PATIENCE_S = 30.0
AT_ONCE, READ_S = 4, 2.0
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"
JOBS = "/v1/scheduler/jobs"


class Node:
    """The follower's process, and how it is told who leads."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "leader"
        self.file.write_text("")
        self.log = folder / "log"
        command = [sys.executable, "-m", "tests.api.follower", str(folder), str(AT_ONCE), str(READ_S)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=Path(__file__).parents[2])
        port, end = folder / "http_port", time.monotonic() + PATIENCE_S
        while not (port.exists() and port.read_text().endswith("\n")):
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)
        self.address = f"127.0.0.1:{port.read_text().strip()}"
        self.url = f"http://{self.address}"

    def leader(self, address: str) -> None:
        self.file.write_text(address)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE_S)

    def raw(self, data: bytes) -> bytes:
        """Send bytes, and return all that comes until the connection ends."""
        with socket.create_connection(("127.0.0.1", int(self.address.rpartition(":")[2])), PATIENCE_S) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))


def ask(node: Node, method: str = "GET", path: str = JOBS, **options: object) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        options.setdefault("timeout", PATIENCE_S)
        return session.request(method, node.url + path, **options)  # type: ignore[arg-type]
