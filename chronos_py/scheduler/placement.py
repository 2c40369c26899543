"""Which task goes on which agent: pure, so that it can be tested and measured alone.

Hard rules: constraints and room, exact to the thousandth. Preferences, the first that differs decides:

1. *avoidance*: a retry goes to an agent on which no attempt of its run failed, if any has room; never a veto;
2. *balance*: the agent whose dominant share in use is smallest (Ghodsi et al., "Dominant Resource Fairness", 2011).

Within a round an agent's room only shrinks and its share only grows. So the agents stand in a heap per shape whose
entries may be too cheap but never too dear: the head is looked at again before it is trusted, and an agent that lacks
room for a shape is never tried for it again. A task costs the logarithm of the number of agents.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources
from chronos_py.scheduler.constraints import first_unmet
from chronos_py.scheduler.queue import Shape


@dataclass(frozen=True, slots=True)
class Request:
    """A run that wants a place; `avoid` are agents to use only when no other has room."""

    run: int
    shape: Shape
    avoid: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a shape fits on no agent: how many lack what, and the most that any agent has free."""

    counts: dict[str, int]
    largest_free: Resources

    @property
    def sentence(self) -> str:
        if not self.counts:
            return "no agent offers anything at present"
        parts = [f"{count} {'agents' if count > 1 else 'agent'}: {reason}" for reason, count in self.counts.items()]
        return "; ".join(parts)

    def detail(self, need: Resources) -> dict[str, Any]:
        return {"need": str(need), "refusals": self.counts, "largestFree": str(self.largest_free)}


@dataclass(slots=True)
class Placement:
    """`launches`: (request, agent id) in order; `refusals`: why each shape that waits fits nowhere."""

    launches: list[tuple[Request, str]] = field(default_factory=list)
    refusals: dict[Shape, Refusal] = field(default_factory=dict)


class _Agent:
    """An agent's free room in this round. Plain integers: this is the hot path."""

    __slots__ = ("attributes", "cpus", "disk", "host", "id", "mem", "share", "total")

    def __init__(self, offer: Offer) -> None:
        self.id = offer.agent_id
        self.host = offer.host
        self.attributes = offer.attributes
        self.cpus = self.mem = self.disk = 0
        self.total = offer.total
        self.share = 0.0

    def add(self, room: Resources) -> None:
        self.cpus += room.cpus
        self.mem += room.mem
        self.disk += room.disk

    def settle(self) -> None:
        """Fix what the share is measured against; an unknown total means: as if the agent were empty."""
        if self.total == Resources():
            self.total = Resources(self.cpus, self.mem, self.disk)
        self._rank()

    def fits(self, need: Resources) -> bool:
        return self.cpus >= need.cpus and self.mem >= need.mem and self.disk >= need.disk

    def take(self, need: Resources) -> None:
        self.cpus -= need.cpus
        self.mem -= need.mem
        self.disk -= need.disk
        self._rank()

    def _rank(self) -> None:
        total = self.total
        share = 1 - self.cpus / total.cpus if total.cpus else 0.0
        if total.mem:
            other = 1 - self.mem / total.mem
            share = max(other, share)
        if total.disk:
            other = 1 - self.disk / total.disk
            share = max(other, share)
        self.share = share


class Board:
    """All agents with their room, and for each shape the order in which to try them."""

    def __init__(self, offers: Sequence[Offer]) -> None:
        agents: dict[str, _Agent] = {}
        for offer in offers:
            agent = agents.get(offer.agent_id)
            if agent is None:
                agent = agents[offer.agent_id] = _Agent(offer)
            agent.add(offer.resources)
        self._agents = list(agents.values())
        for agent in self._agents:
            agent.settle()
        self._order = sorted((agent.share, position) for position, agent in enumerate(self._agents))
        self._heaps: dict[Shape, list[tuple[float, int]]] = {}

    def _heap(self, shape: Shape) -> list[tuple[float, int]]:
        heap = self._heaps.get(shape)
        if heap is None:
            heap = [entry for entry in self._order if self._meets(entry[1], shape)]  # sorted, hence a heap
            self._heaps[shape] = heap
        return heap

    def _meets(self, position: int, shape: Shape) -> bool:
        agent = self._agents[position]
        return not shape.constraints or first_unmet(shape.constraints, agent.attributes, agent.host) is None

    def take(self, request: Request) -> str | None:
        """Use up room for one request and return the agent's id; None when no agent has room."""
        need, heap, agents = request.shape.need, self._heap(request.shape), self._agents
        avoided: list[tuple[float, int]] = []
        chosen = None
        while heap:
            share, position = heap[0]
            agent = agents[position]
            if not agent.fits(need):
                heapq.heappop(heap)
            elif agent.share > share:
                heapq.heapreplace(heap, (agent.share, position))
            elif request.avoid and agent.id in request.avoid:
                avoided.append(heapq.heappop(heap))
            else:
                agent.take(need)
                heapq.heapreplace(heap, (agent.share, position))
                chosen = agent
                break
        if chosen is None and avoided:
            chosen = agents[avoided[0][1]]
            chosen.take(need)
        for entry in avoided:
            heapq.heappush(heap, entry)
        return chosen.id if chosen else None

    def refusal(self, shape: Shape) -> Refusal:
        """Say, agent by agent, why a shape does not fit."""
        counts: Counter[str] = Counter()
        cpus = mem = disk = 0
        for agent in self._agents:
            unmet = first_unmet(shape.constraints, agent.attributes, agent.host)
            if unmet:
                counts[f"does not meet {unmet.attribute} {unmet.operator} {unmet.value}"] += 1
            else:
                lacking = [name for name in ("cpus", "mem", "disk") if getattr(agent, name) < getattr(shape.need, name)]
                counts[f"not enough {' and '.join(lacking)} free"] += 1
            cpus, mem, disk = max(cpus, agent.cpus), max(mem, agent.mem), max(disk, agent.disk)
        return Refusal(dict(counts), Resources(cpus, mem, disk))


def place(requests: Iterable[Request], offers: Sequence[Offer], stuck: set[Shape] | None = None) -> Placement:
    """Place each request, in the order given, on the best agent with room.

    A shape that does not fit is put into `stuck` and not tried again in this round; the caller may skip its others.
    An unsatisfiable head blocks nobody else.
    """
    board = Board(offers)
    stuck = set() if stuck is None else stuck
    placement = Placement()
    for request in requests:
        if request.shape in stuck:
            continue
        agent = board.take(request)
        if agent is None:
            stuck.add(request.shape)
        else:
            placement.launches.append((request, agent))
    for shape in stuck:
        placement.refusals[shape] = board.refusal(shape)
    return placement
