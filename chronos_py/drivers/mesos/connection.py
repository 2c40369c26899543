"""Calls to a Mesos master over one kept connection, many on their way at a time.

A call that waits for the answer to the one before costs a round trip; thousands of acknowledgements a second cannot
afford that. So calls are written as they come, and answers are read as they come, in order (HTTP/1.1 pipelining).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import httptools

from chronos_py.drivers.mesos.stream import SHOWN, Endpoint

CHUNK = 64 * 1024
WRITE = 16 * 1024  # bytes that are worth a write of their own
UNKNOWN = 0  # the status of a call that was sent and never answered
BROKEN = 500  # from here on statuses tell of the server's own trouble
NOT_IMPLEMENTED = 501


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
        """Tell whether the call may have been carried out or not: nobody answered, or something on the way or in the
        master broke meanwhile."""
        return self.status == UNKNOWN or (self.status >= BROKEN and self.status != NOT_IMPLEMENTED)

    @property
    def disowned(self) -> bool:
        """Tell whether the master refused the call, whatever it says, for it knows no such framework or stream."""
        text = self.text.lower()
        return "mesos-stream-id" in text or text.startswith(("the stream id", "framework cannot be found"))


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
        """Connect. Raises OSError."""
        self._endpoint = endpoint
        self._timeout = timeout
        plain = socket.create_connection((endpoint.host, endpoint.port), timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tls = endpoint.tls
        self._socket = tls.wrap_socket(plain, server_hostname=endpoint.host) if tls else plain
        self._answers = _Answers()
        self.closed = False

    def fileno(self) -> int:
        return self._socket.fileno()

    def write(self, bodies: Iterable[bytes], headers: dict[str, str]) -> int:
        """Write calls, given as JSON, the first while the later ones are still being made; return how many were written
        whole or in part. All bodies are made, whatever happens; after a failure the connection is closed."""
        made = begun = 0
        waiting = bytearray()
        for body in bodies:
            made += 1
            waiting += self._packed(body, headers)
            if len(waiting) >= WRITE and not self.closed:
                begun = made
                self._send(waiting)
        if waiting and not self.closed:
            begun = made
            self._send(waiting)
        return begun

    def _send(self, waiting: bytearray) -> None:
        try:
            self._socket.sendall(waiting)
        except OSError:
            self.close()
        waiting.clear()

    def read(self) -> list[Answer]:
        """Return the answers that have arrived; call it when there is something to read. At the end the connection is
        closed: what is not answered then never will be."""
        try:
            self._socket.settimeout(0)
            data = self._socket.recv(CHUNK)
            if data:
                self._answers.parser.feed_data(data)
            self._socket.settimeout(self._timeout)
        except (BlockingIOError, ssl.SSLWantReadError):  # something that only TLS itself has use for
            self._socket.settimeout(self._timeout)
            return []
        except (OSError, ValueError, httptools.HttpParserError):
            data = b""
        done, self._answers.done = self._answers.done, []
        if not data or self._answers.closing:
            self.close()
        return done

    @property
    def pending(self) -> bool:
        """Tell whether something was received that the socket itself does not show any more."""
        return isinstance(self._socket, ssl.SSLSocket) and not self.closed and self._socket.pending() > 0

    def _packed(self, data: bytes, headers: dict[str, str]) -> bytes:
        lines = [f"POST /api/v1/scheduler HTTP/1.1\r\nHost: {self._endpoint}\r\nContent-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines.append(f"Content-Length: {len(data)}\r\n\r\n")
        return "\r\n".join(lines).encode() + data

    def close(self) -> None:
        self.closed = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
