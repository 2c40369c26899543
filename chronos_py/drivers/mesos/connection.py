"""Calls to a Mesos master over one kept connection, many on their way at a time.

A call that waits for the answer to the one before costs a round trip; thousands of acknowledgements a second cannot
afford that. So a batch is written at once and the answers are read after, in order (HTTP/1.1 pipelining).
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httptools
import orjson

from chronos_py.drivers.mesos.stream import SHOWN, Endpoint, said

CHUNK = 64 * 1024
WRITE = 16 * 1024  # bytes that are worth a write of their own
UNKNOWN = 0  # the status of a call that was sent and never answered


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a call: an HTTP status, UNKNOWN when nobody can tell, -1 when it surely was not sent."""

    status: int
    text: str = ""

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300

    @property
    def unknown(self) -> bool:
        return self.status == UNKNOWN


class _Answers:
    """Collects answers; the names of its methods are httptools's."""

    def __init__(self) -> None:
        self.done: list[Answer] = []
        self.closing = False
        self._body = b""
        self.parser = httptools.HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"connection" and value.lower() == b"close":
            self.closing = True

    def on_body(self, body: bytes) -> None:
        self._body = (self._body + body)[:SHOWN]

    def on_message_complete(self) -> None:
        self.done.append(Answer(self.parser.get_status_code(), self._body.decode(errors="replace").strip()))
        self._body = b""


class CallConnection:
    """One connection for calls. Used by one thread; `close` by any."""

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._socket: socket.socket | None = None

    def send(self, bodies: Iterable[dict[str, Any]], headers: dict[str, str]) -> list[Answer]:
        """Send calls in order, while the later ones are still being made; return an answer for each.

        Never raises for what goes wrong outside.
        """
        try:
            connected = self._usable() or self._connect()
        except OSError as error:
            return [Answer(-1, f"{self._endpoint}: {error}") for _ in bodies]
        made = begun = 0  # calls, and those of which something may have left us
        waiting, problem = bytearray(), ""
        for body in bodies:
            made += 1
            waiting += self._packed(body, headers)
            if len(waiting) >= WRITE and not problem:
                begun, problem = made, self._write(connected, waiting)
        if waiting and not problem:
            begun, problem = made, self._write(connected, waiting)
        answers = self._answers(connected, begun)
        return answers + [Answer(-1, f"{self._endpoint}: {problem}")] * (made - begun)

    @staticmethod
    def _write(connected: socket.socket, waiting: bytearray) -> str:
        """Write all of `waiting` and empty it; return what went wrong."""
        try:
            connected.sendall(waiting)
        except OSError as error:
            return said(error)
        finally:
            waiting.clear()
        return ""

    def _answers(self, connected: socket.socket, wanted: int) -> list[Answer]:
        """Read answers, even when not all could be written: what the master took, it has answered."""
        answers = _Answers()
        problem = "the connection was closed"
        try:
            while len(answers.done) < wanted:
                data = connected.recv(CHUNK)
                if not data:
                    break
                answers.parser.feed_data(data)
        except (OSError, httptools.HttpParserError) as error:
            problem = said(error)
        missing = wanted - len(answers.done)
        if missing or answers.closing:
            self.close()
        return answers.done + [Answer(UNKNOWN, f"{self._endpoint}: {problem}")] * missing

    def _usable(self) -> socket.socket | None:
        """Return the kept connection, unless the other side has closed it meanwhile: a call sent there would be lost
        without a trace."""
        kept = self._socket
        if kept is None or not select.select([kept], [], [], 0)[0]:
            return kept
        try:
            kept.settimeout(0)
            kept.recv(1)  # nothing is owed to us, so what can be read is the end
        except (BlockingIOError, ssl.SSLWantReadError):  # or something that only TLS itself has use for
            kept.settimeout(self._timeout)
            return kept
        except OSError:
            pass
        self.close()
        return None

    def _connect(self) -> socket.socket:
        plain = socket.create_connection((self._endpoint.host, self._endpoint.port), self._timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tls = self._endpoint.tls
        self._socket = tls.wrap_socket(plain, server_hostname=self._endpoint.host) if tls else plain
        return self._socket

    def _packed(self, body: dict[str, Any], headers: dict[str, str]) -> bytes:
        data = orjson.dumps(body)
        lines = [f"POST /api/v1/scheduler HTTP/1.1\r\nHost: {self._endpoint}\r\nContent-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines.append(f"Content-Length: {len(data)}\r\n\r\n")
        return "\r\n".join(lines).encode() + data

    def close(self) -> None:
        connected, self._socket = self._socket, None
        if connected is not None:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
            connected.close()
