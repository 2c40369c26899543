"""A real and a simulated Mesos master behind one face, for the suite that both have to pass."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from compat_tests.servers.mesos import AgentSpec, MesosCluster
from compat_tests.servers.simulated_mesos import SimulatedMesos


@dataclass(frozen=True, slots=True)
class Machine:
    """An agent, in the words of the agents' flags."""

    hostname: str
    resources: str
    attributes: dict[str, str]


class Masters(Protocol):
    """What the suite needs of a master."""

    @property
    def address(self) -> str:
        """Where frameworks connect, `127.0.0.1:port`."""

    def lose(self, number: int) -> None:
        """Cut the agent off; within a few seconds the master gives it up."""

    def heal(self, number: int) -> None:
        """Let the lost agent come back with its tasks."""


class RealMaster:
    def __init__(self, cluster: MesosCluster) -> None:
        self._cluster = cluster

    @property
    def address(self) -> str:
        return self._cluster.master_address

    def lose(self, number: int) -> None:
        self._cluster.pause_agent(number)

    def heal(self, number: int) -> None:
        self._cluster.resume_agent(number)


class SimulatedMaster:
    def __init__(self, simulator: SimulatedMesos) -> None:
        self._simulator = simulator

    @property
    def address(self) -> str:
        return self._simulator.address

    def lose(self, number: int) -> None:
        self._simulator.lose_agent(agent=number)

    def heal(self, number: int) -> None:
        self._simulator.return_agent(agent=number)


@contextlib.contextmanager
def real(machines: list[Machine]) -> Iterator[Masters]:
    """A cluster that allocates every 100 ms and gives an agent up after two pings of a second."""
    specs = [AgentSpec(hostname=m.hostname, resources=m.resources, attributes=m.attributes) for m in machines]
    flags = {"allocation_interval": "100ms", "agent_ping_timeout": "1secs", "max_agent_ping_timeouts": "2"}
    with MesosCluster(specs, master_flags=flags) as cluster:
        yield RealMaster(cluster)


@contextlib.contextmanager
def simulated(machines: list[Machine]) -> Iterator[Masters]:
    with SimulatedMesos(agents=0, allocation_interval=0.1) as simulator:
        for m in machines:
            attributes = ";".join(f"{name}:{value}" for name, value in m.attributes.items())
            simulator.add_agent(hostname=m.hostname, resources=m.resources, attributes=attributes)
        yield SimulatedMaster(simulator)
