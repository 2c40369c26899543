"""The timeline: all runs of a span as bars, by job or by agent; and the calendar of starts to come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import available_timezones

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from chronos_py.api.parameters import choice, instant, number
from chronos_py.api.planning import (
    DAY,
    HOUR,
    LONGEST_SPAN,
    MINUTE,
    Bar,
    Loads,
    day_start,
    edges_of,
    make_timeline,
    millis,
    span_asked,
    zone_of,
)
from chronos_py.clock import Millis, iso_utc
from chronos_py.ui.frame import Ui
from chronos_py.ui.text import when

ROWS = 150  # shown at once
BARS = 4000
LANES = 12  # of one row
SPANS = {"15m": 15 * MINUTE, "1h": HOUR, "6h": 6 * HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY}
SHORTEST = 10_000
TICKS = (
    *(1000, 5000, 15_000, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR),
    *(12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 90 * DAY),
)
MOST_TICKS = 8
SHADES = 5
FEW = 10  # starts in an hour: fewer never look like a peak


@dataclass(frozen=True, slots=True)
class Drawn:
    """A bar with where it stands, in percent of the width; `wait` is the part before it started."""

    bar: Bar
    x: float
    wait: float
    width: float
    lane: int


@dataclass(frozen=True, slots=True)
class DrawnRow:
    name: str
    lanes: int
    bars: list[Drawn]
    total: int
    overlaps: bool


def _drawn(name: str, lanes: list[list[Bar]], begin: Millis, end: Millis, now: Millis) -> DrawnRow:
    scale = 100 / (end - begin)
    found = []
    for lane, bars in enumerate(lanes[:LANES]):
        for bar in bars:
            over = bar.ended if bar.ended is not None else max(now, bar.created)
            started = min(bar.started if bar.started is not None else over, over)
            x = max(0.0, (bar.created - begin) * scale)
            started_x = min(100.0, max(x, (started - begin) * scale))
            over_x = min(100.0, max(started_x, (over - begin) * scale))
            found.append(
                Drawn(bar, round(x, 3), round(started_x - x, 3), round(max(0.15, over_x - started_x), 3), lane)
            )
    return DrawnRow(name, min(len(lanes), LANES), found, sum(map(len, lanes)), len(lanes) > 1)


def _ticks(begin: Millis, end: Millis) -> list[tuple[float, str]]:
    """Return where the axis is marked, in percent, and with what."""
    step = next((tick for tick in TICKS if (end - begin) / tick <= MOST_TICKS), TICKS[-1])
    first = -(-begin // step) * step
    form = "%H:%M:%S" if step < MINUTE else "%H:%M" if step < DAY else "%m-%d"
    marks = []
    for at in range(first, end, step):
        moment = datetime.fromtimestamp(at / 1000, UTC)
        text = moment.strftime("%m-%d" if form == "%H:%M" and at % DAY == 0 else form)
        marks.append((round(100 * (at - begin) / (end - begin), 2), text))
    return marks


def _short(at: Millis) -> str:
    return iso_utc(at)[:19] + "Z"


def add_timeline(blueprint: Blueprint, ui: Ui) -> None:
    """Add /ui/timeline (`from`, `to`, `by`, `q`, `page`) and /ui/calendar (`from`, `days`, `zone`, `owner`, `hour`)."""
    backend = ui.backend
    loads = Loads(backend)

    @blueprint.get("/ui/timeline")
    def timeline() -> ResponseReturnValue:
        span = request.args.get("span", "1h")
        begin, end = span_asked(backend, SPANS.get(span, HOUR))
        by = choice("by", ("job", "agent"), "job") or "job"
        page, text = number("page", 1, 1, 10_000), request.args.get("q", "")
        now = backend.now()
        made = make_timeline(backend, begin, end, by=by, text=text, limit=BARS)
        rows = made.rows[(page - 1) * ROWS : page * ROWS]
        length = end - begin

        def link(first: Millis, last: Millis) -> dict[str, str]:
            last = max(last, first + SHORTEST)
            return {"from": _short(max(0, first)), "to": _short(min(last, max(0, first) + LONGEST_SPAN))}

        return render_template(
            "ui/timeline.html",
            rows=[_drawn(row.name, row.lanes, begin, end, now) for row in rows],
            total=len(made.rows),
            bars=sum(row.bars for row in made.rows),
            complete=made.complete,
            page=page,
            pages=-(-len(made.rows) // ROWS),
            by=by,
            text=text,
            begin=begin,
            end=end,
            ticks=_ticks(begin, end),
            spans={name: link(now - value, now) for name, value in SPANS.items()},
            moves={
                "earlier": link(begin - length // 2, end - length // 2),
                "later": link(begin + length // 2, end + length // 2),
                "closer": link(begin + length // 4, end - length // 4),
                "farther": link(begin - length // 2, end + length // 2),
            },
            now_at=round(100 * (now - begin) / length, 2) if begin <= now <= end else None,
            fields=(_short(begin), _short(end)),
        )

    @blueprint.get("/ui/calendar")
    def calendar() -> ResponseReturnValue:
        zone_name, days = request.args.get("zone", ""), number("days", 7, 1, 31)
        zone, now, owner = zone_of(zone_name), backend.now(), request.args.get("owner", "")
        asked = instant("from")
        start = day_start(now if asked is None else asked, zone)
        midnights = [(start.replace(tzinfo=None) + timedelta(days=day)).replace(tzinfo=zone) for day in range(days + 1)]
        edges = edges_of(millis(midnights[0]), millis(midnights[-1]), "hour", zone)
        load = loads.of(edges, 0, owner)
        most = max(load.counts, default=0)
        table = []
        for first, last in pairwise(midnights):
            cells: list[dict[str, Any]] = []
            for at, edge in enumerate(edges[:-1]):
                if millis(first) <= edge < millis(last):
                    clock = datetime.fromtimestamp(edge / 1000, zone)
                    cells.append(
                        {
                            "at": _short(edge),
                            "label": clock.strftime("%H:%M"),
                            "starts": load.counts[at],
                            "shade": _shade(load.counts[at], max(most, FEW)),
                            "past": edge + HOUR <= now,
                        }
                    )
            table.append({"day": first, "cells": cells, "starts": sum(cell["starts"] for cell in cells)})
        hour = instant("hour")
        detail = None
        if hour is not None:
            hour -= hour % MINUTE
            inside = edges_of(hour, hour + HOUR, "minute", zone)
            close = loads.of(inside, 200, owner)
            detail = [
                {"at": inside[n], "starts": close.counts[n], "names": close.names[n]}
                for n in range(len(inside) - 1)
                if close.counts[n]
            ]
        return render_template(
            "ui/calendar.html",
            table=table,
            most=most,
            load=load,
            days=days,
            zone_name=zone_name,
            zone=zone,
            owner=owner,
            zones=sorted(available_timezones()),
            peaks=load.minutes.most_common(8),
            hour=hour,
            detail=detail,
            when=when,
            previous=_short(millis(midnights[0]) - days * DAY),
            following=_short(millis(midnights[-1])),
            hour_of=lambda at: _short(at - at % HOUR),
        )


def _shade(starts: int, most: int) -> int:
    """Return how dark a count is shown, 0 (none) to SHADES, by its square root: few are seen beside many."""
    return 0 if not starts else max(1, round(SHADES * (starts / most) ** 0.5))
