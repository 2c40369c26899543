"""Queues before the channels: order, retries, bounds, and what a new leader is handed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from chronos_py.clock import SystemClock
from chronos_py.model.job import CatchUp
from chronos_py.model.messages import DeleteJob, RunJob, SubmitJob
from chronos_py.model.notice import Notice
from chronos_py.model.run import TaskState
from chronos_py.notify.base import Failed, Refused
from chronos_py.notify.chat import ChatChannel
from chronos_py.notify.dispatcher import Dispatcher
from chronos_py.scheduler.notices import PREFIX, NoticePolicy
from tests.bench import Bench
from tests.builders import a_job
from tests.notify.receivers import PATIENCE_S, WebServer


class Recorder:
    """A channel that does what `act` says, and remembers what it was asked."""

    def __init__(self, name: str = "test", act: Callable[[Notice, str], bool] | None = None) -> None:
        self.name = name
        self.asked: queue.Queue[tuple[int, str]] = queue.Queue()
        self._act = act or (lambda notice, owner: True)

    def send(self, notice: Notice, owner: str) -> bool:
        self.asked.put((notice.number, owner))
        return self._act(notice, owner)

    def next(self) -> tuple[int, str]:
        return self.asked.get(timeout=PATIENCE_S)


Make = Callable[..., Dispatcher]


@pytest.fixture
def done() -> queue.Queue[tuple[int, str]]:
    return queue.Queue()


@pytest.fixture
def make(done: queue.Queue[tuple[int, str]]) -> Iterator[Make]:
    made: list[Dispatcher] = []

    def make(*channels: Any, **options: Any) -> Dispatcher:
        options = {"back_off": 0.01, "clock": SystemClock(), **options}
        dispatcher = Dispatcher(channels, lambda *what: done.put(what), **options)
        made.append(dispatcher)
        return dispatcher

    yield make
    for dispatcher in made:
        dispatcher.stop()


def a_notice(number: int, owner: str = "a", left: tuple[str, ...] = ("test",), at: int | None = None) -> Notice:
    return Notice(number, "failed", SystemClock().now() if at is None else at, "job", owner, "s", "b", left=left)


def test_in_order_and_each_owner(make: Make, done: queue.Queue[tuple[int, str]]):
    channel = Recorder()
    dispatcher = make(channel)
    for number in (1, 2, 3):
        dispatcher.take(a_notice(number, owner="a, b"))
    assert [channel.next() for _ in range(6)] == [(n, o) for n in (1, 2, 3) for o in ("a", "b")]
    assert [done.get(timeout=PATIENCE_S) for _ in range(3)] == [(n, "test") for n in (1, 2, 3)]
    status = dispatcher.status()["test"]
    assert (status["sent"], status["waiting"], status["problem"]) == (6, 0, "")


def test_what_fails_is_tried_again_before_the_next_and_only_for_those_who_lack_it(make: Make):
    failures = iter([True, True])

    def act(notice: Notice, owner: str) -> bool:
        if owner == "b" and next(failures, False):
            raise Failed("not now")
        return True

    channel = Recorder(act=act)
    dispatcher = make(channel)
    dispatcher.take(a_notice(1, owner="a,b"))
    dispatcher.take(a_notice(2, owner="a"))
    assert [channel.next() for _ in range(5)] == [(1, "a"), (1, "b"), (1, "b"), (1, "b"), (2, "a")]
    assert dispatcher.status()["test"]["retried"] == 2


def test_what_is_refused_is_given_up_and_seen(make: Make, done: queue.Queue[tuple[int, str]]):
    def act(notice: Notice, owner: str) -> bool:
        if notice.number == 3:
            raise ZeroDivisionError("a bug")
        raise Refused("no such user")

    dispatcher = make(Recorder(act=act))
    dispatcher.take(a_notice(1))
    assert done.get(timeout=PATIENCE_S) == (1, "test")
    status = dispatcher.status()["test"]
    assert (status["failed"], status["problem"]) == (1, "a notice was given up: a: no such user")
    dispatcher.take(a_notice(3))
    assert done.get(timeout=PATIENCE_S) == (3, "test")


def test_what_is_too_old_is_given_up(make: Make, done: queue.Queue[tuple[int, str]]):
    def act(notice: Notice, owner: str) -> bool:
        raise Failed("away")

    make(Recorder(act=act), max_age=1000).take(a_notice(1, at=SystemClock().now() - 2000))
    assert done.get(timeout=PATIENCE_S) == (1, "test")


def test_no_more_wait_than_the_limit(make: Make, done: queue.Queue[tuple[int, str]]):
    release = threading.Event()
    channel = Recorder(act=lambda notice, owner: release.wait(PATIENCE_S))
    dispatcher = make(channel, limit=2)
    dispatcher.take(a_notice(1))
    assert channel.next() == (1, "a")
    for number in (2, 3, 4):
        dispatcher.take(a_notice(number))
    dropped = {done.get(timeout=PATIENCE_S)[0] for _ in range(2)}
    assert dropped == {1, 2}
    release.set()
    assert [channel.next()[0] for _ in range(2)] == [3, 4]


def test_no_more_text_waits_than_has_room(
    make: Make, done: queue.Queue[tuple[int, str]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("chronos_py.notify.dispatcher.LARGEST", 3000)
    release = threading.Event()
    channel = Recorder(act=lambda notice, owner: release.wait(PATIENCE_S))
    dispatcher = make(channel)
    dispatcher.take(a_notice(1))
    assert channel.next() == (1, "a")
    for number in (2, 3, 4):
        dispatcher.take(replace(a_notice(number), body="x" * 2000))
    assert {done.get(timeout=PATIENCE_S)[0] for _ in range(3)} == {1, 2, 3}
    release.set()
    assert channel.next()[0] == 4


def test_a_channel_that_hangs_holds_up_no_other(make: Make):
    release = threading.Event()
    slow, fast = Recorder("slow", lambda notice, owner: release.wait(PATIENCE_S)), Recorder("fast")
    dispatcher = make(slow, fast)
    dispatcher.take(a_notice(1, left=("slow", "fast")))
    dispatcher.take(a_notice(2, left=("slow", "fast")))
    assert [fast.next()[0], fast.next()[0]] == [1, 2]
    release.set()


def test_only_channels_that_lack_it_get_it_after_a_new_start(make: Make, done: queue.Queue[tuple[int, str]]):
    one, two = Recorder("one"), Recorder("two")
    make(one, two).begin([a_notice(1, left=("two", "gone"))])
    assert two.next() == (1, "a")
    assert {done.get(timeout=PATIENCE_S) for _ in range(2)} == {(1, "two"), (1, "gone")}
    assert one.asked.empty()


# --- with the service


def failing(bench: Bench, name: str = "a", **changes: Any) -> None:
    bench.ask(SubmitJob(a_job(name, schedule="R1//P", retries=0, owner="x", **changes)))


def test_notices_lie_in_the_store_until_all_channels_are_done():
    bench = Bench(notices=NoticePolicy(channels=("mail", "http"), cluster="prod"))
    bench.ask(SubmitJob(a_job("a", owner="x, y")))
    bench.ask(DeleteJob("a"))
    (notice,) = bench.notices
    assert (notice.event, notice.subject) == ("deleted", "[prod] [Chronos] Your job 'a' was deleted!")
    assert notice.owners == ("x", "y")
    bench.boot()  # before anything was delivered: the next leader has it
    assert bench.notifier.begun[-1] == [notice]
    bench.service.notice_done(notice.number, "mail")
    bench.turn()
    bench.boot()
    assert bench.notifier.begun[-1] == [notice.without("mail")]
    bench.service.notice_done(notice.number, "http")
    bench.service.notice_done(notice.number, "http")  # told twice, once too late
    bench.turn()
    bench.boot()
    assert bench.notifier.begun[-1] == []
    assert not [key for key in bench.store.load().meta if key.startswith(PREFIX)]


def test_without_channels_nothing_is_stored():
    bench = Bench()
    bench.ask(SubmitJob(a_job("a")))
    bench.ask(DeleteJob("a"))
    assert [notice.event for notice in bench.notices] == ["deleted"]
    assert not [key for key in bench.store.load().meta if key.startswith(PREFIX)]


def test_a_receiver_that_is_dead_for_a_while_loses_nothing(make: Make, done: queue.Queue[tuple[int, str]]):
    """Every notice, in order, over a receiver's death and a restart of ours."""
    server = WebServer()
    port = server.port
    server.stop()
    bench = Bench(notices=NoticePolicy(channels=("slack",), events=frozenset({"failed"})))
    bench.service._notifier = first = make(ChatChannel("slack", f"http://127.0.0.1:{port}"), clock=bench.clock)
    for number in range(5):
        failing(bench, f"a{number}")
        bench.end(f"a{number}", TaskState.FAILED)
    assert len(bench.service._engine.book.notices.pending) == 5
    first.stop()
    second = make(ChatChannel("slack", f"http://127.0.0.1:{port}"), clock=bench.clock)
    second.begin(bench.service._engine.book.notices.pending.values())
    server = WebServer(port, statuses=[503, 500])
    try:
        bodies = [server.get().body for _ in range(7)]
        assert [f"job 'a{number}'".encode() in bodies[number + 2] for number in range(5)] == [True] * 5
        for _ in range(5):
            bench.service.notice_done(*done.get(timeout=PATIENCE_S))
        bench.turn()
        assert not bench.service._engine.book.notices.pending
    finally:
        server.stop()


