"""How much the agents have, how much of it is used, and what would still fit: for whoever spreads work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chronos_py.model.resources import Resources

NOTHING = Resources()
SHARED = "*"  # the role of what is reserved for nobody


@dataclass(frozen=True, slots=True)
class AgentCapacity:
    """What a driver knows of one agent.

    `used` is what tasks of all frameworks have, as far as the cluster tells; `reserved` by role; `ours` are the roles
    whose reservations we may use. An agent that takes no tasks is not `active`. `age` in seconds: how old this is.
    """

    id: str
    host: str
    total: Resources
    used: Resources = NOTHING
    reserved: Mapping[str, Resources] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    active: bool = True
    ours: frozenset[str] = frozenset()
    age: float = 0.0

    @property
    def usable(self) -> Resources:
        """Return what may be used by us in all: without what is reserved for others."""
        rest = self.total
        for role, amount in self.reserved.items():
            if role not in self.ours:
                rest = rest - amount
        return rest


def slots(room: Resources, need: Resources) -> int:
    """Return how many tasks of a shape fit into some room; 0 for a shape that needs nothing."""
    fits = [
        have // want
        for have, want in (
            (room.cpus, need.cpus),
            (room.mem, need.mem),
            (room.disk, need.disk),
            (room.gpus, need.gpus),
            (room.ports, need.ports),
        )
        if want > 0
    ]
    return max(0, min(fits)) if fits else 0


def largest(rooms: Iterable[Resources]) -> Resources:
    """Return the room of the agent that has most: most cores, then most memory."""
    return max(rooms, key=lambda room: (room.cpus, room.mem, room.disk), default=NOTHING)


class Sum:
    """Adds up capacities: `total`, `used` (by all), `by_us`, `offered` (to us, held), `free` (for us)."""

    __slots__ = ("agents", "by_us", "free", "offered", "slots", "total", "used")

    def __init__(self) -> None:
        self.agents = self.slots = 0
        self.total = [0, 0, 0, 0]
        self.used = [0, 0, 0, 0]
        self.by_us = [0, 0, 0, 0]
        self.offered = [0, 0, 0, 0]
        self.free = [0, 0, 0, 0]

    def add(self, room: Room) -> None:
        self.agents += 1
        self.slots += room.slots
        for into, amount in (
            (self.total, room.agent.total),
            (self.used, room.used),
            (self.by_us, room.by_us),
            (self.offered, room.offered),
            (self.free, room.free),
        ):
            if amount is not NOTHING:
                into[0] += amount.cpus
                into[1] += amount.mem
                into[2] += amount.disk
                into[3] += amount.gpus


@dataclass(frozen=True, slots=True)
class Room:
    """One agent as the report sees it; `free` is what we could use of it now, none of an agent that is not active."""

    agent: AgentCapacity
    used: Resources
    by_us: Resources
    offered: Resources
    free: Resources
    slots: int


def rooms(
    agents: Sequence[AgentCapacity],
    by_us: Mapping[str, Resources],
    offered: Mapping[str, Resources],
    need: Resources | None,
) -> list[Room]:
    """Put together what the driver knows and what we know ourselves, which is newer.

    An agent's use is what the cluster says, and at least what our own tasks have. `offered` is what is held at present.
    """
    found = []
    for agent in agents:
        mine = by_us.get(agent.id, NOTHING)
        used = _larger(agent.used, mine)
        free = _rest(agent, used) if agent.active else NOTHING
        count = slots(free, need) if need is not None else 0
        found.append(Room(agent, used, mine, offered.get(agent.id, NOTHING), free, count))
    return found


def _larger(one: Resources, other: Resources) -> Resources:
    if other is NOTHING:
        return one
    return Resources(
        max(one.cpus, other.cpus),
        max(one.mem, other.mem),
        max(one.disk, other.disk),
        max(one.gpus, other.gpus),
        max(one.ports, other.ports),
    )


def _rest(agent: AgentCapacity, used: Resources) -> Resources:
    """Return what nobody uses, and at most what is not reserved for others."""
    total, usable = agent.total, agent.usable if agent.reserved else agent.total
    return Resources(
        max(0, min(total.cpus - used.cpus, usable.cpus)),
        max(0, min(total.mem - used.mem, usable.mem)),
        max(0, min(total.disk - used.disk, usable.disk)),
        max(0, min(total.gpus - used.gpus, usable.gpus)),
        max(0, total.ports - used.ports),
    )
