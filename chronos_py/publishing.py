"""What readers see: the records of the last commit, and a stream of what changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chronos_py.feed import Subscription
from chronos_py.model.capacity import Parts
from chronos_py.model.history import HistoryRecord, RunRecord
from chronos_py.model.run import Run
from chronos_py.model.tally import Tally
from chronos_py.model.view import View, Waiting
from chronos_py.scheduler.book import Turn
from chronos_py.scheduler.engine import Engine


class WaitingView:
    """Looks like a mapping from run number to Waiting; made when asked for."""

    def __init__(self, why: Callable[[int], Waiting | None]) -> None:
        self._why = why

    def get(self, number: int, default: Waiting | None = None) -> Waiting | None:
        return self._why(number) or default

    def __getitem__(self, number: int) -> Waiting:
        found = self._why(number)
        if found is None:
            raise KeyError(number)
        return found

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self._why(number) is not None


class Publisher:
    """Keeps the view and those who follow it. The service thread writes; any thread may read, and subscribe.

    `why` says why a run waits, `need_of` what it takes of its agent; neither may hold on to an engine of the past.
    """

    def __init__(self, why: Callable[[int], Waiting | None], need_of: Callable[[Run], Parts]) -> None:
        self.view = View()
        self._why = why
        self._need_of = need_of
        self._subscriptions: set[Subscription] = set()

    def subscribe(self) -> Subscription:
        subscription = Subscription(self._subscriptions.discard)
        self._subscriptions.add(subscription)
        return subscription

    def forget(self) -> None:
        """Show nothing: what was known is not ours to say any more."""
        self.view = View(changed=self.view.changed + 1)

    def resigned(self, leader: str) -> None:
        """Tell those who follow that another node has to be asked."""
        for subscription in list(self._subscriptions):
            subscription.put("resigned", {"leader": leader})

    def begin(self, engine: Engine, quarantined: list[Any]) -> None:
        """Show all that a new engine knows."""
        jobs = {name: entry.view() for name, entry in engine.book.jobs.items()}
        view = View(jobs=jobs, runs=dict(engine.book.runs), quarantined=quarantined)
        for run in sorted((*view.runs.values(), *engine.book.kept.values()), key=lambda run: run.id):
            view.immediate.put(run)
        view.tally = Tally(view.runs.values(), self._need_of)
        view.waiting = WaitingView(self._why)  # type: ignore[assignment]  # a mapping as far as readers go
        view.changed = self.view.changed + 1
        view.loaded = True
        self.view = view

    def turn(self, engine: Engine, turn: Turn) -> None:
        """Put new records in the view: all of a turn's in one step, so that no reader sees half of it."""
        view = self.view
        if turn.jobs:
            seen = {name: engine.job_view(name) for name in turn.jobs}
            present = {name: job for name, job in seen.items() if job is not None}
            if len(present) != len(seen):
                for name in seen.keys() - present.keys():
                    view.jobs.pop(name, None)
            view.jobs.update(present)
            view.changed += 1
        if turn.runs:
            runs = engine.book.runs
            view.runs.update({number: runs[number] for number in turn.runs if number in runs})
            for number in turn.runs:
                if number in runs:
                    view.tally.put(runs[number], self._need_of)
                else:
                    view.runs.pop(number, None)
                    view.tally.drop(number)
            self._immediate(engine, turn.runs)

    def _immediate(self, engine: Engine, numbers: set[int]) -> None:
        book, register = engine.book, self.view.immediate
        for number in sorted(numbers):
            run = book.runs.get(number) or book.kept.get(number)
            if run is None:
                register.remove(number)
            elif run.immediate is not None:
                register.put(run)

    def tell(self, turn: Turn, records: list[tuple[int, HistoryRecord]]) -> None:
        """Tell those who follow what changes."""
        if not self._subscriptions:
            return
        news: list[tuple[str, dict[str, Any]]] = []
        for number in turn.runs:
            run = self.view.runs.get(number)
            if run is not None:
                news.append(("run", {"run": number, "job": run.job, "phase": run.phase.value, "attempt": run.attempt}))
        for _, record in records:
            if isinstance(record, RunRecord):
                news.append(("ended", {"run": record.run, "job": record.job, "outcome": record.outcome.value}))
        news.extend(("job", {"job": name, "present": name in self.view.jobs}) for name in turn.jobs)
        for subscription in list(self._subscriptions):
            for kind, detail in news:
                subscription.put(kind, detail)
