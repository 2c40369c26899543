"""What surrounds every endpoint: Accept, media types, bodies, methods, odd paths."""

from __future__ import annotations

import codecs
import json
from contextlib import suppress

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from chronos_py.api.backend import ApiSettings
from chronos_py.api.transport import EmptyBody, MalformedBody, json_body, quality
from tests.api.backend import JSON, FakeBackend, a_client
from tests.strategies import json_values

JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"
PROMETHEUS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


@pytest.mark.parametrize(
    ("header", "liked"),
    [
        ("", 1.0), (" , ,", 1.0), ("*/*", 1.0), ("*", 1.0), ("application/*", 1.0), ("application/json", 1.0),
        ("APPLICATION/JSON", 1.0), ("application/json;charset=utf-8", 1.0), ("application/json ; q = 0.5", 0.5),
        (JAVA, 0.2), ("text/html, */*;q=0.1", 0.1), ("application/json;q=0, */*", 0.0),
        ("*/*, application/json;q=0", 0.0),
        ("text/plain", 0.0), ("text/*", 0.0), ("application/jsonx", 0.0), ("application/json;q=x", 1.0),
        ("application/json;q=9", 1.0), ("application/json;q=-1", 1.0), ("application/json;q=", 1.0), ("a/b;q=x", 0.0),
        (";;;,/,q=1", 0.0),
    ],
)  # fmt: skip
def test_how_much_a_client_likes_json(header, liked):
    assert quality(header, JSON) == liked


@given(st.text(alphabet=st.characters(max_codepoint=255)))
def test_no_accept_header_is_too_odd(header):
    assert 0.0 <= quality(header, JSON) <= 1.0


def body_of(data, **options):
    app = Flask("bodies")
    with app.test_request_context("/", method="POST", data=data, content_type=JSON, **options):
        return json_body()


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("document", [{"name": "äß\U0001f600"}, [1], {"a": {}}])
def test_the_encoding_is_found_out(encoding, document):
    assert body_of(json.dumps(document, ensure_ascii=False).encode(encoding)) == document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a":1,"a":2}', {"a": 2}), ('{"a":1} trailing', {"a": 1}), ('{"a":1}{"b":2}', {"a": 1}), ("[]x", []),
        (' \n{"a":1}\n', {"a": 1}), ('"a"', "a"), ("5", 5), ("true", True),
        ('{"a":' + "1" * 400 + "}", {"a": int("1" * 400)}),
    ],
)  # fmt: skip
def test_what_is_read(text, value):
    assert body_of(text.encode()) == value


@pytest.mark.parametrize("data", [b"", b" \n\t ", b"null", b" null ", codecs.BOM_UTF8, b"null trailing"])
def test_what_counts_as_an_empty_body(data):
    with pytest.raises(EmptyBody):
        body_of(data)


