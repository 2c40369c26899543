"""Which task goes on which agent: pure, so that it can be tested and measured alone.

Hard rules: constraints and room, exact to the thousandth. Preferences, the first that differs decides:

1. *avoidance*: a retry goes to an agent on which no attempt of its run failed, if any has room; never a veto;
2. *balance*: the agent whose dominant share in use is smallest (Ghodsi et al., "Dominant Resource Fairness", 2011).

Within a round an agent's room only shrinks and its share only grows. So agents stand in heaps whose entries may be too
cheap but never too dear: the head is looked at again before it is trusted. Shapes with equal constraints share a heap
as long as its head has room for them; one that does not fit there goes on with a heap of its own, from which agents
without room for it are dropped for good. A task costs the logarithm of the number of agents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush, heapreplace
from typing import Any

from chronos_py.model.job import Constraint
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
    """An agent's free room in this round. Plain integers and inverses: this is the hot path."""

    __slots__ = ("attributes", "cpus", "disk", "host", "id", "mem", "per_cpu", "per_disk", "per_mem", "share", "total")

    def __init__(self, offer: Offer) -> None:
        self.id = offer.agent_id
        self.host = offer.host
        self.attributes = offer.attributes
        self.cpus = self.mem = self.disk = 0
        self.per_cpu = self.per_mem = self.per_disk = 0.0
        self.total = offer.total
        self.share = 0.0

    def add(self, room: Resources) -> None:
        self.cpus += room.cpus
        self.mem += room.mem
        self.disk += room.disk

    def settle(self) -> None:
        """Fix what the share is measured against; an unknown total means: as if the agent were empty."""
        total = self.total
        if total == Resources():
            total = self.total = Resources(self.cpus, self.mem, self.disk)
        self.per_cpu = 1 / total.cpus if total.cpus else 0.0
        self.per_mem = 1 / total.mem if total.mem else 0.0
        self.per_disk = 1 / total.disk if total.disk else 0.0
        self.take(Resources())

    def take(self, need: Resources) -> float:
        """Use up room; return the dominant share that is in use then."""
        total = self.total
        self.cpus -= need.cpus
        self.mem -= need.mem
        self.disk -= need.disk
        share = (total.cpus - self.cpus) * self.per_cpu
        other = (total.mem - self.mem) * self.per_mem
        if other > share:
            share = other
        other = (total.disk - self.disk) * self.per_disk
        self.share = share = max(other, share)
        return share


Entry = tuple[float, int]  # share in use when it was put there, position of the agent


class Board:
    """All agents with their room, and the orders in which to try them."""

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
        self._groups: dict[tuple[Constraint, ...], list[Entry]] = {}
        self._shared: dict[Shape, list[Entry]] = {}
        self._own: dict[Shape, list[Entry]] = {}

    def _group(self, shape: Shape) -> list[Entry]:
        """Return the heap of all agents that meet the shape's constraints."""
        heap = self._groups.get(shape.constraints)
        if heap is None:
            heap = [entry for entry in self._order if self._meets(entry[1], shape)]  # sorted, hence a heap
            self._groups[shape.constraints] = heap
        return heap

    def _meets(self, position: int, shape: Shape) -> bool:
        agent = self._agents[position]
        return not shape.constraints or first_unmet(shape.constraints, agent.attributes, agent.host) is None

    def take(self, request: Request) -> str | None:
        """Use up room for one request and return the agent's id; None when no agent has room."""
        shape = request.shape
        own = self._own.get(shape)
        if own is not None:
            return self._take_own(own, shape.need, request.avoid)
        heap = self._shared.get(shape)
        if heap is None:
            heap = self._shared[shape] = self._group(shape)
        need, avoid = shape.need, request.avoid
        while heap:
            share, position = heap[0]
            agent = self._agents[position]
            if agent.share > share:
                heapreplace(heap, (agent.share, position))
                continue
            if agent.cpus < need.cpus or agent.mem < need.mem or agent.disk < need.disk or agent.id in avoid:
                break
            heapreplace(heap, (agent.take(need), position))
            return agent.id
        if avoid:
            return self._take_own(heap.copy(), need, avoid)
        own = self._own[shape] = heap.copy()
        return self._take_own(own, need, avoid)

    def _take_own(self, heap: list[Entry], need: Resources, avoid: tuple[str, ...]) -> str | None:
        """Take from a heap of one shape's own; agents without room for it leave the heap."""
        agents, avoided = self._agents, []
        chosen = None
        while heap:
            share, position = heap[0]
            agent = agents[position]
            if agent.cpus < need.cpus or agent.mem < need.mem or agent.disk < need.disk:
                heappop(heap)
            elif agent.share > share:
                heapreplace(heap, (agent.share, position))
            elif agent.id in avoid:
                avoided.append(heappop(heap))
            else:
                chosen = agent
                heapreplace(heap, (agent.take(need), position))
                break
        if chosen is None and avoided:
            chosen = agents[avoided[0][1]]
            chosen.take(need)
        for entry in avoided:
            heappush(heap, entry)
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
