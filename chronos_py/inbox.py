"""Where events wait for the service: the only way in."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from chronos_py.errors import Overloaded
from chronos_py.model.messages import Event
from chronos_py.model.revision import Author

NOBODY = Author()


@dataclass(slots=True)
class Posted:
    """An event in the inbox; `answer` is set when a caller waits for it."""

    event: Event
    answer: Future[Any] | None = None
    author: Author = NOBODY


class Inbox:
    """Two banks: writers fill one while the service empties the other, so that nobody waits for a turn to end."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bank: list[Posted] = []
        self._filled = threading.Condition()
        self._poked = False
        self._urgent = False  # somebody waits for an answer

    def __len__(self) -> int:
        return len(self._bank)

    def put(self, item: Posted) -> None:
        """Add an event. Raises Overloaded for a request when the bank is full; a driver's events always fit, for
        their number is bound by what was launched and offered."""
        with self._filled:
            if item.answer is not None and len(self._bank) >= self._limit:
                raise Overloaded(f"{len(self._bank)} requests wait already")
            self._bank.append(item)
            if item.answer is not None and not self._urgent:
                self._urgent = True
                self._filled.notify()
            elif len(self._bank) == 1:
                self._filled.notify()

    def poke(self) -> None:
        """Wake the service though nothing was added."""
        with self._filled:
            self._poked = self._urgent = True
            self._filled.notify()

    def gather(self, seconds: float) -> None:
        """Wait up to `seconds` for more to arrive, less when somebody waits for an answer."""
        with self._filled:
            if not self._urgent and seconds > 0:
                self._filled.wait_for(lambda: self._urgent, seconds)

    def wait(self, seconds: float) -> None:
        """Wait up to `seconds` for something to arrive."""
        with self._filled:
            if not self._bank and not self._poked and seconds > 0:
                self._filled.wait(seconds)

    def swap(self, timeout: float) -> list[Posted]:
        """Return all that has arrived, waiting up to `timeout` seconds for something."""
        with self._filled:
            if not self._bank and not self._poked and timeout > 0:
                self._filled.wait(timeout)
            self._poked = self._urgent = False
            bank, self._bank = self._bank, []
            return bank


def answer(item: Posted, value: Any, problem: BaseException | None) -> None:
    """Tell the caller, if there is one who still waits; one that was told already is left alone."""
    if item.answer is None or item.answer.done() or not item.answer.set_running_or_notify_cancel():
        return
    if problem is None:
        item.answer.set_result(value)
    else:
        item.answer.set_exception(problem)
