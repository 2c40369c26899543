"""What holds for every endpoint: paths, media types, methods, the form of answers, and what lies outside the prefix."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

import pytest
import requests

from compat_tests.conftest import Server
from compat_tests.dialects import FAR, JSON, Api, a_job

FORM = "application/x-www-form-urlencoded"
TYPED = [
    ("GET", "/jobs"),
    ("GET", "/jobs/search"),
    ("GET", "/job/stat/{name}"),
    ("PUT", "/job/{name}"),
    ("PUT", "/job/success/{name}"),
    ("DELETE", "/job/{name}"),
    ("GET", "/graph/dot"),
    ("GET", "/graph/csv"),
    ("POST", "/iso8601"),
    ("POST", "/dependency"),
    ("POST", "/job/{name}/task/ct:1:0:{name}:/progress"),
]
BODIES = ("POST /iso8601", "POST /dependency", "POST /job/{name}/task/ct:1:0:{name}:/progress")
UNTYPED = [("DELETE", "/task/kill/{name}", 204), ("GET", "/stats/mean", 200), ("GET", "/leader", 200)]


def plain(answer: requests.Response) -> requests.Response:
    assert answer.content == b"", answer.text[:300]
    return answer


@pytest.mark.parametrize(("method", "path"), TYPED, ids=lambda part: part.strip("/"))
@pytest.mark.parametrize("media", [FORM, "text/plain", "application/octet-stream", "multipart/form-data", "nonsense"])
def test_wrong_media_type_is_415(api: Api, name: str, method: str, path: str, media: str) -> None:
    api.create(name)
    body = json.dumps(a_job(f"{name}-new")[1]) if method == "POST" else None
    answer = plain(api.send(method, path.replace("{name}", name), body, {"Content-Type": media}))
    assert answer.status_code == 415
    assert api.find(name) is not None
    assert api.find(f"{name}-new") is None


@pytest.mark.parametrize("endpoint", BODIES)
def test_a_body_without_media_type_is_415(api: Api, name: str, endpoint: str) -> None:
    api.create(name)
    method, path = endpoint.split()
    answer = plain(api.send(method, path.replace("{name}", name), json.dumps(a_job(f"{name}-new")[1])))
    assert answer.status_code == 415


def test_callback_without_media_type_is_415(api: Api, name: str) -> None:
    answer = plain(api.send("PUT", f"/task/ct:1:0:{name}:", '{"statusCode":0}'))
    assert answer.status_code == (404 if api.dialect.is_v3 else 415)


@pytest.mark.parametrize(("method", "path", "status"), UNTYPED, ids=lambda part: str(part).strip("/"))
@pytest.mark.parametrize("media", [None, JSON, FORM, "text/plain"])
def test_endpoints_that_take_any_media_type(
    api: Api, name: str, method: str, path: str, status: int, media: str | None
) -> None:
    api.create(name)
    headers = {"Content-Type": media} if media else {}
    assert api.send(method, path.replace("{name}", name), None, headers).status_code == status


@pytest.mark.parametrize("media", [JSON, "application/json; charset=utf-8", "application/json;charset=UTF-8"])
@pytest.mark.parametrize(("method", "path"), TYPED[:8], ids=lambda part: part.strip("/"))
def test_json_media_type_without_body_is_fine(api: Api, name: str, method: str, path: str, media: str) -> None:
    api.create(name)
    answer = api.send(method, path.replace("{name}", name), None, {"Content-Type": media})
    assert answer.status_code in (200, 204)


@pytest.mark.parametrize(
    "media", ["application/json; charset=utf-8", "application/json;charset=UTF-8", "Application/JSON"]
)
def test_json_with_parameters_is_read(api: Api, name: str, media: str) -> None:
    body = json.dumps({"name": name, "command": "echo ä", "schedule": FAR}, ensure_ascii=False)
    assert api.send("POST", "/iso8601", body, {"Content-Type": media}).status_code == 204
    assert api.job(name)["command"] == "echo ä"


@pytest.mark.parametrize("media", ["text/json", "x/y+json", "application/javascript"])
def test_the_dependency_endpoint_takes_relatives_of_json(api: Api, name: str, media: str) -> None:
    api.create(name)
    child = json.dumps({"name": f"{name}-child", "command": "true", "parents": [name]})
    assert api.send("POST", "/dependency", child, {"Content-Type": media}).status_code == 204
    body = json.dumps({"name": f"{name}-other", "command": "true", "schedule": FAR})
    assert plain(api.send("POST", "/iso8601", body, {"Content-Type": media})).status_code == 415


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("/jobs", "text/plain", 406),
        ("/jobs/search", "text/html", 406),
        ("/leader", "text/plain", 406),
        ("/stats/mean", "text/plain", 406),
        ("/graph/csv", JSON, 406),
        ("/graph/dot", JSON, 406),
        ("/jobs", JSON, 200),
        ("/jobs", "application/*", 200),
        ("/jobs", "*/*", 200),
        ("/jobs", "text/html, */*; q=0.1", 200),
        ("/jobs", "text/html, application/json;q=0.9", 200),
        ("/jobs", "application/json; charset=utf-8", 200),
        ("/jobs", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", 200),  # Java's own default
        ("/jobs", "application/json;q=0", 406),
        ("/graph/csv", "text/plain", 200),
        ("/graph/csv", "text/plain;charset=utf-8", 200),
        ("/graph/csv", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", 200),
        ("/graph/dot", "text/*", 200),
    ],
)
def test_accept(api: Api, path: str, accept: str, status: int) -> None:
    answer = api.get(path, Accept=accept)
    assert answer.status_code == status
    if status == 406:
        plain(answer)


def test_accept_may_be_missing(server: Server, api: Api) -> None:
    status, _ = raw(server, f"{api.dialect.prefix}/jobs")
    assert status == 200


def raw(server: Server, path: str, method: str = "GET", **headers: str) -> tuple[int, http.client.HTTPMessage]:
    """Send exactly these headers (and Host); the path is not touched."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for key, value in headers.items():
            connection.putheader(key.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.msg
    finally:
        connection.close()


def methods(api: Api) -> list[tuple[str, str, set[str]]]:
    create = {"POST"} if api.dialect.is_v3 else {"POST", "PUT"}
    job = {"GET", "PUT", "DELETE"} if api.dialect.is_v3 else {"PUT", "DELETE"}
    found = [
        ("/jobs", "POST", {"GET"}),
        ("/jobs/search", "DELETE", {"GET"}),
        ("/iso8601", "DELETE", create),
        ("/iso8601", "GET", create),
        ("/dependency", "GET", create),
        ("/job/x", "POST", job),
        ("/job/stat/x", "PUT", {"GET"}),
        ("/job/success/x", "DELETE", {"PUT"}),
        ("/task/kill/x", "GET", {"DELETE"}),
        ("/graph/csv", "POST", {"GET"}),
        ("/stats/mean", "POST", {"GET"}),
        ("/leader", "PUT", {"GET"}),
    ]
    if api.dialect.is_v3:
        found += [("/iso8601", "PUT", {"POST"}), ("/dependency", "PUT", {"POST"}), ("/jobs/summary", "PUT", {"GET"})]
    else:
        found += [("/job/x", "GET", {"PUT", "DELETE"})]
    return found


def test_wrong_method_is_405_with_allow(api: Api) -> None:
    for path, method, allowed in methods(api):
        answer = plain(api.send(method, path, None, {"Content-Type": JSON}))
        assert answer.status_code == 405, (method, path, answer.status_code)
        listed = answer.headers["Allow"]
        assert " " not in listed, (method, path, listed)
        assert set(listed.split(",")) - {"HEAD", "OPTIONS"} == allowed, (method, path, listed)


@pytest.mark.parametrize("path", ["/nothing", "/jobs/nothing", "/graph", "/graph/png", "/job", "/stats", "/iso8601/x"])
def test_unknown_path_below_the_prefix_is_an_empty_404(api: Api, path: str) -> None:
    answer = plain(api.get(path))
    assert answer.status_code == 404


def test_summary_is_3x_only(api: Api) -> None:
    assert api.get("/jobs/summary").status_code == (200 if api.dialect.is_v3 else 404)


@pytest.mark.parametrize("path", ["/jobs", "/jobs/search", "/graph/csv", "/graph/dot", "/stats/mean", "/leader"])
def test_trailing_slash_and_matrix_parameters(server: Server, api: Api, path: str) -> None:
    for variant in (f"{path}/", f"{path};a=b", f"{path};a=b;c"):
        status, _ = raw(server, api.dialect.prefix + variant)
        assert status == 200, variant


def test_trailing_slash_on_writes(api: Api, name: str) -> None:
    assert api.text("/iso8601/", json.dumps(a_job(name)[1])).status_code == 204
    assert api.send("DELETE", f"/job/{name}/").status_code == 204
