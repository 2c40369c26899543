"""Our http-parser under pymesos's own reading loop, and alone."""

from __future__ import annotations

import itertools
import json
import select
import socket
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from http_parser.http import Errno, HttpParser
from hypothesis import given
from hypothesis import strategies as st
from pymesos.process import Connection

EVENTS = [{"type": "SUBSCRIBED"}, {"type": "HEARTBEAT"}, {"type": "UPDATE", "note": "größer\n12\n"}]


def record_io(events: Iterable[dict[str, Any]]) -> bytes:
    records = [json.dumps(event, ensure_ascii=False).encode() for event in events]
    return b"".join(b"%d\n%s" % (len(record), record) for record in records)


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def response(status: str, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


SUBSCRIBED = response(
    "200 OK", Transfer_Encoding="chunked", mesos_stream_id="130ae4e3", Content_Type="application/json"
)
STREAM = SUBSCRIBED + chunked(record_io(EVENTS), 7)


def fed(*pieces: bytes) -> HttpParser:
    parser = HttpParser()
    for piece in pieces:
        assert parser.execute(piece, len(piece)) == len(piece), parser.get_errno()
    return parser


def splits(whole: bytes) -> st.SearchStrategy[list[bytes]]:
    def cut(places: set[int]) -> list[bytes]:
        edges = [0, *sorted(places), len(whole)]
        return [whole[start:end] for start, end in itertools.pairwise(edges)]

    return st.sets(st.integers(1, len(whole) - 1)).map(cut)


class Subscriber:
    """What pymesos's Process is to its Connection."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.stream_id: str | None = None
        self.new_master: str | None = None

    def gen_request(self) -> bytes:
        return b"POST /api/v1/scheduler HTTP/1.1\r\n\r\n"

    def process_event(self, event: dict[str, Any]) -> None:
        self.events.append(event)

    def change_master(self, new_master: str) -> None:
        self.new_master = new_master

    def on_close(self) -> None:
        pass


class Exchange:
    """pymesos's Connection to a server of ours, turned by hand: each piece is sent, then read."""

    def __init__(self, server: socket.socket) -> None:
        self.subscriber = Subscriber()
        host, port = server.getsockname()
        self.connection = Connection(f"{host}:{port}", self.subscriber)
        self.peer, _ = server.accept()
        self.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def receive(self, piece: bytes) -> bool:
        """Let the connection read `piece` and return whether it wants to go on."""
        self.peer.sendall(piece)
        return self._read(len(piece))

    def end(self) -> bool:
        self.peer.shutdown(socket.SHUT_WR)
        return self._read(1)

    def _read(self, count: int) -> bool:
        goes_on = True
        for _ in range(0, count, select.PIPE_BUF):
            readable, _, _ = select.select([self.connection.fileno()], [], [], 5)
            assert readable
            goes_on = self.connection.read()
        return goes_on

    def close(self) -> None:
        self.connection.close()
        self.peer.close()


@pytest.fixture(scope="module")
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def exchange(server: socket.socket) -> Iterator[Exchange]:
    one = Exchange(server)
    yield one
    one.close()


def test_pymesos_reads_a_stream_cut_anywhere(server):
    for cut in range(1, len(STREAM)):
        exchange = Exchange(server)
        assert exchange.receive(STREAM[:cut])
        assert exchange.receive(STREAM[cut:])
        assert exchange.subscriber.events == EVENTS, f"cut at {cut}"
        assert exchange.subscriber.stream_id == "130ae4e3"
        exchange.close()


def test_pymesos_reads_a_stream_byte_by_byte(exchange):
    assert all(exchange.receive(bytes([byte])) for byte in STREAM)
    assert exchange.subscriber.events == EVENTS


def test_pymesos_reads_an_event_larger_than_one_read(exchange):
    offers = {"type": "OFFERS", "offers": ["x" * 1000] * 100}
    assert exchange.receive(SUBSCRIBED + chunked(record_io([offers]), 9000))
    assert exchange.subscriber.events == [offers]


def test_pymesos_sees_the_end_of_the_stream(exchange):
    assert exchange.receive(STREAM)
    assert not exchange.receive(b"0\r\n\r\n")
    assert exchange.subscriber.events == EVENTS


def test_pymesos_sees_the_end_of_the_connection(exchange):
    assert exchange.receive(STREAM)
    assert not exchange.end()


@pytest.mark.parametrize("location", ["//10.0.0.7:5050", "http://10.0.0.7:5050/api/v1/scheduler", "10.0.0.7:5050"])
def test_pymesos_follows_a_redirect_to_the_leading_master(exchange, location):
    assert not exchange.receive(response("307 Temporary Redirect", location=location, Content_Length="0"))
    assert exchange.subscriber.new_master == "10.0.0.7:5050"


def test_pymesos_leaves_a_master_that_is_not_available(exchange):
    assert not exchange.receive(response("503 Service Unavailable", Content_Length="0"))


def test_pymesos_reports_a_refusal_with_its_text(exchange):
    with pytest.raises(RuntimeError, match="Failed with HTTP 403: b'no such principal'"):
        exchange.receive(response("403 Forbidden", b"no such principal", Content_Length="17"))


def test_pymesos_refuses_a_response_that_is_no_stream(exchange):
    with pytest.raises(RuntimeError, match="not chunked"):
        exchange.receive(response("200 OK", b"{}", Content_Length="2"))


def test_pymesos_reports_a_malformed_response(exchange):
    with pytest.raises(RuntimeError, match="Failed to parse, code:29"):
        exchange.receive(b"SSH-2.0-OpenSSH_9.2\r\n")


@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=9)), max_size=5), st.integers(1, 50), st.data())
def test_every_split_gives_the_same_body(events, size, data):
    body = record_io(events)
    pieces = data.draw(splits(SUBSCRIBED + chunked(body, size) + b"0\r\n\r\n"))
    parser = HttpParser()
    received = b""
    for piece in pieces:
        assert parser.execute(piece, len(piece)) == len(piece)
        received += parser.recv_body()
    assert received == body
    assert parser.is_message_complete()
    assert parser.is_chunked()
    assert parser.get_status_code() == 200


