"""A real and a simulated Mesos master behind one face, for the suite that both have to pass."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from compat_tests.servers.mesos import AgentSpec, MesosCluster
from compat_tests.servers.mesos_client import scalar
from compat_tests.servers.simulated_mesos import SimulatedMesos


@dataclass(frozen=True, slots=True)
class Machine:
    """An agent, in the words of the agents' flags."""

    hostname: str
    resources: str
    attributes: dict[str, str]
    reserved_cpus: float = 0.0  # of the resources, dynamically, for role prod by principal ops


class Masters(Protocol):
    """What the suite needs of a master."""

    @property
    def address(self) -> str:
        """Where frameworks connect, `127.0.0.1:port`."""

    def lose(self, number: int) -> None:
        """Cut the agent off; within a few seconds the master gives it up."""

    def heal(self, number: int) -> None:
        """Let the lost agent come back with its tasks."""

    def maintain(self, number: int, start: float, seconds: float) -> None:
        """Plan that the agent is unavailable from `start`, seconds since 1970."""

    def maintain_none(self, number: int) -> None:
        """Take the plan back."""


class RealMaster:
    def __init__(self, cluster: MesosCluster, machines: list[Machine]) -> None:
        self._cluster = cluster
        self._machines = machines

    @property
    def address(self) -> str:
        return self._cluster.master_address

    def lose(self, number: int) -> None:
        self._cluster.pause_agent(number)

    def heal(self, number: int) -> None:
        self._cluster.resume_agent(number)

    def maintain(self, number: int, start: float, seconds: float) -> None:
        machine = {"hostname": self._machines[number].hostname, "ip": "127.0.0.1"}
        window = {"start": {"nanoseconds": int(start * 1e9)}, "duration": {"nanoseconds": int(seconds * 1e9)}}
        self._schedule([{"machine_ids": [machine], "unavailability": window}])

    def maintain_none(self, number: int) -> None:
        self._schedule([])

    def _schedule(self, windows: list[Any]) -> None:
        part = {"schedule": {"windows": windows}}
        self._cluster.operator({"type": "UPDATE_MAINTENANCE_SCHEDULE", "update_maintenance_schedule": part})


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

    def maintain(self, number: int, start: float, seconds: float) -> None:
        self._simulator.unavailability(agent=number, start=start, seconds=seconds)

    def maintain_none(self, number: int) -> None:
        self._simulator.unavailability(agent=number)


@contextlib.contextmanager
def real(machines: list[Machine]) -> Iterator[Masters]:
    """A cluster that allocates every 100 ms and gives an agent up after two pings of a second."""
    specs = [AgentSpec(hostname=m.hostname, resources=m.resources, attributes=m.attributes) for m in machines]
    flags = {"allocation_interval": "100ms", "agent_ping_timeout": "1secs", "max_agent_ping_timeouts": "2"}
    with MesosCluster(specs, master_flags=flags) as cluster:
        for number, machine in enumerate(machines):
            if machine.reserved_cpus:
                reservation = {"type": "DYNAMIC", "role": "prod", "principal": "ops"}
                cpus = scalar("cpus", machine.reserved_cpus, reservations=[reservation])
                part = {"agent_id": {"value": cluster.agent_id(number)}, "resources": [cpus]}
                cluster.operator({"type": "RESERVE_RESOURCES", "reserve_resources": part})
        yield RealMaster(cluster, machines)


@contextlib.contextmanager
def simulated(machines: list[Machine]) -> Iterator[Masters]:
    with SimulatedMesos(agents=0, allocation_interval=0.1) as simulator:
        for m in machines:
            attributes = ";".join(f"{name}:{value}" for name, value in m.attributes.items())
            agent_id = simulator.add_agent(hostname=m.hostname, resources=m.resources, attributes=attributes)
            if m.reserved_cpus:
                simulator.reserve(agent=agent_id, resources=f"cpus(prod,ops):{m.reserved_cpus}")
        yield SimulatedMaster(simulator)
