"""Making room: runs of preemptible jobs are stopped for one of higher priority that has waited too long for a place.

Off unless `after` is given. A run may *claim* an agent when it has waited `after` ms since it was due, or its retry,
fits nowhere, and could go there if tasks of preemptible jobs, all of lower priority, were stopped. Of all agents it
takes the one where the fewest must be stopped, then where the least work is lost; on an agent the youngest go first.
Fewest is by a greedy search, exact when one kind of resource is what lacks. A claim stands until its run is placed, or
for PATIENCE after the last victim has gone; until then the run claims no more, and others count on what the claim
leaves. Once its victims have gone, its run is placed before all others. No more than `per_minute` runs are stopped in a
minute.

A stopped run waits again at no cost in retries; its waiting counts from then on.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush, heapreplace

from chronos_py.clock import Millis
from chronos_py.model.resources import Resources
from chronos_py.model.run import PREEMPTED, Run
from chronos_py.model.view import Cause
from chronos_py.scheduler.board import KINDS, Refusal
from chronos_py.scheduler.book import Book
from chronos_py.scheduler.constraints import first_unmet, relative, spot, suits
from chronos_py.scheduler.offers import OfferLoop
from chronos_py.scheduler.queue import Shape

PATIENCE: Millis = 10_000  # for the offer of what has become free
LOOKED = 500  # waiting runs that are looked at, first in order first
CLAIMS = 50  # new ones in one turn
MINUTE: Millis = 60_000
AGAIN: Millis = 1000
UNKNOWN = (0, 0, 0)  # a cost below any: to be worked out


@dataclass(slots=True)
class Claim:
    """What is being made free for a run: `victims` have yet to end, `room` is all that they and those before held."""

    agent: str
    need: Resources
    room: Resources
    victims: set[int]
    freed: Millis | None = None


@dataclass(slots=True)
class _Choice:
    agent: str
    victims: list[Run]
    lost: Millis = 0
    claims: int = 0  # how many others make room there

    @property
    def cost(self) -> tuple[int, Millis, int]:
        return (len(self.victims), self.lost, self.claims)


class Preemption:
    """Works on the book and the offers' loop alone. `claims` are by the run that waits."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.claims: dict[int, Claim] = {}
        self.wake: Millis | None = None
        self._stopped: deque[Millis] = deque()
        self._pause = AGAIN
        self._lowest = 0  # the lowest priority of a task that may be stopped

    def resume(self, before: Preemption) -> None:
        """Go on where another stood, whose book was read again from the store."""
        self.claims, self._stopped, self.wake = before.claims, before._stopped, before.wake

    def adopt(self, run: Run) -> None:
        """Take over a run that was told to stop before the book was read."""
        if run.killing != PREEMPTED or not run.on_agent or run.id not in self.book.holdings:
            return
        room = self.book.holdings.need_of(run.id)
        claim = self.claims.setdefault(run.displaced_by, Claim(run.agent_id, Resources(), Resources(), set()))
        claim.room, claim.victims = claim.room + room, claim.victims | {run.id}

    def first(self) -> list[int]:
        """Return the waiting runs for which room was made, and is there but for the offer of it."""
        holdings, queue = self.book.holdings, self.book.queue
        return [
            number
            for number, claim in self.claims.items()
            if number in queue and not any(victim in holdings for victim in claim.victims)
        ]

    def look(
        self, loop: OfferLoop, refusals: Mapping[Shape, Refusal], busy: Iterable[str], now: Millis,
        stop: Callable[[Run, int], None],
    ) -> None:  # fmt: skip
        """Have runs stopped by `stop` (a victim, the run that it makes room for). `busy` are agents on which tasks
        were launched a moment ago, so that nobody knows yet what they have free."""
        policy, queue = self.book.policy.preemption, self.book.queue
        timed, self.wake = self.wake is not None and self.wake <= now, None
        if not policy.after or not len(queue):
            self.claims.clear()
            return
        self._tidy(now)
        left = policy.per_minute - len(self._stopped)
        if left <= 0:
            self._wake_at(self._stopped[0] + MINUTE)
            return
        higher = self._higher()
        if not higher:  # nobody could make room for any of them
            if self.claims:
                self._wake_at(now + AGAIN)
            return
        agents = _Agents(self.book, loop, set(busy), self.claims.values(), now)
        hopeless = dict[Shape, int]()  # by shape: the highest priority that found no victims
        made = 0
        for count, (number, shape) in enumerate(queue.in_order(set()), 1):
            if count > LOOKED or made >= CLAIMS or left <= 0 or not higher:
                break
            run, refusal = self.book.runs[number], refusals.get(shape)
            if run.priority <= self._lowest:
                continue
            higher -= 1
            if number in self.claims or refusal is None or refusal.cause is Cause.QUOTA or self.book.is_aside(number):
                continue
            at = max(run.waits_from, run.created, run.not_before) + policy.after
            if at > now:
                self._wake_at(at)
                continue
            if run.priority <= hopeless.get(shape, run.priority - 1):
                continue
            choice = agents.choose(shape, run.priority, left, now)
            if choice is None:
                hopeless[shape] = run.priority
                continue
            made, left = made + 1, left - len(choice.victims)
            self._claim(run, shape, choice, agents, now, stop)
        idle = timed and not (made or self.claims or busy)  # nothing has happened, and nothing came of it
        self._pause = min(2 * self._pause, MINUTE) if idle else AGAIN
        self._wake_at(now + self._pause)

    def _higher(self) -> int:
        """Return how many waiting runs are of a higher priority than some task that may be stopped."""
        lowest = min(self.book.holdings.levels, default=None)
        if lowest is None:
            return 0
        self._lowest = lowest
        return sum(count for level, count in self.book.queue.levels.items() if level > lowest)

    def _claim(
        self, run: Run, shape: Shape, choice: _Choice, agents: _Agents, now: Millis, stop: Callable[[Run, int], None]
    ) -> None:
        room = Resources()
        for victim in choice.victims:
            room = room + self.book.holdings.need_of(victim.id)
            self._stopped.append(now)
        claim = Claim(choice.agent, shape.need, room, {victim.id for victim in choice.victims})
        self.claims[run.id] = claim
        agents.note(claim)
        for victim in choice.victims:
            stop(victim, run.id)

    def _tidy(self, now: Millis) -> None:
        while self._stopped and self._stopped[0] <= now - MINUTE:
            self._stopped.popleft()
        for number, claim in list(self.claims.items()):
            if claim.need == Resources() and number in self.book.queue:
                claim.need = self.book.queue.shape_of(number).need
            claim.victims = {victim for victim in claim.victims if victim in self.book.holdings}
            if not claim.victims and claim.freed is None:
                claim.freed = now
            over = claim.freed is not None and claim.freed + PATIENCE <= now
            if over or number not in self.book.queue:
                del self.claims[number]

    def _wake_at(self, at: Millis) -> None:
        self.wake = at if self.wake is None else min(self.wake, at)


