"""The pages that people look at: made on the server, with little JavaScript over the public API."""

from __future__ import annotations

from flask import Blueprint

from chronos_py.api.backend import ApiSettings, Backend
from chronos_py.ui.cluster import add_cluster
from chronos_py.ui.edit import add_edit
from chronos_py.ui.frame import Ui, make_blueprint
from chronos_py.ui.graph import add_graph
from chronos_py.ui.immediate import add_immediate
from chronos_py.ui.job import add_job
from chronos_py.ui.jobs import add_jobs
from chronos_py.ui.output import add_output
from chronos_py.ui.overview import add_overview
from chronos_py.ui.run import add_run
from chronos_py.ui.timeline import add_timeline
from chronos_py.ui.watch import Watch

__all__ = ["Watch", "ui_blueprint"]


def ui_blueprint(backend: Backend, settings: ApiSettings, watch: Watch | None = None) -> Blueprint:
    """Return all pages. `watch` has the cluster's use over time; without one there is none to show."""
    ui = Ui(backend, settings)
    watch = watch or Watch(backend)
    blueprint = make_blueprint(ui)
    add_overview(blueprint, ui, watch)
    add_jobs(blueprint, ui)
    add_job(blueprint, ui)
    add_immediate(blueprint, ui)
    add_run(blueprint, ui)
    add_output(blueprint, ui)
    add_cluster(blueprint, ui, watch)
    add_graph(blueprint, ui)
    add_timeline(blueprint, ui)
    add_edit(blueprint, ui)
    return blueprint
