"""One thread's loop: descriptors, and calls at later times."""

from __future__ import annotations

import heapq
import selectors
import sys
import time
import traceback
from collections.abc import Callable
from itertools import count

Call = Callable[[], None]
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


def log(text: str) -> None:
    """Write a line into the executor's own stderr; a full disk is no reason to end."""
    try:
        sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
        sys.stderr.flush()
    except OSError:
        pass


class Timer:
    """A call that is to come, unless it is cancelled."""

    __slots__ = ("call",)

    def __init__(self, call: Call) -> None:
        self.call: Call | None = call

    def cancel(self) -> None:
        self.call = None


class Loop:
    """Calls what is due. What a call raises is logged, and ends nothing."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = count()
        self._many = 128  # timers, before those that were cancelled are thrown away

    def watch(self, descriptor: int, events: int, call: Callable[[int], None]) -> None:
        """Call with the events that are true of a descriptor; again to change them."""
        try:
            self._selector.modify(descriptor, events, call)
        except KeyError:
            self._selector.register(descriptor, events, call)

    def forget(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)

    def after(self, seconds: float, call: Call) -> Timer:
        if len(self._timers) > self._many:
            self._timers = [item for item in self._timers if item[2].call is not None]
            heapq.heapify(self._timers)
            self._many = max(128, 2 * len(self._timers))
        timer = Timer(call)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), timer))
        return timer

    def turn(self) -> None:
        """Wait for the next thing and do all that is due."""
        for key, events in self._selector.select(self._patience()):
            call = key.data
            if self._watched(key.fd, call):
                self._run(lambda call=call, events=events: call(events))  # type: ignore[misc]
        now = time.monotonic()
        while self._timers and (self._timers[0][0] <= now or self._timers[0][2].call is None):
            call = heapq.heappop(self._timers)[2].call
            if call is not None:
                self._run(call)

    def _watched(self, descriptor: int, call: object) -> bool:
        """Tell whether a descriptor is still watched for the same purpose: a call before may have closed it."""
        key = self._selector.get_map().get(descriptor)
        return key is not None and key.data == call

    def _patience(self) -> float | None:
        while self._timers and self._timers[0][2].call is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    @staticmethod
    def _run(call: Call) -> None:
        try:
            call()
        except Exception:
            log(f"an error that should not be: {traceback.format_exc()}")
