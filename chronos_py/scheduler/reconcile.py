"""Asking after tasks until each is accounted for: after every connection, in doubt, and now and then.

*Explicit*: about each task that may exist, by name. Asked again while nobody has answered for sure, first after FIRST,
then with doubled pauses up to LONGEST. *Implicit*: about all that the cluster has of ours, which brings to light tasks
that we do not know; once after each connection, when the explicit answers are there or have been asked for twice.
Both are repeated every `reconciliation_interval`; answers that say nothing new change nothing and cost no commit.
"""

from __future__ import annotations

from collections.abc import Iterable

from chronos_py.clock import Millis
from chronos_py.model.messages import Reconcile
from chronos_py.model.run import Run
from chronos_py.scheduler.book import Book

FIRST: Millis = 5000
LONGEST: Millis = 300_000
BATCH = 1000  # tasks in one question
FRESH: Millis = 5000  # a launch may still be on its way to the cluster


class Reconciler:
    """Decides when to ask. Whoever doubts a run asks the first time; this asks again."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self._again: Millis | None = None
        self._pause = FIRST
        self._seen = 0  # doubts that were raised so far, as the book counts them
        self._implicit = False
        self._regular: Millis | None = None

    @property
    def wake(self) -> Millis | None:
        return min((at for at in (self._again, self._regular) if at is not None), default=None)

    def connected(self, now: Millis) -> None:
        """Ask after every task that may exist; their runs wait for the answers."""
        asked = [run for run in self.book.runs.values() if run.on_agent]
        for run in asked:
            self.book.update_run(run, uncertain=True, deadline=now + self.book.policy.unknown_task_timeout)
        self.ask(asked)
        self._again, self._implicit = None, True
        self._next_regular(now)
        self.advance(now)

    def resume(self, before: Reconciler) -> None:
        """Go on where another stood, whose book was read again from the store."""
        self._again, self._pause, self._implicit = before._again, before._pause, before._implicit
        self._regular = before._regular

    def doubt(self, runs: Iterable[Run], now: Millis) -> None:
        """Ask after tasks of which nothing is known; their runs wait for the answer, or for the end of patience."""
        asked = [run for run in runs if run.on_agent and not run.uncertain]
        for run in asked:
            self.book.update_run(run, uncertain=True, deadline=now + self.book.policy.unknown_task_timeout)
        self.ask(asked)

    def ask(self, runs: list[Run]) -> None:
        for first in range(0, len(runs), BATCH):
            self.book.effect(Reconcile(tuple((run.task_id, run.agent_id) for run in runs[first : first + BATCH])))

    def advance(self, now: Millis) -> None:
        """Ask what is due to be asked; only while the cluster can be reached."""
        book = self.book
        if not book.doubts:
            self._again = None
            self._ask_for_all()
        elif self._again is None or self._seen != book.doubted:
            self._pause = FIRST
            self._again = now + FIRST if self._again is None else min(self._again, now + FIRST)
        elif self._again <= now:
            self.ask([book.runs[number] for number in sorted(book.doubts)])
            self._pause = min(2 * self._pause, LONGEST)
            self._again = now + self._pause
            self._ask_for_all()
        self._seen = book.doubted
        if self._regular is not None and self._regular <= now:
            known = [run for run in book.runs.values() if run.on_agent and (run.launched or 0) + FRESH <= now]
            self.ask(known)
            book.effect(Reconcile(()))
            self._next_regular(now)

    def _ask_for_all(self) -> None:
        if self._implicit:
            self._implicit = False
            self.book.effect(Reconcile(()))

    def _next_regular(self, now: Millis) -> None:
        interval = self.book.policy.reconciliation_interval
        self._regular = now + interval if interval > 0 else None
