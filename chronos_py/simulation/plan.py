"""A dry run: what a change would do, and what happens without it, from the same beginning and by the same draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from chronos_py.clock import Millis, iso_utc
from chronos_py.errors import ChronosError, InvalidInput, MissingParents
from chronos_py.model.job import Counters, Job, JobState
from chronos_py.model.messages import ChangeJob, DeleteJob, SubmitJob
from chronos_py.model.run import Run
from chronos_py.scheduler.engine import Engine
from chronos_py.scheduler.offers import OfferPolicy
from chronos_py.scheduler.policy import Policy
from chronos_py.simulation.agents import Move, VirtualAgent
from chronos_py.simulation.chance import Chance
from chronos_py.simulation.figures import Figures
from chronos_py.simulation.journal import Journal
from chronos_py.simulation.start import engine_of
from chronos_py.simulation.world import Stop, World


@dataclass(frozen=True, slots=True)
class Situation:
    """What there is at an instant. Agents have what is free for us, and what our tasks hold."""

    at: Millis
    policy: Policy
    jobs: Mapping[str, Job]
    states: Mapping[str, JobState]
    runs: Mapping[int, Run]
    agents: tuple[VirtualAgent, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """What a plan asks about: jobs that are new or different (from the beginning on), jobs that go, and agents that
    come or go at their time."""

    jobs: tuple[tuple[Job, Counters], ...] = ()
    removed: tuple[str, ...] = ()
    moves: tuple[Move, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """`start` to `end` is what is reported, in buckets of `bucket` ms. Up to `rows` of each list are given, and up to
    `most_launches` attempts simulated."""

    situation: Situation
    changes: Changes
    chance: Chance
    start: Millis
    end: Millis
    bucket: Millis = 3_600_000
    late_after: Millis = 60_000
    rows: int = 1000
    most_launches: int = 1_000_000


@dataclass(slots=True)
class Outlook:
    """One of the two futures."""

    figures: Figures
    journal: Journal = field(default_factory=Journal)

    def form(self) -> dict[str, Any]:
        return {**self.figures.form(), "digest": self.journal.digest, "share": self.figures.shares()}


def virtual(policy: Policy) -> Policy:
    """Return a server's settings for a cluster that is ours alone and always answers."""
    return replace(policy, offers=OfferPolicy(), reconciliation_interval=0)


def plan(question: Question, stop: Stop | None = None) -> dict[str, Any]:
    """Return the answer to a question, as JSON values. Raises ChronosError for a change that would be refused, TooMuch
    for too many attempts, and what `stop` raises."""
    before = _look_ahead(question, None, stop)
    after = _look_ahead(question, question.changes, stop)
    jobs = _differences(before.figures, after.figures)
    figures = after.figures
    return {
        "now": iso_utc(question.situation.at),
        "from": iso_utc(question.start),
        "to": iso_utc(question.end),
        "bucket": question.bucket / 1000,
        "seed": question.chance.seed,
        "before": before.form(),
        "after": after.form(),
        "jobs": jobs[: question.rows],
        "jobsTotal": len(jobs),
        "starts": figures.starts,
        "startsTotal": figures.starts_seen,
        "leftOut": figures.left_out,
        "leftOutTotal": figures.left_out_seen,
    }


def _look_ahead(question: Question, changes: Changes | None, stop: Stop | None) -> Outlook:
    situation = question.situation
    policy = virtual(situation.policy)
    engine = engine_of(policy, situation.jobs, situation.states, situation.runs, situation.at)
    if changes is not None:
        make_changes(engine, changes, situation.at)
    promised = {
        name: int(entry.job.start_within * 1000)
        for name, entry in engine.book.jobs.items()
        if entry.job.start_within is not None
    }
    figures = Figures(
        question.start, question.end, question.bucket, late_after=question.late_after, promised=promised,
        most=question.rows,
    )  # fmt: skip
    outlook = Outlook(figures)
    world = World(
        engine,
        situation.agents,
        question.chance,
        situation.at,
        observers=[figures, outlook.journal],
        moves=changes.moves if changes is not None else (),
        most_launches=question.most_launches,
    )
    world.run(question.end, stop)
    return outlook


def make_changes(engine: Engine, changes: Changes, now: Millis) -> None:
    """Change jobs as requests would, in an order that lets parents come before their children. Raises ChronosError."""
    for name in changes.removed:
        if name not in engine.book.jobs:
            raise InvalidInput("remove", name, "there is no such job")
        engine.handle(DeleteJob(name), now)
    waiting = list(changes.jobs)
    while waiting:
        left = []
        problem: ChronosError | None = None
        for job, counters in waiting:
            try:
                _put(engine, job, counters, now)
            except MissingParents as error:
                left.append((job, counters))
                problem = error
        if problem is not None and len(left) == len(waiting):
            raise problem
        waiting = left


def _put(engine: Engine, job: Job, counters: Counters, now: Millis) -> None:
    if job.name in engine.book.jobs:
        engine.handle(ChangeJob(job.name, lambda old, state: (job, counters)), now)
    else:
        engine.handle(SubmitJob(job, counters), now)


def _differences(before: Figures, after: Figures) -> list[dict[str, Any]]:
    """Return the jobs whose figures differ, in order of their names; null where a job does nothing."""
    found = []
    for name in sorted({*before.jobs, *after.jobs}):
        was, will = (figures.jobs.get(name) for figures in (before, after))
        forms = (was.form() if was else None, will.form() if will else None)
        if forms[0] != forms[1]:
            found.append({"job": name, "before": forms[0], "after": forms[1]})
    return found
