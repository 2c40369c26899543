"""The v1 executor API: a subscription that is renewed, and updates that are sent until they are acknowledged."""

from __future__ import annotations

import json
import random
import traceback
from typing import Any, Protocol

from chronos_py.executor.runtime.connection import Connection
from chronos_py.executor.runtime.loop import Loop, Timer, log
from chronos_py.executor.runtime.surroundings import Surroundings
from chronos_py.executor.runtime.updates import Json, Updates
from chronos_py.executor.runtime.wire import BadAnswer, End, Head, Piece, Records

_FIRST_PAUSE = 0.05  # seconds; doubled up to the next, or to the agent's MESOS_SUBSCRIPTION_BACKOFF_MAX
_LONGEST_PAUSE = 0.5  # an agent that restarts kills what has not come back 2 seconds after it is there again
_RESEND = 0.3
_ANSWER = 30.0
_FIRST_SUBSCRIPTION = 60.0  # the agent's own patience (executor_registration_timeout) is this by default


class Listener(Protocol):
    """Who carries out what the agent says."""

    def event(self, kind: str, body: Json) -> None: ...

    def acknowledged(self, status: Json) -> None: ...

    def abandoned(self, reason: str) -> None:
        """The agent is gone and will not be back in time: end everything."""


class Agent:
    """Keeps one subscription and one connection for calls, whose requests are pipelined: a batch of updates costs one
    round trip. An executor without checkpointing ends with its connection, as Mesos's own do."""

    def __init__(self, loop: Loop, where: Surroundings, listener: Listener) -> None:
        self._loop, self._where, self._listener = loop, where, listener
        self.updates = Updates(where.executor_id)
        self.subscribed = False
        self._stream: Connection | None = None
        self._records = Records()
        self._calls: Connection | None = None
        self._waiting: Timer | None = None  # for the answer to a call
        self._flushing = self._resending = False
        self._pause = _FIRST_PAUSE
        self._accepted = False  # the answer to the call whose body is being read
        self._giving_up: Timer | None = loop.after(_FIRST_SUBSCRIPTION, lambda: self._give_up(_FIRST_SUBSCRIPTION))
        self._closed = False
        self._subscribe()

    def close(self) -> None:
        self._closed = True
        for connection in (self._stream, self._calls):
            if connection is not None:
                connection.close()

    # Subscription

    def _subscribe(self) -> None:
        if self._closed:
            return
        tasks, updates = self.updates.unacknowledged()
        body = {"subscribe": {"unacknowledged_tasks": tasks, "unacknowledged_updates": updates}}
        self.updates.handed_over()
        self._records = Records()
        self._stream = Connection(self._loop, self._where.address, self._stream_piece, self._stream_ended)
        self._stream.send(self._request("SUBSCRIBE", body))

    def _stream_piece(self, piece: Piece) -> None:
        if isinstance(piece, Head):
            if piece.status != 200:
                raise BadAnswer(f"SUBSCRIBE is answered with {piece.status}")
        elif isinstance(piece, bytes):
            for record in self._records.feed(piece):
                self._dispatch(record)
                if self._closed:
                    return
        else:
            raise BadAnswer("the stream of events has ended")

    def _stream_ended(self, reason: str) -> None:
        if self.subscribed:
            log(f"disconnected: {reason}")
        was, self.subscribed = self.subscribed, False
        if self._calls is not None:
            self._calls.close()
            self._calls = None
        self._no_answer_due()
        if was and not self._where.checkpoint:
            self._listener.abandoned("the agent is gone, and the framework does not checkpoint")
            return
        if self._giving_up is None:
            timeout = self._where.recovery_timeout
            self._giving_up = self._loop.after(timeout, lambda: self._give_up(timeout))
        self._loop.after(self._pause * random.uniform(0.5, 1), self._subscribe)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE, max(_FIRST_PAUSE, self._where.backoff))

    def _give_up(self, after: float) -> None:
        self._giving_up = None
        if not self.subscribed:
            self._listener.abandoned(f"the agent was away for {after:g} seconds")

    def _dispatch(self, record: bytes) -> None:
        try:
            event = json.loads(record)
            kind = event["type"]
            body: Any = event.get(kind.lower(), {})
            if kind == "SUBSCRIBED":
                self._is_subscribed()
            if kind == "ACKNOWLEDGED":
                status = self.updates.acknowledged(body["uuid"])
                if status is not None:
                    self._listener.acknowledged(status)
            elif kind != "HEARTBEAT":
                self._listener.event(kind, body)
        except Exception:  # one event must not end the tasks of all others
            log(f"an event could not be handled: {traceback.format_exc()}")

    def _is_subscribed(self) -> None:
        self.subscribed = True
        self._pause = _FIRST_PAUSE
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
        self._soon()

    # Updates

    def update(self, task_id: str, state: str, message: str = "", reason: str = "") -> None:
        """Send a status update, now or when there is a subscription, until it is acknowledged."""
        self.updates.add(task_id, state, message, reason)
        self._soon()

    def _soon(self) -> None:
        """Send at the end of this turn, all that the turn makes at once."""
        if not self._flushing:
            self._flushing = True
            self._loop.after(0, self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if not self.subscribed or self._resending:
            return
        batch = bytearray()
        while (update := self.updates.next()) is not None:
            batch += self._request("UPDATE", {"update": update})
        if not batch:
            return
        if self._calls is None:
            self._calls = Connection(self._loop, self._where.address, self._call_piece, self._calls_ended)
        self._calls.send(bytes(batch))
        if self._waiting is None:
            self._waiting = self._loop.after(_ANSWER, lambda: self._calls_broken("no answer to an update"))

    def _call_piece(self, piece: Piece) -> None:
        if isinstance(piece, Head):
            self._accepted = piece.status in (200, 202)
            if not self._accepted:
                log(f"an update was answered with {piece.status}")
        elif piece is End:
            if not self._accepted:
                self._calls_broken("")
                return
            self.updates.accepted()
            if self.updates.ready:
                self._soon()
            self._no_answer_due()
            if self.updates.in_flight:
                self._waiting = self._loop.after(_ANSWER, lambda: self._calls_broken("no answer to an update"))
        elif not self._accepted and isinstance(piece, bytes):
            log(f"the agent said: {piece[:500].decode('utf-8', 'replace')}")

    def _calls_ended(self, reason: str) -> None:
        self._calls_broken(reason if self.updates.in_flight else "")

    def _calls_broken(self, reason: str) -> None:
        """Send what was not taken again in a moment; the agent knows by their uuids what it has twice."""
        if reason:
            log(f"updates are sent again: {reason}")
        if self._calls is not None:
            self._calls.close()
            self._calls = None
        self._no_answer_due()
        self.updates.refused()
        if not self._resending:
            self._resending = True
            self._loop.after(_RESEND, self._resend)

    def _resend(self) -> None:
        self._resending = False
        self._flush()

    def _no_answer_due(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _request(self, kind: str, body: Json) -> bytes:
        call = {
            "type": kind,
            "framework_id": {"value": self._where.framework_id},
            "executor_id": {"value": self._where.executor_id},
            **body,
        }
        payload = json.dumps(call, separators=(",", ":")).encode()
        secret = f"Authorization: Bearer {self._where.token}\r\n" if self._where.token else ""
        head = (
            f"POST {self._where.path} HTTP/1.1\r\nHost: {self._where.host}\r\nContent-Type: application/json\r\n"
            f"Accept: application/json\r\n{secret}Content-Length: {len(payload)}\r\n\r\n"
        )
        return head.encode() + payload