def test_opt_in_events():
    events = frozenset({"late", "missed", "recovered", "timed_out", "waiting"})
    bench = Bench(notices=NoticePolicy(events=events, waiting_after=60_000))

    def told() -> list[tuple[str, str]]:
        found = [(notice.event, notice.body or "") for notice in bench.notices]
        bench.notices.clear()
        return found

    failing(bench, start_within=5)
    bench.later(seconds=1)
    bench.end("a", TaskState.FAILED)
    assert told() == []  # for what Chronos tells was not asked for
    bench.ask(RunJob("a"))
    bench.end("a")
    assert [event for event, _ in told()] == ["recovered"]

    bench.driver.agents = []
    bench.service._engine.loop.disconnected()
    failing(bench, "b", start_within=5)
    bench.later(seconds=59)
    assert told() == []
    bench.later(seconds=2)
    assert [(event, "waited for a place for 61 s" in body) for event, body in told()] == [("waiting", True)]
    bench.later(seconds=600)
    assert told() == []  # once
    bench.driver.offer("agent")
    bench.turn()
    bench.driver.run(bench.launched("b")[-1])
    bench.turn()
    assert [(event, "5 s are promised" in body) for event, body in told()] == [("late", True)]


def test_missed_and_timed_out():
    bench = Bench(notices=NoticePolicy(events=frozenset({"missed", "timed_out"})))
    bench.ask(SubmitJob(a_job("a", schedule="R/2026-01-01T00:00:00Z/PT1M", catch_up=CatchUp.SKIP, epsilon="PT10S",
                              max_completion_time=30, retries=0)))  # fmt: skip
    bench.driver.run(bench.launched("a")[-1])
    bench.turn()
    bench.later(seconds=31)
    bench.later(seconds=1)
    assert [notice.event for notice in bench.notices] == ["timed_out"]
    bench.driver.stop()
    bench.clock.advance(seconds=300)
    bench.boot()
    assert {notice.event for notice in bench.notices[1:]} == {"missed"}
