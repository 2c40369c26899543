"""/api/calendar and /api/timeline: when runs will start, and when they ran."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import orjson
from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from chronos_py.api.backend import Backend
from chronos_py.api.parameters import choice, instant, number
from chronos_py.api.transport import answer
from chronos_py.clock import Millis, iso_utc
from chronos_py.errors import InvalidInput
from chronos_py.scheduler.load import Load, upcoming_load
from chronos_py.scheduler.moments import required_zone

MINUTE: Millis = 60_000
HOUR: Millis = 3_600_000
DAY: Millis = 24 * HOUR
MOST_SPANS = 1500
MOST_NAMES = 500
MOST_BARS = 5000
LONGEST_SPAN = 366 * DAY
LOOK_AHEAD: Millis = 7 * DAY  # a run that ended later than this after the span is not found by it
LENGTHS = {"minute": MINUTE, "hour": HOUR, "day": DAY}


@dataclass(frozen=True, slots=True)
class Bar:
    """One run in the timeline. `ended` None: it has not; `started` None: no attempt has."""

    run: int
    job: str
    host: str
    state: str
    trigger: str
    due: Millis
    created: Millis
    started: Millis | None
    ended: Millis | None
    attempts: int


@dataclass(slots=True)
class Row:
    """What belongs together, one job's runs or one agent's; those in one lane do not overlap."""

    name: str
    lanes: list[list[Bar]] = field(default_factory=list)
    bars: int = 0


@dataclass(frozen=True, slots=True)
class Timeline:
    begin: Millis
    end: Millis
    rows: list[Row]
    complete: bool


def make_timeline(
    backend: Backend, begin: Millis, end: Millis, *, by: str = "job", text: str = "", limit: int = MOST_BARS
) -> Timeline:
    """Return the runs that were under way between two instants, by job or by agent. `text`: in the job's name."""
    now, wanted = backend.now(), text.lower()
    bars: dict[int, Bar] = {}
    found = backend.history.overlapping(begin, end, end + LOOK_AHEAD, limit)
    for ended in found:
        started = ended.first_started or ended.started
        bars[ended.run] = Bar(
            ended.run, ended.job, ended.host, ended.outcome.value, ended.trigger.value, ended.due, ended.created,
            started, ended.ended, ended.attempts,
        )  # fmt: skip
    if now >= begin:
        for run in list(backend.view.runs.values()):
            if run.created < end and run.id not in bars:
                started = run.first_started or run.started
                bars[run.id] = Bar(
                    run.id, run.job, run.host, run.phase.value, run.trigger.value, run.due, run.created, started, None,
                    run.attempt + 1,
                )  # fmt: skip
    complete = len(found) < limit and len(bars) <= limit
    rows: dict[str, Row] = {}
    for bar in sorted(bars.values(), key=lambda bar: (bar.created, bar.run))[:limit]:
        if wanted not in bar.job.lower():
            continue
        name = bar.job if by == "job" else bar.host
        row = rows.setdefault(name, Row(name))
        _place(row, bar, now)
        row.bars += 1
    return Timeline(begin, end, sorted(rows.values(), key=lambda row: row.name.lower()), complete)


def _place(row: Row, bar: Bar, now: Millis) -> None:
    """Put a bar, none of which began later so far, into the first lane that is free."""
    for lane in row.lanes:
        last = lane[-1]
        if (last.ended if last.ended is not None else now + 1) <= bar.created:
            lane.append(bar)
            return
    row.lanes.append([bar])


def day_start(at: Millis, zone: tzinfo) -> datetime:
    """Return the midnight before an instant on a zone's clock."""
    return datetime.fromtimestamp(at / 1000, zone).replace(hour=0, minute=0, second=0, microsecond=0)


def millis(moment: datetime) -> Millis:
    return int(moment.timestamp() * 1000)


