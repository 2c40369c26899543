"""A thousand and more requests that nobody should send: refused as the contract says, and nothing has changed after."""

from __future__ import annotations

import http.client
import json
import random
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from compat_tests.lines import FAR, V2, V3, Target

SEED, COUNT = 20_261_124, 1500
GROWTH_MIB = 32
FIELDS = (
    "name", "command", "schedule", "scheduleTimeZone", "parents", "epsilon", "retries", "cpus", "mem", "disk", "owner",
    "disabled", "shell", "async", "container", "constraints", "fetch", "uris", "environmentVariables", "arguments",
    "runAsUser", "successCount", "lastSuccess", "maxCompletionTime", "priority", "retryDelay", "retryBackoff", "catchUp",
    "onUncertain", "killGrace", "highPriority", "concurrent", "gpus", "ports", "avoidFailedAgents", "labels",
    "preemptible",
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 10**30, -(10**40), 10**400, 1e308, "", " ", "\0", "x" * 100_000, "\ud800", "é\u2028",
    [], {}, [[]], [{}], [None], [1, "a", {}], {"a": {"b": []}}, [["a", "LIKE", "("]], [["a", "EQUALS"]], [["a"]],
    "R/9999999999-01-01T00:00:00Z/P1D", "R/2014-13-41/P1D", "R-1//P1D", "R//P99999999999D", "R" + "9" * 400 + "//P1D",
    "P1Y" * 500, {"image": 5}, {"image": "a", "network": []}, {"image": "a", "volumes": [{}]}, "../../etc/passwd",
    "<script>alert(1)</script>", "${jndi:ldap://x}", "'; DROP TABLE jobs; --", "%00", "R5/2026-01-01T25:00:00Z/PT0S",
)  # fmt: skip
RAW = (
    b"", b"   ", b"null", b"[", b"{", b'{"a"', b'{"a":}', b"{'a':1}", b'{"name":NaN}', b'{"name":Infinity}', b"\xff\xfe\x00",
    b'{"name":"\xc3\x28"}', b"[" * 100_000, b'{"a":' * 50_000, b"\x00" * 1000, b"<xml/>", b"name=a&command=b", b"9" * 10_000,
    b'{"name":"a","name":' + b"1" * 5000 + b"}", b"// comment\n{}", b'{"name":"a",}', "{}".encode("utf-16-le") + b"\x00",
)  # fmt: skip
TYPES = ("application/json", "application/json; charset=utf-16", "text/plain", "application/x-www-form-urlencoded",
         "multipart/form-data; boundary=x", "x", "application/xml", "")  # fmt: skip
PATHS = (
    "/iso8601", "/dependency", "/job/%00", "/job/" + "a" * 3000, "/job/..%2f..%2fetc", "/job/a%0d%0ab", "/task/kill/%ff",
    "/job/stat/%F0%28%8C%28", "/jobs/search?limit=-1&offset=-99999999999999", "/jobs/search?name=%ff%fe", "/stats/" + "9" * 500,
    "/job/a/task/b/progress", "//jobs", "/jobs;x=y;z", "/job/%7B%7B7*7%7D%7D", "/graph/dot?x=" + "y" * 2000, "/leader/x",
)  # fmt: skip
METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW")
CONTRACT = ("/iso8601", "/dependency", "/task/", "/progress")  # where a 500 is what the original answers


def a_request(rng: random.Random) -> tuple[str, str, bytes, dict[str, str]]:
    """Return method, path, body and headers of a request that creates nothing: its job name or document is broken."""
    prefix = rng.choice((V2.prefix, V3.prefix, "/api", ""))
    kind = rng.randrange(4)
    headers = {"Content-Type": "application/json"}
    if kind == 0:
        document: dict[str, Any] = {"name": "malformed job !", "command": "true", "schedule": FAR, "disabled": True}
        for field in rng.sample(FIELDS, rng.randrange(1, 4)):
            if field != "name":
                document[field] = rng.choice(ODD)
        body = json.dumps(document).encode("utf-8", "surrogatepass")
        return "POST", rng.choice((V2.prefix, V3.prefix)) + rng.choice(("/iso8601", "/dependency")), body, headers
    if kind == 1:
        return rng.choice(("POST", "PUT")), prefix + rng.choice(("/iso8601", "/dependency")), rng.choice(RAW), headers
    if kind == 2:
        headers["Content-Type"] = rng.choice(TYPES)
        headers["Accept"] = rng.choice(("*/*", "text/html", "a/b;q=x", "application/json", ",,,"))
    path = (
        prefix + rng.choice(PATHS)
        if rng.random() < 0.8
        else rng.choice(("/api/runs?limit=x", "/api/runs/0", "/%", "/api/"))
    )
    return rng.choice(METHODS), path, rng.choice(RAW) if rng.random() < 0.5 else b"", headers


def memory_mib(pid: int) -> float:
    process = psutil.Process(pid)
    processes = [process, *process.children(recursive=False)]
    return sum(each.memory_info().rss for each in processes) / 2**20


def test_malformed_requests_are_refused_and_change_nothing(target: Target, job_name: str) -> None:
    rng = random.Random(SEED)
    target.add(V3, name=job_name)
    before = target.call("GET", f"{V3.prefix}/jobs").content
    address = urlsplit(target.url).netloc
    halfway = 0.0
    for number in range(COUNT):
        if number == COUNT // 2 and target.pid is not None:
            halfway = memory_mib(target.pid)
        method, path, body, headers = a_request(rng)
        connection = http.client.HTTPConnection(address, timeout=30)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        seen = f"{method} {path[:100]} {headers} {body[:200]!r} -> {answer.status} {content[:300]!r}"
        if answer.status >= 500:
            assert answer.status == 500, seen
            assert any(part in path for part in CONTRACT), seen
        assert b"Traceback" not in content, seen
        assert b"chronos_py/" not in content, seen
        assert b"werkzeug" not in content.lower(), seen
    assert target.call("GET", f"{V3.prefix}/jobs").content == before
    assert target.call("GET", "/ping").status_code == 200
    if target.pid is not None:
        assert memory_mib(target.pid) - halfway < GROWTH_MIB


def test_a_huge_body_is_refused(target: Target) -> None:
    body = b'{"name":"' + b"a" * (17 * 1024 * 1024) + b'"}'
    try:
        answer = target.call("POST", f"{V3.prefix}/iso8601", data=body, headers={"Content-Type": "application/json"})
    except OSError:
        return  # the connection was closed before all was sent: refused as well
    assert answer.status_code == 413


def test_the_log_has_no_tracebacks(server: Any) -> None:
    if server.log is None:
        pytest.skip("the log of a server that is not ours cannot be seen")
    assert "Traceback" not in server.log.read_text()
