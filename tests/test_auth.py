"""HTTP Basic authentication: the challenge, and who gets past it."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from typing import Any

import httplib2  # type: ignore[import-untyped]
import pytest
from werkzeug.serving import make_server
from werkzeug.test import Client

from chronos_py.api.auth import with_credentials


def an_app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"inside"]


def basic(text: str, encoding: str = "utf-8") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text.encode(encoding)).decode()}


@pytest.fixture
def client() -> Client:
    return Client(with_credentials(an_app, "user", "pass:word", "Mesosphere"))


@pytest.mark.parametrize("path", ["/", "/ping", "/metrics", "/health", "/api/runs", "/v1/scheduler/jobs", "/nowhere"])
def test_every_path_asks(client: Client, path: str):
    answer = client.get(path)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'basic realm="Mesosphere"'
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "no-store" in answer.headers["Cache-Control"]
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "401" in answer.text


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_every_method_asks(client: Client, method: str):
    answer = client.open("/v1/scheduler/jobs", method=method)
    assert answer.status_code == 401
    assert bool(answer.data) == (method != "HEAD")


@pytest.mark.parametrize(
    "headers",
    [
        basic("user:wrong"),
        basic("user:pass"),
        basic("user:pass:word "),
        basic("USER:pass:word"),
        basic("userpass:word"),
        basic(""),
        {"Authorization": ""},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic dXNlcjpwYXNzOndvcmQ"},  # right, but cut off
        {"Authorization": "Basic \xff"},
        {"Authorization": "Bearer dXNlcjpwYXNzOndvcmQ="},
        {"Authorization": "Digest username=user"},
        {"Authorization": "dXNlcjpwYXNzOndvcmQ="},
    ],
)
def test_anything_else_than_the_credentials_is_refused(client: Client, headers: dict[str, str]):
    assert client.get("/ping", headers=headers).status_code == 401


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_the_credentials_let_through(client: Client, scheme: str):
    headers = {"Authorization": f"{scheme} dXNlcjpwYXNzOndvcmQ="}
    assert client.get("/ping", headers=headers).text == "inside"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_letters_beyond_ascii_may_come_in_either_encoding(encoding: str):
    client = Client(with_credentials(an_app, "jürgen", "größe", "x"))
    assert client.get("/", headers=basic("jürgen:größe", encoding)).status_code == 200
    assert client.get("/", headers=basic("jurgen:große", encoding)).status_code == 401


def test_letters_beyond_latin_1_come_in_utf_8():
    client = Client(with_credentials(an_app, "爱奇艺", "密码", "x"))
    assert client.get("/", headers=basic("爱奇艺:密码")).status_code == 200
    assert client.get("/", headers=basic("???:??")).status_code == 401


@pytest.fixture
def url() -> Iterator[str]:
    server = make_server("127.0.0.1", 0, with_credentials(an_app, "user", "pass:word", "Mesosphere"))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_client_that_first_sends_without_credentials_understands_the_challenge(url: str):
    http = httplib2.Http()
    http.add_credentials("user", "pass:word")
    response, body = http.request(url)
    assert (response.status, body) == (200, b"inside")
    http.close()


def test_a_client_with_other_credentials_is_told_401(url: str):
    http = httplib2.Http()
    http.add_credentials("user", "other")
    response, _ = http.request(url)
    assert response.status == 401
    http.close()
