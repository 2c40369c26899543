"""Parts that are kept up to date: computed once for all, sent when they change."""

from __future__ import annotations

import json
import threading

import pytest
from flask import Flask

from chronos_py.ui import live
from chronos_py.ui.live import Live
from tests.ui.conftest import put


@pytest.fixture
def app():
    return Flask("a")


class Made:
    def __init__(self) -> None:
        self.times = 0
        self.parts = {"a": "1", "b": "2"}

    def __call__(self):
        self.times += 1
        return dict(self.parts)


def events(body: str) -> list[dict[str, str]]:
    return [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: ")]


def mark(body: str) -> str:
    return next(line[4:] for line in body.splitlines() if line.startswith("id: "))


def test_many_viewers_cost_one_computation(app):
    made = Made()
    parts = Live(made, 1, threading.Event())
    for _ in range(20):
        with app.test_request_context("/"):
            assert parts.parts() == {"a": "1", "b": "2"}
    assert made.times == 1


def test_whoever_finds_no_place_gets_what_is_new_and_asks_again(app, monkeypatch):
    monkeypatch.setattr(live, "EVERY_S", -1.0)
    monkeypatch.setattr(live, "SHARE", 1e9)  # never kept
    made = Made()
    parts = Live(made, 1, threading.Event())
    assert parts._streams.acquire(blocking=False)
    with app.test_request_context("/"):
        first = parts.respond().get_data(as_text=True)
    assert first.startswith("retry: 5000") and events(first) == [{"a": "1", "b": "2"}]
    with app.test_request_context("/", headers={"Last-Event-ID": mark(first)}):
        assert events(parts.respond().get_data(as_text=True)) == []
    made.parts["b"] = "3"
    with app.test_request_context("/", headers={"Last-Event-ID": mark(first)}):
        assert events(parts.respond().get_data(as_text=True)) == [{"b": "3"}]


def test_a_stream_ends_with_the_server_and_gives_its_place_back(app):
    stopping = threading.Event()
    parts = Live(Made(), 1, stopping)
    with app.test_request_context("/"):
        response = parts.respond()
        stream = (item.decode() for item in response.iter_encoded())
        assert next(stream).startswith("retry:")
        assert events(next(stream)) == [{"a": "1", "b": "2"}]
        stopping.set()
        assert list(stream) == []
        assert not parts._streams.acquire(blocking=False)
        response.close()
    assert parts._streams.acquire(blocking=False)


def test_the_overview_is_live(backend, client):
    put(backend, "some-job", next_due=backend.now() + 1000)
    with client.get("/ui/live", headers={"X-Chronos-Passed-On": "a"}) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        (parts,) = events(answer.text)
    assert set(parts) == {"state", "running", "waiting", "failed", "late", "next", "cluster"}
    assert "some-job" in parts["next"]
