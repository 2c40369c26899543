"""What a node that does not lead does with a request: it passes it on to the leader, as Chronos does.

Any node can so be asked anything. The answer is the leader's, whole: status, headers, body, whatever it says; an answer
that could not be had is 502 or 503, never a success. A request is passed on once only.
"""

from __future__ import annotations

import errno
import http.client
import re
import select
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs, quote

import structlog
from werkzeug.exceptions import BadRequest

from chronos_py.api.transport import BROKEN, CLOSE, REFUSAL, Wsgi, prefers_prometheus
from chronos_py.errors import BadGateway, NotLeader, Overloaded, Unavailable

log = structlog.get_logger(__name__)

PASSED_ON = "X-Chronos-Passed-On"  # names the node that passed a request on; what has it is passed on no further
PASSED_FOR = "X-Chronos-Passed-For"  # the address of the client that it came from
BLOCK = 64 * 1024
CONNECT_S = 3.0
READ_S = 45.0  # from one piece of the answer to the next: longer than the service's 30 s and a stream's heartbeat
OWN_PATHS = frozenset({"/ping", "/health", "/api/leader", "/scheduler/leader", "/v1/scheduler/leader"})
_ADDRESS = frozenset("0123456789abcdefABCDEF.:%")  # an address has these
OWN_FILES = "/ui/static/"  # the same on each node, and needed to show that there is no leader

