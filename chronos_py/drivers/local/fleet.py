"""The agents of this machine: each with its own room and offers. Tasks of all of them run here.

An agent that is no longer configured goes on as long as tasks of it run, and takes no new ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from chronos_py.drivers.base import Post
from chronos_py.drivers.local.offers import Offers, total_of
from chronos_py.model.capacity import AgentCapacity
from chronos_py.model.messages import Decline, Launch
from chronos_py.model.pools import SHARED, AgentSpec, ResourceOrder
from chronos_py.model.resources import Resources

JOINT = "."  # between this machine's id and an agent's name; ids of machines have none


def machine_of(agent_id: str) -> str:
    """Return the id of the machine that an agent is of."""
    return agent_id.partition(JOINT)[0]


class Fleet:
    """Agents by id. All but `capacity`, `total` and `used` is for the driver's thread alone."""

    def __init__(
        self,
        machine: str,
        host: str,
        specs: Iterable[AgentSpec],
        roles: Sequence[str],
        order: ResourceOrder,
        post: Post,
    ) -> None:
        self.machine = machine
        self._host = host
        self._roles = tuple(role for role in roles if role != SHARED)
        self._order = order
        self._post = post
        self._agents: dict[str, Offers] = {}
        for spec in specs:
            agent_id = f"{machine}{JOINT}{spec.name}" if spec.name else machine
            self._agents[agent_id] = Offers(agent_id, spec.host or host, spec, self._roles, order, post)
        self.first = next(iter(self._agents), machine)

    def is_here(self, agent_id: str) -> bool:
        """Tell whether an agent is, or was, one of this machine's; a task of no known agent is looked for here."""
        return agent_id in ("", self.machine) or agent_id.startswith(f"{self.machine}{JOINT}")

    def host_of(self, agent_id: str) -> str:
        agent = self._agents.get(agent_id)
        return agent.host if agent else self._host

    def of(self, agent_id: str, host: str = "") -> Offers:
        """Return an agent; one that is not configured is made, without any room."""
        agent = self._agents.get(agent_id)
        if agent is None:
            spec = AgentSpec(Resources())
            agent = Offers(agent_id, host or self._host, spec, self._roles, self._order, self._post, retired=True)
            self._agents = {**self._agents, agent_id: agent}  # others may be reading
        return agent

    def target(self, launch: Launch) -> Offers | None:
        """Return the agent whose offers a launch uses, None when there is none of this name."""
        return self._agents.get(launch.offers[0].agent_id) if launch.offers else None

    def give_back(self, agent_id: str, taken: Mapping[str, Resources]) -> None:
        agent = self.of(agent_id)
        agent.give_back(taken)
        if agent.retired and agent.used == Resources():
            self._agents = {name: one for name, one in self._agents.items() if name != agent_id}

    # --- offers

    def decline(self, decline: Decline, now: float) -> None:
        for agent in self._agents.values():
            agent.decline(decline, now)

    def suppress(self) -> None:
        for agent in self._agents.values():
            agent.suppress()

    def revive(self) -> None:
        for agent in self._agents.values():
            agent.revive()

    def refresh(self, now: float) -> None:
        for agent in self._agents.values():
            agent.refresh(now)

    def pause(self, now: float) -> float | None:
        """Return the seconds until `refresh` is needed though nothing has happened."""
        pauses = [pause for agent in self._agents.values() if (pause := agent.pause(now)) is not None]
        return min(pauses, default=None)

    # --- for readers

    @property
    def total(self) -> Resources:
        return total_of(agent.total for agent in self._agents.values())

    @property
    def used(self) -> Resources:
        return total_of(agent.used for agent in self._agents.values())

    def __len__(self) -> int:
        return len(self._agents)

    def capacity(self) -> list[AgentCapacity]:
        return [agent.capacity() for agent in self._agents.values()]
