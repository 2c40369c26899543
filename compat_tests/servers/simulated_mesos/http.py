"""A small HTTP/1.1 server on asyncio and httptools: answers at once, streams, and the ways a server can misbehave.

aiohttp would spend more than a core on the calls that the goal of 2,000 launches a second needs, and hides the socket
that faults have to be played on.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

import httptools

MAX_BODY = 64 << 20
MAX_UNSENT = 256 << 20

REASONS = {
    200: "OK",
    202: "Accepted",
    307: "Temporary Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


@dataclass(slots=True)
class Request:
    method: str
    path: str
    headers: dict[bytes, bytes]
    body: bytes
    connection: Connection


def answer(status: int, body: bytes | str = b"", kind: str = "text/plain", **headers: str) -> bytes:
    """Return a complete answer; underscores in the names of headers become dashes."""
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} {REASONS[status]}", f"Content-Length: {len(data)}", f"Content-Type: {kind}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


@dataclass(slots=True)
class Server:
    """All connections of one listener. `handle` returns the answer, or None when it has taken the connection over."""

    handle: Callable[[Request], bytes | None]
    connections: set[Connection] = field(default_factory=set)
    stalled: bool = False

    def stall(self) -> None:
        """Read nothing and send nothing; the kernel goes on accepting connections and data."""
        self.stalled = True
        for connection in self.connections:
            connection.pause()

    def resume(self) -> None:
        self.stalled = False
        for connection in list(self.connections):
            connection.resume()

    def cut_all(self) -> None:
        """Reset every connection."""
        for connection in list(self.connections):
            connection.cut()


class Connection(asyncio.Protocol):
    """One connection; requests may be pipelined, answers keep their order."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._path = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._out: list[bytes] = []
        self._taken = False
        self._flushing = False
        self.on_lost: Callable[[], None] | None = None

    # --- asyncio ---------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=MAX_UNSENT)
        self._server.connections.add(self)
        if self._server.stalled:
            transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._transport = None
        if self.on_lost is not None:
            self.on_lost()
            self.on_lost = None

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._out.append(answer(400, f"malformed request: {error}"))
            self.end()
            return
        self.flush()

    def pause_writing(self) -> None:
        self.cut()  # a peer that does not read; nothing here grows without bound

    # --- httptools -------------------------------------------------------------
    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size <= MAX_BODY:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._taken:
            return
        request = Request(
            self._parser.get_method().decode(), self._path.decode(), self._headers, b"".join(self._body), self
        )
        size = self._size
        self._path, self._headers, self._body, self._size = b"", {}, [], 0
        if size > MAX_BODY:
            self._out.append(answer(413, f"the body is longer than {MAX_BODY} bytes"))
            return
        try:
            result = self._server.handle(request)
        except Exception:  # a mistake of the simulator's own must be seen, and must not look like the peer's
            traceback.print_exc()
            result = answer(500, traceback.format_exc())
        if result is None:
            self._taken = True
            return
        self._out.append(result)
        if request.headers.get(b"connection", b"").lower() == b"close":
            self.end()

    # --- for handlers ------------------------------------------------------------
    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, data: bytes) -> None:
        """Send soon; what is given in one turn of the loop goes out as one write."""
        self._out.append(data)
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        self._flushing = False
        if self._transport is None or not self._out or self._server.stalled:
            return
        self._transport.write(b"".join(self._out))
        self._out.clear()

    def end(self) -> None:
        """Close once everything is sent."""
        self.flush()
        if self._transport is not None:
            self._transport.close()

    def cut(self) -> None:
        """Reset the connection; what was not sent is lost."""
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()
            self.flush()


async def listen(server: Server, port: int) -> tuple[asyncio.Server, int]:
    """Listen on 127.0.0.1, on a free port for 0; return the listener and the port."""
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Connection(server), "127.0.0.1", port, backlog=1024)
    return listener, int(listener.sockets[0].getsockname()[1])
