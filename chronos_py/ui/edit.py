"""Adding and changing jobs; who changed them, and restoring what was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from zoneinfo import available_timezones

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from chronos_py.api.definitions import job_etag
from chronos_py.api.editing import revision_form
from chronos_py.api.parameters import number
from chronos_py.clock import iso_utc
from chronos_py.errors import UnknownJob, UnknownRevision
from chronos_py.model.revision import Revision, definition, differences
from chronos_py.model.view import JobView
from chronos_py.ui.fields import form_groups
from chronos_py.ui.frame import Ui
from chronos_py.ui.i18n import gettext

PAGE = 30
_EXAMPLES: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    ("nightly", "Every night at 02:00", {"command": "echo good night", "schedule": "R/{day}T02:00:00/P1D"}),
    ("quarterly", "Every 15 minutes", {"command": "date", "schedule": "R/{day}T00:00:00Z/PT15M"}),
    ("once", "Once, in a moment", {"command": "echo once", "schedule": "R1//PT1M"}),
    ("monthly", "On the first of each month", {"command": "echo month", "schedule": "R/{month}-01T06:00:00/P1M"}),
    ("after", "After other jobs", {"command": "echo the parents have succeeded", "parents": []}),
    (
        "container",
        "In a container",
        {
            "command": "python3 -c 'print(6 * 7)'",
            "schedule": "R/{day}T03:00:00Z/P1D",
            "container": {"type": "DOCKER", "image": "python:3-slim", "network": "BRIDGE", "volumes": []},
        },
    ),
)


def example_names() -> list[tuple[str, str]]:
    return [(key, label) for key, label, _ in _EXAMPLES]


def example(key: str, today: str) -> dict[str, Any]:
    """Return the document of an example, beginning today (an ISO date); the plain one for an unknown key."""
    chosen = next((document for name, _, document in _EXAMPLES if name == key), {"schedule": "R/{day}T00:00:00Z/P1D"})
    document: dict[str, Any] = {"name": "", "command": "", **chosen}
    if "schedule" in document:
        document["schedule"] = document["schedule"].replace("{day}", today).replace("{month}", today[:7])
    return document


def editable(view: JobView) -> dict[str, Any]:
    """Return a definition as the editor shows it: what is left of the schedule, as everywhere else."""
    document = definition(view.job)
    if view.job.schedule is not None:
        document["schedule"] = view.schedule or view.job.schedule
    return document


def add_edit(blueprint: Blueprint, ui: Ui) -> None:
    """Add /ui/add (`copy`, `example`), /ui/edit, /ui/revisions and /ui/revision (`name`, `number`)."""
    backend = ui.backend

    def view_of(name: str) -> JobView:
        view = backend.view.jobs.get(name)
        if view is None:
            raise UnknownJob(name)
        return view

    def editor(document: Mapping[str, Any], **values: Any) -> ResponseReturnValue:
        parents = sorted(backend.view.jobs)[:500]
        return render_template(
            "ui/edit.html",
            document=document,
            text=json.dumps(document, indent=2, ensure_ascii=True),
            groups=form_groups(),
            zones=sorted(available_timezones()),
            parents=parents,
            **values,
        )

    @blueprint.get("/ui/add")
    def add() -> ResponseReturnValue:
        copied = request.args.get("copy", "")
        chosen = request.args.get("example", "")
        if copied:
            document = {**editable(view_of(copied)), "name": f"{copied}-copy"}
        else:
            document = example(chosen, iso_utc(backend.now())[:10])
        return editor(document, name="", etag="", copied=copied, chosen=chosen, examples=example_names())

    @blueprint.get("/ui/edit")
    def edit() -> ResponseReturnValue:
        view = view_of(request.args.get("name", ""))
        return editor(editable(view), name=view.job.name, etag=job_etag(view.job), copied="", chosen="", examples=())

    @blueprint.get("/ui/revisions")
    def revisions() -> ResponseReturnValue:
        name, before = request.args.get("name", ""), number("before", 2**62, 1, 2**62)
        found = backend.revisions.of_job(name, PAGE + 1, before)
        view = backend.view.jobs.get(name)
        if not found and view is None:
            raise UnknownJob(name)
        return render_template(
            "ui/revisions.html",
            name=name,
            present=view is not None,
            rows=[(revision, revision_form(revision)) for revision in found[:PAGE]],
            more=found[PAGE - 1].number if len(found) > PAGE else None,
            author=_author,
            first=before == 2**62,
        )

    @blueprint.get("/ui/revision")
    def revision() -> ResponseReturnValue:
        """Show what differs between two states of a job: `number` is one, `against` the other (`before`, `now`, or
        another revision's number)."""
        name, wanted = request.args.get("name", ""), number("number", 0, 0, 2**62)
        chosen = backend.revisions.get(name, wanted)
        if chosen is None:
            raise UnknownRevision(name, wanted)
        view = backend.view.jobs.get(name)
        against = request.args.get("against", "before")
        after = _loaded(chosen.after)
        if against == "now":
            old, new = after, definition(view.job) if view is not None else None
        elif against == "before":
            old, new = _loaded(chosen.before), after
        else:
            other = backend.revisions.get(name, number("against", 0, 0, 2**62))
            if other is None:
                raise UnknownRevision(name, number("against", 0, 0, 2**62))
            first, last = sorted((chosen, other), key=lambda revision: revision.number)
            old, new = _loaded(first.after), _loaded(last.after)
        restored = after if after is not None else _loaded(chosen.before)
        return render_template(
            "ui/revision.html",
            name=name,
            chosen=chosen,
            form=revision_form(chosen),
            against=against,
            changes=[(c["field"], _shown(c["before"]), _shown(c["after"])) for c in differences(old, new)],
            others=[r for r in backend.revisions.of_job(name, PAGE) if r.number != wanted],
            etag=job_etag(view.job) if view is not None else "",
            present=view is not None,
            same=view is not None and restored == definition(view.job),
            restorable=bool(restored),
            document=json.dumps(restored, indent=2, ensure_ascii=True) if restored else "",
            author=_author,
        )


def _loaded(text: str | None) -> dict[str, Any] | None:
    found: dict[str, Any] | None = json.loads(text) if text else None
    return found


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=True)


def _author(revision: Revision) -> str:
    """Return who made a revision, as far as is known."""
    author = revision.author
    if author.user:
        return f"{author.user} ({author.address})" if author.address else author.user
    return author.address or gettext("the server")