@pytest.mark.parametrize(
    "data",
    [
        b"{", b"[1,", b"{'a':1}", b'{"a":1,}', b"[1,]", b"// no\n{}", b'{"a":NaN}', b'{"a":Infinity}', b"-Infinity",
        b"nan", b'{"a":"\xff"}', b"\xc3\x28", b'{"a":\x00}', b"\x00\x00\x00", b"[" * 100_000, b'{"a":' * 100_000,
        b"9" * 10_000,
        b'{"a":01}', b"\xff\xfe\x00", b'{"a":"\n"}', b"{a:1}", b"TRUE",
    ],
    ids=range(22),
)  # fmt: skip
def test_what_is_malformed(data):
    with pytest.raises(MalformedBody):
        body_of(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_refused(data):
    with suppress(EmptyBody, MalformedBody):
        assert body_of(data) is not None


@given(json_values.filter(lambda value: value is not None))
def test_any_value_is_read_as_sent(value):
    assert body_of(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("method", "path", "start"),
    [
        ("POST", "/scheduler/iso8601", "the body is"),
        ("POST", "/v1/scheduler/iso8601", '{"message":"the body is'),
        ("PATCH", "/api/jobs/a", '{"error": {"code": "too_large"'),
    ],
)
def test_a_body_has_a_greatest_size(method, path, start):
    client = a_client(FakeBackend(), ApiSettings(largest_body=100))
    answer = client.open(path, method=method, data=b" " * 101, content_type=JSON)
    assert (answer.status_code, answer.headers["Content-Type"]) == (413, JSON)
    assert answer.text.startswith(start)
    assert client.open(path, method=method, data=b" " * 100, content_type=JSON).status_code in (400, 500)


@pytest.mark.parametrize("length", ["5", "1000"])
def test_a_body_that_was_cut_off_is_no_request(length):
    client = a_client(FakeBackend())
    overrides = {"CONTENT_LENGTH": length}
    answer = client.post("/scheduler/iso8601", data=b"{}", content_type=JSON, environ_overrides=overrides)
    assert (answer.status_code, answer.data) == (400, b"")


TYPES = {
    None: {"jobs": 200, "run": 400, "iso8601": 415, "dependency": 415, "kill": 400, "stats": 200},
    JSON: {"jobs": 200, "run": 400, "iso8601": 500, "dependency": 500, "kill": 400, "stats": 200},
    "application/json; charset=utf-16": {"jobs": 200, "run": 400, "iso8601": 500, "dependency": 500, "kill": 400},
    "text/json": {"jobs": 415, "run": 415, "iso8601": 415, "dependency": 500, "kill": 400, "stats": 200},
    "application/x+json": {"jobs": 415, "run": 415, "iso8601": 415, "dependency": 500, "kill": 400, "stats": 200},
    "application/javascript": {"jobs": 415, "run": 415, "iso8601": 415, "dependency": 500, "kill": 400, "stats": 200},
    "text/plain": {"jobs": 415, "run": 415, "iso8601": 415, "dependency": 415, "kill": 400, "stats": 200},
    "application/x-www-form-urlencoded": {"jobs": 415, "run": 415, "iso8601": 415, "dependency": 415, "kill": 400},
    "nonsense": {"jobs": 415, "run": 415, "iso8601": 415, "dependency": 415, "kill": 400, "stats": 200},
}
REQUESTS = {
    "jobs": ("GET", "/jobs"),
    "run": ("PUT", "/job/nobody"),
    "iso8601": ("POST", "/iso8601"),
    "dependency": ("POST", "/dependency"),
    "kill": ("DELETE", "/task/kill/nobody"),
    "stats": ("GET", "/stats/mean"),
}


@pytest.mark.parametrize(
    ("media", "endpoint", "status"),
    [(media, endpoint, status) for media, row in TYPES.items() for endpoint, status in row.items()],
)
def test_media_types_by_endpoint(media, endpoint, status):
    method, path = REQUESTS[endpoint]
    answer = a_client(FakeBackend()).open(f"/v1/scheduler{path}", method=method, content_type=media)
    assert answer.status_code == status
    if status == 415:
        assert (answer.data, answer.headers.get("Content-Type")) == (b"", None)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_body_without_a_media_type_is_refused(method):
    answer = a_client(FakeBackend()).open("/v1/scheduler/job/a", method=method, data=b"{}", content_type=None)
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/jobs/", 200), ("/jobs;a=b", 200), ("/jobs;a=b/search;c", 200), ("/jobs/search/", 200), ("//jobs", 404),
        ("/jobs//search", 404), ("", 404), ("/", 404), ("/job/", 404), ("/job/%2e%2e", 400), ("/job/%ff", 400),
        ("/job/" + "a" * 5000, 400), ("/graph", 404), ("/JOBS", 404),
    ],
)  # fmt: skip
def test_paths(path, status):
    assert a_client(FakeBackend()).get(f"/v1/scheduler{path}").status_code == status


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a%2Fb", "a%2Fb"), ("a%2fb;x=y", "a%2Fb"), ("a%3Bb", "a;b"), ("a;b", "a"), ("%3B", ";"), ("a%2Bb+c", "a+b+c"),
        ("%C3%A4;x", "ä"), ("a%253Bb", "a%3Bb"), ("%2e%2e%2f", "..%2F"), ("a%20b", "a b"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("prefix", ["/scheduler", "/v1/scheduler"])
def test_a_path_is_split_before_it_is_decoded(prefix, path, name):
    answer = a_client(FakeBackend()).delete(f"{prefix}/job/{path}")
    assert answer.status_code == 400
    assert f"'{name}' not found" in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"])
def test_a_wrong_method_is_told_the_right_ones(method):
    answer = a_client(FakeBackend()).open("/v1/scheduler/jobs", method=method, content_type=JSON)
    assert (answer.status_code, answer.data) == (405, b"")
    assert set(answer.headers["Allow"].split(",")) == {"GET", "HEAD", "OPTIONS"}


def test_head_and_options():
    client = a_client(FakeBackend())
    head = client.head("/v1/scheduler/jobs")
    assert (head.status_code, head.data, head.headers["Content-Type"]) == (200, b"", JSON)
    options = client.options("/scheduler/iso8601")
    assert (options.status_code, options.data, options.headers.get("Content-Type")) == (200, b"", None)
    assert options.headers["Allow"] == "OPTIONS,POST,PUT"


def test_cors_on_everything_but_ping():
    client = a_client(FakeBackend())
    for path in ("/scheduler/jobs", "/v1/scheduler/nothing", "/api/jobs", "/nothing", "/health", "/metrics"):
        assert client.get(path).headers["Access-Control-Allow-Origin"] == "*", path
    assert "Access-Control-Allow-Origin" not in client.get("/ping").headers
