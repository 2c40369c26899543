"""The offer loop: never hoards, never forgets to ask, never asks too often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chronos_py.clock import Millis
from chronos_py.model.job import Constraint
from chronos_py.model.messages import Decline, Revive, Suppress
from chronos_py.model.offer import InverseOffer, Offer, Outage
from chronos_py.model.resources import Resources
from chronos_py.scheduler.board import Place
from chronos_py.scheduler.offers import BURST, LEAVING, NOTICE, Asking, Demand, OfferLoop, OfferPolicy
from chronos_py.scheduler.queue import Shape

POLICY = OfferPolicy(keep=False)
SMALL, BIG = Shape(Resources.of(1, 10, 10)), Shape(Resources.of(16, 10, 10))
START = 1_000_000


def an_offer(number: int, cpus: float = 4, agent: str = "", role: str = "", outage: Outage | None = None) -> Offer:
    room, total = Resources.of(cpus, 1000, 1000), Resources.of(8, 1000, 1000)
    return Offer(f"o{number}", agent or f"a{number}", f"h{number}", room, total, role=role, outage=outage)


def declined(told: Sequence[Asking]) -> dict[str, float]:
    return {i: effect.seconds for effect in told if isinstance(effect, Decline) for i in effect.offer_ids}


@dataclass
class Talk:
    """A loop and what it has said. `at` is the time."""

    loop: OfferLoop = field(default_factory=lambda: OfferLoop(POLICY))
    at: Millis = START
    revives: list[Millis] = field(default_factory=list)

    def say(self, demand: Demand | None = None, after: Millis = 0) -> list[Asking]:
        self.at += after
        told = self.loop.settle(demand or Demand(), self.at)
        self.revives.extend(self.at for effect in told if isinstance(effect, Revive))
        return told

    def offer(self, *offers: Offer) -> None:
        self.loop.receive(offers, self.at)


def test_a_cluster_of_our_own_is_neither_declined_nor_suppressed() -> None:
    loop = OfferLoop(OfferPolicy())
    loop.receive([an_offer(1)], START)
    assert loop.settle(Demand(), START + 10**9) == []
    assert list(loop.held) == ["o1"] and loop.wake is None


def test_nothing_to_do_declines_all_and_suppresses_once() -> None:
    talk = Talk()
    talk.offer(an_offer(1), an_offer(2))
    told = talk.say()
    assert declined(told) == {"o1": 5, "o2": 5} and Suppress() in told
    assert talk.say(after=1000) == [] and talk.loop.wake is None


def test_work_that_comes_while_suppressed_revives_at_once() -> None:
    talk = Talk()
    talk.say()
    assert talk.say(Demand([SMALL]), 10) == [Revive()]
    assert not talk.loop.suppressed
    assert talk.say(Demand([SMALL]), 10) == []


def test_near_work_holds_enough_and_the_rest_goes_at_once() -> None:
    talk = Talk()
    talk.offer(an_offer(1, 2), an_offer(2, 8), an_offer(3, 4), an_offer(4, 0.5))
    told = talk.say(Demand(coming=[(START + 1000, SMALL)]))
    assert set(talk.loop.held) == {"o2"} and set(declined(told)) == {"o1", "o3", "o4"}
    assert Revive() not in told


def test_each_near_shape_fits_somewhere() -> None:
    talk = Talk()
    talk.offer(an_offer(1, 8), an_offer(2, 8), Offer("big", "b", "b", Resources.of(16, 20, 20)))
    talk.say(Demand(coming=[(START + 1000, SMALL), (START + 1000, BIG)]))
    assert "big" in talk.loop.held


def test_an_offer_that_cannot_be_used_is_declined_after_its_time() -> None:
    talk = Talk()
    talk.offer(an_offer(1))
    demand = Demand(coming=[(START + 3900, SMALL)])
    assert not talk.say(demand, 1900) or talk.loop.held
    assert talk.loop.wake == START + 2000
    assert declined(talk.say(demand, 100)) == {"o1": 1}


def test_a_near_job_asks_for_offers_ahead_of_its_time() -> None:
    talk = Talk()
    talk.say()
    due = START + 60_000
    talk.say(Demand(look_again=due), 10)
    assert talk.loop.wake == due - POLICY.hold
    talk.at = due - POLICY.hold
    assert talk.say(Demand(coming=[(due, SMALL)])) == [Revive()]


def test_a_declined_offer_is_back_in_time_for_work_in_sight() -> None:
    talk = Talk()
    talk.offer(an_offer(1))
    told = talk.say(Demand(coming=[(START + 5000, SMALL)]))
    assert declined(told) == {"o1": 3} and Suppress() not in told


def test_revives_are_throttled_and_the_next_is_kept_in_mind() -> None:
    talk = Talk()
    for number in range(20):
        talk.say(Demand([Shape(Resources(number + 1))]), 10)
    assert len(talk.revives) == BURST
    wake = talk.loop.wake
    assert wake is not None and talk.at < wake <= START + 200 + POLICY.min_revive_interval
    talk.at = wake
    talk.say(Demand([Shape(Resources(99))]))
    assert len(talk.revives) == BURST + 1


def test_without_revives_left_offers_stay_away_a_second_and_are_not_suppressed() -> None:
    talk = Talk()
    for number in range(BURST):
        talk.say(Demand([Shape(Resources(number + 1))]), 1)
    talk.offer(an_offer(1))
    assert declined(talk.say()) == {"o1": 1} and not talk.loop.suppressed
    assert talk.loop.wake is not None
    talk.at = talk.loop.wake
    assert talk.say() == [Suppress()]


def test_what_a_launch_leaves_is_offered_again_at_once_while_work_waits() -> None:
    loop = OfferLoop(POLICY)
    assert loop.rest_filter(Demand([SMALL]), START) == 0
    assert loop.rest_filter(Demand(coming=[(START + 1, SMALL)]), START) == 0
    assert loop.rest_filter(Demand(), START) == POLICY.refuse


def test_offers_are_grouped_by_agent_and_role() -> None:
    loop = OfferLoop(POLICY)
    loop.receive([an_offer(1, agent="a"), an_offer(2, agent="a"), an_offer(3, agent="a", role="x")], START)
    assert {place: [o.id for o in offers] for place, offers in loop.places().items()} == {
        Place("a"): ["o1", "o2"], Place("a", "x"): ["o3"]
    }  # fmt: skip


def test_agents_before_and_in_maintenance() -> None:
    loop, hour = OfferLoop(POLICY), 3_600_000
    loop.receive(
        [
            an_offer(1, outage=Outage(START - 1, START + hour)),
            an_offer(2, outage=Outage(START + LEAVING)),
            an_offer(3, outage=Outage(START + LEAVING + 1)),
            an_offer(4, outage=Outage(START - 2, START)),
            *map(an_offer, (5, 6, 7)),
        ],
        START,
    )
    loop.asked_back(InverseOffer("i1", "a5", Outage(START + NOTICE, START + 2 * hour)))
    loop.asked_back(InverseOffer("i2", "a6", Outage(START + NOTICE + 1)))
    assert loop.maintenance(START) == ({"a1", "a5"}, {"a2", "a6"})
    assert "a5" not in loop.maintenance(START + 2 * hour)[0]
    loop.agent_lost("a6")
    assert loop._outages == {}


def test_an_agent_that_is_down_does_not_count_as_room() -> None:
    talk = Talk()
    talk.offer(an_offer(1, outage=Outage(START)))
    told = talk.say(Demand([SMALL]))
    assert Revive() in told and declined(told)
    talk.offer(an_offer(1, outage=Outage(START)))
    assert Revive() not in talk.say(Demand([SMALL]), 10)


def test_offers_of_a_lost_agent_or_connection_are_forgotten() -> None:
    loop = OfferLoop(POLICY)
    loop.receive([an_offer(1), an_offer(2)], START)
    loop.agent_lost("a1")
    assert list(loop.held) == ["o2"]
    loop.disconnected()
    assert not loop.held


def test_a_constraint_that_nothing_meets_is_no_reason_to_hold() -> None:
    talk = Talk()
    talk.offer(an_offer(1))
    picky = Shape(Resources.of(1), (Constraint("rack", "EQUALS", "r1"),))
    assert set(declined(talk.say(Demand(coming=[(START + 100, picky)])))) == {"o1"}


class Loops(RuleBasedStateMachine):
    """Random offers, work and time; after each settle the promises hold."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = OfferLoop(POLICY)
        self.now = START
        self.waiting: dict[Shape, Millis] = {}  # since when
        self.coming: list[tuple[Millis, Shape]] = []
        self.since: dict[str, Millis] = {}
        self.dead: set[str] = set()
        self.revives: list[Millis] = []
        self.wanted: dict[Shape, Millis] = {}  # waiting or near, without a pause since when
        self.number = 0

    def settle(self) -> None:
        for at, shape in [item for item in self.coming if item[0] <= self.now]:
            self.coming.remove((at, shape))
            self.waiting.setdefault(shape, self.now)
        for shape in list(self.waiting):  # placement
            for place, offers in self.loop.places().items():
                if self.loop.usable(shape, self.now) and offers[0].resources.covers(shape.need):
                    assert not {offer.id for offer in offers} & self.dead, place
                    self.dead.update(offer.id for offer in offers)
                    self.loop.use(offers)
                    del self.waiting[shape]
                    break
        sight = [item for item in self.coming if item[0] <= self.now + POLICY.sight]
        later = min((at for at, _ in self.coming if at > self.now + POLICY.sight), default=None)
        told = self.loop.settle(Demand(list(self.waiting), sight, look_again=later), self.now)
        for effect in told:
            if isinstance(effect, Decline):
                assert not set(effect.offer_ids) & self.dead
                assert 0 <= effect.seconds <= POLICY.refuse
                self.dead.update(effect.offer_ids)
            elif isinstance(effect, Revive):
                self.revives.append(self.now)
        near = [shape for at, shape in self.coming if at <= self.now + POLICY.hold]
        self.wanted = {shape: self.wanted.get(shape, self.now) for shape in (*self.waiting, *near)}
        assert not (self.loop.suppressed and (self.waiting or near))
        assert self.loop.wake is None or self.loop.wake > self.now

    @rule(cpus=st.sampled_from([1, 4, 16]))
    def offer(self, cpus: int) -> None:
        self.number += 1
        self.since[f"o{self.number}"] = self.now
        self.loop.receive([an_offer(self.number, cpus)], self.now)
        self.settle()

    @precondition(lambda self: self.loop.held)
    @rule(data=st.data())
    def rescind(self, data: st.DataObject) -> None:
        offer = data.draw(st.sampled_from(sorted(self.loop.held)))
        self.dead.add(offer)
        self.loop.rescind(offer)
        self.settle()

    @rule(shape=st.sampled_from([SMALL, BIG]), after=st.sampled_from([0, 1000, 3000, 9000, 60_000]))
    def work(self, shape: Shape, after: Millis) -> None:
        self.coming.append((self.now + after, shape))
        self.settle()

    @precondition(lambda self: self.waiting)
    @rule()
    def work_goes(self) -> None:
        self.waiting.popitem()
        self.settle()

    @rule(millis=st.sampled_from([1, 500, 2000, 5000, 30_000]))
    def time_passes(self, millis: Millis) -> None:
        """As the service does: look in whenever the loop or a due time wants it."""
        until = self.now + millis
        while True:
            times = [at for at in (self.loop.wake, *(at for at, _ in self.coming)) if at is not None and at <= until]
            if not times:
                break
            self.now = max(self.now, min(times))
            self.settle()
        self.now = until
        self.settle()

    @invariant()
    def no_offer_is_held_too_long(self) -> None:
        for offer in self.loop.held:
            assert self.now - self.since[offer] < POLICY.hold

    @invariant()
    def nothing_dead_is_held(self) -> None:
        assert not self.dead & self.loop.held.keys()

    @invariant()
    def revives_are_throttled(self) -> None:
        for first, last in zip(self.revives, self.revives[BURST:], strict=False):
            assert last - first >= POLICY.min_revive_interval

    @invariant()
    def who_waits_has_asked(self) -> None:
        for shape, since in self.waiting.items():
            if self.now - since > POLICY.min_revive_interval:
                assert any(at >= self.wanted[shape] for at in self.revives)


Loops.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestLoops = Loops.TestCase
