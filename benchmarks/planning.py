"""Virtual time: how fast a simulated year of 1,000 jobs goes by."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.rows import Row
from chronos_py.clock import Millis
from chronos_py.loading import no_collection
from chronos_py.model.job import Job
from chronos_py.scheduler.policy import Policy
from chronos_py.simulation.agents import several
from chronos_py.simulation.chance import Chance
from chronos_py.simulation.start import engine_of, states_at
from chronos_py.simulation.world import World

NEW_YEAR: Millis = 1_767_225_600_000
DAY = 86_400_000
PERIODS = ("P1D",) * 45 + ("PT6H",) * 4 + ("PT1H",)  # of fifty jobs


def a_year(jobs: int, days: int) -> tuple[int, float]:
    """Return the attempts that some jobs make in some days, and the seconds that took."""
    named = {
        f"job-{number}": Job(
            f"job-{number}",
            "true",
            schedule=f"R/2026-01-01T00:{number % 60:02}:00Z/{PERIODS[number % len(PERIODS)]}",
            cpus=1.0,
        )
        for number in range(jobs)
    }
    policy = Policy()
    with no_collection():
        engine = engine_of(policy, named, states_at(named.values(), policy, NEW_YEAR), {}, NEW_YEAR)
        chance = Chance(1, usual=tuple(range(30_000, 1_200_000, 30_000)), failing=0.05)
        world = World(engine, several(["10*cpus:16;mem:65536"]), chance, NEW_YEAR)
    began = time.perf_counter()
    world.run(NEW_YEAR + days * DAY)
    return world.launches, time.perf_counter() - began


def rows(days: int = 365) -> Iterator[Row]:
    launches, took = a_year(1000, days)
    yield Row("virtual time: a year of 1,000 jobs", took, 300, "s", note=f"{launches:,} attempts, {days} days")
