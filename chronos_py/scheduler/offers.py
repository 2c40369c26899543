"""Which offers are held, for how long, and when to ask for more: other frameworks want the same machines.

With `keep` (a cluster that is ours alone) offers are simply held. Otherwise, after each placement round:

* for work that is *near* (due within `hold`) just enough offers are held: the least loaded places first, until they
  cover twice what it needs, each of its shapes fits somewhere and each task could have a place of its own, or nothing
  would be left to balance; the rest is declined at once;
* a retry that wants another agent than those on which it failed has one held for it, and asks for others if it must;
  until it has waited for `hold`, no avoided one is used (`rounds` sees to that);
* no offer is held longer than `hold`;
* while nothing waits and nothing is near, all are declined, and offers suppressed once nothing is to come soon;
* work that fits on nothing that is held asks for offers (revive): once for each shape, and again when an offer that
  would have done has gone without it; so does near work of more tasks than there are places held, while declined ones
  stay away. Revives come from a bucket of BURST that gains one every `min_revive_interval`.

A declined or left-over offer stays away for `refuse` seconds, but never beyond the time when offers are needed for
work that is already in sight, and no longer than SHORT when it could have been used or no revive is left that would
call it back. Offers are suppressed only while a revive is left; so work that comes then is never throttled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chronos_py.clock import Millis
from chronos_py.model.messages import Decline, Revive, Suppress
from chronos_py.model.offer import InverseOffer, Offer, Outage
from chronos_py.model.resources import Resources
from chronos_py.scheduler.board import Place, place_of
from chronos_py.scheduler.constraints import first_unmet, relative, spot, suits
from chronos_py.scheduler.holdings import Holdings
from chronos_py.scheduler.queue import Shape

BURST = 5
SHORT_S = 1.0  # the shortest time from one offer to the next of a Mesos master, by default
LEAVING: Millis = 600_000  # this long before its outage an agent is used last
NOTICE: Millis = 3_600_000  # this long before it, an agent that the cluster has asked for gets nothing
REMEMBERED = 1000  # agents that were asked for
AGENTS_SEEN = 100_000
NEAR_SHAPES = 100  # shapes of near work that are looked at

Asking = Decline | Suppress | Revive
Pick = tuple[Shape, tuple[str, ...]]  # a shape, and the agents that it is not to have


@dataclass(frozen=True, slots=True)
class OfferPolicy:
    """`keep`: hold all offers for ever. `hold`: how long one is held, and how far ahead of a due time we ask for
    offers, ms. `refuse`: how long a declined one stays away, seconds. `min_revive_interval` ms."""

    keep: bool = True
    hold: Millis = 2000
    refuse: float = 5.0
    min_revive_interval: Millis = 5000

    @property
    def sight(self) -> Millis:
        """Return how far ahead the loop wants to know of work."""
        return self.hold + int(self.refuse * 1000)


@dataclass(frozen=True, slots=True)
class Demand:
    """What offers are wanted for: shapes that wait, (due time, shape) of work in sight, and whether the next turn
    places more. `picks`: when and what, of those that want another agent than some. `look_again`: when there may be
    other work in sight, None when only an event brings some."""

    waiting: Collection[Shape] = ()
    coming: Sequence[tuple[Millis, Shape]] = ()
    more: bool = False
    look_again: Millis | None = None
    picks: Sequence[tuple[Millis, Pick]] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What the last offer said of an agent."""

    host: str
    attributes: Mapping[str, Any]


