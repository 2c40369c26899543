"""The front page: what runs, waits, failed, is late, comes next; how the cluster is used."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from chronos_py.clock import Millis
from chronos_py.model.history import RunRecord
from chronos_py.model.run import Outcome, Phase, Run
from chronos_py.model.view import JobView, Waiting
from chronos_py.persistence.base import RunQuery
from chronos_py.ui.frame import Ui
from chronos_py.ui.live import Live, Parts
from chronos_py.ui.watch import Sample, Watch, use_now

SHOWN = 8  # rows of a list
LATE = 60_000  # milliseconds after its due time at which a run that has not started counts as late
FAILURES = (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.LOST)
LATELY = 86_400_000
PARTS = ("state", "running", "waiting", "failed", "late", "next", "cluster")


@dataclass(frozen=True, slots=True)
class Late:
    """A run that should have started, or ended, by `since`."""

    run: Run
    since: Millis
    ends: bool  # it runs, and should have ended


@dataclass(frozen=True, slots=True)
class Overview:
    """All that the page shows; lists are cut, `counts` are of everything."""

    counts: dict[str, int]
    running: list[Run]
    waiting: list[tuple[Run, Waiting | None]]
    failed: list[RunRecord]
    late: list[Late]
    upcoming: list[JobView]
    health: dict[str, Any]
    now_used: Sample | None


def _late(run: Run, view: JobView | None, now: Millis) -> Late | None:
    job = view.job if view else None
    if run.phase in (Phase.QUEUED, Phase.RETRYING) and run.first_started is None:
        promised = job.start_within if job else None
        limit = run.due + (LATE if promised is None else int(promised * 1000))
        return Late(run, limit, False) if limit < now else None
    if job is not None and job.finish_within is not None:
        limit = run.due + int(job.finish_within * 1000)
        return Late(run, limit, True) if limit < now else None
    return None


def look(ui: Ui, watch: Watch) -> Overview:
    """Put the overview together: one pass over jobs, one over runs under way, three short reads of history."""
    backend, now = ui.backend, ui.backend.now()
    jobs, runs = list(backend.view.jobs.values()), list(backend.view.runs.values())
    active = [run for run in runs if run.phase in (Phase.RUNNING, Phase.LAUNCHING, Phase.REPORTING)]
    queue = [run for run in runs if run.phase in (Phase.QUEUED, Phase.RETRYING)]
    late = [found for run in runs if (found := _late(run, backend.view.jobs.get(run.job), now))]
    ended = [row for kind in FAILURES for row in backend.history.runs(RunQuery(outcome=kind.value, limit=SHOWN))]
    lately = [row for row in ended if row.outcome in FAILURES and now - row.ended < LATELY]
    coming = (view for view in jobs if (view.next_due or 0) >= now and not view.job.disabled)
    first = heapq.nsmallest(SHOWN, queue, key=lambda run: (-run.priority, run.waits_from, run.id))
    samples = watch.series()
    return Overview(
        counts={
            "jobs": len(jobs),
            "disabled": sum(view.job.disabled for view in jobs),
            "failing": sum(view.last_result == "failure" for view in jobs),
            "running": len(active),
            "waiting": len(queue),
            "late": len(late),
        },
        running=heapq.nlargest(SHOWN, active, key=lambda run: (run.started or run.launched or 0, run.id)),
        waiting=[(run, backend.view.waiting.get(run.id)) for run in first],
        failed=heapq.nlargest(SHOWN, lately, key=lambda row: row.ended),
        late=heapq.nsmallest(SHOWN, late, key=lambda found: found.since),
        upcoming=heapq.nsmallest(SHOWN, coming, key=lambda view: view.next_due or 0),
        health=backend.health(),
        now_used=samples[-1] if samples else None,
    )


def add_overview(blueprint: Blueprint, ui: Ui, watch: Watch) -> None:
    """Add `/` and its live stream."""

    def make() -> Parts:
        seen, agents = look(ui, watch), len(use_now(ui.backend).agents)
        values = {"it": seen, "agents": agents, "now": ui.backend.now()}
        return {part: render_template("ui/overview_part.html", part=part, **values) for part in PARTS}

    live = Live(make, ui.settings.followers // 2, ui.settings.stopping)

    @blueprint.get("/")
    def overview() -> ResponseReturnValue:
        return render_template("ui/overview.html", parts=live.parts())

    @blueprint.get("/ui/live")
    def overview_live() -> ResponseReturnValue:
        return live.respond()