@given(st.binary(min_size=1, max_size=200), st.booleans())
def test_no_bytes_raise(noise, after_headers):
    parser = HttpParser()
    whole = SUBSCRIBED + noise if after_headers else noise
    parsed = parser.execute(whole, len(whole))
    assert (parsed == len(whole)) == (parser.get_errno() == Errno.OK)
    assert parser.execute(b"", 0) in (0, 1)


def test_nothing_is_known_before_the_first_byte():
    parser = HttpParser()
    assert not parser.is_message_begin()
    assert not parser.is_headers_complete()
    assert not parser.is_partial_body()
    assert (parser.get_status_code(), parser.get_version(), dict(parser.get_headers())) == (0, (0, 0), {})
    assert parser.execute(b"", 0) == 0
    assert parser.get_errno() == Errno.OK


def test_headers_are_found_in_any_case_and_listed_as_sent():
    headers = fed(response("200 OK", X_Any="é", Content_Length="0")).get_headers()
    assert headers["CONTENT-LENGTH"] == headers["content-length"] == "0"
    assert list(headers)[1] == "Content-Length"


def test_repeated_headers_are_joined():
    parser = fed(b"HTTP/1.1 200 OK\r\nVia: a\r\nX: \r\nvia: b\r\nContent-Length: 0\r\n\r\n")
    assert dict(parser.get_headers()) == {"Via": "a, b", "X": "", "Content-Length": "0"}


def test_a_body_of_given_length_ends_with_its_last_byte():
    parser = fed(response("400 Bad Request", b"abc", Content_Length="5"))
    assert parser.is_partial_body()
    assert not parser.is_message_complete()
    assert parser.recv_body() == b"abc"
    assert not parser.is_partial_body()
    parser.execute(b"de", 2)
    assert parser.recv_body() == b"de"
    assert parser.is_message_complete()
    assert not parser.is_chunked()


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_response_without_body_ends_with_its_headers(status):
    parser = fed(response(status, Server="libprocess"))
    assert parser.is_message_complete()
    assert parser.recv_body() == b""


