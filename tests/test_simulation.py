"""Nothing lost, nothing doubled: random histories with crashes at every point of a turn."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from chronos_py.model.history import AttemptRecord
from chronos_py.model.messages import SubmitJob
from chronos_py.model.run import TaskId
from chronos_py.model.view import Cause
from tests.builders import a_job
from tests.simulator import World, simulate

SEEDS = range(60)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_run_is_accounted_for_exactly_once(seed: int) -> None:
    world = simulate(seed)
    assert world.verdict() == []
    assert world.driver.launched


def test_the_same_seed_gives_the_same_history() -> None:
    assert simulate(7).log == simulate(7).log


def test_the_histories_have_crashes_at_every_point() -> None:
    points: Counter[str] = Counter()
    for seed in range(100, 130):
        points.update(simulate(seed, trouble=0.02).crashes)
    expected = {"before commit", "after commit", "store unavailable"}
    expected |= {f"before {effect}" for effect in ("Launch", "Acknowledge", "Kill", "Reconcile")}
    assert expected <= set(points)


@pytest.mark.parametrize("seed", range(30))
def test_every_run_is_accounted_for_exactly_once_on_a_shared_cluster(seed: int) -> None:
    world = simulate(seed, hours=0.5, trouble=0.004, shared=True)
    assert world.verdict() == []
    assert world.driver.launched


def test_the_shared_clusters_histories_have_everything_in_them() -> None:
    said: Counter[str] = Counter()
    for seed in range(203, 209):
        world = simulate(seed, hours=0.5, trouble=0.004, shared=True)
        assert world.cluster is not None
        said.update(world.cluster.said)
    expected = {"Launch", "Decline", "Suppress", "Revive", "Reconcile", "Kill", "AnswerInverseOffers"}
    assert expected | {"stale launch", "doubled", "rescinded", "agent lost", "agent back", "outage"} <= set(said)


@pytest.mark.parametrize("seed", range(20))
def test_every_run_is_accounted_for_where_there_is_less_than_is_wanted(seed: int) -> None:
    world = simulate(seed, hours=0.5, trouble=0.004, shared=True, tight=True)
    assert world.verdict() == []
    assert world.driver.launched


def test_the_tight_clusters_histories_have_everything_in_them() -> None:
    causes: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    for seed in range(300, 310):
        world = simulate(seed, hours=0.5, trouble=0.004, shared=True, tight=True)
        causes.update(world.causes)
        outcomes.update(r.outcome.value for r in world.store.ledger if isinstance(r, AttemptRecord))
    expected = {Cause.RETRY_DELAY, Cause.JOB_RUNNING, Cause.NO_OFFERS, Cause.NO_FIT, Cause.QUOTA, Cause.LAUNCHING}
    assert expected | {Cause.STOPPING} <= set(causes)
    assert set(causes) <= set(Cause)
    assert {"success", "failed", "preempted"} <= set(outcomes)


def test_offers_are_there_when_a_due_time_comes() -> None:
    world = World(1, shared=True)
    details: dict[str, Any] = {"concurrent": True, "retries": 0}
    jobs = [a_job(f"every-{n}", schedule=f"R/2026-01-01T00:01:00Z/PT{n}S", **details) for n in (11, 60, 300)]
    world.run(world.clock.at + 1, [SubmitJob(job) for job in jobs])
    world.run(world.clock.at + 3_600_000)
    attempts = [record for record in world.store.ledger if isinstance(record, AttemptRecord) and record.attempt == 0]
    late = [a.launched - TaskId.parse(a.task_id).millis for a in attempts]
    assert len(late) > 300
    assert sum(delay == 0 for delay in late) > 0.95 * len(late)
    assert world.cluster is not None and not world.cluster.problems
