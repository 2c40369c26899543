"""What is to happen later, in one event loop."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Timer:
    """A call that is due at a monotonic time."""

    def __init__(self, due: float, call: Callable[[], object]) -> None:
        self.due, self.call = due, call


class Timers:
    def __init__(self) -> None:
        self._timers: list[Timer] = []

    def add(self, delay: float, call: Callable[[], object]) -> Timer:
        """Have `call` made after `delay` seconds."""
        timer = Timer(time.monotonic() + delay, call)
        self._timers.append(timer)
        return timer

    def cancel(self, timer: Timer | None) -> None:
        if timer in self._timers:
            self._timers.remove(timer)

    def clear(self) -> None:
        self._timers = []

    def wait(self) -> float | None:
        """Return the seconds until the next call, None when there is none."""
        return max(0.0, min(timer.due for timer in self._timers) - time.monotonic()) if self._timers else None

    def fire(self) -> None:
        """Make the calls that are due; one may cancel another."""
        now = time.monotonic()
        for timer in [timer for timer in self._timers if timer.due <= now]:
            if timer in self._timers:
                self._timers.remove(timer)
                timer.call()