def test_a_body_of_unknown_length_ends_with_the_connection():
    parser = fed(response("200 OK", b"abc"))
    assert not parser.is_message_complete()
    assert parser.execute(b"", 0) == 0
    assert parser.is_message_complete()
    assert parser.recv_body() == b"abc"


@pytest.mark.parametrize("begun", [b"HTTP/1.1 2", STREAM, response("200 OK", b"abc", Content_Length="5")])
def test_a_connection_closed_early_is_an_error(begun):
    parser = fed(begun)
    assert parser.execute(b"", 0) != 0
    assert parser.get_errno() == Errno.INVALID_EOF_STATE
    assert not parser.is_message_complete()


def test_an_interim_response_is_passed_over():
    parser = fed(response("100 Continue", X="1"))
    assert not parser.is_headers_complete()
    parser = fed(response("100 Continue", X="1") + response("202 Accepted", Content_Length="0"))
    assert parser.get_status_code() == 202
    assert list(parser.get_headers()) == ["Content-Length"]
    assert parser.is_message_complete()


@pytest.mark.parametrize("rest", [b"garbage", response("500 Oops", b"x", Content_Length="1")])
@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_what_follows_the_response_is_ignored(rest, connection):
    first = response("200 OK", b"abc", Content_Length="3", Connection=connection)
    for pieces in ([first + rest], [first, rest]):
        parser = fed(*pieces)
        assert parser.get_status_code() == 200
        assert parser.recv_body() == b"abc"
        assert parser.get_headers()["content-length"] == "3"


def test_a_switch_of_protocols_ends_the_response():
    parser = fed(response("101 Switching Protocols", b"\x00\x01", Upgrade="x", Connection="upgrade"))
    assert parser.is_upgrade()
    assert parser.is_message_complete()
    assert parser.recv_body() == b""


@pytest.mark.parametrize(
    ("malformed", "errno"),
    [
        (b"GET / HTTP/1.1\r\n", Errno.UNKNOWN),
        (b"HTTP/1.1 9x OK\r\n", Errno.INVALID_STATUS),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n", Errno.UNKNOWN),
        (response("200 OK", Content_Length="many"), Errno.UNKNOWN),
        (SUBSCRIBED + b"xyz\r\n", Errno.UNKNOWN),
        (SUBSCRIBED + b"1\r\nab\r\n", Errno.UNKNOWN),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, Errno.HEADER_OVERFLOW),
    ],
)
def test_a_malformed_response_is_an_error_and_stays_one(malformed, errno):
    parser = HttpParser()
    assert parser.execute(malformed, len(malformed)) != len(malformed)
    assert parser.get_errno() == errno
    assert parser.execute(b"0\r\n\r\n", 5) != 5
    assert parser.get_errno() == errno


def test_only_the_given_length_is_parsed():
    parser = HttpParser()
    whole = response("200 OK", b"abcXYZ", Content_Length="6")
    assert parser.execute(whole, len(whole) - 3) == len(whole) - 3
    assert parser.recv_body() == b"abc"


def test_a_body_can_be_received_into_a_buffer():
    parser = fed(response("200 OK", b"abcde", Content_Length="5"))
    buffer = bytearray(3)
    assert parser.recv_body_into(buffer) == 3
    assert buffer == b"abc"
    assert parser.is_partial_body()
    assert parser.recv_body_into(buffer) == 2
    assert buffer == b"dec"
    assert not parser.is_partial_body()


def test_the_connection_may_be_used_again_only_if_both_agree():
    assert fed(response("200 OK", Content_Length="0")).get_version() == (1, 1)
    assert fed(response("200 OK", b"abc", Content_Length="5")).should_keep_alive()
    assert not fed(response("200 OK", b"abc", Content_Length="5", Connection="close")).should_keep_alive()


def test_requests_are_not_parsed():
    with pytest.raises(ValueError, match="only responses"):
        HttpParser(kind=0)
