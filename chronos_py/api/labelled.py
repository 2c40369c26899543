"""Statistics by label: sums of jobs put together by the labels that the jobs have at present.

Roll-ups know jobs, not labels: a job that gets a label brings its past along, as it does with a promise. A job with
several labels counts in the row of each, so rows of labels may come to more than the total.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from chronos_py.clock import Millis
from chronos_py.errors import InvalidInput
from chronos_py.model.job import Job, Pair
from chronos_py.model.statistics import Figures, Group, Level, StatisticsQuery, in_order, service_level

LABEL = "label"
MOST_PARTS = 200_000  # sums of single jobs that one question may put together
PROMISES = {"startWithin": ("wait", "start_within"), "finishWithin": ("finish", "finish_within")}
JobOf = Callable[[str], Job | None]


@dataclass(frozen=True, slots=True)
class Labelled:
    """One row: its sums, and of which jobs they are, for their promises."""

    group: Group
    parts: list[tuple[Job, Figures]] = field(default_factory=list)


def by_jobs(query: StatisticsQuery) -> StatisticsQuery:
    """Return the question to ask of history: by jobs instead of labels, and all of them."""
    by = tuple(name for name in query.by if name != LABEL)
    return replace(query, by=by if "job" in by else (*by, "job"), limit=MOST_PARTS + 1)


def put_together(
    query: StatisticsQuery, asked: StatisticsQuery, groups: Sequence[Group], wanted: frozenset[Pair], job_of: JobOf
) -> list[Labelled]:
    """Answer `query`, whose `by` may have `label`, from the answer to a question that tells apart as much and jobs,
    see `by_jobs`; `wanted` are labels that a job must have.

    Rows come in the usual order, at most `limit`. Raises InvalidInput when there is too much.
    """
    if len(groups) > MOST_PARTS:
        raise InvalidInput("by", ",".join(query.by), f"this needs more than {MOST_PARTS:,} sums of jobs: ask for less")
    found: dict[tuple[Millis | None, tuple[str, ...]], Labelled] = {}
    for group in groups:
        values = dict(zip(asked.by, group.values, strict=True))
        job = job_of(values["job"])
        labels = frozenset(job.labels) if job is not None else frozenset[Pair]()
        if not wanted <= labels:
            continue
        for label in _texts(labels) if LABEL in query.by else ("",):
            key = tuple(label if name == LABEL else values[name] for name in query.by)
            bucket = group.bucket if query.per else None
            row = found.get((bucket, key))
            if row is None:
                row = found[bucket, key] = Labelled(Group(bucket, key, Figures()))
            row.group.figures.add(group.figures)
            if job is not None:
                row.parts.append((job, group.figures))
    rows = {id(row.group): row for row in found.values()}
    return [rows[id(group)] for group in in_order((row.group for row in found.values()), query.limit)]


def _texts(labels: Iterable[Pair]) -> Sequence[str]:
    return sorted(f"{label.key}={label.value}" for label in labels) or ("",)


def levels(parts: Iterable[tuple[Job, Figures]], target: float) -> Iterator[tuple[str, Level | None]]:
    """Yield both promises, and how they were kept by those of the jobs that make them. The limit is -1 where jobs
    promise differently."""
    kept: Mapping[str, list[Level]] = {name: [] for name in PROMISES}
    for job, figures in parts:
        for name, (measure, attribute) in PROMISES.items():
            seconds = getattr(job, attribute)
            if seconds is not None:
                kept[name].append(service_level(figures, measure, seconds, target))
    for name, found in kept.items():
        limits = {level.limit for level in found}
        limit = limits.pop() if len(limits) == 1 else -1
        runs, good = sum(level.judged for level in found), sum(level.good for level in found)
        yield name, Level(limit, runs, good, target) if found else None
