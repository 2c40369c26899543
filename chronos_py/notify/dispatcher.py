"""Between the service and the channels: one queue and one thread for each channel.

A notice lies in the job store until all its channels are done with it, so these queues may be lost at any moment: a
process that starts, or leads next, is handed all that is left. A notice is delivered at least once, and to each channel
in the order of events.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from chronos_py.clock import Clock, Millis
from chronos_py.model.notice import Notice
from chronos_py.notify.base import Channel, Failed, Refused

log = structlog.get_logger(__name__)

FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 1.0, 60.0
LIMIT = 10_000  # notices that wait for a channel
LARGEST = 32 * 1024 * 1024  # characters of all that wait for a channel: commands may be long
MAX_AGE_MS = 86_400_000
STOP_S = 3.0

Done = Callable[[int, str], None]  # (notice's number, channel's name)


@dataclass(slots=True)
class Tally:
    """What a channel has done since the process started. `problem` is empty when all is well."""

    sent: int = 0
    retried: int = 0
    failed: int = 0
    problem: str = ""
    since: Millis = 0
    waiting: dict[int, Notice] = field(default_factory=dict)


class _Worker:
    """A channel's queue and thread."""

    def __init__(self, channel: Channel, done: Done, clock: Clock, limit: int, max_age: Millis, pause: float) -> None:
        self._channel = channel
        self._done = done
        self._clock = clock
        self._limit = limit
        self._max_age = max_age
        self._pause = pause
        self._changed = threading.Condition()
        self._told: set[tuple[int, str]] = set()  # owners that have a notice which other owners do not have yet
        self._stopping = False
        self._size = 0
        self.tally = Tally()
        self._thread = threading.Thread(target=self._run, name=f"notify-{channel.name}", daemon=True)
        self._thread.start()

    def put(self, notices: Iterable[Notice], *, all_there_are: bool = False) -> None:
        dropped = []
        with self._changed:
            waiting = self.tally.waiting
            if all_there_are:
                waiting.clear()
                self._size = 0
            for notice in notices:
                if notice.number not in waiting:
                    self._size += notice.size
                waiting[notice.number] = notice
            while len(waiting) > self._limit or (self._size > LARGEST and len(waiting) > 1):
                dropped.append(self._drop(next(iter(waiting))))
            self.tally.failed += len(dropped)
            self._changed.notify_all()
        for notice in dropped:
            log.error("a notice is dropped: too many wait", channel=self._channel.name, job=notice.job)
            self._done(notice.number, self._channel.name)

    def _drop(self, number: int) -> Notice:
        """Take a notice out of the queue; the lock is held."""
        notice = self.tally.waiting.pop(number)
        self._size -= notice.size
        return notice

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    def _run(self) -> None:
        pause = self._pause
        while (notice := self._next()) is not None:
            wait = self._deliver(notice)
            if wait is None:
                pause = self._pause
                continue
            self.tally.retried += 1
            with self._changed:
                self._changed.wait_for(lambda: self._stopping, max(pause, wait))
            pause = min(pause * 2, LONGEST_BACK_OFF_S)

    def _next(self) -> Notice | None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self.tally.waiting)
            return None if self._stopping else next(iter(self.tally.waiting.values()))

    def _deliver(self, notice: Notice) -> float | None:
        """Try to deliver a notice; return None when the channel is done with it, else how long to wait at least."""
        name = self._channel.name
        try:
            self._to_all(notice)
        except Failed as error:
            if self._clock.now() - notice.at < self._max_age:
                self._trouble(str(error))
                return error.after
            self._give_up(notice, f"too old by now: {error}")
        except Refused as error:
            self._give_up(notice, str(error))
        except Exception as error:  # a fault of ours must not hold up all others for ever
            log.exception("a channel failed", channel=name, job=notice.job)
            self._give_up(notice, f"{type(error).__name__}")
        else:
            if self.tally.problem:
                log.info("notices are delivered again", channel=name)
            self.tally.problem, self.tally.since = "", 0
        with self._changed:
            if notice.number in self.tally.waiting:
                self._drop(notice.number)
        self._told = {pair for pair in self._told if pair[0] != notice.number}
        self._done(notice.number, name)
        return None

    def _to_all(self, notice: Notice) -> None:
        refused = []
        for owner in notice.owners:
            if (notice.number, owner) in self._told:
                continue
            try:
                if self._channel.send(notice, owner):
                    self.tally.sent += 1
            except Refused as error:  # the other owners are still told
                refused.append(f"{owner}: {error}" if owner else str(error))
            self._told.add((notice.number, owner))
        if refused:
            raise Refused("; ".join(refused))

    def _trouble(self, problem: str) -> None:
        if not self.tally.problem:
            log.error("a notice cannot be delivered yet", channel=self._channel.name, reason=problem)
            self.tally.since = self._clock.now()
        self.tally.problem = problem

    def _give_up(self, notice: Notice, reason: str) -> None:
        log.error(
            "a notice is given up", channel=self._channel.name, job=notice.job, notice=notice.event, reason=reason
        )
        self.tally.failed += 1
        self.tally.problem, self.tally.since = f"a notice was given up: {reason}", self._clock.now()


class Dispatcher:
    """Hands notices to channels. `begin` and `pause` follow leadership; `stop` ends it for good."""

    def __init__(
        self,
        channels: Sequence[Channel],
        done: Done,
        clock: Clock,
        *,
        limit: int = LIMIT,
        max_age: Millis = MAX_AGE_MS,
        back_off: float = FIRST_BACK_OFF_S,
    ) -> None:
        self._done = done
        self._workers = {channel.name: _Worker(channel, done, clock, limit, max_age, back_off) for channel in channels}

    def take(self, notice: Notice) -> None:
        """Take a notice that has just been committed. Never blocks."""
        self._hand_out([notice])
        told = log.info if notice.event in ("failed", "disabled") or notice.left else log.debug
        told("notice", job=notice.job, notice=notice.event)

    def begin(self, notices: Iterable[Notice]) -> None:
        """Forget all that waits, and take what the store has."""
        left = list(notices)
        for name, worker in self._workers.items():
            worker.put([notice for notice in left if name in notice.left], all_there_are=True)
        self._drop_strangers(left)

    def pause(self) -> None:
        """Forget all that waits: another node delivers it."""
        for worker in self._workers.values():
            worker.put([], all_there_are=True)

    def stop(self) -> None:
        """End the threads; what is not delivered stays in the store."""
        for worker in self._workers.values():
            worker.stop()
        deadline = time.monotonic() + STOP_S
        for worker in self._workers.values():
            worker.join(max(0.0, deadline - time.monotonic()))

    def status(self) -> dict[str, Any]:
        """Return how each channel does, for /health."""
        return {
            name: {
                "waiting": len(worker.tally.waiting),
                "sent": worker.tally.sent,
                "retried": worker.tally.retried,
                "failed": worker.tally.failed,
                "problem": worker.tally.problem,
                "since": worker.tally.since or None,
            }
            for name, worker in self._workers.items()
        }

    def _hand_out(self, notices: list[Notice]) -> None:
        for name, worker in self._workers.items():
            mine = [notice for notice in notices if name in notice.left]
            if mine:
                worker.put(mine)

    def _drop_strangers(self, notices: list[Notice]) -> None:
        """Be done with channels that are not set up any more."""
        for notice in notices:
            for name in notice.left:
                if name not in self._workers:
                    log.warning("a notice's channel is not set up any more", channel=name, job=notice.job)
                    self._done(notice.number, name)
