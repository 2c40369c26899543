"""Immediate jobs: the list of those that are known, with filters. What one did stands on the page of its run."""

from __future__ import annotations

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from chronos_py.api.masking import without_url_secrets
from chronos_py.api.parameters import choice, number
from chronos_py.errors import InvalidInput
from chronos_py.model.job import Pair
from chronos_py.model.register import ACTIVE, ENDED, STATES, Wanted, state_of
from chronos_py.ui.frame import Ui

ROWS = 100
GROUPS = {"active": ACTIVE, "ended": ENDED}


def _wanted() -> Wanted:
    """Read the request's arguments. Raises InvalidInput."""
    given, state = request.args.get, ""
    if given("state"):
        state = choice("state", (*GROUPS, *STATES)) or ""
    label = given("label", "").strip()
    key, equals, value = label.partition("=")
    if label and not (key and equals):
        raise InvalidInput("label", label, "must be name=value")
    return Wanted(
        labels=(Pair(key, value),) if label else (),
        states=GROUPS.get(state, (state,) if state else ()),
        owner=given("owner", "").strip(),
        name=given("name", "").strip(),
        before=number("before", 2**62, 1, 2**62),
        limit=ROWS,
    )


def add_immediate(blueprint: Blueprint, ui: Ui) -> None:
    """Add /ui/immediate: `id` for one, `name`, `owner`, `label` (key=value), `state`, `before` (the next page)."""

    @blueprint.get("/ui/immediate")
    def immediate() -> ResponseReturnValue:
        register, wanted, one = ui.backend.view.immediate, _wanted(), request.args.get("id", "").strip()
        if one:
            found = register.get(one)
            runs = [found] if found is not None else []
            total = len(runs)
        else:
            total, runs = register.find(wanted)
        counts = register.counts
        return render_template(
            "ui/immediate.html",
            rows=[(run, run.immediate, state_of(run), ui.backend.view.waiting.get(run.id)) for run in runs],
            total=total,
            more=runs[-1].id if len(runs) == ROWS else None,
            known=len(register),
            counts={state: counts[state] for state in STATES if counts.get(state)},
            states=(*GROUPS, *STATES),
            filtered=bool(one) or wanted != Wanted(limit=ROWS, before=wanted.before),
            args=request.args,
            without_url_secrets=without_url_secrets,
        )
