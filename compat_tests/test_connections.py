"""Connections that stay open: a refused request must not spoil the next one on the same connection."""

from __future__ import annotations

import http.client
import json
import socket
from urllib.parse import urlsplit

import pytest

from compat_tests.conftest import Server
from compat_tests.dialects import JSON, Api, a_job

SMALL, LARGE = 100, 200_000
REFUSED = [
    ("DELETE", "/iso8601", JSON, 405),
    ("POST", "/iso8601", "text/plain", 415),
    ("POST", "/dependency", "text/plain", 415),
    ("POST", "/nothing", JSON, 404),
    ("POST", "/iso8601", JSON, 400),
]


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize(("method", "path", "media", "status"), REFUSED)
def test_a_refused_body_leaves_the_connection_usable_or_says_that_it_closes(
    server: Server, api: Api, method: str, path: str, media: str, status: int, size: int
) -> None:
    body = json.dumps(a_job("not a name!/", description="x" * size)[1])
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    try:
        connection.request(method, api.dialect.prefix + path, body, {"Content-Type": media})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
        if (answer.getheader("Connection") or "").lower() == "close":
            return
        connection.auto_open = 0
        connection.request("GET", f"{api.dialect.prefix}/jobs")
        following = connection.getresponse()
        following.read()
        assert following.status == 200
    finally:
        connection.close()


def test_many_requests_on_one_connection(server: Server, api: Api, name: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    try:
        for number in range(200):
            document = json.dumps(a_job(f"{name}-{number % 5}", command=f"echo {number}")[1])
            connection.request("POST", f"{api.dialect.prefix}/iso8601", document, {"Content-Type": JSON})
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (204, b"")
            connection.request("GET", f"{api.dialect.prefix}/jobs/search?name={name}-{number % 5}")
            answer = connection.getresponse()
            assert json.loads(answer.read())[0]["command"] == f"echo {number}"
    finally:
        connection.close()


BROKEN = [
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}",
    b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"a\r\n',
    b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"abcX\r\n0\r\n\r\n',
    b"Content-Length: -5\r\n\r\n{}",
    b"Content-Length: x\r\n\r\n{}",
]


@pytest.mark.parametrize("rest", BROKEN)
def test_broken_framing_is_the_clients_fault_and_ends_the_connection(server: Server, api: Api, rest: bytes) -> None:
    received = exchange(server, head(api) + rest)
    if received:
        assert received.startswith(b"HTTP/1.1 4"), received[:300]
        assert b"\r\nconnection: close\r\n" in received.lower(), received[:300]


def test_a_document_that_was_cut_off_makes_no_job(server: Server, api: Api, name: str) -> None:
    document = json.dumps(a_job(name)[1]).encode()
    exchange(server, head(api) + b"Content-Length: %d\r\n\r\n" % (len(document) + 50) + document)
    assert api.find(name) is None


def test_a_chunked_document_is_read(server: Server, api: Api, name: str) -> None:
    document = json.dumps(a_job(name)[1]).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (document[:10], document[10:]))
    received = exchange(server, head(api) + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 204 ")
    assert api.find(name) is not None


def head(api: Api) -> bytes:
    """Return the start of a request that creates a job, without the header of its length."""
    return f"POST {api.dialect.prefix}/iso8601 HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\n".encode()


def exchange(server: Server, stream: bytes) -> bytes:
    """Send the bytes, say that no more come, and return what is answered."""
    parts = urlsplit(server.url)
    received = b""
    with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=10) as connection:
        connection.sendall(stream)
        connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65536):
            received += part
    return received
