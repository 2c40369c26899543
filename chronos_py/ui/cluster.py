"""The cluster: agents and what runs there, the queue and its reasons, the nodes of the group, health."""

from __future__ import annotations

import heapq
from typing import Any

from flask import Blueprint, g, render_template
from flask.typing import ResponseReturnValue

from chronos_py.api.parameters import choice, number
from chronos_py.api.resources import shown as attribute_text
from chronos_py.model.capacity import parts
from chronos_py.model.run import Phase
from chronos_py.model.statistics import DAY, StatisticsQuery
from chronos_py.scheduler.queue import rank
from chronos_py.ui.charts import load_chart, use_chart
from chronos_py.ui.frame import Ui
from chronos_py.ui.watch import Watch, use_now

AGENTS = 100  # on a page
RUNS_NAMED = 12  # of an agent
QUEUED = 100


def _failures(ui: Ui) -> dict[str, dict[str, int]]:
    """Return the attempts of the last day by host: launched and failed."""
    now = ui.backend.now()
    query = StatisticsQuery(now - DAY, now + 1, by=("host",), limit=2000)
    return {
        group.values[0]: {"launched": group.figures["launched"], "failed": group.figures["attempts_failed"]}
        for group in ui.backend.history.statistics(query, now)
    }


def _queue(ui: Ui) -> list[dict[str, Any]]:
    waiting = [run for run in list(ui.backend.view.runs.values()) if run.phase in (Phase.QUEUED, Phase.RETRYING)]
    first = heapq.nsmallest(
        QUEUED,
        waiting,
        key=lambda run: (rank(run.priority, run.waits_from, ui.settings.ageing), -run.priority, run.due, run.id),
    )
    return [{"run": run, "why": ui.backend.view.waiting.get(run.id)} for run in first]


def add_cluster(blueprint: Blueprint, ui: Ui, watch: Watch) -> None:
    """Add the page of the cluster, and its charts."""

    @blueprint.get("/ui/cluster")
    def cluster() -> ResponseReturnValue:
        use, health, failures = use_now(ui.backend), ui.backend.health(), _failures(ui)
        rooms = sorted(use.agents, key=lambda room: (room.agent.active, room.agent.host, room.agent.id))
        pages = max(1, -(-len(rooms) // AGENTS))
        page = min(number("page", 1, 1, 10**6), pages)
        samples = watch.series()
        return render_template(
            "ui/cluster.html",
            rooms=rooms[(page - 1) * AGENTS : page * AGENTS],
            agents=len(rooms), page=page, pages=pages,
            runs=use.runs, named=RUNS_NAMED, failures=failures, avoided=health.get("avoidedAgents") or [],
            attribute_text=attribute_text, parts=parts,
            queue=_queue(ui), waiting=use.waiting, levels=sorted(ui.backend.queue_levels().items(), reverse=True),
            quotas=ui.backend.quotas(), health=health, standing=ui.backend.standing().shown(),
            quarantined=list(ui.backend.view.quarantined)[:50], latest=samples[-1] if samples else None,
        )  # fmt: skip

    @blueprint.get("/ui/cluster.svg")
    def cluster_chart() -> ResponseReturnValue:
        kind = choice("show", ("use", "load"), "use")
        return (load_chart if kind == "load" else use_chart)(watch.series(), g.theme)
