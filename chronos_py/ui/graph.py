"""The dependency graph: one component at a time, laid out on the server, with the critical path of its last cycle."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from chronos_py.api.backend import Backend
from chronos_py.clock import Millis
from chronos_py.errors import Unavailable, UnknownJob
from chronos_py.model.history import RunRecord
from chronos_py.model.run import Trigger
from chronos_py.model.view import JobView
from chronos_py.ui.frame import Ui
from chronos_py.ui.layout import Layout, lay_out

MOST_NODES = 3000  # in one picture
MOST_COMPONENTS = 100  # in the list
LONGEST_PATH = 1000
NODE_WIDTH, NODE_HEIGHT = 180, 32
MARGIN = 20


@dataclass(frozen=True, slots=True)
class Step:
    """One run on the critical path."""

    job: str
    run: int
    outcome: str
    waited: Millis
    ran: Millis


@dataclass(slots=True)
class Node:
    """What a picture shows of one job; `x` and `y` of its upper left corner. `hidden`: jobs folded into it."""

    name: str
    x: float
    y: float
    result: str
    runs: str  # numbers of those under way, `12:running 13:queued`
    disabled: bool
    children: int
    hidden: int = 0
    folded: bool = False
    critical: bool = False


@dataclass(slots=True)
class Picture:
    nodes: list[Node] = field(default_factory=list)
    edges: list[dict[str, Any]] = field(default_factory=list)
    width: float = 0
    height: float = 0


class Relations:
    """Who is whose parent, among all jobs of a moment."""

    def __init__(self, views: Iterable[JobView]) -> None:
        self.parents: dict[str, tuple[str, ...]] = {}
        self.children: dict[str, list[str]] = defaultdict(list)
        for view in views:
            self.parents[view.job.name] = view.job.parents or ()
            for parent in view.job.parents or ():
                self.children[parent].append(view.job.name)

    def component(self, name: str) -> list[str]:
        """Return all jobs that hang together with one, itself first."""
        seen, waiting = {name: None}, deque([name])
        while waiting:
            at = waiting.popleft()
            for other in (*self.parents.get(at, ()), *self.children.get(at, ())):
                if other not in seen and other in self.parents:
                    seen[other] = None
                    waiting.append(other)
        return list(seen)

    def components(self) -> list[list[str]]:
        """Return all components of two jobs and more, the largest first."""
        seen: set[str] = set()
        found = []
        for name in list(self.children):
            if name in self.parents and name not in seen:
                component = self.component(name)
                seen.update(component)
                if len(component) > 1:
                    found.append(component)
        return sorted(found, key=lambda component: (-len(component), min(component)))

    def shown(self, names: Sequence[str], folded: set[str]) -> dict[str, int]:
        """Return the jobs that can be reached from a root without passing a folded one, with how many each hides."""
        inside = set(names)
        roots = [name for name in names if not any(parent in inside for parent in self.parents[name])]
        visible: dict[str, int] = dict.fromkeys(roots or names[:1], 0)
        waiting = deque(visible)
        while waiting:
            at = waiting.popleft()
            if at in folded:
                continue
            for child in self.children.get(at, ()):
                if child in inside and child not in visible:
                    visible[child] = 0
                    waiting.append(child)
        for name in folded & visible.keys():
            visible[name] = self._below(name, visible)
        return visible

    def _below(self, name: str, visible: Mapping[str, int]) -> int:
        seen, waiting = set[str](), deque([name])
        while waiting:
            for child in self.children.get(waiting.popleft(), ()):
                if child not in visible and child not in seen:
                    seen.add(child)
                    waiting.append(child)
        return len(seen)


def critical_path(backend: Backend, names: Sequence[str]) -> list[Step]:
    """Return the runs that decided how long the component's last cycle took, from root to end: from the run that ended
    last, back through that one of its causes that ended last."""
    newest = backend.history.newest_of(names)
    released = [row for row in newest if row.trigger is Trigger.PARENTS] or newest
    if not released:
        return []
    row: RunRecord | None = max(released, key=lambda row: (row.ended, row.run))
    known = {row.run: row for row in newest}
    path: list[RunRecord] = []
    while row is not None and len(path) < LONGEST_PATH:
        path.append(row)
        causes = [known.get(number) or backend.history.run(number) for number in row.causes]
        row = max((cause for cause in causes if cause is not None), key=lambda row: (row.ended, row.run), default=None)
    steps = []
    for row in reversed(path):
        started = row.first_started or row.started or row.ended
        steps.append(Step(row.job, row.run, row.outcome.value, max(0, started - row.due), max(0, row.ended - started)))
    return steps


def picture(backend: Backend, relations: Relations, names: Sequence[str], folded: set[str], path: set[str]) -> Picture:
    """Return a component as it is drawn."""
    visible = relations.shown(names, folded)
    edges = [(parent, name) for name in visible for parent in relations.parents[name] if parent in visible]
    edges = [(parent, name) for parent, name in edges if parent not in folded]
    layout: Layout = lay_out(list(visible), edges)
    active = defaultdict(list)
    for run in list(backend.view.runs.values()):
        if run.job in visible:
            active[run.job].append(f"{run.id}:{run.phase.value}")
    made = Picture(width=layout.width + NODE_WIDTH + 2 * MARGIN, height=layout.height + NODE_HEIGHT + 2 * MARGIN)
    for name, (x, y) in layout.nodes.items():
        view = backend.view.jobs.get(name)
        made.nodes.append(
            Node(
                name,
                round(x + MARGIN, 1),
                round(y + MARGIN, 1),
                view.last_result if view is not None else "fresh",
                " ".join(active[name]),
                view is not None and view.job.disabled,
                len(relations.children.get(name, ())),
                visible[name],
                name in folded,
                name in path,
            )
        )
    for (parent, child), points in layout.edges.items():
        made.edges.append(
            {"d": _curve(points), "critical": parent in path and child in path, "from": parent, "to": child}
        )
    return made


def _curve(points: Sequence[tuple[float, float]]) -> str:
    """Return an SVG path through the points, from one box's right side to another's left."""
    half = MARGIN + NODE_HEIGHT / 2
    whole = [(x + MARGIN + NODE_WIDTH / 2, y + half) for x, y in points]
    whole[0] = (whole[0][0] + NODE_WIDTH / 2, whole[0][1])
    whole[-1] = (whole[-1][0] - NODE_WIDTH / 2 - 5, whole[-1][1])
    text = f"M{whole[0][0]:.0f} {whole[0][1]:.0f}"
    for (x0, y0), (x1, y1) in pairwise(whole):
        middle = (x0 + x1) / 2
        text += f"C{middle:.0f} {y0:.0f} {middle:.0f} {y1:.0f} {x1:.0f} {y1:.0f}"
    return text


def add_graph(blueprint: Blueprint, ui: Ui) -> None:
    """Add /ui/graph: `job` chooses the component, `fold` (any number of times) hides what comes after a job."""
    backend = ui.backend

    @blueprint.get("/ui/graph")
    def graph() -> ResponseReturnValue:
        wanted = request.args.get("job", "")
        relations = Relations(list(backend.view.jobs.values()))
        components = relations.components()
        if wanted and wanted not in relations.parents:
            raise UnknownJob(wanted)
        names = relations.component(wanted) if wanted else components[0] if components else []
        total, folded = len(names), set(request.args.getlist("fold")[:200]) & set(names)
        path: list[Step] = []
        problem = ""
        if names:
            try:
                path = critical_path(backend, names)
            except Unavailable as error:
                problem = str(error)
        shown = picture(backend, relations, names[:MOST_NODES], folded, {step.job for step in path})
        return render_template(
            "ui/graph.html",
            wanted=wanted,
            picture=shown,
            total=total,
            cut=total > MOST_NODES,
            components=[(min(c), len(c), (wanted or names[0]) in c) for c in components[:MOST_COMPONENTS]],
            more=max(0, len(components) - MOST_COMPONENTS),
            path=path,
            folded=sorted(folded),
            problem=problem,
            size=(NODE_WIDTH, NODE_HEIGHT),
        )
