"""The engine on a cluster that it shares: one offer, one answer, as a driver sees them."""

from __future__ import annotations

from typing import Any

from chronos_py.model.messages import (
    AnswerInverseOffers,
    Decline,
    InverseOffersReceived,
    Launch,
    OffersReceived,
    Revive,
    RunJob,
    SubmitJob,
    Suppress,
)
from chronos_py.model.offer import InverseOffer, Offer, Outage
from chronos_py.model.resources import Resources
from chronos_py.model.run import TaskState
from chronos_py.scheduler.offers import OfferPolicy
from chronos_py.scheduler.policy import Policy
from tests.bench import Bench
from tests.builders import a_job
from tests.fakes import NEW_YEAR, FakeDriver


class Quiet(FakeDriver):
    """A cluster that offers nothing by itself."""

    def offer(self, agent: str) -> None:
        """Offer nothing."""


class Shared(Bench):
    def boot(self) -> None:
        self.driver = Quiet(now=self.clock.now)
        self.policy = Policy(offers=OfferPolicy(keep=False))
        super().boot()

    def offers(self, *offers: Offer) -> None:
        self.driver.post(OffersReceived(offers))
        self.turn()

    def told(self, kind: type) -> list[Any]:
        """Return the effects of a kind since the last time, and forget all."""
        found = [effect for effect in self.driver.effects if isinstance(effect, kind)]
        self.driver.effects.clear()
        return found


def an_offer(number: int, agent: str = "a", role: str = "", cpus: float = 4, outage: Outage | None = None) -> Offer:
    room = Resources.of(cpus, 1000, 1000)
    return Offer(f"o{number}", agent, f"{agent}.host", room, room, role=role, outage=outage)


def test_an_idle_server_wants_nothing() -> None:
    bench = Shared()
    bench.offers(an_offer(1))
    assert bench.told(Suppress | Decline) == [Suppress(), Decline(("o1",), 5.0)]  # type: ignore[arg-type]


def test_a_request_is_launched_with_the_next_offer() -> None:
    bench = Shared()
    bench.add(a_job(schedule="R0//P"))
    bench.told(Revive)
    bench.ask(RunJob("a"))
    assert bench.told(Revive) == [Revive()]
    bench.offers(an_offer(1), an_offer(2, "b"))
    assert [(launch.offers[0].id, launch.refuse_seconds) for launch in bench.told(Launch)] == [("o1", 5.0)]
    assert not bench.service._engine.loop.held


def test_offers_of_one_agent_and_role_are_used_together_and_others_are_not() -> None:
    bench = Shared()
    bench.add(a_job(schedule="R1//P", cpus=6.0))
    bench.offers(an_offer(1, role="x"), an_offer(2, role="*"))
    assert not bench.told(Launch)
    why = bench.service.why(next(iter(bench.service.view.runs)))
    assert why is not None and "in role x" in why.sentence and "in role *" in why.sentence
    bench.offers(an_offer(3, role="x"), an_offer(4, role="x"), an_offer(5, role="*"))
    (launch,) = bench.told(Launch)
    assert [offer.id for offer in launch.offers] == ["o3", "o4"]


def test_the_last_reason_stays_when_the_offers_are_gone() -> None:
    bench = Shared()
    bench.add(a_job(schedule="R1//P", cpus=6.0))
    bench.offers(an_offer(1))
    bench.ask(SubmitJob(a_job("b", schedule="R1//P")))
    run = next(number for number, run in bench.service.view.runs.items() if run.job == "a")
    why = bench.service.why(run)
    assert why is not None and why.sentence == "1 agent: not enough cpus free"


def test_offers_are_there_ahead_of_a_due_time() -> None:
    bench = Shared()
    bench.add(a_job(schedule="R/2026-01-01T00:01:00Z/PT1H"))
    assert bench.told(Suppress)
    wake = bench.service._engine.next_wake
    assert wake == NEW_YEAR + 58_000
    bench.later(seconds=58)
    assert bench.told(Revive) == [Revive()]
    bench.offers(an_offer(1))
    assert not bench.told(Decline)
    bench.later(seconds=2)
    assert len(bench.told(Launch)) == 1