class _Agents:
    """Agents with tasks that may be stopped, in one look."""

    def __init__(self, book: Book, loop: OfferLoop, busy: set[str], claims: Iterable[Claim], now: Millis) -> None:
        self.book = book
        self.loop = loop
        self.busy = busy
        self._down, _ = loop.maintenance(now)
        self._free: dict[str, Resources] = {}
        for place, offers in loop.places().items():
            room = Resources()
            for offer in offers:
                room = room + offer.resources
            if room.cpus >= self._free.get(place.agent, Resources()).cpus:  # roles are not used together
                self._free[place.agent] = room
        self._candidates: dict[str, list[Run]] = {}
        self._ranked: dict[tuple[Shape, int], list[tuple[tuple[int, Millis, int], str]]] = {}
        self._claims: Counter[str] = Counter()
        for claim in claims:
            self.note(claim)

    def note(self, claim: Claim) -> None:
        """Count on what a claim leaves of what it makes free."""
        self._free[claim.agent] = self._free.get(claim.agent, Resources()) + claim.room - claim.need
        self._claims[claim.agent] += 1
        self._candidates.pop(claim.agent, None)
        for heap in self._ranked.values():
            heappush(heap, (UNKNOWN, claim.agent))

    def choose(self, shape: Shape, priority: int, most: int, now: Millis) -> _Choice | None:
        """Return where to make room for a run, None when stopping up to `most` makes none anywhere, or none need be."""
        heap = self._ranked.get((shape, priority))
        if heap is None:
            able = sorted(agent for agent in self.book.holdings.preemptible if self._may_go(shape, agent))
            heap = self._ranked[shape, priority] = [(UNKNOWN, agent) for agent in able]  # sorted, hence a heap
        while heap:
            cost, agent = heap[0]
            choice = self._at(agent, shape, priority, now)
            if choice is None:
                heappop(heap)
            elif not choice.victims:
                return None  # there is room, or soon will be: the next round shows
            elif choice.cost != cost:
                heapreplace(heap, (choice.cost, agent))
            else:
                return choice if len(choice.victims) <= most else None
        return None

    def _at(self, agent: str, shape: Shape, priority: int, now: Millis) -> _Choice | None:
        """Return whom to stop on an agent; nobody, if nothing lacks there; None when it is of no use."""
        lacking = _lacking(shape.need, self._free.get(agent, Resources()))
        if not lacking:
            return _Choice(agent, [])
        lower = [(run, self.book.holdings.need_of(run.id)) for run in self._on(agent) if run.priority < priority]
        victims = fewest(lacking, lower)
        if not victims:
            return None
        return _Choice(agent, victims, sum(now - (run.launched or now) for run in victims), self._claims[agent])

    def _on(self, agent: str) -> list[Run]:
        """Return an agent's tasks that may be stopped, the youngest first."""
        found = self._candidates.get(agent)
        if found is None:
            runs = [self.book.runs[number] for number in self.book.holdings.preemptible[agent]]
            able = [run for run in runs if not run.killing and not run.uncertain]
            found = self._candidates[agent] = sorted(able, key=lambda run: (-(run.launched or 0), -run.id))
        return [run for run in found if not self.book.runs[run.id].killing]

    def _may_go(self, shape: Shape, agent: str) -> bool:
        """Tell whether a shape could use an agent if it had room."""
        if agent in shape.banned or agent in self.busy or agent in self._down:
            return False
        seen = self.loop.seen.get(agent)
        if seen is None:
            return not shape.constraints
        if first_unmet(shape.constraints, seen.attributes, seen.host, agent) is not None:
            return False
        return not shape.among or all(
            suits(
                one,
                spot(one.attribute, seen.attributes, seen.host, agent),
                self.book.holdings.spots(shape.among, one.attribute),
            )
            for one in relative(shape.constraints)
        )


