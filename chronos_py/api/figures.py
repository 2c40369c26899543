"""GET /api/statistics: sums of ended runs and attempts, as JSON or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from chronos_py.api.backend import Backend
from chronos_py.api.forms import iso
from chronos_py.api.labelled import LABEL, Labelled, by_jobs, levels, put_together
from chronos_py.api.parameters import amount, choice, instant, labels, number, wants_csv, words
from chronos_py.api.transport import answer
from chronos_py.errors import InvalidInput
from chronos_py.model.job import Job
from chronos_py.model.statistics import (
    DAY,
    DIMENSIONS,
    LEVELS,
    SPREADS,
    Figures,
    Group,
    Level,
    Spread,
    StatisticsQuery,
    percentile,
    plan,
)

MOST_ROWS = 10_000
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
RUN_COUNTS = {
    "due": "due", "success": "success", "failed": "failed", "timed_out": "timedOut", "lost": "lost", "killed": "killed",
    "preempted": "preempted", "skipped": "skipped", "merged": "merged", "started": "started", "launched": "launched",
    "attempts_failed": "attemptsFailed",
}  # fmt: skip
SPREAD_NAMES = dict(zip(SPREADS, ("wait", "finish", "runTime"), strict=True))


def _percentiles(spread: Spread) -> dict[str, Any]:
    """Return a duration's percentiles in milliseconds, null where there is none."""
    return {"count": sum(spread.values())} | {name: percentile(spread, share) for name, share in SHARES.items()}


def _level_form(level: Level) -> dict[str, Any]:
    return {
        "within": level.limit if level.limit >= 0 else None,
        "runs": level.judged,
        "kept": level.good,
        "share": level.share,
        "target": level.target,
        "budget": round(level.budget, 3),
        "budgetLeft": level.left,
    }


def _levels(parts: Iterable[tuple[Job, Figures]], target: float) -> dict[str, Any]:
    """Return how the jobs' promises were kept, null where they make none."""
    return {name: None if level is None else _level_form(level) for name, level in levels(parts, target)}


class FiguresApi:
    """The view of /api/statistics."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def statistics(self) -> ResponseReturnValue:
        query, target = self._query(), amount("target", 99.0, 0.0, 100.0) / 100
        wanted = frozenset(labels("label"))
        now, as_csv = self.backend.now(), wants_csv()
        asked = by_jobs(query) if wanted or LABEL in query.by else query
        chosen = plan(asked, now)
        groups = self.backend.history.statistics(asked, now)
        labelled = asked is not query
        found = (
            put_together(query, asked, groups, wanted, self._job) if labelled else [Labelled(group) for group in groups]
        )
        rows = [self._row(query, one, target, of_jobs=bool(wanted)) for one in found[: query.limit - 1]]
        if as_csv:
            return _varying(answer(_csv(query, rows).encode(), media_type="text/csv; charset=utf-8"))
        whole = StatisticsQuery(query.start, query.end, where=query.where)
        if wanted:
            sums = put_together(whole, asked, groups, wanted, self._job)
        else:
            sums = [Labelled(group) for group in self.backend.history.statistics(whole, now)]
        empty = Labelled(Group(None, (), Figures()))
        total = self._row(whole, sums[0] if sums else empty, target, of_jobs=bool(wanted))
        form = {
            "from": iso(chosen.start),
            "to": iso(chosen.end),
            "resolution": chosen.level,
            "by": list(query.by),
            "per": query.per,
            "total": total,
            "rows": rows,
            "truncated": len(found) >= query.limit,
        }
        return _varying(answer(orjson.dumps(form)))

    def _query(self) -> StatisticsQuery:
        now = self.backend.now()
        end = instant("to")
        end = now + 1 if end is None else end
        start = instant("from")
        start = end - DAY if start is None else start
        if start > end:
            raise InvalidInput("from", request.args.get("from", ""), "must not be later than `to`")
        where = tuple((name, request.args[name]) for name in DIMENSIONS if name in request.args)
        limit = number("limit", 100, 1, MOST_ROWS) + 1  # one more tells whether there are more
        return StatisticsQuery(start, end, words("by", (*DIMENSIONS, LABEL)), choice("per", LEVELS), where, limit)

    def _job(self, name: str) -> Job | None:
        view = self.backend.view.jobs.get(name)
        return view.job if view else None

    def _row(self, query: StatisticsQuery, one: Labelled, target: float, *, of_jobs: bool) -> dict[str, Any]:
        """Return one row. Promises are jobs' own, so they are told where the row is of one job, or of a label's."""
        group = one.group
        values = dict(zip(query.by, group.values, strict=True))
        form: dict[str, Any] = {"bucket": iso(group.bucket)} if query.per else {}
        form |= values
        form |= {shown: group.figures[name] for name, shown in RUN_COUNTS.items()}
        form |= {
            SPREAD_NAMES[name]: _percentiles(spread)
            for name, spread in zip(SPREADS, group.figures.spreads, strict=True)
        }
        name = values.get("job", dict(query.where).get("job"))
        if LABEL in values or of_jobs:
            form["slo"] = _levels(one.parts, target)
        elif name is not None:
            job = self._job(name)
            form["slo"] = _levels([(job, group.figures)] if job else [], target)
        return form


def _varying(response: Response) -> Response:
    response.vary.add("Accept")
    return response


def _flat(form: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in form.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _csv(query: StatisticsQuery, rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV by RFC 4180: nested names with dots, nothing where there is no value."""
    lead = (*(("bucket",) if query.per else ()), *query.by, *RUN_COUNTS.values())
    durations = (f"{name}.{part}" for name in SPREAD_NAMES.values() for part in ("count", *SHARES))
    names = [*lead, *durations]
    if "job" in (*query.by, *dict(query.where)) or LABEL in (*query.by, *request.args):
        parts = ("within", "runs", "kept", "share", "target", "budget", "budgetLeft")
        names += [f"slo.{promise}.{part}" for promise in ("startWithin", "finishWithin") for part in parts]
    out = io.StringIO()
    writer = csv.DictWriter(out, names, restval="", extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _harmless(value) for key, value in _flat(row)})
    return out.getvalue()


def _harmless(value: Any) -> Any:
    """Keep spreadsheets from taking a text for a formula: names come from whoever may make jobs."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def figures_blueprint(backend: Backend) -> Blueprint:
    """Return /api/statistics."""
    blueprint = Blueprint("figures", __name__, url_prefix="/api")
    blueprint.add_url_rule("/statistics", view_func=FiguresApi(backend).statistics)
    return blueprint
