"""The places of a round with their room, the order in which to try them, and why a shape fits on none.

A *place* is what one agent offers to one role. Within a round a place's room only shrinks and its share only grows. So
places stand in heaps whose entries may be too cheap but never too dear: the head is looked at again before it is
trusted. Shapes with equal constraints share a heap as long as its head has room for them; one that does not fit there,
or that asks for GPUs or ports, goes on with a heap of its own, from which places without room for it are dropped for
good. A task costs the logarithm of the number of places; one that looks at where its job's other runs are
(`constraints`) at most their number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from heapq import heappop, heappush, heapreplace
from typing import Any, NamedTuple

from chronos_py.model.job import Constraint
from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources
from chronos_py.model.view import Cause
from chronos_py.scheduler.constraints import first_unmet, relative, spot, suits
from chronos_py.scheduler.explanation import Choice, Rank
from chronos_py.scheduler.holdings import Holdings
from chronos_py.scheduler.queue import Shape
from chronos_py.scheduler.quotas import Excess

NOTHING = Resources()
GPU_STEP = 2.0  # added to the share in use, which is at most 1
LEAVING_STEP = 4.0
SUSPECT_STEP = 8.0


class Place(NamedTuple):
    """What one agent offers to one role."""

    agent: str
    role: str = ""


def place_of(offer: Offer) -> Place:
    return Place(offer.agent_id, offer.role)


@dataclass(frozen=True, slots=True)
class Request:
    """A run that wants a place; `avoid` are agents to use only when no other has room, the first of them first, or with
    `strict` not at all."""

    run: int
    shape: Shape
    avoid: tuple[str, ...] = ()
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a shape fits on no agent: how many lack what, and the most that any agent has free; or for which quota it
    waits."""

    counts: dict[str, int]
    largest_free: Resources
    excess: Excess | None = None

    @property
    def cause(self) -> Cause:
        if self.excess is not None:
            return Cause.QUOTA
        return Cause.NO_FIT if self.counts else Cause.NO_OFFERS

    @property
    def sentence(self) -> str:
        if self.excess is not None:
            return self.excess.sentence
        if not self.counts:
            return "no agent offers anything at present"
        parts = [f"{count} {'agents' if count > 1 else 'agent'}: {reason}" for reason, count in self.counts.items()]
        return "; ".join(parts)

    def detail(self, need: Resources) -> dict[str, Any]:
        if self.excess is not None:
            exceeded, others = list(self.excess.exceeded), list(self.excess.waits_for)
            return {"need": str(need), **self.excess.form, "exceeded": exceeded, "waitsFor": others}
        return {"need": str(need), "refusals": self.counts, "largestFree": str(self.largest_free)}


class _Agent:
    """A place's free room in this round. Plain integers and inverses: this is the hot path."""

    __slots__ = ("attributes", "cpus", "disk", "floor", "gpus", "host", "id", "mem", "per_cpu", "per_disk", "per_mem",
                 "place", "ports", "share", "step", "total")  # fmt: skip

    def __init__(self, offer: Offer, place: Place, step: float) -> None:
        self.id = offer.agent_id
        self.place = place
        self.host = offer.host
        self.attributes = offer.attributes
        room = offer.resources
        self.cpus, self.mem, self.disk, self.gpus, self.ports = room.cpus, room.mem, room.disk, room.gpus, room.ports
        self.total = offer.total
        self.step = step
        self.floor = 0.0  # the share of GPUs in use

    def add(self, room: Resources) -> None:
        self.cpus += room.cpus
        self.mem += room.mem
        self.disk += room.disk
        self.gpus += room.gpus
        self.ports += room.ports

    def settle(self) -> None:
        """Fix what the share is measured against; an unknown total means: as if the agent were empty."""
        total = self.total
        if not (total.cpus or total.mem or total.disk or total.gpus or total.ports):
            total = self.total = Resources(self.cpus, self.mem, self.disk, self.gpus)
        self.per_cpu = 1 / total.cpus if total.cpus else 0.0
        self.per_mem = 1 / total.mem if total.mem else 0.0
        self.per_disk = 1 / total.disk if total.disk else 0.0
        if self.gpus or total.gpus:
            self.step += GPU_STEP
            self.take_scarce(NOTHING)
        else:
            self.take(NOTHING)

    def has_scarce(self, need: Resources) -> bool:
        return self.gpus >= need.gpus and self.ports >= need.ports

    def take_scarce(self, need: Resources) -> float:
        """Like `take`, for a need that may have GPUs or ports."""
        self.gpus -= need.gpus
        self.ports -= need.ports
        if self.total.gpus:
            self.floor = (self.total.gpus - self.gpus) / self.total.gpus
        return self.take(need)

    def take(self, need: Resources) -> float:
        """Use up room; return the dominant share that is in use then, with the steps."""
        total = self.total
        self.cpus -= need.cpus
        self.mem -= need.mem
        self.disk -= need.disk
        share = (total.cpus - self.cpus) * self.per_cpu
        other = (total.mem - self.mem) * self.per_mem
        if other > share:
            share = other
        other = (total.disk - self.disk) * self.per_disk
        if other > share:
            share = other
        if self.floor > share:
            share = self.floor
        self.share = share = share + self.step
        return share

    def lacking(self, need: Resources) -> list[str]:
        return [name for name in KINDS if getattr(self, name) < getattr(need, name)]


