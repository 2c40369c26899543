"""The one thread that makes calls to the master, in the order in which they were asked for.

The queue is bounded. What finds no room, and whatever is asked while there is no subscription, is not sent: a launch is
answered as never started, all else is asked again by whoever needs it (agents repeat what was not acknowledged, the
engine repeats kills and questions, offers are void after the next subscription).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import structlog

from chronos_py.drivers.mesos.connection import Answer, CallConnection
from chronos_py.drivers.mesos.stream import Endpoint

log = structlog.get_logger(__name__)

BATCH = 100  # calls on their way at a time
QUIET_S = 10.0  # from one line of the log to the next about calls of one kind that failed alike


@dataclass(frozen=True, slots=True)
class Call:
    """A call to be made: `make` gives its body, or None when there is nothing to say after all; `done` is told what
    became of it, on the sender's thread."""

    make: Callable[[], dict[str, Any] | None]
    done: Callable[[Answer], None] = lambda answer: None


@dataclass(frozen=True, slots=True)
class Route:
    """Where calls go, for as long as one subscription lasts."""

    endpoint: Endpoint
    headers: dict[str, str]


NOT_SENT = Answer(-1, "not sent: no subscription")


class Sender:
    """`give` from any thread; `connect` and `disconnect` as subscriptions come and go."""

    def __init__(self, timeout: float, limit: int, trouble: Callable[[Answer], None]) -> None:
        """`trouble` is told of calls that a master refused or that nobody answered, on the sender's thread."""
        self._timeout = timeout
        self._limit = limit
        self._trouble = trouble
        self._lock = threading.Condition()
        self._queue: deque[Call] = deque()
        self._route: Route | None = None
        self._connection: CallConnection | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._reported: dict[tuple[str, int], float] = {}  # when calls of a kind last failed so, and it was logged
        self.sent = 0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._queue)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="mesos-sender", daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Send what is queued, as long as that goes on, and end."""
        with self._lock:
            self._stopping = True
            self._lock.notify_all()
        if self._thread is not None:
            self._thread.join(timeout)
        connection = self._connection
        if connection is not None:
            connection.close()

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def give(self, call: Call) -> bool:
        """Queue a call. False: it is not sent, and its `done` was told so."""
        with self._lock:
            taken = self._route is not None and len(self._queue) < self._limit and not self._stopping
            if taken:
                self._queue.append(call)
                self._lock.notify()
        if not taken:
            _tell(call, NOT_SENT)
        return taken

    def connect(self, route: Route) -> None:
        with self._lock:
            self._route = route

    def disconnect(self) -> None:
        """Nothing more can be sent; what waits is given back."""
        with self._lock:
            self._route = None
            waiting, self._queue = self._queue, deque()
        connection = self._connection
        if connection is not None:
            connection.close()
        for call in waiting:
            _tell(call, NOT_SENT)

    # --- the thread

    def _run(self) -> None:
        route: Route | None = None
        while True:
            with self._lock:
                while not self._queue and not self._stopping:
                    self._lock.wait()
                if not self._queue:
                    return
                calls, now = self._take(), self._route
            try:
                if now is None:
                    for call in calls:
                        _tell(call, NOT_SENT)
                    continue
                if now is not route or self._connection is None:
                    if self._connection is not None:
                        self._connection.close()
                    route, self._connection = now, CallConnection(now.endpoint, self._timeout)
                self._send(calls, route)
            except Exception:
                log.exception("calls to Mesos came to nothing")

    def _take(self) -> list[Call]:
        return [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]

    def _send(self, calls: list[Call], route: Route) -> None:
        made: list[tuple[Call, str]] = []
        assert self._connection is not None
        answers = self._connection.send(_bodies(calls, made), route.headers)
        self.sent += len(made)
        worst = None
        for (call, kind), answer in zip(made, answers, strict=True):
            if not answer.accepted:
                self.refused += 1
                worst = worst or answer
                self._report(kind, answer)
            _tell(call, answer)
        if worst is not None and route is self._route:
            self._trouble(worst)

    def _report(self, kind: str, answer: Answer) -> None:
        now = time.monotonic()
        if now - self._reported.get((kind, answer.status), -QUIET_S) >= QUIET_S:
            self._reported[kind, answer.status] = now
            log.warning(
                "a call to Mesos failed", call=kind, status=answer.status, reason=answer.text, failed_calls=self.refused
            )


def _bodies(calls: list[Call], made: list[tuple[Call, str]]) -> Iterator[bytes]:
    """Make the bodies of calls; note in `made` those that there are, with their kind. One that cannot be made, or that
    holds what JSON cannot, spoils none of the others."""
    for call in calls:
        try:
            body = call.make()
            data = b"" if body is None else orjson.dumps(body)
        except Exception:
            log.exception("a call to Mesos could not be made")
            _tell(call, Answer(-1, "a bug: see the log"))
            continue
        if body is not None:
            made.append((call, str(body.get("type"))))
            yield data


def _tell(call: Call, answer: Answer) -> None:
    try:
        call.done(answer)
    except Exception:
        log.exception("nobody could take what became of a call to Mesos")
