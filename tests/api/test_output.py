"""/api: a task's output, in parts or followed; streams of changes."""

from __future__ import annotations

import json
import threading

import pytest

from chronos_py.api.backend import ApiSettings
from chronos_py.errors import UnknownTask
from tests.api.backend import Chunk, FakeBackend, FakeSubscription, a_client
from tests.api.test_runs import a_row, a_try, refused


@pytest.fixture
def task(backend):
    backend.history.rows, backend.history.tries = [a_row(7)], [a_try(7)]
    backend.outputs[("ct:7:0:a:", "stdout")] = b"0123456789"
    return "/api/runs/7/attempts/0/stdout"


@pytest.mark.parametrize(
    ("query", "data", "offset"),
    [("", b"0123456789", 0), ("?offset=3", b"3456789", 3), ("?offset=3&length=2", b"34", 3), ("?offset=-4", b"6789", 6),
     ("?offset=99", b"", 99), ("?offset=-99&length=1", b"0", 0)],
)  # fmt: skip
def test_part_of_an_output(client, task, query, data, offset):
    answer = client.get(task + query)
    assert (answer.status_code, answer.data) == (200, data)
    assert (answer.headers["X-Offset"], answer.headers["X-Size"], answer.headers["X-Ended"]) == (
        str(offset),
        "10",
        "true",
    )
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/api/runs/7/attempts/1/stdout", "/api/runs/7/attempts/0/stderr", "/api/runs/7/attempts/0/x"]
)
def test_an_output_that_is_not_there(client, task, path):
    assert refused(client.get(path), 404)["code"] == "unknown_task"
    assert refused(client.get(f"{path}?follow=1"), 404)["code"] == "unknown_task"


@pytest.mark.parametrize("query", ["offset=x", "length=0", "length=x", "follow=yes", "length=99999999"])
def test_a_wrong_part_is_named(client, task, query):
    assert refused(client.get(f"{task}?{query}"))["field"] == query.partition("=")[0]


def events(answer):
    """Return (id, kind, data) of each event of a stream."""
    found = []
    for block in answer.get_data(as_text=True).split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines.get("id"), lines["event"], json.loads(lines["data"])))
    return found


def test_a_followed_output_has_offsets_as_ids_and_ends_with_its_task(client, task):
    answer = client.get(f"{task}?follow=1&offset=4")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert events(answer) == [("10", "output", {"text": "456789", "offset": 4}), ("10", "end", {})]


def test_a_browser_goes_on_where_it_was(client, task):
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "8"}
    assert events(client.get(task, headers=headers))[0] == ("10", "output", {"text": "89", "offset": 8})
    headers["Last-Event-ID"] = "nonsense"
    assert events(client.get(task, headers=headers))[0][2]["offset"] == 0


def test_an_output_that_goes_on_is_followed_until_its_task_ends(backend, task):
    chunks = [Chunk(b"a", 0, 1, False), Chunk(b"a", 0, 1, False), Chunk(b"", 1, 1, False), Chunk(b"b", 1, 2, True),
              Chunk(b"", 2, 2, True)]  # fmt: skip

    def output(*_, **__):
        return chunks.pop(0)

    backend.output = output
    found = events(a_client(backend).get(f"{task}?follow=1"))
    assert [(kind, data.get("text")) for _, kind, data in found] == [("output", "a"), ("output", "b"), ("end", None)]


def test_a_stream_ends_when_the_sandbox_goes(backend, task):
    chunks = [Chunk(b"a", 0, 1, False), Chunk(b"a", 0, 1, False)]

    def output(*_, **__):
        if not chunks:
            raise UnknownTask("x")
        return chunks.pop(0)

    backend.output = output
    assert len(events(a_client(backend).get(f"{task}?follow=1"))) == 1


def test_streams_are_few_and_give_their_place_back(backend, task):
    client = a_client(backend, ApiSettings(followers=1))
    open_one = client.get(f"{task}?follow=1", buffered=False)
    assert refused(client.get(f"{task}?follow=1"), 503)["code"] == "unavailable"
    assert refused(client.get("/api/events"), 503)["code"] == "unavailable"
    open_one.close()
    assert client.get(f"{task}?follow=1").status_code == 200


def test_streams_end_when_the_server_stops(backend, task):
    stopping = threading.Event()
    stopping.set()
    backend.ended = False
    assert events(a_client(backend, ApiSettings(stopping=stopping)).get(f"{task}?follow=1")) == []


def test_changes_are_streamed_and_the_subscription_is_closed():
    backend, stopping = FakeBackend(), threading.Event()
    subscription = FakeSubscription([("job", {"name": "a"}), ("run", {"run": 7})], stopping.set)
    backend.subscriptions = [subscription]
    answer = a_client(backend, ApiSettings(stopping=stopping)).get("/api/events")
    assert [(kind, data) for _, kind, data in events(answer)] == [("job", {"name": "a"}), ("run", {"run": 7})]
    answer.close()
    assert subscription.closed
