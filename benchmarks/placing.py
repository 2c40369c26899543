"""Placement alone: many tasks of some shapes onto many agents."""

from __future__ import annotations

import random
from collections.abc import Iterator

from benchmarks.rows import Row, median_ms
from chronos_py.model.job import Constraint
from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources
from chronos_py.scheduler.board import Request
from chronos_py.scheduler.placement import place
from chronos_py.scheduler.queue import Shape


def a_problem(tasks: int, shapes: int, agents: int) -> tuple[list[Request], list[Offer]]:
    """Return tasks of which a tenth avoid an agent and a tenth are constrained, and agents with room for most."""
    rng = random.Random(1)
    kinds = [
        Shape(
            Resources.of(rng.choice((0.1, 0.5, 1)), rng.choice((64, 128, 512)) + number, 10),
            (Constraint("rack", "EQUALS", f"r{number % 10}"),) if number % 10 == 0 else (),
        )
        for number in range(shapes)
    ]
    offers = [
        Offer(
            f"offer-{number}", f"agent-{number}", f"host-{number}", Resources.of(rng.randint(4, 32), 64_000, 100_000),
            total=Resources.of(32, 64_000, 100_000), attributes={"rack": f"r{number % 10}"},
        )
        for number in range(agents)
    ]  # fmt: skip
    requests = [
        Request(number, rng.choice(kinds), (f"agent-{rng.randrange(agents)}",) if rng.random() < 0.1 else ())
        for number in range(tasks)
    ]
    return requests, offers


def rows() -> Iterator[Row]:
    for tasks, agents, bar in ((10_000, 1000, 100), (100_000, 10_000, 2000)):
        requests, offers = a_problem(tasks, 50, agents)
        figure = median_ms(lambda requests=requests, offers=offers: place(requests, offers))  # type: ignore[misc]
        placed = len(place(requests, offers).launches)
        yield Row(
            f"placement: {tasks:,} tasks of 50 shapes, {agents:,} agents", figure, bar, "ms", note=f"{placed:,} placed"
        )