class OfferLoop:
    """Owns the held offers. Works on what it is told alone; `settle` says what to tell the cluster."""

    def __init__(self, policy: OfferPolicy) -> None:
        self.policy = policy
        self.held: dict[str, Offer] = {}
        self.suppressed = False
        self.wake: Millis | None = None
        self.last_offer: Millis | None = None
        self.holdings = Holdings()  # the book's: where the other runs of a job are
        self.seen: dict[str, Seen] = {}
        self._since: dict[str, Millis] = {}
        self._asked: set[Shape | Pick] = set()
        self._outages: dict[str, Outage] = {}
        self._credit = BURST * policy.min_revive_interval
        self._now: Millis | None = None
        self._away_until: Millis = 0  # when the last of the declined offers may come again

    def copy(self) -> OfferLoop:
        """Return the loop as it is now, for when a turn is begun again."""
        twin = OfferLoop(self.policy)
        twin.held, twin._since, twin._asked = dict(self.held), dict(self._since), set(self._asked)
        twin.suppressed, twin.wake, twin.last_offer = self.suppressed, self.wake, self.last_offer
        twin._outages, twin._credit, twin._now = dict(self._outages), self._credit, self._now
        twin._away_until, twin.holdings, twin.seen = self._away_until, self.holdings, self.seen
        return twin

    # --- what comes

    def receive(self, offers: Iterable[Offer], now: Millis) -> None:
        for offer in offers:
            self.held[offer.id] = offer
            self._since[offer.id] = now
            self.seen[offer.agent_id] = Seen(offer.host, offer.attributes)
        while len(self.seen) > AGENTS_SEEN:
            del self.seen[next(iter(self.seen))]
        self.last_offer = now

    def rescind(self, offer_id: str) -> None:
        offer = self.held.get(offer_id)
        if offer is not None:
            self.use([offer])

    def _drop(self, offer: Offer) -> None:
        del self.held[offer.id], self._since[offer.id]

    def connected(self) -> None:
        """A fresh connection: offers come by themselves, whatever was said on the one before; its offers are void."""
        self.disconnected()
        self.suppressed = False
        self._asked.clear()

    def revived(self) -> None:
        """Somebody else has asked for offers."""
        self.suppressed = False
        self._credit = max(0, self._credit - self.policy.min_revive_interval)

    def disconnected(self) -> None:
        """Offers are void."""
        self.held.clear()
        self._since.clear()
        self.wake = None

    def agent_lost(self, agent_id: str) -> None:
        for offer in [offer for offer in self.held.values() if offer.agent_id == agent_id]:
            self._drop(offer)
        self._outages.pop(agent_id, None)
        self.seen.pop(agent_id, None)

    def asked_back(self, offer: InverseOffer) -> None:
        """Remember that the cluster wants an agent back."""
        if offer.agent_id:
            self._outages.pop(offer.agent_id, None)
            self._outages[offer.agent_id] = offer.outage
            if len(self._outages) > REMEMBERED:
                del self._outages[next(iter(self._outages))]

    # --- for placement

    def maintenance(self, now: Millis) -> tuple[set[str], set[str]]:
        """Return the agents of held offers that may not be used, and those to use last."""
        for agent in [agent for agent, outage in self._outages.items() if outage.end is not None and outage.end <= now]:
            del self._outages[agent]
        down, leaving = set[str](), set[str]()
        for offer in self.held.values():
            for outage, notice in ((offer.outage, 0), (self._outages.get(offer.agent_id), NOTICE)):
                if outage is None or (outage.end is not None and outage.end <= now):
                    continue
                if outage.start <= now + notice:
                    down.add(offer.agent_id)
                elif notice or outage.start <= now + LEAVING:
                    leaving.add(offer.agent_id)
        return down, leaving

    def use(self, offers: Sequence[Offer]) -> None:
        """Give one place's offers out of hand, to a launch. Whoever still needs such may ask for more."""
        self._asked.difference_update([one for one in self._asked if self._serves(offers, one)])
        for offer in offers:
            self._drop(offer)

    def places(self) -> dict[Place, list[Offer]]:
        """Return the held offers by place."""
        found: dict[Place, list[Offer]] = {}
        for offer in self.held.values():
            found.setdefault(place_of(offer), []).append(offer)
        return found

    def usable(self, shape: Shape, now: Millis) -> bool:
        """Tell whether a shape fits on what is held."""
        down, _ = self.maintenance(now)
        return any(
            fits(shape, offers, self.holdings) for place, offers in self.places().items() if place.agent not in down
        )

    def rest_filter(self, demand: Demand, now: Millis) -> float:
        """Return for how many seconds what a launch leaves of its offers may stay away."""
        if self.policy.keep or demand.waiting or demand.more or self._near(demand, now):
            return 0.0
        return self._filter(demand, now)

    # --- what to tell

    def settle(self, demand: Demand, now: Millis) -> list[Asking]:
        """Return what to tell the cluster now that placement is over; sets `wake`, when to settle again."""
        if self.policy.keep:
            return []
        self._pass_time(now)
        near = self._near(demand, now)
        picks: list[Pick] = [*dict.fromkeys(pick for at, pick in demand.picks if at <= now + self.policy.hold)]
        wanted: list[Shape | Pick] = [*dict.fromkeys((*demand.waiting, *near)), *picks]
        told: list[Asking] = [*self._declines(demand, near, picks, now)]
        self._asked.intersection_update(wanted)
        self.wake = self._next_look(demand, now)
        if wanted or demand.more:
            self._call(wanted, near.total(), told, now)
        elif not self.suppressed and not demand.coming:
            if self._credit >= self.policy.min_revive_interval:
                self.suppressed = True
                told.append(Suppress())
            else:
                self._wake_at(self._refilled(now))
        return told

    def _call(self, wanted: list[Shape | Pick], tasks: int, told: list[Asking], now: Millis) -> None:
        """Ask for offers if something wants them, or be woken when that is allowed."""
        places = list(self._usable_places(now).values())
        narrow = len(places) < tasks and self._away_until > now + int(SHORT_S * 1000)
        missing = [
            one
            for one in wanted
            if one not in self._asked and (narrow or not any(self._serves(offers, one) for offers in places))
        ]
        if not (missing or self.suppressed):
            return
        if self._credit < self.policy.min_revive_interval:
            self._wake_at(self._refilled(now))
            return
        self._credit -= self.policy.min_revive_interval
        self.suppressed = False
        self._asked.update(wanted)
        self._away_until = 0
        told.append(Revive())

    def _declines(self, demand: Demand, near: Counter[Shape], picks: Collection[Pick], now: Millis) -> list[Decline]:
        kept = set(self.held) if demand.more else self._enough(near, picks, now)
        old = [i for i, since in self._since.items() if since + self.policy.hold <= now and i in kept]
        surplus = [i for i in self.held if i not in kept]
        seconds, (down, _) = self._filter(demand, now), self.maintenance(now)
        declines = []
        for ids, limit in ((surplus, seconds), (old, min(seconds, SHORT_S))):
            if ids:
                for offer in [self.held[i] for i in ids]:
                    if offer.agent_id in down:
                        self._drop(offer)
                    else:
                        self.use([offer])
                self._away_until = max(self._away_until, now + int(limit * 1000))
                declines.append(Decline(tuple(ids), limit))
        return declines

    def _enough(self, near: Counter[Shape], picks: Collection[Pick], now: Millis) -> set[str]:
        """Return the offers to hold for near work."""
        if not (near or picks) or not self.held:
            return set()
        twice = Resources()
        for shape, count in near.items():
            for _ in range(2 * count):
                twice = twice + shape.need
        everyone: list[Shape | Pick] = [*near, *picks]
        homeless = set(everyone)
        room, kept = Resources(), set[str]()
        tasks, chosen = near.total(), 0
        _, leaving = self.maintenance(now)
        loads = sorted(
            (place.agent in leaving, _load(offers), place) for place, offers in self._usable_places(now).items()
        )
        places = self.places()
        for _, _, place in loads:
            offers = places[place]
            covered = room.covers(twice) and chosen >= tasks
            if covered and not homeless:
                break
            housed = [one for one in (homeless if covered else everyone) if self._serves(offers, one)]
            if housed:
                homeless.difference_update(housed)
                room = room + _room(offers)
                chosen += 1
                kept.update(offer.id for offer in offers)
        return kept

    def _serves(self, offers: Sequence[Offer], one: Shape | Pick) -> bool:
        """Tell whether one place's offers would do."""
        if isinstance(one, Shape):
            return fits(one, offers, self.holdings)
        shape, avoid = one
        return offers[0].agent_id not in avoid and fits(shape, offers, self.holdings)

    def _usable_places(self, now: Millis) -> dict[Place, list[Offer]]:
        down, _ = self.maintenance(now)
        return {place: offers for place, offers in self.places().items() if place.agent not in down}

    def _near(self, demand: Demand, now: Millis) -> Counter[Shape]:
        near: Counter[Shape] = Counter()
        for at, shape in demand.coming:
            if at <= now + self.policy.hold and (shape in near or len(near) < NEAR_SHAPES):
                near[shape] += 1
        return near

    def _filter(self, demand: Demand, now: Millis) -> float:
        """Return for how many seconds what nobody needs now may stay away."""
        seconds = self.policy.refuse
        if self._credit < self.policy.min_revive_interval:
            seconds = min(seconds, SHORT_S)
        for at, _ in demand.coming:
            if at > now + self.policy.hold:
                seconds = min(seconds, (at - self.policy.hold - now) / 1000)
        return seconds

    # --- time

    def _pass_time(self, now: Millis) -> None:
        if self._now is not None and now < self._now:  # the clock was set back
            self._since = dict.fromkeys(self._since, now)
        passed = max(0, now - self._now) if self._now is not None else 0
        self._credit = min(BURST * self.policy.min_revive_interval, self._credit + passed)
        self._now = now

    def _refilled(self, now: Millis) -> Millis:
        """Return when a revive is next allowed."""
        return now + max(1, self.policy.min_revive_interval - self._credit)

    def _next_look(self, demand: Demand, now: Millis) -> Millis | None:
        hold = self.policy.hold
        times = [since + hold for since in self._since.values()]
        times.extend(at - hold for at, _ in demand.coming if at > now + hold)
        if demand.look_again is not None:
            times.append(demand.look_again - hold)
        return max(now + 1, min(times)) if times else None

    def _wake_at(self, at: Millis) -> None:
        self.wake = at if self.wake is None else min(self.wake, at)


def fits(shape: Shape, offers: Sequence[Offer], holdings: Holdings) -> bool:
    """Tell whether a shape fits on one place's offers, given what running tasks hold."""
    first = offers[0]
    if first.agent_id in shape.banned or not _room(offers).covers(shape.need):
        return False
    if not shape.constraints:
        return True
    if first_unmet(shape.constraints, first.attributes, first.host, first.agent_id) is not None:
        return False
    return not shape.among or all(
        suits(
            one,
            spot(one.attribute, first.attributes, first.host, first.agent_id),
            holdings.spots(shape.among, one.attribute),
        )
        for one in relative(shape.constraints)
    )


def _room(offers: Sequence[Offer]) -> Resources:
    if len(offers) == 1:
        return offers[0].resources
    room = Resources()
    for offer in offers:
        room = room + offer.resources
    return room


def _load(offers: Sequence[Offer]) -> float:
    """Return the dominant share in use."""
    total = offers[0].total
    return (total - _room(offers)).dominant_share(total)
