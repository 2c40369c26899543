"""The one thread that makes calls to the master, in the order in which they were asked for.

The queue is bounded. What finds no room, and whatever is asked while there is no subscription, is not sent: a launch is
answered as never started, all else is asked again by whoever needs it (agents repeat what was not acknowledged, the
engine repeats kills and questions, offers are void after the next subscription).
"""

from __future__ import annotations

import math
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
import structlog

from chronos_py.drivers.mesos.connection import UNKNOWN, Answer, CallConnection
from chronos_py.drivers.mesos.stream import Endpoint

log = structlog.get_logger(__name__)

BATCH = 100  # calls made before answers are looked at again
MOST_OWED = 1000  # calls on their way at a time
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


@dataclass(slots=True)
class _Owed:
    """A call that was written and waits for its answer, `since` by the monotonic clock."""

    call: Call
    kind: str
    since: float


class Sender:
    """`give` from any thread; `connect` and `disconnect` as subscriptions come and go."""

    def __init__(self, timeout: float, limit: int, trouble: Callable[[Answer], None]) -> None:
        """`trouble` is told of calls that a master refused or that nobody answered, on the sender's thread."""
        self._timeout = timeout
        self._limit = limit
        self._trouble = trouble
        self._lock = threading.Condition()
        self._queue: deque[Call] = deque()
        self._owed: deque[_Owed] = deque()
        self._route: Route | None = None
        self._on: Route | None = None  # what the connection was made for
        self._connection: CallConnection | None = None
        self._bell: socket.socket | None = None
        self._ear: socket.socket | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._reported: dict[tuple[str, int], float] = {}  # when calls of a kind last failed so, and it was logged
        self.sent = 0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._queue)

    def start(self) -> None:
        """Raises OSError when there are no descriptors left."""
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="mesos-sender", daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Send what is queued, as long as that goes on, and end."""
        with self._lock:
            self._stopping = True
            self._lock.notify_all()
        self._ring()
        if self._thread is not None:
            self._thread.join(timeout)
        self.disconnect()  # what is still owed an answer will not get one
        if self._thread is not None:
            self._thread.join(timeout)
        if not self.alive and self._bell is not None and self._ear is not None:
            self._bell.close()
            self._ear.close()

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def give(self, call: Call) -> bool:
        """Queue a call. False: it is not sent, and its `done` was told so."""
        with self._lock:
            taken = self._route is not None and len(self._queue) < self._limit and not self._stopping
            if taken:
                self._queue.append(call)
                first = len(self._queue) == 1
                self._lock.notify()
        if not taken:
            _tell(call, NOT_SENT)
        elif first:
            self._ring()
        return taken

    def _ring(self) -> None:
        """Wake the thread from its wait for answers."""
        bell = self._bell
        if bell is not None:
            with suppress(OSError):  # full: it will wake
                bell.send(b"!")

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
        self._ring()
        for call in waiting:
            _tell(call, NOT_SENT)

    # --- the thread

    def _run(self) -> None:
        while (calls := self._next()) is not None:
            try:
                self._turn(calls)
            except Exception:
                log.exception("calls to Mesos came to nothing")
                self._hang_up("a bug: see the log")
        self._hang_up("stopped")

    def _next(self) -> list[Call] | None:
        """Wait for calls; return some, or none when there are only answers to wait for. None: the end."""
        with self._lock:
            while not self._queue and not self._owed:
                if self._stopping:
                    return None
                self._lock.wait()
            room = min(BATCH, MOST_OWED - len(self._owed))
            return [self._queue.popleft() for _ in range(min(room, len(self._queue)))]

    def _turn(self, calls: list[Call]) -> None:
        route = self._route
        if self._connection is not None and (self._connection.closed or route is not self._on):
            self._hang_up("the connection was closed")
        if calls and route is None:
            for call in calls:
                _tell(call, NOT_SENT)
        elif calls and route is not None:
            self._listen(0)  # a connection that was closed meanwhile must not be written to
            self._write(calls, route)
        if self._owed:
            self._listen(0 if self._queue and len(self._owed) < MOST_OWED else self._patience())

    def _write(self, calls: list[Call], route: Route) -> None:
        if self._connection is None:
            try:
                self._connection, self._on = CallConnection(route.endpoint, self._timeout), route
            except OSError as error:
                for call in calls:
                    _tell(call, Answer(-1, f"{route.endpoint}: {error}"))
                self._complain(Answer(-1, f"{route.endpoint}: {error}"), len(calls))
                return
        made: list[tuple[Call, str]] = []
        begun = self._connection.write(_bodies(calls, made), route.headers)
        now = time.monotonic()
        self._owed.extend(_Owed(call, kind, now) for call, kind in made[:begun])
        self.sent += begun
        if begun < len(made):
            lost = Answer(-1, f"{route.endpoint}: the connection was closed")
            for call, _ in made[begun:]:
                _tell(call, lost)
            self._complain(lost, len(made) - begun)
        if self._connection.closed:
            self._hang_up("the connection broke")

    def _patience(self) -> float:
        """Return how long the oldest call may still wait for its answer."""
        return max(0.0, self._owed[0].since + self._timeout - time.monotonic())

    def _listen(self, seconds: float) -> None:
        """Take answers, or the call for more calls, or the end of patience."""
        connection, ear = self._connection, self._ear
        if connection is None or ear is None:
            return
        poller = select.poll()  # select itself ends at descriptor 1023
        try:
            poller.register(ear, select.POLLIN)
            poller.register(connection, select.POLLIN)
            heard = poller.poll(0 if connection.pending else math.ceil(seconds * 1000))
        except (OSError, ValueError):  # closed under us
            self._hang_up("the connection was closed")
            return
        readable = {descriptor for descriptor, _ in heard}
        if ear.fileno() in readable:
            with suppress(BlockingIOError):
                ear.recv(4096)
        if connection.closed or connection.fileno() in readable or connection.pending:
            for answer in connection.read():
                if self._owed:
                    self._answered(self._owed.popleft(), answer)
            if connection.closed:
                self._hang_up("the connection was closed")
        elif self._owed and self._patience() <= 0:
            self._hang_up("no answer in time")

    def _answered(self, owed: _Owed, answer: Answer) -> None:
        _tell(owed.call, answer)
        if not answer.accepted:
            self._report(owed.kind, answer)
            self._complain(answer, 1)

    def _report(self, kind: str, answer: Answer) -> None:
        now = time.monotonic()
        if now - self._reported.get((kind, answer.status), -QUIET_S) >= QUIET_S:
            self._reported[kind, answer.status] = now
            log.warning(
                "a call to Mesos failed", call=kind, status=answer.status, reason=answer.text, failed_calls=self.refused
            )

    def _complain(self, answer: Answer, calls: int) -> None:
        self.refused += calls
        if self._on is self._route:
            self._trouble(answer)

    def _hang_up(self, reason: str) -> None:
        """Close the connection; of what is not answered nobody knows what became of it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        owed, self._owed = self._owed, deque()
        if not owed:
            return
        answer = Answer(UNKNOWN, f"{self._on.endpoint if self._on else ''}: {reason}")
        log.warning("calls to Mesos were not answered", calls=len(owed), reason=answer.text)
        for one in owed:
            _tell(one.call, answer)
        self._complain(answer, len(owed))


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
