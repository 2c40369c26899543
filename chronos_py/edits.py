"""Which definitions a turn has changed, and on whose demand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Protocol

from chronos_py.clock import Millis
from chronos_py.model.job import Job
from chronos_py.model.messages import ChangeJob, DeleteJob, Event, SubmitJob
from chronos_py.model.revision import Author, Edit
from chronos_py.model.view import JobView

NOBODY = Author()
AUTHOR: ContextVar[Author] = ContextVar("author", default=NOBODY)  # of the request that this thread answers


class Revisions(Protocol):
    """Takes committed edits; writes them behind. Never blocks and never raises."""

    def submit(self, edits: list[Edit]) -> None: ...


class NoRevisions:
    def submit(self, edits: list[Edit]) -> None:
        """Keep nothing."""


class TurnEdits:
    """Collects the edits of one turn. `present` gives a job's definition now, `shown` what readers see: before it."""

    def __init__(self) -> None:
        self._edits: list[Edit] = []
        self._latest: dict[str, Job | None] = {}
        self._deleter = NOBODY

    def note(self, event: Event, author: Author, shown: Mapping[str, JobView], present: Job | None, at: Millis) -> None:
        """Take note of a request that was carried out."""
        if isinstance(event, DeleteJob):
            self._deleter = author
        name = job_of(event)
        if name is not None:
            self._add(name, shown, present, at, author)

    def finish(
        self, names: Iterable[str], shown: Mapping[str, JobView], present: Callable[[str], Job | None], at: Millis
    ) -> list[Edit]:
        """Return all edits; those that nobody asked for by name are the deleter's of a parent, or the server's own."""
        for name in names:
            self._add(name, shown, present(name), at, self._deleter)
        return self._edits

    def _add(self, name: str, shown: Mapping[str, JobView], after: Job | None, at: Millis, author: Author) -> None:
        if name in self._latest:
            before = self._latest[name]
        else:
            view = shown.get(name)
            before = view.job if view is not None else None
        if after is before or after == before:
            return
        self._latest[name] = after
        self._edits.append(Edit(name, before, after, at, author))


def job_of(event: Event) -> str | None:
    """Return which job's definition a request changes, None when it changes none."""
    match event:
        case SubmitJob():
            return event.job.name
        case ChangeJob() | DeleteJob():
            return event.name
    return None
