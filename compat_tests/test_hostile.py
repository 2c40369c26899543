"""Seeded storms of wrong requests, over HTTP and over bare sockets: refused in order, and nothing is left behind."""

from __future__ import annotations

import contextlib
import json
import random
import socket
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from compat_tests.conftest import Server
from compat_tests.dialects import FAR, JSON, V2, Api

SEED, DOCUMENTS, SOCKETS = 1_970_01_01, 700, 500
GROWTH = 32 * 2**20

TEXTS = ("command", "owner", "ownerName", "description", "executor", "executorFlags", "taskInfoData", "runAsUser",
         "lastSuccess", "lastError", "scheduleTimeZone", "schedule")  # fmt: skip
NUMBERS = (
    "retries",
    "successCount",
    "errorCount",
    "errorsSinceLastSuccess",
    "cpus",
    "mem",
    "disk",
    "maxCompletionTime",
)
FLAGS = ("shell", "disabled", "async", "softError", "dataProcessingJobType", "highPriority", "concurrent")
OWN = (
    "priority", "retryDelay", "retryBackoff", "retryMaxDelay", "killGrace", "catchUp", "onUncertain", "gpus", "ports",
    "avoidFailedAgents", "labels", "preemptible",
)  # fmt: skip
LISTS = ("uris", "arguments")
PAGED = ("container", "environmentVariables", "fetch", "constraints")

DEEP = json.loads("[" * 150 + "]" * 150)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 0.5, -0.0, 2**31, 2**63, -(2**63) - 1, 10**40, 1e308, 1e-308, "", " ", "null", "NaN",
    "Infinity", "-0", "0x10", "1e999", "9" * 400, "\x00", "\x1b[31m", "\ud800", "\u202e", "x" * 70_000, "true ", [], {},
    [[]], [{}], [None], [[None]], ["a"], ["a", "b"], [1, 2, 3], [["a", "EQUALS", "b"]], [["a", "LIKE", "(" * 50]],
    [["a", "LIKE", "(a+)+$"]], [["a", "XX", "b"]], [{"name": "A"}], [{"name": "A", "value": "\x00"}],
    [{"name": "", "value": {}}], [{"name": "A=B", "value": "c"}], [{"uri": None}], [{"uri": [], "extract": "x"}],
    {"a": {}}, {"image": None}, {"image": "i", "network": None}, {"image": "i", "volumes": {"a": 1}},
    {"image": "i", "volumes": [5]},
    {"image": "i", "networkInfos": [{"name": "n", "portMappings": [{"hostPort": "x"}]}]},
    {"image": "i", "parameters": [{}]},
    {"image": "i", "volumes": [{"containerPath": "/x", "external": {}}]}, {"image": "i", "type": 7}, DEEP,
    "R/0000-00-00T00:00:00Z/P1D", "R/-2000-01-01T00:00:00Z/P1D", "R/+300000000-01-01T00:00:00Z/P1D",
    "R/292278995-01-01T00:00:00Z/P1D", "R/2090-01-01T00:00:00Z/P99999999999999999999Y", "R1/2090-01-01/P1Y1Y1Y",
    "R9223372036854775807/2090-01-01T00:00:00Z/P1D", "R/2090-01-01T00:00:00+99:99/P1D", "R/2090-01-01T24:00:00Z/P1D",
    "R/2090-12-31T23:59:60Z/P1D", "R1/9999-12-31T23:59:59Z/P9999Y", "R/2090-01-01T00:00:00Z/P1D\n", "R\x00//P1D",
)  # fmt: skip


NAMES = [value for value in VALUES if not (isinstance(value, str) and len(value) > 1000)]  # a URL has to hold it


def documents(rng: random.Random, name: str) -> dict[str, Any]:
    document: dict[str, Any] = {"name": name, "command": "true", "schedule": FAR, "disabled": True}
    fields = (*TEXTS, *NUMBERS, *FLAGS, *OWN, *LISTS, *PAGED, "epsilon", "parents", "name")
    for field in rng.sample(fields, rng.randrange(1, 4)):
        document[field] = rng.choice(VALUES if field != "name" else NAMES)
    if not document["disabled"]:
        document["schedule"] = FAR
    return document


def may_be_500(api: Api, path: str, document: dict[str, Any]) -> bool:
    """Say whether the contract has a 500 for a document like this."""
    fields = set(PAGED) | ({"epsilon"} if api.dialect == V2 else set())
    wrong_kind = ("parents" in document) != (path == "/dependency")
    no_parents = path == "/dependency" and not (isinstance(document.get("parents"), list) and document["parents"])
    return bool(fields & document.keys()) or wrong_kind or no_parents or document["name"] is None


def resident(pid: int | None) -> int:
    if pid is None:
        return 0
    process = psutil.Process(pid)
    return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)) if each.is_running())