Amounts = dict[str, int]


def _lacking(need: Resources, free: Resources) -> Amounts:
    return {kind: lack for kind in KINDS if (lack := getattr(need, kind) - getattr(free, kind)) > 0}


def _covers(chosen: Iterable[tuple[Run, Resources]], lacking: Amounts) -> bool:
    held = [need for _, need in chosen]
    return all(sum(getattr(need, kind) for need in held) >= lack for kind, lack in lacking.items())


def fewest(lacking: Amounts, candidates: list[tuple[Run, Resources]]) -> list[Run]:
    """Return few runs that together hold what is lacking, young ones where there is a choice; none when all together
    do not. `candidates` are the youngest first."""
    if not _covers(candidates, lacking):
        return []
    for one in candidates:
        if _covers([one], lacking):
            return [one[0]]
    chosen, left, rest = list[tuple[Run, Resources]](), dict(lacking), list(candidates)
    while left:
        one = max(rest, key=lambda item: sum(min(getattr(item[1], kind), lack) / lack for kind, lack in left.items()))
        rest.remove(one)
        chosen.append(one)
        left = {kind: more for kind, lack in left.items() if (more := lack - getattr(one[1], kind)) > 0}
    for one in sorted(chosen, key=lambda item: item[0].launched or 0):  # the oldest first
        others = [other for other in chosen if other is not one]
        if _covers(others, lacking):
            chosen = others
            continue
        younger = (other for other in rest if (other[0].launched or 0) > (one[0].launched or 0))
        better = next((other for other in younger if _covers([*others, other], lacking)), None)
        if better is not None:
            rest.remove(better)
            rest.append(one)
            chosen = [*others, better]
    return [run for run, _ in chosen]
