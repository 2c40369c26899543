"""One job: definition, due times, neighbours, history, statistics."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, g, render_template, request
from flask.typing import ResponseReturnValue

from chronos_py.api.parameters import choice, number
from chronos_py.clock import Millis
from chronos_py.errors import InvalidInput, UnknownJob
from chronos_py.model.render import render_job
from chronos_py.model.run import Outcome
from chronos_py.model.statistics import DAY, StatisticsQuery, percentile
from chronos_py.model.view import JobView
from chronos_py.persistence.base import RunQuery
from chronos_py.ui.charts import runs_chart
from chronos_py.ui.due import Coming, coming, offset_text
from chronos_py.ui.frame import Ui
from chronos_py.ui.history import run_time, strip_of
from chronos_py.ui.jobs import children_of
from chronos_py.ui.words import schedule_words

DUE_TIMES = 20
ROWS = 50  # of history, on a page
BARS = 60
NEIGHBOURS = 40
SPANS = (("24 h", DAY), ("7 d", 7 * DAY), ("30 d", 30 * DAY))


def the_job(ui: Ui) -> JobView:
    """Return the job that the argument `name` names. Raises InvalidInput, UnknownJob."""
    name = request.args.get("name", "")
    if not name:
        raise InvalidInput("name", name, "which job?")
    view = ui.backend.view.jobs.get(name)
    if view is None:
        raise UnknownJob(name)
    return view


def figures(ui: Ui, name: str) -> list[dict[str, Any]]:
    """Return a job's sums over some spans up to now: counts, and percentiles in milliseconds."""
    now: Millis = ui.backend.now()
    found = []
    for label, length in SPANS:
        groups = ui.backend.history.statistics(StatisticsQuery(now - length, now + 1, where=(("job", name),)), now)
        if not groups:
            continue
        sums = groups[0].figures
        wait, _, ran = sums.spreads
        ended = sums["success"] + sums["failed"] + sums["timed_out"] + sums["lost"]
        found.append(
            {
                "span": label,
                "success": sums["success"],
                "failed": sums["failed"] + sums["timed_out"] + sums["lost"],
                "other": sums["killed"] + sums["skipped"] + sums["merged"],
                "share": 100 * sums["success"] / ended if ended else None,
                "wait": percentile(wait, 0.5),
                "p50": percentile(ran, 0.5),
                "p90": percentile(ran, 0.9),
                "longest": percentile(ran, 1.0),
            }
        )
    return found


def _definition(view: JobView) -> str:
    """Return the whole definition as JSON for people."""
    return json.dumps(json.loads(render_job(view, 3)), indent=2, ensure_ascii=False)


def add_job(blueprint: Blueprint, ui: Ui) -> None:
    """Add the page of one job, and its chart."""

    @blueprint.get("/ui/job")
    def job() -> ResponseReturnValue:
        view = the_job(ui)
        name, before = view.job.name, number("before", 2**62, 1, 2**62)
        outcome = _outcome()
        rows = ui.backend.history.runs(RunQuery(job=name, outcome=outcome, before_run=before, limit=ROWS + 1))
        active = [run for run in list(ui.backend.view.runs.values()) if run.job == name]
        parents = [(parent, ui.backend.view.jobs.get(parent)) for parent in (view.job.parents or ())[:NEIGHBOURS]]
        children = children_of(ui.backend, [name])[name]
        due: Coming | None = coming(view, DUE_TIMES, ui.backend.now())
        return render_template(
            "ui/job.html",
            view=view,
            job=view.job,
            words=schedule_words(view),
            definition=_definition(view),
            due=due,
            offset_text=offset_text,
            parents=parents,
            children=[(child, ui.backend.view.jobs.get(child)) for child in children[:NEIGHBOURS]],
            hidden=max(0, len(view.job.parents or ()) - NEIGHBOURS) + max(0, len(children) - NEIGHBOURS),
            child_count=len(children),
            active=sorted(active, key=lambda run: -run.id)[:ROWS],
            waiting={run.id: ui.backend.view.waiting.get(run.id) for run in active[:ROWS]},
            rows=rows[:ROWS],
            more=rows[ROWS - 1].run if len(rows) > ROWS else None,
            outcomes=[kind.value for kind in Outcome if kind is not Outcome.PREEMPTED],
            run_time=run_time,
            strip=strip_of(ui.backend, name),
            figures=figures(ui, name),
        )

    @blueprint.get("/ui/job/runs.svg")
    def job_chart() -> ResponseReturnValue:
        name = the_job(ui).job.name
        narrow = choice("size", ("narrow", "wide"), "wide") == "narrow"
        rows = ui.backend.history.runs(RunQuery(job=name, limit=BARS // 2 if narrow else BARS))
        return runs_chart(rows[::-1], g.theme, narrow=narrow)


def _outcome() -> str | None:
    return choice("outcome", [kind.value for kind in Outcome]) if request.args.get("outcome") else None
