"""Connections that stay open: a refused request must not spoil the next one on the same connection."""

from __future__ import annotations

import http.client
import json
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