def test_an_agent_is_given_back_when_no_task_of_ours_is_on_it() -> None:
    bench = Shared()
    bench.add(a_job(schedule="R1//P"))
    bench.offers(an_offer(1))
    outage = Outage(NEW_YEAR + 60_000, NEW_YEAR + 120_000)
    wanted = [InverseOffer("i1", "a", outage), InverseOffer("i2", "b", outage), InverseOffer("i3", "", outage)]
    bench.driver.post(InverseOffersReceived(wanted))
    bench.turn()
    assert bench.told(AnswerInverseOffers) == [AnswerInverseOffers(("i2",), ("i1", "i3"))]
    bench.add(a_job("b", schedule="R1//P"))
    bench.offers(an_offer(2, "b"))
    assert not bench.told(Launch)
    why = bench.service.why(next(n for n, run in bench.service.view.runs.items() if run.job == "b"))
    assert why is not None and why.sentence == "1 agent: is down for maintenance"
    bench.clock.advance(seconds=120)
    bench.offers(an_offer(3, "b"))
    assert len(bench.told(Launch)) == 1


def test_offers_that_come_while_we_do_not_lead_are_handed_back() -> None:
    bench = Shared()
    bench.service._driver_started = True
    bench.service._resign("a test")
    bench.driver.post(OffersReceived([an_offer(1)]))
    bench.service._refuse(bench.service._inbox.swap(0))
    assert bench.told(Decline) == [Decline(("o1",), 5.0)]


def test_offers_of_a_turn_that_could_not_be_stored_are_handed_back() -> None:
    bench = Shared()
    bench.add(a_job(schedule="R1//P"))
    bench.service._driver_started = True
    bench.driver.post(OffersReceived([an_offer(1)]))
    bench.service._engine.advance(bench.clock.now())

    def fail(changes: Any) -> None:
        raise OSError("no room")

    bench.store.before = fail
    try:
        bench.service.step()
    except OSError:
        bench.store.before = lambda changes: None
    bench.driver.effects.clear()
    bench.service._take_over()
    bench.turn()
    assert not any(isinstance(effect, Launch) for effect in bench.driver.effects)
    assert Decline(("o1",), 0.0) in bench.driver.effects


def failed_once(bench: Shared) -> None:
    """Let a job fail on agent a; its retry is due in five seconds."""
    bench.add(a_job(schedule="R1//P", retries=2, retry_delay=5.0))
    bench.offers(an_offer(1))
    bench.end("a", TaskState.FAILED)
    assert bench.told(Launch)


def test_a_retry_has_another_agent_held_for_it() -> None:
    bench = Shared()
    failed_once(bench)
    bench.later(seconds=4)
    bench.offers(an_offer(2), an_offer(3, "b"))
    assert "o3" in bench.service._engine.loop.held
    bench.later(seconds=1)
    assert [launch.offers[0].agent_id for launch in bench.told(Launch)] == ["b"]


def test_a_retry_waits_a_moment_for_another_agent_than_the_one_it_failed_on() -> None:
    bench = Shared()
    failed_once(bench)
    bench.later(seconds=5)
    bench.told(Launch)
    bench.offers(an_offer(2))
    assert not bench.told(Launch)
    why = bench.service.why(next(iter(bench.service.view.runs)))
    assert why is not None and why.code == "other_agent"
    bench.offers(an_offer(3, "b"))
    assert [launch.offers[0].agent_id for launch in bench.told(Launch)] == ["b"]


def test_a_retry_goes_where_it_failed_when_there_is_nothing_else() -> None:
    bench = Shared()
    failed_once(bench)
    bench.later(seconds=5)
    bench.offers(an_offer(2))
    assert not bench.told(Launch)
    bench.later(seconds=2)
    bench.offers(an_offer(3))
    assert [launch.offers[0].agent_id for launch in bench.told(Launch)] == ["a"]


def test_a_crowd_uses_up_the_offers_of_one_agent_after_the_other() -> None:
    """What a launch leaves of its offers is gone for a while: no agent gets a part of what it could have now."""
    bench = Shared()
    bench.add(*(a_job(f"job-{number}", schedule="R1//P", cpus=0.01, mem=1, disk=1) for number in range(1200)))
    room = Resources.of(40, 4000, 4000)
    offers = [Offer(f"o{n}", f"agent-{n}", "host", room, room) for n in range(4)]
    bench.driver.post(OffersReceived(offers))
    bench.service.step()
    first = [len(launch.tasks) for launch in bench.told(Launch)]
    assert first == [300, 300]
    bench.turn()
    assert [len(launch.tasks) for launch in bench.told(Launch)] == [300, 300]