# Between two nodes only (RFC 9110, 7.6.1), and what the client library says itself.
_HOP = {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"}
_HOP |= {"transfer-encoding", "upgrade", "expect", "http2-settings"}
_NOT_SENT = _HOP | {"host", "content-length", PASSED_ON.lower(), PASSED_FOR.lower()}
_NOT_RETURNED = _HOP | {"date", "server"}
_PLAIN = "".join(map(chr, range(0x21, 0x7F)))  # what a request's line may hold as it is


SLOT_S = 0.25  # the answer before may have arrived a moment earlier than its place was given back


def client_address(environ: dict[str, Any]) -> str:
    """Return the address that a request came from; of one that another node has passed on, the client's as that node
    says, and the node's. Anybody could say so, and therefore both are there."""
    address = str(environ.get("REMOTE_ADDR") or "")
    client = environ.get("HTTP_" + PASSED_FOR.upper().replace("-", "_"), "")
    if not client or not environ.get("HTTP_" + PASSED_ON.upper().replace("-", "_")):
        return address
    client = "".join(letter for letter in client[:45] if letter in _ADDRESS)
    return f"{client} by {address}"


class Election(Protocol):
    """What decides whether this node answers."""

    def answers(self) -> bool:
        """Tell whether this node leads and has read the state."""

    def leader(self) -> str:
        """Return the leader's host:port, empty when nobody leads."""


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """`address` is this node's own; `at_once` bounds the requests that are under way with the leader; times in
    seconds."""

    address: str
    at_once: int = 16
    connect: float = CONNECT_S
    read: float = READ_S


def passing_on(app: Wsgi, election: Election, settings: ProxySettings) -> Wsgi:
    """Let the leader answer what this node should not."""
    slots = threading.BoundedSemaphore(settings.at_once)

    def routed(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if election.answers() or _is_own(environ):
            return app(environ, start_response)
        try:
            leader = _destination(environ, election, settings.address)
            if not slots.acquire(timeout=SLOT_S):
                raise Overloaded(f"{settings.at_once} requests are under way with the leader {leader} already")
            try:
                exchange = Exchange(environ, leader, settings, slots.release)
            except BaseException:
                slots.release()
                raise
            return exchange.begin(start_response)
        except (Unavailable, BadGateway, BadRequest) as error:
            environ[REFUSAL] = error
            return app(environ, start_response)

    return routed


def _is_own(environ: dict[str, Any]) -> bool:
    """Tell whether a request is about this node. `/metrics` is in Prometheus's form, which each node is asked for;
    in Chronos's form it tells of jobs, which the leader knows."""
    path = environ.get("PATH_INFO", "")
    if path == "/metrics":
        form = parse_qs(environ.get("QUERY_STRING", "")).get("format", [None])[0]
        return prefers_prometheus(environ.get("HTTP_ACCEPT", ""), form)
    return path.rstrip("/") in OWN_PATHS or path.startswith(OWN_FILES)


def _destination(environ: dict[str, Any], election: Election, own: str) -> str:
    """Return the leader's address. Raises NotLeader when there is nowhere to go."""
    leader = election.leader()
    sender = environ.get("HTTP_" + PASSED_ON.upper().replace("-", "_"))
    if sender:
        raise NotLeader(
            f"this node does not lead; {sender[:100]} took it for the leader; the leadership may be changing"
        )
    if not leader:
        raise NotLeader("this node does not lead, and no leader is known")
    if leader == own:
        raise NotLeader(
            f"the leader is said to be {own}, which is this node, and it does not lead (yet): it is taking over, or its"
            " former process has not been given up yet, or another node has the same --hostname and --http_port"
        )
    return leader


def _target(environ: dict[str, Any]) -> str:
    """Return path and query as they were sent."""
    raw = environ.get("RAW_URI", "") or quote(environ.get("PATH_INFO", "/").encode("latin-1"))
    if not environ.get("RAW_URI") and environ.get("QUERY_STRING"):
        raw += f"?{environ['QUERY_STRING']}"
    raw = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", "", raw)  # a client that takes us for a proxy sends it whole
    raw = raw if raw.startswith(("/", "*")) else f"/{raw}"
    return quote(raw.encode("latin-1", "replace"), safe=_PLAIN)


class Exchange:
    """One request with the leader. Its slot is given back when the answer has been passed on, or given up."""

    def __init__(
        self, environ: dict[str, Any], leader: str, settings: ProxySettings, release: Callable[[], None]
    ) -> None:
        self._environ = environ
        self._leader = leader
        self._settings = settings
        self._release: Callable[[], None] | None = release
        host, _, port = leader.rpartition(":")
        self._connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=settings.connect)
        self._connection.auto_open = 0

    def begin(self, start_response: Any) -> Iterable[bytes]:
        """Send the request, and return the answer's body. Raises Unavailable when there is no answer."""
        try:
            self._connect()
            whole = self._send()
            response = self._answer(whole)
            start_response(f"{response.status} {response.reason or 'Unknown'}", _returned(response))
        except BaseException:
            self.close()
            raise
        return Body(response, self.close)

    def close(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            self._connection.close()
            release()

    def _connect(self) -> None:
        try:
            self._connection.connect()
        except OSError as error:
            reason = error.strerror or str(error)
            raise NotLeader(f"the leader {self._leader} cannot be reached ({reason}); nothing was changed") from None
        self._connection.sock.settimeout(self._settings.read)
        with suppress(OSError):
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _send(self) -> bool:
        """Send line, headers and body; tell whether the leader took all of it."""
        environ, connection = self._environ, self._connection
        method = environ["REQUEST_METHOD"]
        length = environ.get("CONTENT_LENGTH") or ""
        chunked = not length and "HTTP_TRANSFER_ENCODING" in environ
        try:
            connection.putrequest(method, _target(environ), skip_accept_encoding=True)
            for name, value in _given(environ):
                connection.putheader(name, value.encode("latin-1", "replace"))
        except (ValueError, http.client.HTTPException):  # what the library does not let into a request
            raise BadRequest from None
        connection.putheader(PASSED_ON, self._settings.address)
        connection.putheader(PASSED_FOR, environ.get("REMOTE_ADDR", ""))
        if length:
            connection.putheader("Content-Length", length)
        elif chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        try:
            connection.endheaders()
            return self._send_body(None if chunked else int(length)) if length or chunked else True
        except TimeoutError:
            raise BadGateway(f"the leader {self._leader} does not take the request; it may be carried out") from None
        except OSError:
            return False  # it may have answered before it closed

    def _send_body(self, length: int | None) -> bool:
        """Send `length` bytes, or all there are; False when the leader answers before it has them all.

        Raises BadRequest when the client sends less than it said: then the leader must not take it for the whole.
        """
        source, connection, rest = self._environ["wsgi.input"], self._connection, length
        answered = select.poll()
        answered.register(connection.sock, select.POLLIN)
        while rest is None or rest > 0:
            try:
                block = source.read(BLOCK if rest is None else min(BLOCK, rest))
            except BROKEN:
                block = b""
                rest = rest or 1
            if not block:
                break
            if answered.poll(0):
                return False
            connection.send(b"%x\r\n%b\r\n" % (len(block), block) if rest is None else block)
            rest = None if rest is None else rest - len(block)
        if rest:
            self._environ[CLOSE] = True
            raise BadRequest
        if rest is None:
            connection.send(b"0\r\n\r\n")
        return True

    def _answer(self, whole: bool) -> http.client.HTTPResponse:
        try:
            response = self._connection.getresponse()
        except TimeoutError:
            silence = f"did not answer within {self._settings.read:g} s; it may carry the request out"
            raise BadGateway(f"the leader {self._leader} {silence}") from None
        except (OSError, http.client.HTTPException) as error:
            end = f"ended without an answer ({type(error).__name__}); it may have carried the request out"
            raise BadGateway(f"the connection to the leader {self._leader} {end}") from None
        if not whole:
            self._environ[CLOSE] = True  # what the client still sends belongs to this request
        return response


class Body:
    """The leader's answer, piece by piece as it comes. One that is cut off is cut off for the client as well."""

    def __init__(self, response: http.client.HTTPResponse, close: Callable[[], None]) -> None:
        self._response = response
        self.close = close

    def __iter__(self) -> Iterator[bytes]:
        response = self._response
        try:
            while block := response.read1(BLOCK):
                yield block
            if response.length:
                raise http.client.IncompleteRead(b"", response.length)
        except (OSError, http.client.HTTPException) as error:
            log.warning("the leader's answer broke off", reason=repr(error))
            raise ConnectionResetError(errno.ECONNRESET, "the leader's answer broke off") from None


def _given(environ: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the request's headers that are the leader's business; repeated ones are joined with commas already."""
    named = {part.strip().lower() for part in environ.get("HTTP_CONNECTION", "").split(",")}
    for key, value in environ.items():
        name = key[5:] if key.startswith("HTTP_") else key if key == "CONTENT_TYPE" else ""
        name = name.replace("_", "-").title()
        if name and name.lower() not in _NOT_SENT and name.lower() not in named:
            yield name, str(value)


def _returned(response: http.client.HTTPResponse) -> list[tuple[str, str]]:
    """Return the answer's headers, repeated ones repeated."""
    named = {part.strip().lower() for part in (response.getheader("Connection") or "").split(",")}
    given = response.getheaders()
    headers = [
        (name, value) for name, value in given if name.lower() not in _NOT_RETURNED and name.lower() not in named
    ]
    if not any(name.lower() == "access-control-allow-origin" for name, _ in headers):
        headers.append(("Access-Control-Allow-Origin", "*"))  # Chronos before 2.5 did not
    return headers