def wrong_documents(api: Api, rng: random.Random, name: str, count: int) -> None:
    known = {job["name"] for job in api.jobs()}
    for _ in range(count):
        path = rng.choice(("/iso8601", "/iso8601", "/dependency"))
        document = documents(rng, name)
        body = json.dumps(document).encode()
        try:
            answer = api.send(rng.choice(("POST", "POST", "PUT")), path, body, {"Content-Type": JSON})
        except requests.RequestException as error:
            pytest.fail(f"{path} {body[:600]!r} -> {error}")
        seen = f"{path} {body[:600]!r} -> {answer.status_code} {answer.text[:300]}"
        assert answer.status_code in (204, 400, 405, 500), seen
        assert answer.status_code != 500 or may_be_500(api, path, document), seen
        assert "Traceback" not in answer.text, seen
        if answer.status_code == 204:
            assert answer.content == b"", seen
            for job in {job["name"] for job in api.jobs()} - known:
                assert api.delete(job).status_code == 204, (seen, job)


@pytest.mark.timeout(300)
def test_wrong_documents(server: Server, api: Api, name: str) -> None:
    rng = random.Random(f"{SEED} {api.dialect.label}")
    before = api.jobs()
    wrong_documents(api, rng, name, DOCUMENTS // 2)
    half = resident(server.pid)
    wrong_documents(api, rng, name, DOCUMENTS // 2)
    assert resident(server.pid) - half < GROWTH
    assert api.jobs() == before


@pytest.mark.parametrize("field", [*TEXTS, *NUMBERS, *FLAGS, *OWN, *LISTS, *PAGED, "epsilon"])
def test_every_value_in_every_field(api: Api, name: str, field: str) -> None:
    wrong = []
    for value in VALUES:
        document = {"name": name, "command": "true", "schedule": FAR, "disabled": True, field: value}
        body = json.dumps(document).encode()
        answer = api.send("POST", "/iso8601", body, {"Content-Type": JSON, "Connection": "close"})
        if answer.status_code not in (204, 400) and not (
            answer.status_code == 500 and may_be_500(api, "/iso8601", document)
        ):
            wrong.append(f"{body[:300]!r} -> {answer.status_code} {answer.text[:300]}")
        assert "Traceback" not in answer.text
    assert not wrong, "\n".join(wrong)
    assert api.get("/jobs").status_code == 200
    assert api.get("/graph/csv").status_code == 200


def a_stream(rng: random.Random, prefix: str) -> bytes:
    """Return bytes that are no request, or nearly one."""
    body = b'{"name":"hostile job!","command":"true"}'
    start = f"POST {prefix}/iso8601 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode()
    noise = rng.randbytes(rng.randrange(1, 2000))
    many = "".join(f"X{number}: y\r\n" for number in range(500))
    streams = [
        noise,
        b"\r\n" * rng.randrange(1, 50),
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET " + prefix.encode() + b"/jobs\r\n\r\n",
        b"G\xc3\x8bT / HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET {prefix}/job/{'a' * rng.randrange(5000, 50_000)} HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
        f"GET {prefix}/jobs HTTP/1.1\r\n{'X: y' * 20_000}\r\n\r\n".encode(),
        f"GET {prefix}/jobs HTTP/1.1\r\n{many}\r\n".encode(),
        f"GET {prefix}/job/stat/".encode() + bytes([rng.randrange(128, 256)]) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET {prefix}/../../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
        f"GET http://{prefix}/jobs HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
        f"GET {prefix}/jobs HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n".encode(),
        start + b"Content-Length: -5\r\n\r\n" + body,
        start + b"Content-Length: x\r\n\r\n" + body,
        start + b"Content-Length: 99999\r\n\r\n" + body,
        start + b"Content-Length: 99999999999999999999\r\n\r\n" + body,
        start + b"Content-Length: 5\r\nContent-Length: 40\r\n\r\n" + body,
        start + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + body,
        start + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + body,
        start + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{\"a\r\n",
        start + b"Transfer-Encoding: gzip\r\n\r\n" + noise,
        start + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(noise) + noise,
        start + b"Content-Length: %d\r\n\r\n" % len(noise) + noise,
        start + b"Expect: 100-continue\r\nContent-Length: 40\r\n\r\n",
        start[: rng.randrange(1, len(start))],
    ]  # fmt: skip
    return rng.choice(streams)


def exchange(address: tuple[str, int], stream: bytes) -> bytes:
    """Send the bytes, say that no more come, and return what is answered."""
    received = b""
    with (
        contextlib.suppress(ConnectionError, TimeoutError),
        socket.create_connection(address, timeout=10) as connection,
    ):
        connection.sendall(stream)
        connection.shutdown(socket.SHUT_WR)
        while len(received) < 100_000 and (part := connection.recv(65536)):
            received += part
    return received


@pytest.mark.timeout(300)
def test_bytes_that_are_no_request(server: Server, api: Api) -> None:
    rng = random.Random(f"{SEED} sockets {api.dialect.label}")
    address = (urlsplit(server.url).hostname or "", urlsplit(server.url).port or 80)
    before = api.jobs()
    half = 0
    for number in range(SOCKETS):
        if number == SOCKETS // 2:
            half = resident(server.pid)
        stream = a_stream(rng, api.dialect.prefix)
        received = exchange(address, stream)
        seen = f"{stream[:300]!r} -> {received[:400]!r}"
        assert b"Traceback" not in received, seen
        if received.startswith(b"HTTP/1.1 5"):
            assert received[9:12] in (b"500", b"501", b"505"), seen
            assert b"/iso8601" in stream or received[9:12] != b"500", seen
    assert resident(server.pid) - half < GROWTH
    assert api.jobs() == before
