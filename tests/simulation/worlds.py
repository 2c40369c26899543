"""Small worlds for tests: jobs, agents, and all that happens as lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chronos_py.clock import Millis
from chronos_py.model.job import Job
from chronos_py.scheduler.policy import Policy
from chronos_py.simulation.agents import Move, VirtualAgent, several
from chronos_py.simulation.chance import Chance
from chronos_py.simulation.journal import Journal
from chronos_py.simulation.start import engine_of, states_at
from chronos_py.simulation.world import Observer, World
from tests.fakes import NEW_YEAR

HOUR: Millis = 3_600_000


class Lines(Journal):
    """Keeps what happened."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        super().__init__(self.kept.append)


def a_world(
    jobs: Iterable[Job],
    agents: Sequence[str] | Sequence[VirtualAgent] = ("2*cpus:4;mem:4096",),
    chance: Chance | None = None,
    policy: Policy | None = None,
    moves: Iterable[Move] = (),
    observers: Sequence[Observer] = (),
) -> World:
    """Return a world that begins with the new year."""
    named, policy = {job.name: job for job in jobs}, policy or Policy()
    engine = engine_of(policy, named, states_at(named.values(), policy, NEW_YEAR), {}, NEW_YEAR)
    machines = [agent for agent in agents if isinstance(agent, VirtualAgent)]
    machines += several(agent for agent in agents if isinstance(agent, str))
    return World(engine, machines, chance or Chance(), NEW_YEAR, observers=observers, moves=moves)
