"""The form of answers: headers, bytes, compression, HEAD, what lies outside the prefix, CORS, credentials."""

from __future__ import annotations

import gzip
import http.client
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from compat_tests.conftest import Server
from compat_tests.dialects import JSON, V2, V3, Api, a_job
from compat_tests.servers.chronos import ChronosServer

READS = ["/jobs", "/jobs/search", "/job/stat/{name}", "/stats/mean", "/leader"]
TEXTS = ["/graph/csv", "/graph/dot"]


def raw(
    server: Server, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Return status, headers and the bytes as they came, nothing decoded."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    try:
        connection.request(method, path, body, {key.replace("_", "-"): value for key, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.msg, answer.read()
    finally:
        connection.close()


def test_204_has_a_media_type_and_no_body(server: Server, api: Api, name: str) -> None:
    prefix = api.dialect.prefix
    body = json.dumps(a_job(name)[1]).encode()
    for method, path, sent in (
        ("POST", "/iso8601", body),
        ("PUT", f"/job/{name}", None),
        ("DELETE", f"/task/kill/{name}", None),
        ("DELETE", f"/job/{name}", None),
    ):
        headers = {"Content_Type": JSON} if sent else {}
        status, answer, content = raw(server, method, prefix + path, sent, **headers)
        assert (status, content) == (204, b""), path
        assert answer["Content-Type"] == JSON, path
        assert answer.get("Content-Length", "0") == "0", path
        assert "Transfer-Encoding" not in answer, path


@pytest.mark.parametrize("path", READS)
def test_json_answers_are_one_compact_line(api: Api, name: str, path: str) -> None:
    api.create(name, description='ä/"\\ \U0001f600\n\t\x01', environmentVariables=[{"name": "A", "value": "b"}])
    answer = api.get(path.replace("{name}", name))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == JSON
    assert b"\n" not in answer.content
    text = answer.content.decode("utf-8")
    assert text == json.dumps(answer.json(), ensure_ascii=False, separators=(",", ":"))


def test_text_is_raw_utf8_and_slashes_are_not_escaped(api: Api, name: str) -> None:
    api.create(name, command='echo ä/\U0001f600 \x01\n\t"\\\x7f')
    text = api.get("/jobs").content.decode("utf-8")
    assert '"command":"echo ä/\U0001f600 \\u0001\\n\\t\\"\\\\\x7f"' in text


@pytest.mark.parametrize("path", TEXTS)
def test_text_answers(api: Api, name: str, path: str) -> None:
    api.create(name)
    answer = api.get(path)
    assert answer.headers["Content-Type"] == "text/plain"
    assert answer.content.endswith(b"\n")


@pytest.mark.parametrize("path", [*READS, *TEXTS])
def test_gzip_is_3x_only(server: Server, api: Api, name: str, path: str) -> None:
    api.create(name, description="long " * 2000)
    full = api.dialect.prefix + path.replace("{name}", name)
    _, _, plain = raw(server, "GET", full, Accept_Encoding="identity")
    status, answer, content = raw(server, "GET", full, Accept_Encoding="gzip")
    assert status == 200
    if api.dialect == V2:
        assert "Content-Encoding" not in answer
        assert content == plain
    elif answer.get("Content-Encoding") == "gzip":
        assert gzip.decompress(content) == plain
    else:
        assert len(plain) < 2000, "a long answer is compressed"
    assert ("Accept-Encoding" in answer.get("Vary", "")) == (api.dialect == V3)


def test_a_long_list_is_compressed_in_3x(server: Server, api: Api, name: str) -> None:
    api.create(name, description="long " * 2000)
    _, answer, _ = raw(server, "GET", f"{api.dialect.prefix}/jobs", Accept_Encoding="gzip, deflate")
    assert answer.get("Content-Encoding") == ("gzip" if api.dialect == V3 else None)
    _, answer, _ = raw(server, "GET", f"{api.dialect.prefix}/jobs", Accept_Encoding="gzip;q=0")
    assert "Content-Encoding" not in answer


@pytest.mark.parametrize("path", [*READS, *TEXTS])
def test_head_is_get_without_body(server: Server, api: Api, name: str, path: str) -> None:
    api.create(name)
    full = api.dialect.prefix + path.replace("{name}", name)
    status, answer, content = raw(server, "HEAD", full)
    _, wanted, _ = raw(server, "GET", full)
    assert (status, content) == (200, b"")
    assert answer["Content-Type"] == wanted["Content-Type"]


def test_options_names_the_methods(api: Api) -> None:
    answer = api.send("OPTIONS", "/jobs")
    assert answer.status_code == 200
    assert "GET" in [part.strip() for part in answer.headers["Allow"].split(",")]


def test_keys_keep_their_order(api: Api, name: str) -> None:
    shuffled = {"schedule": "R/2090-01-01T00:00:00Z/P1D", "owner": "a@b", "command": "true", "name": name}
    assert api.post("/iso8601", shuffled).status_code == 204
    keys = list(api.listed(name))
    assert keys[:3] == ["name", "command", "shell"]
    assert keys[-2:] == ["schedule", "scheduleTimeZone"]
    assert list(api.job(name)) == keys


def test_ping_without_origin_names_none(server: Server, session: requests.Session) -> None:
    assert "Access-Control-Allow-Origin" not in session.get(f"{server.url}/ping", timeout=30).headers


def test_ping(server: Server, session: requests.Session) -> None:
    answer = session.get(f"{server.url}/ping", headers={"Origin": "http://ui.example.org"}, timeout=30)
    assert (answer.status_code, answer.text) == (200, "pong\n")
    assert answer.headers["Content-Type"].partition(";")[0] == "text/plain"
    assert answer.headers["Cache-Control"] == "must-revalidate,no-cache,no-store"
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert answer.headers["Access-Control-Allow-Origin"] == "http://ui.example.org"


def test_metrics(server: Server, session: requests.Session) -> None:
    answer = session.get(f"{server.url}/metrics", timeout=30)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == JSON
    assert "no-cache" in answer.headers["Cache-Control"]
    document = answer.json()
    assert list(document) == ["version", "gauges", "counters", "histograms", "meters", "timers"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", document["version"])
    assert [key for key in document["gauges"] if key.endswith("TaskManager.queueSize")]
    assert [key for key in document["gauges"] if key.endswith("TaskManager.highQueueSize")]
    assert all(list(gauge) == ["value"] for gauge in document["gauges"].values())
    pretty = session.get(f"{server.url}/metrics?pretty=true", timeout=30)
    assert len(pretty.text.splitlines()) > 10
    assert list(pretty.json()) == list(document)


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/json, text/plain, */*"])
def test_metrics_are_json_unless_something_else_is_liked_better(
    server: Server, session: requests.Session, accept: str | None
) -> None:
    answer = session.get(f"{server.url}/metrics", headers={"Accept": accept} if accept else {}, timeout=30)
    assert answer.headers["Content-Type"] == JSON


def test_metrics_have_gauges_of_the_process(server: Server, session: requests.Session) -> None:
    gauges = session.get(f"{server.url}/metrics", timeout=30).json()["gauges"]
    assert [key for key in gauges if key.startswith("jvm.")]


@pytest.mark.parametrize(
    "path", ["/help", "/status", "/info", "/isMaster", "/nothing", "/scheduler2", "/v2/scheduler/jobs"]
)
def test_unknown_path_outside_the_prefix_is_a_404_page(server: Server, session: requests.Session, path: str) -> None:
    answer = session.get(server.url + path, timeout=30)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "text/html;charset=ISO-8859-1"
    assert "Not Found" in answer.text


def test_every_answer_has_the_cors_header_and_only_that(api: Api, name: str) -> None:
    answers = [api.get(path.replace("{name}", name)) for path in (*READS, *TEXTS, "/nothing")]
    answers += [api.post(*a_job(name)), api.delete(name), api.delete(name), api.text("/iso8601", "{")]
    answers += [api.send("POST", "/jobs"), api.send("POST", "/iso8601", "x", {"Content-Type": "text/plain"})]
    for answer in answers:
        assert answer.headers.get("Access-Control-Allow-Origin") == "*", (answer.request.url, answer.status_code)
        others = {key for key in answer.headers if key.lower().startswith("access-control-")}
        assert others == {"Access-Control-Allow-Origin"}, answer.request.url


def test_credentials(server: Server, tmp_path: Path) -> None:
    if not server.is_ours:
        pytest.skip("starts a server of its own")
    guarded = ChronosServer(tmp_path, "--http_credentials", "us:er:secret", "--http_realm", "a realm")
    try:
        guarded.wait()
        for path in ("/scheduler/jobs", "/v1/scheduler/jobs", "/ping", "/metrics"):
            for auth in (None, ("us:er", "wrong"), ("us", "er:wrong")):
                refused = requests.get(guarded.url + path, auth=auth, timeout=30)
                assert refused.status_code == 401, (path, auth)
                assert refused.headers["WWW-Authenticate"] == 'basic realm="a realm"'
                assert "Access-Control-Allow-Origin" not in refused.headers
                assert refused.headers["Content-Type"].startswith("text/html")
                assert "message" not in refused.text
            assert requests.get(guarded.url + path, auth=("us:er", "secret"), timeout=30).status_code == 200
    finally:
        guarded.stop()
