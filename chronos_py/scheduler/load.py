"""How many runs start when: the due times to come of many jobs, counted by spans of time."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from chronos_py.clock import Millis
from chronos_py.errors import ChronosError
from chronos_py.model.view import JobView
from chronos_py.scheduler.schedule import Occurrences, parse_schedule

MINUTE: Millis = 60_000
STEPS = 3_000_000  # due times that are looked at, some seconds' work; what is left then is not counted


@dataclass(slots=True)
class Load:
    """Starts by span; span n goes from `edges[n]` to `edges[n + 1]`. `names` has some jobs of each, `minutes` the
    starts of each minute, but of jobs that start very often. `complete` False: not all jobs were counted."""

    edges: Sequence[Millis]
    counts: list[int]
    names: list[list[str]]
    minutes: Counter[Millis] = field(default_factory=Counter)
    jobs: int = 0
    complete: bool = True


def occurrences_of(view: JobView) -> Occurrences | None:
    """Return a job's due times by number, None when it has no schedule that can be read."""
    job, state = view.job, view.state
    if job.schedule is None:
        return None
    try:
        found = parse_schedule(job.schedule, job.schedule_zone, strict_zone=False).anchored(state.anchor)
    except ChronosError:
        return None
    return found


def upcoming_load(views: Iterable[JobView], edges: Sequence[Millis], names: int = 0, steps: int = STEPS) -> Load:
    """Count the due times to come of jobs that are not disabled, between the first edge and the last, exclusive."""
    spans = len(edges) - 1
    load = Load(edges, [0] * spans, [[] for _ in range(spans)])
    alike: Counter[tuple[Millis, Millis, int]] = Counter()  # jobs by step, first start and number of starts
    for view in views:
        due = None if view.job.disabled or view.next_due is None or view.next_due >= edges[-1] else occurrences_of(view)
        if due is None or view.next_due is None:
            continue
        steps -= _add(load, view, due, view.next_due, names, alike)
        if steps < 0:
            load.complete = False
            break
    for (step, first, starts), jobs in alike.items():
        for instant in range(first, first + step * starts, step):
            load.minutes[instant // MINUTE * MINUTE] += jobs
            load.counts[bisect_right(edges, instant) - 1] += jobs
    return load


def _add(
    load: Load,
    view: JobView,
    due: Occurrences,
    next_due: Millis,
    names: int,
    alike: Counter[tuple[Millis, Millis, int]],
) -> int:
    """Count one job's due times; return how many steps that took. Without names those of jobs that are due at the same
    times are left to be counted together."""
    edges, name = load.edges, view.job.name
    first = max(view.state.next_index, due.last_due(max(edges[0], next_due) - 1) + 1)
    last = due.last_due(edges[-1] - 1)
    if view.state.remaining is not None:
        last = min(last, view.state.next_index + view.state.remaining - 1)
    if last < first:
        return 1
    load.jobs += 1
    if last - first < 2 * len(edges) + 100:
        begin, step = due.at(first), due.step
        if not names and step is not None and step > 0 and begin is not None:
            key = (step, begin, last - first + 1)
            alike[key] += 1
            return 1 if alike[key] > 1 else last - first + 2
        for index in range(first, last + 1):
            instant = due.at(index)
            if instant is None or not edges[0] <= instant < edges[-1]:
                continue
            span = bisect_right(edges, instant) - 1
            load.minutes[instant // MINUTE * MINUTE] += 1
            _count(load, span, 1, name, names)
        return last - first + 2
    before = first - 1
    for span in range(len(edges) - 1):
        upto = min(last, due.last_due(edges[span + 1] - 1))
        if upto > before:
            _count(load, span, upto - before, name, names)
            before = upto
    return len(edges)


def _count(load: Load, span: int, starts: int, name: str, names: int) -> None:
    load.counts[span] += starts
    known = load.names[span]
    if len(known) < names and (not known or known[-1] != name):
        known.append(name)
