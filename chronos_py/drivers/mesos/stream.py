"""The event stream of a Mesos master: one long HTTP answer of records, read with a time limit."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from chronos_py.errors import ChronosError

LARGEST_RECORD = 256 * 1024 * 1024  # bytes; a record that claims more is no record
CHUNK = 64 * 1024
SHOWN = 500  # characters of an answer that go into a message


def said(error: BaseException) -> str:
    """Return an error's text; its kind where it has none."""
    return str(error) or type(error).__name__


class StreamError(ChronosError):
    """The stream cannot be had or has ended. `moved_to` is the address of the master to ask instead, if it is known."""

    def __init__(self, reason: str, status: int = 0, moved_to: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.moved_to = moved_to


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How to reach a master or agent: its host and port, and what is needed for TLS (None: plain HTTP)."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(cls, address: str, tls: ssl.SSLContext | None = None, port: int = 5050) -> Endpoint:
        """Read `host:port`, `[address]:port` or `host`. Raises ValueError."""
        parts = urlsplit(f"//{address}")
        if not parts.hostname or parts.path or parts.query or parts.username:
            raise ValueError(f"not an address of the form host:port: {address!r}")
        return cls(parts.hostname, parts.port or port, tls)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self}"

    def connection(self, timeout: float) -> HTTPConnection:
        """Return a connection that is opened at the first request."""
        if self.tls is not None:
            return HTTPSConnection(self.host, self.port, timeout=timeout, context=self.tls)
        return HTTPConnection(self.host, self.port, timeout=timeout)


class EventStream:
    """The answer to one SUBSCRIBE. Iterate over it for events; `close` may be called from any thread and ends that.

    Raises StreamError whenever something is wrong with the connection or what comes over it.
    """

    def __init__(self, endpoint: Endpoint, body: dict[str, Any], headers: dict[str, str], patience: float) -> None:
        """Connect and subscribe; `patience` in seconds, for each step."""
        self.stream_id = ""
        self._connection = endpoint.connection(patience)
        try:
            self._connection.connect()
            self._socket: socket.socket = self._connection.sock
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sent = {"Content-Type": "application/json", "Accept": "application/json", **headers}
            self._connection.request("POST", "/api/v1/scheduler", json.dumps(body).encode(), sent)
            self._answer: HTTPResponse = self._connection.getresponse()
            self._check(self._answer)
        except (OSError, HTTPException, ValueError) as error:
            self._connection.close()
            raise StreamError(f"{endpoint}: {said(error)}") from None
        except StreamError:
            self._connection.close()
            raise

    def _check(self, answer: HTTPResponse) -> None:
        if answer.status == 307:
            location = answer.headers.get("Location", "")
            raise StreamError("not the leading master", 307, urlsplit(location).netloc or location.strip("/"))
        if answer.status != 200:
            text = answer.read(SHOWN).decode(errors="replace").strip()
            if answer.status in (401, 403):
                text = f"the master does not accept our principal and secret, or lacks ours. {text}".strip()
            raise StreamError(f"HTTP {answer.status}: {text}", answer.status)
        self.stream_id = answer.headers.get("Mesos-Stream-Id", "")

    def patience(self, seconds: float) -> None:
        """Set how long to wait for the next byte before the stream counts as dead."""
        self._socket.settimeout(seconds)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        buffer = bytearray()
        while True:
            try:
                data = self._answer.read1(CHUNK)
            except TimeoutError:
                raise StreamError("nothing was heard for too long, no heartbeat either") from None
            except (OSError, HTTPException, ValueError, AttributeError) as error:  # closed under us: AttributeError
                raise StreamError(f"the stream broke: {said(error)}") from None
            if not data:
                raise StreamError("the master ended the stream")
            buffer += data
            yield from records(buffer)

    def close(self) -> None:
        with suppress(OSError):  # not connected any more
            self._socket.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def records(buffer: bytearray) -> Iterator[dict[str, Any]]:
    """Take complete records (`<length>\\n<JSON>`) from the head of a buffer. Raises StreamError for all else."""
    done = 0
    try:
        while True:
            newline = buffer.find(b"\n", done, done + 20)
            if newline < 0:
                if len(buffer) - done >= 20:
                    raise StreamError(f"not a record: {bytes(buffer[done : done + 20])!r}")
                return
            head = bytes(buffer[done:newline])
            if not head.isdigit() or int(head) > LARGEST_RECORD:
                raise StreamError(f"not a record's length: {head!r}")
            end = newline + 1 + int(head)
            if len(buffer) < end:
                return
            record = bytes(buffer[newline + 1 : end])
            done = end
            try:
                event = json.loads(record)
            except ValueError:
                raise StreamError(f"a record is no JSON: {record[:SHOWN]!r}") from None
            if isinstance(event, dict):
                yield event
    finally:
        del buffer[:done]