KINDS = ("cpus", "mem", "disk", "gpus", "ports")
NO_CHOICE = Choice(Rank.ONLY, 0, 0.0)
Entry = tuple[float, int]  # share in use when it was put there, position of the place


class Board:
    """All places with their room, and the orders in which to try them."""

    def __init__(
        self,
        offers: Iterable[Offer],
        down: Collection[str] = (),
        leaving: Collection[str] = (),
        suspect: Collection[str] = (),
        holdings: Holdings | None = None,
    ) -> None:
        places: dict[tuple[str, str], _Agent] = {}
        for offer in offers:
            key = (offer.agent_id, offer.role)
            agent = places.get(key)
            if agent is None:
                step = LEAVING_STEP if offer.agent_id in leaving else 0.0
                if offer.agent_id in suspect:
                    step += SUSPECT_STEP
                places[key] = _Agent(offer, Place(*key), step)
            else:
                agent.add(offer.resources)
        self._agents = list(places.values())
        self._down = down
        order = self._order = list[Entry]()
        for position, agent in enumerate(self._agents):
            agent.settle()
            if agent.id not in down:
                order.append((agent.share, position))
        order.sort()
        self._holdings = holdings or Holdings()
        self._spots: dict[tuple[str, str], Counter[str]] = {}  # of this round: those of the holdings, and what came
        self._groups: dict[tuple[tuple[Constraint, ...], tuple[str, ...]], list[Entry]] = {}
        self._shared: dict[Shape, list[Entry]] = {}
        self._own: dict[Shape, list[Entry]] = {}
        self.choice = NO_CHOICE  # what the last place was chosen from

    def _group(self, shape: Shape) -> list[Entry]:
        """Return the heap of all places that meet the shape's constraints."""
        key = (shape.constraints, shape.banned)
        heap = self._groups.get(key)
        if heap is None:
            heap = [entry for entry in self._order if self._meets(entry[1], shape)]  # sorted, hence a heap
            self._groups[key] = heap
        return heap

    def _meets(self, position: int, shape: Shape) -> bool:
        agent = self._agents[position]
        if agent.id in shape.banned:
            return False
        return not shape.constraints or self._unmet(agent, shape) is None

    @staticmethod
    def _unmet(agent: _Agent, shape: Shape) -> Constraint | None:
        return first_unmet(shape.constraints, agent.attributes, agent.host, agent.id)

    # --- beside the job's other runs

    def _others(self, job: str, attribute: str) -> Counter[str]:
        """Return at which values of an attribute how many of a job's runs are, those of this round included."""
        found = self._spots.get((job, attribute))
        if found is None:
            found = self._spots[job, attribute] = Counter(self._holdings.spots(job, attribute))
        return found

    def _unsuited(self, agent: _Agent, shape: Shape) -> Constraint | None:
        """Return the first constraint that the job's other runs stand in the way of."""
        for one in relative(shape.constraints):
            value = spot(one.attribute, agent.attributes, agent.host, agent.id)
            if not suits(one, value, self._others(shape.among, one.attribute)):
                return one
        return None

    def _note(self, agent: _Agent, shape: Shape) -> None:
        for attribute in {one.attribute for one in relative(shape.constraints)}:
            value = spot(attribute, agent.attributes, agent.host, agent.id)
            self._others(shape.among, attribute)[value] += 1

    # --- taking

    def take(self, request: Request) -> Place | None:
        """Use up room for one request and return the place; None when none has room."""
        shape = request.shape
        own = self._own.get(shape)
        if own is not None:
            return self._take_own(own, shape.need, request)
        heap = self._shared.get(shape)
        if heap is None:
            heap = self._group(shape)
            if shape.need.gpus or shape.need.ports or shape.among:
                own = self._own[shape] = heap.copy()
                return self._take_own(own, shape.need, request)
            self._shared[shape] = heap
        need, avoid = shape.need, request.avoid
        while heap:
            share, position = heap[0]
            agent = self._agents[position]
            if agent.share > share:
                heapreplace(heap, (agent.share, position))
                continue
            if agent.cpus < need.cpus or agent.mem < need.mem or agent.disk < need.disk or agent.id in avoid:
                break
            heappop(heap)
            self.choice = self._choice(agent, share, heap, need, avoid)
            heappush(heap, (agent.take(need), position))
            return agent.place
        if avoid:
            return self._take_own(heap.copy(), need, request)
        own = self._own[shape] = heap.copy()
        return self._take_own(own, need, request)

    def _take_own(self, heap: list[Entry], need: Resources, request: Request) -> Place | None:
        """Take from a heap of one shape's own; places without room for it leave the heap."""
        agents, avoided, avoid = self._agents, list[Entry](), request.avoid
        among, unsuited = request.shape.among, list[Entry]()
        scarce = need.gpus or need.ports
        chosen = None
        while heap:
            share, position = heap[0]
            agent = agents[position]
            if (
                agent.cpus < need.cpus
                or agent.mem < need.mem
                or agent.disk < need.disk
                or (scarce and not agent.has_scarce(need))
            ):
                heappop(heap)
            elif agent.share > share:
                heapreplace(heap, (agent.share, position))
            elif among and self._unsuited(agent, request.shape):
                unsuited.append(heappop(heap))
            elif agent.id in avoid:
                avoided.append(heappop(heap))
            else:
                chosen = agent
                heappop(heap)
                self.choice = self._choice(agent, share, heap, need, avoid, avoided)
                heappush(heap, (agent.take_scarce(need) if scarce else agent.take(need), position))
                break
        if chosen is None and avoided and not request.strict:
            chosen = min((agents[position] for _, position in avoided), key=lambda one: avoid.index(one.id))
            self.choice = Choice(Rank.LAST_RESORT, len(avoided), chosen.share - chosen.step)
            chosen.take_scarce(need)
        for entry in (*avoided, *unsuited):
            heappush(heap, entry)
        if among and chosen is not None:
            self._note(chosen, request.shape)
        return chosen.place if chosen else None

    def _choice(
        self,
        chosen: _Agent,
        share: float,
        rest: list[Entry],
        need: Resources,
        avoid: Collection[str],
        avoided: Collection[Entry] = (),
    ) -> Choice:
        """Say what decided for a place, before anything is taken of it; `rest` are the others."""
        agents, candidates = self._agents, len(rest) + len(avoided) + 1
        while rest and agents[rest[0][1]].share > rest[0][0]:
            heapreplace(rest, (agents[rest[0][1]].share, rest[0][1]))
        if avoided:
            other = agents[min([*rest[:1], *avoided])[1]]
        elif rest:
            other = agents[rest[0][1]]
        else:
            return Choice(Rank.ONLY, 1, share - chosen.step)
        if other.id in avoid:
            rank = Rank.AVOIDANCE
        elif other.cpus < need.cpus or other.mem < need.mem or other.disk < need.disk or not other.has_scarce(need):
            rank = Rank.ROOM
        elif other.step != chosen.step:
            step = other.step - chosen.step
            rank = Rank.HEALTH if step >= SUSPECT_STEP else Rank.MAINTENANCE if step >= LEAVING_STEP else Rank.SCARCITY
        else:
            rank = Rank.BALANCE if other.share > share else Rank.ORDER
        return Choice(rank, candidates, share - chosen.step, other.id, other.share - other.step)

    # --- lending out what is guaranteed to others

    def could_go(self, shape: Shape) -> set[int]:
        """Return the places that a shape could use if only they had room."""
        return {
            position
            for _, position in self._order
            if self._agents[position].total.covers(replace(shape.need, ports=0)) and self._meets(position, shape)
        }

    def keep_off(self, shape: Shape, kept: Collection[int]) -> None:
        """Let a shape use all places but the ones that are kept for others."""
        heap = self._own.get(shape)
        if heap is None:
            heap = self._group(shape)
        self._own[shape] = sorted(entry for entry in heap if entry[1] not in kept)  # sorted, hence a heap

    def refusal(self, shape: Shape) -> Refusal:
        """Say, place by place, why a shape does not fit."""
        counts: Counter[str] = Counter()
        several = len({agent.place.role for agent in self._agents}) > 1
        most = dict.fromkeys(KINDS, 0)
        need, plain = shape.need, not (shape.constraints or shape.banned or shape.among or self._down or several)
        lacks: Counter[tuple[bool, ...]] = Counter()
        for agent in self._agents:
            if agent.id not in self._down:
                for name, most_free in most.items():
                    free = getattr(agent, name)
                    if free > most_free:
                        most[name] = free
            if plain:  # by far the most frequent case
                lacks[
                    agent.cpus < need.cpus, agent.mem < need.mem, agent.disk < need.disk, agent.gpus < need.gpus,
                    agent.ports < need.ports,
                ] += 1  # fmt: skip
                continue
            unmet = self._unmet(agent, shape)
            if agent.id in self._down:
                counts["is down for maintenance"] += 1
                continue
            if unmet:
                counts[f"does not meet {unmet.attribute} {unmet.operator} {unmet.value}".rstrip()] += 1
            elif agent.id in shape.banned:
                counts["an attempt of the run failed there"] += 1
            elif not agent.lacking(shape.need) and shape.among and (unmet := self._unsuited(agent, shape)):
                text = f"{unmet.attribute} {unmet.operator} {unmet.value}".rstrip()
                counts[f"does not meet {text} beside the job's running tasks"] += 1
            else:
                within = f" in role {agent.place.role or '*'}" if several else ""
                counts[f"not enough {' and '.join(agent.lacking(shape.need))} free{within}"] += 1
        for lack, count in lacks.items():
            names = [name for name, lacking in zip(KINDS, lack, strict=True) if lacking]
            counts[f"not enough {' and '.join(names)} free"] += count
        return Refusal(dict(counts), Resources(**most))