def edges_of(begin: Millis, end: Millis, per: str, zone: tzinfo) -> list[Millis]:
    """Return where spans begin, and the end of the last: days by the zone's midnights. Raises InvalidInput."""
    if not begin < end:
        raise InvalidInput("to", iso_utc(end), "must be later than from")
    if end - begin > LONGEST_SPAN or (end - begin) / LENGTHS[per] > MOST_SPANS:
        raise InvalidInput("to", iso_utc(end), f"makes more than {MOST_SPANS} spans, or more than a year")
    if per == "day":
        day, edges = day_start(begin, zone), list[Millis]()
        while millis(day) < end:
            edges.append(millis(day))
            day = (day.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=zone)
        return [*edges, millis(day)]
    length = LENGTHS[per]
    begin -= begin % length
    count = -((begin - end) // length)
    return [begin + step * length for step in range(count + 1)]


class Loads:
    """The load of spans that were asked for a moment ago: with many jobs it takes seconds to count."""

    MOST, LIFE = 16, 20_000

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._known: dict[Any, tuple[Millis, Load]] = {}
        self._lock = threading.Lock()

    def of(self, edges: list[Millis], names: int, owner: str = "") -> Load:
        """Return the starts to come between some edges."""
        now = self._backend.now()
        jobs = self._backend.view.jobs
        key = (tuple(edges), names, owner, len(jobs))
        with self._lock:  # one at a time: others wait, and find it known
            known = self._known.get(key)
            if known is not None and 0 <= now - known[0] < min(self.LIFE, 10 * len(jobs)):
                return known[1]
            views = (view for view in list(jobs.values()) if owner in view.job.owner)
            load = upcoming_load(views, edges, names)
            self._known = {k: v for k, v in self._known.items() if now - v[0] < self.LIFE}
            if len(self._known) < self.MOST:
                self._known[key] = (now, load)
            return load


def zone_of(name: str) -> tzinfo:
    """Return a zone by its name, UTC for none. Raises InvalidInput."""
    return required_zone(name) if name else UTC


def calendar(backend: Backend, loads: Loads) -> ResponseReturnValue:
    """Count the starts to come, by minute, hour or day of a zone."""
    per = choice("per", tuple(LENGTHS), "hour") or "hour"
    now = backend.now()
    begin = instant("from")
    begin = now if begin is None else begin
    end = instant("to")
    end = begin + (7 * DAY if per != "minute" else HOUR) if end is None else end
    edges = edges_of(begin, end, per, zone_of(request.args.get("zone", "")))
    load = loads.of(edges, number("names", 0, 0, MOST_NAMES), request.args.get("owner", ""))
    spans = [
        {"from": iso_utc(edge), "starts": load.counts[at], "names": load.names[at]}
        for at, edge in enumerate(edges[:-1])
    ]
    peaks = [{"at": iso_utc(at), "starts": starts} for at, starts in load.minutes.most_common(10)]
    return answer(orjson.dumps({"spans": spans, "peaks": peaks, "jobs": load.jobs, "complete": load.complete}))


def timeline(backend: Backend) -> ResponseReturnValue:
    """List the runs that were under way in a span, by job or agent, in lanes without overlaps."""
    begin, end = span_asked(backend, HOUR)
    by = choice("by", ("job", "agent"), "job") or "job"
    limit = number("limit", MOST_BARS, 1, MOST_BARS)
    made = make_timeline(backend, begin, end, by=by, text=request.args.get("q", ""), limit=limit)
    rows = [{"name": row.name, "lanes": [[_bar_form(bar) for bar in lane] for lane in row.lanes]} for row in made.rows]
    return answer(orjson.dumps({"from": iso_utc(begin), "to": iso_utc(end), "rows": rows, "complete": made.complete}))


def span_asked(backend: Backend, length: Millis) -> tuple[Millis, Millis]:
    """Return the span that the query asks for, else the last `length`. Raises InvalidInput."""
    end = instant("to")
    begin = instant("from")
    if end is None:
        end = backend.now() if begin is None else begin + length
    if begin is None:
        begin = end - length
    if not 0 < end - begin <= LONGEST_SPAN:
        raise InvalidInput("to", iso_utc(end), "must be later than from, by a year at most")
    return begin, end


def _bar_form(bar: Bar) -> dict[str, Any]:
    def shown(at: Millis | None) -> str | None:
        return None if at is None else iso_utc(at)

    return {
        "run": bar.run,
        "job": bar.job,
        "host": bar.host,
        "state": bar.state,
        "trigger": bar.trigger,
        "due": shown(bar.due),
        "created": shown(bar.created),
        "started": shown(bar.started),
        "ended": shown(bar.ended),
        "attempts": bar.attempts,
    }


def planning_blueprint(backend: Backend) -> Blueprint:
    """Return the paths about what ran and what will."""
    blueprint, loads = Blueprint("planning", __name__, url_prefix="/api"), Loads(backend)
    views: tuple[tuple[str, Callable[[], ResponseReturnValue]], ...] = (
        ("calendar", lambda: calendar(backend, loads)),
        ("timeline", lambda: timeline(backend)),
    )
    for name, view in views:
        blueprint.add_url_rule(f"/{name}", name, view)
    return blueprint
