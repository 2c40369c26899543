"""The list of jobs: search, filters, order and paging on the server; what deleting some would do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from chronos_py.api.backend import Backend
from chronos_py.api.parameters import choice, number
from chronos_py.model.job import Job
from chronos_py.model.view import JobView
from chronos_py.ui.frame import Ui
from chronos_py.ui.history import Strip, strip_of
from chronos_py.ui.words import schedule_words

SIZES = (25, 50, 100)
STATES = ("idle", "queued", "running")
RESULTS = ("fresh", "success", "failure")
KINDS = ("scheduled", "dependent")
MOST_CHILDREN = 50  # that a confirmation names
NEVER = 2**63

_last_run = attrgetter("state.last_success", "state.last_error")
# What is found comes in order of names, which so decides between equals.
ORDERS: Mapping[str, Callable[[JobView], Any] | None] = {
    "name": None,
    "owner": lambda view: view.job.owner.lower(),
    "next": lambda view: NEVER if view.next_due is None or view.job.disabled else view.next_due,
    "last": lambda view: max(_last_run(view)),
    "errors": lambda view: view.state.errors_since_last_success,
    "created": lambda view: view.state.sequence,
}


@dataclass(frozen=True, slots=True)
class Filter:
    """What the list is narrowed to; empty: everything. `label` is `key` or `key=value`."""

    text: str = ""
    owner: str = ""
    label: str = ""
    state: str = ""
    result: str = ""
    kind: str = ""
    disabled: str = ""

    @classmethod
    def asked(cls) -> Filter:
        """Read the request's arguments. Raises InvalidInput."""
        given = request.args.get
        return cls(
            text=given("q", "").strip().lower(),
            owner=given("owner", "").strip().lower(),
            label=given("label", "").strip(),
            state=_choice("state", STATES),
            result=_choice("result", RESULTS),
            kind=_choice("kind", KINDS),
            disabled=_choice("disabled", ("true", "false")),
        )

    def admits(self, view: JobView) -> bool:
        """Tell whether a job is in the list; its text is looked at elsewhere."""
        job = view.job
        return (
            (not self.owner or self.owner in job.owner.lower())
            and (not self.state or self._state(view))
            and (not self.result or view.last_result == self.result)
            and (not self.kind or (job.parents is not None) == (self.kind == "dependent"))
            and (not self.disabled or job.disabled == (self.disabled == "true"))
            and (not self.label or _labelled(job, self.label))
        )

    def _state(self, view: JobView) -> bool:
        if self.state == "running":
            return view.running > 0
        return view.queued > 0 if self.state == "queued" else not view.running and not view.queued


def _choice(name: str, allowed: tuple[str, ...]) -> str:
    """Return an argument that is one of some values; an empty one is none. Raises InvalidInput."""
    return (choice(name, allowed) or "") if request.args.get(name) else ""


def _labelled(job: Job, wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return any(pair.key == key and (not equals or pair.value == value) for pair in job.labels)


class Texts:
    """What is searched of each job, in small letters: made once for each definition."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Job, str]] = {}

    def of(self, job: Job) -> str:
        """Return the text of a job's name, command, description and owner."""
        known = self._known.get(job.name)
        if known is not None and known[0] is job:
            return known[1]
        text = "\n".join((job.name, job.description, job.owner, job.command[:4000])).lower()
        self._known[job.name] = (job, text)
        return text

    def matching(self, views: Iterable[JobView], words: Sequence[str]) -> list[JobView]:
        """Return the jobs in whose text every word is. Without a call for each job: there may be very many."""
        known, found = self._known, []
        for view in views:
            job = view.job
            kept = known.get(job.name)
            text = kept[1] if kept is not None and kept[0] is job else self.of(job)
            for word in words:
                if word not in text:
                    break
            else:
                found.append(view)
        return found

    def forget(self, present: Mapping[str, Any]) -> None:
        """Let go of jobs that are no more, once they are many."""
        if len(self._known) > 2 * len(present) + 1000:
            self._known = {name: kept for name, kept in list(self._known.items()) if name in present}


@dataclass(frozen=True, slots=True)
class Row:
    """One job as the list shows it."""

    view: JobView
    words: str
    strip: Strip


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the list; `total` are all that match."""

    rows: list[Row]
    total: int
    first: int
    page: int
    pages: int


class JobList:
    """Finds, orders and cuts."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._texts = Texts()
        self._sorted: tuple[list[str], list[str]] = ([], [])  # names as they were in the view, and in order

    def _names(self) -> list[str]:
        """Return all names in order, whatever the case. Sorted when they have changed: to see that costs little."""
        present = list(self._backend.view.jobs)
        before, ordered = self._sorted
        if present != before:
            ordered = sorted(present, key=lambda name: (name.lower(), name))
            self._sorted = (present, ordered)
        return ordered

    def find(self, wanted: Filter) -> list[JobView]:
        """Return the jobs that match, in order of names; every word of the text must be found."""
        jobs = self._backend.view.jobs
        self._texts.forget(jobs)
        views = [view for name in self._names() if (view := jobs.get(name)) is not None]
        words = wanted.text.split()
        plain = wanted == Filter(text=wanted.text)
        if plain and not words:
            return views
        admitted = views if plain else [view for view in views if wanted.admits(view)]
        return self._texts.matching(admitted, words) if words else admitted

    def page(self, wanted: Filter, order: str, *, down: bool, size: int, number: int) -> Page:
        """Return one page; a number beyond the last gives the last."""
        found = self.find(wanted)
        key = ORDERS[order]
        if key is not None:
            found.sort(key=key, reverse=down)
        elif down:
            found.reverse()
        pages = max(1, -(-len(found) // size))
        number = min(number, pages)
        first = (number - 1) * size
        rows = [
            Row(view, schedule_words(view), strip_of(self._backend, view.job.name))
            for view in found[first : first + size]
        ]
        return Page(rows, len(found), first, number, pages)


def children_of(backend: Backend, names: Iterable[str]) -> dict[str, list[str]]:
    """Return the jobs that name each of some jobs as a parent."""
    found: dict[str, list[str]] = {name: [] for name in names}
    for view in list(backend.view.jobs.values()):
        for parent in view.job.parents or ():
            if parent in found:
                found[parent].append(view.job.name)
    return found


def add_jobs(blueprint: Blueprint, ui: Ui) -> None:
    """Add the list and what its confirmations show."""
    listing = JobList(ui.backend)

    @blueprint.get("/ui/jobs")
    def jobs() -> ResponseReturnValue:
        wanted = Filter.asked()
        order = _choice("sort", tuple(ORDERS)) or "name"
        down = _choice("dir", ("asc", "desc")) == "desc"
        size = number("size", 50, 1, 200)
        page = listing.page(wanted, order, down=down, size=size, number=number("page", 1, 1, 10**6))
        part = "ui/jobs_list.html" if request.args.get("part") == "list" else "ui/jobs.html"
        values = {"states": STATES, "results": RESULTS, "kinds": KINDS, "sizes": SIZES, "args": request.args}
        filtered = wanted != Filter()
        return render_template(part, page=page, order=order, down=down, size=size, filtered=filtered, **values)

    @blueprint.get("/ui/consequences")
    def consequences() -> ResponseReturnValue:
        names = request.args.getlist("name")[:200]
        children = {name: kids for name, kids in children_of(ui.backend, names).items() if kids}
        running = {name: view.running for name in names if (view := ui.backend.view.jobs.get(name)) and view.running}
        return render_template(
            "ui/consequences.html", names=names, children=children, running=running, most=MOST_CHILDREN
        )
