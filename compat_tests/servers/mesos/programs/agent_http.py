"""HTTP to the agent, which told its address in the environment."""

from __future__ import annotations

import json
import socket

from .values import ENV, log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

CONNECT_S, ANSWER_S = 10, 60


class AgentHttp:
    """One connection to the agent's `path`, opened when needed. `sock` is None while closed."""

    def __init__(self, path: str = "api/v1/executor") -> None:
        host, _, port = ENV["MESOS_AGENT_ENDPOINT"].rpartition(":")
        self.host, self._port = host.strip("[]"), int(port)
        self._path = f"/{ENV['MESOS_SLAVE_PID'].partition('@')[0]}/{path}"
        self.sock: socket.socket | None = None
        self._data = b""

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
        self.sock, self._data = None, b""

    def send(self, body: dict[str, Any]) -> None:
        """Send a call."""
        if self.sock is None:
            self.sock = socket.create_connection((self.host, self._port), CONNECT_S)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock.settimeout(ANSWER_S)
        payload = json.dumps(body).encode()
        token = ENV.get("MESOS_EXECUTOR_AUTHENTICATION_TOKEN")
        lines = [f"POST {self._path} HTTP/1.1", "Host: agent", "Content-Type: application/json"]
        lines += ["Accept: application/json", f"Content-Length: {len(payload)}"]
        lines += [f"Authorization: Bearer {token}"] if token else []
        self.sock.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode() + payload)

    def receive(self) -> None:
        """Take in what has come. Raises ConnectionError at the end of the connection."""
        got = self.sock.recv(65536) if self.sock else b""
        if not got:
            raise ConnectionError("connection closed by the agent")
        self._data += got

    def headers(self) -> tuple[int, dict[str, str]]:
        """Wait for the head of an answer; return its status and headers by their lower-case names."""
        while b"\r\n\r\n" not in self._data:
            self.receive()
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in rest)
        return int(first.split()[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}

    def answer(self) -> tuple[int, bytes]:
        """Wait for a plain answer; return status and body."""
        status, headers = self.headers()
        length = int(headers.get("content-length", "0"))
        while len(self._data) < length:
            self.receive()
        body, self._data = self._data[:length], self._data[length:]
        if headers.get("connection", "").lower() == "close":
            self.close()
        return status, body

    def chunks(self) -> Iterator[bytes]:
        """Yield the complete chunks of a chunked body that have come. Raises ConnectionError at its end."""
        while True:
            size, found, rest = self._data.partition(b"\r\n")
            length = int(size.split(b";")[0], 16) if found else 0
            if found and length == 0:
                raise ConnectionError("event stream ended")
            if not found or len(rest) < length + 2:
                return
            self._data = rest[length + 2 :]
            yield rest[:length]

    def call(self, body: dict[str, Any]) -> bool:
        """Make a call; tell whether the agent accepted it."""
        for _ in range(2):  # a kept connection may be gone
            try:
                self.send(body)
                status, text = self.answer()
            except OSError:
                self.close()
                continue
            if status not in (200, 202):
                log(f"agent answered {status}: {text.decode('latin-1')}")
            return status in (200, 202)
        return False
