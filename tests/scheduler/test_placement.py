"""Placement: hard rules always hold, preferences decide among what is left."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from chronos_py.model.job import Constraint
from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources
from chronos_py.scheduler.board import Request
from chronos_py.scheduler.placement import place
from chronos_py.scheduler.queue import Shape

ROOM = st.integers(0, 8000)
resources = st.builds(Resources, ROOM, ROOM, ROOM)
racks = st.sampled_from(["r1", "r2", "r3"])


@st.composite
def lists_of_offers(draw: st.DrawFn) -> list[Offer]:
    count = draw(st.integers(0, 6))
    return [
        Offer(f"o{n}", f"agent-{draw(st.integers(0, 3))}", "host", draw(resources), attributes={"rack": draw(racks)})
        for n in range(count)
    ]


constraints = st.lists(st.builds(Constraint, st.just("rack"), st.sampled_from(["EQUALS", "UNLIKE"]), racks), max_size=2)
shapes = st.builds(lambda need, limits: Shape(need, tuple(limits)), st.builds(Resources, ROOM, ROOM, ROOM), constraints)


@st.composite
def lists_of_requests(draw: st.DrawFn) -> list[Request]:
    kinds = draw(st.lists(shapes, min_size=1, max_size=4))
    agents = st.lists(st.sampled_from([f"agent-{n}" for n in range(4)]), max_size=2).map(tuple)
    return [Request(n, draw(st.sampled_from(kinds)), draw(agents)) for n in range(draw(st.integers(0, 20)))]


def an_offer(agent: str, cpus: float = 4, total: float = 8, **attributes: object) -> Offer:
    return Offer(
        f"offer-{agent}", agent, f"{agent}.example.org", Resources.of(cpus, 1000, 1000),
        total=Resources.of(total, 1000, 1000), attributes=attributes,
    )  # fmt: skip


def a_request(run: int = 1, cpus: float = 1, *limits: Constraint, avoid: tuple[str, ...] = ()) -> Request:
    return Request(run, Shape(Resources.of(cpus, 10, 10), limits), avoid)


@given(lists_of_requests(), lists_of_offers())
def test_no_agent_is_overcommitted(requests: list[Request], offers: list[Offer]) -> None:
    room: dict[str, Resources] = defaultdict(Resources)
    for offer in offers:
        room[offer.agent_id] += offer.resources
    for request, (agent, _) in place(requests, offers).launches:
        assert room[agent].covers(request.shape.need)
        room[agent] -= request.shape.need


@given(lists_of_requests(), lists_of_offers())
def test_what_waits_fits_nowhere_once_the_round_is_over(requests: list[Request], offers: list[Offer]) -> None:
    room: dict[str, Resources] = defaultdict(Resources)
    attributes = {}
    for offer in offers:
        room[offer.agent_id] += offer.resources
        attributes.setdefault(offer.agent_id, offer.attributes)
    placement = place(requests, offers)
    for request, (agent, _) in placement.launches:
        room[agent] -= request.shape.need
    placed = {request.run for request, _ in placement.launches}
    for request in requests:
        if request.run not in placed:
            assert request.shape in placement.refusals
            assert not any(
                left.covers(request.shape.need)
                and all(
                    (attributes[agent]["rack"] == limit.value) == (limit.operator == "EQUALS")
                    for limit in request.shape.constraints
                )
                for agent, left in room.items()
            )


@given(lists_of_requests(), lists_of_offers())
def test_the_same_input_gives_the_same_placement(requests: list[Request], offers: list[Offer]) -> None:
    assert place(requests, offers).launches == place(requests, offers).launches


def test_load_is_spread_by_dominant_share() -> None:
    offers = [an_offer("a", cpus=8), an_offer("b", cpus=6)]
    agents = [where.agent for _, where in place([a_request(n) for n in range(6)], offers).launches]
    assert agents[:2] == ["a", "a"]
    assert sorted(agents) == ["a", "a", "a", "a", "b", "b"]


def test_a_retry_avoids_the_agent_where_it_failed() -> None:
    offers = [an_offer("a", cpus=8), an_offer("b", cpus=2)]
    assert place([a_request(avoid=("a",))], offers).launches[0][1].agent == "b"


def test_avoidance_is_no_veto() -> None:
    assert place([a_request(avoid=("a",))], [an_offer("a")]).launches[0][1].agent == "a"


def test_an_agent_that_was_avoided_is_not_lost_for_the_next_request() -> None:
    offers = [an_offer("a", cpus=8), an_offer("b", cpus=2)]
    agents = [where.agent for _, where in place([a_request(1, avoid=("a",)), a_request(2)], offers).launches]
    assert agents == ["b", "a"]


def test_an_unsatisfiable_head_blocks_nobody() -> None:
    placement = place([a_request(1, 100), a_request(2)], [an_offer("a")])
    assert [request.run for request, _ in placement.launches] == [2]
    refusal = placement.refusals[a_request(1, 100).shape]
    assert refusal.counts == {"not enough cpus free": 1}
    assert "1 agent: not enough cpus free" in refusal.sentence


def test_the_refusal_names_the_constraint_that_is_not_met() -> None:
    limit = Constraint("rack", "EQUALS", "r9")
    placement = place([a_request(1, 1, limit)], [an_offer("a", rack="r1"), an_offer("b", rack="r2")])
    assert placement.refusals[Shape(Resources.of(1, 10, 10), (limit,))].counts == {"does not meet rack EQUALS r9": 2}


def test_offers_of_one_agent_are_used_together() -> None:
    halves = [Offer(f"o{n}", "a", "host", Resources.of(1, 1000, 1000)) for n in range(2)]
    assert len(place([a_request(1, 2)], halves).launches) == 1


def test_no_offers_is_a_reason_too() -> None:
    assert "no agent offers" in place([a_request()], []).refusals[a_request().shape].sentence


def scarce(run: int, gpus: float = 0, ports: int = 0) -> Request:
    return Request(run, Shape(Resources.of(1, 10, 10, gpus, ports)))


def test_gpus_and_ports_are_room_too() -> None:
    rich = Offer("o1", "rich", "rich", Resources.of(8, 1000, 1000, 2, 3), total=Resources.of(8, 1000, 1000, 2))
    plain = an_offer("plain", cpus=8)
    placement = place([scarce(1, 1), scarce(2, 1), scarce(3, 1), scarce(4, 0, 2), scarce(5, 0, 2)], [rich, plain])
    assert [(request.run, where.agent) for request, where in placement.launches] == [
        (1, "rich"), (2, "rich"), (4, "rich")
    ]  # fmt: skip
    assert placement.refusals[scarce(3, 1).shape].counts == {"not enough gpus free": 2}
    assert placement.refusals[scarce(5, 0, 2).shape].counts == {"not enough ports free": 2}


def test_a_task_without_gpus_leaves_agents_that_have_some_for_last() -> None:
    rich = Offer("o1", "rich", "rich", Resources.of(8, 1000, 1000, 2), total=Resources.of(8, 1000, 1000, 2))
    launches = place([a_request(n) for n in range(4)], [rich, an_offer("plain", cpus=3)]).launches
    assert [where.agent for _, where in launches] == ["plain", "plain", "plain", "rich"]


def test_roles_of_one_agent_are_places_of_their_own() -> None:
    halves = [Offer(f"o{n}", "a", "host", Resources.of(1, 1000, 1000), role=role) for n, role in enumerate(("*", "x"))]
    placement = place([a_request(1, 2), a_request(2, 1), a_request(3, 1)], halves)
    assert sorted(where.role for _, where in placement.launches) == ["*", "x"]
    assert placement.refusals[a_request(1, 2).shape].counts == {
        "not enough cpus free in role *": 1, "not enough cpus free in role x": 1
    }  # fmt: skip


def test_a_retry_avoids_every_role_of_the_agent() -> None:
    offers = [replace(an_offer("a", cpus=8), id="o2", role="x"), an_offer("a", cpus=8), an_offer("b", cpus=1)]
    assert place([a_request(avoid=("a",))], offers).launches[0][1].agent == "b"


def test_an_agent_that_is_down_gets_nothing_and_one_that_is_leaving_what_is_left() -> None:
    offers = [an_offer("down", cpus=8), an_offer("leaving", cpus=8), an_offer("staying", cpus=1)]
    placement = place([a_request(n) for n in range(2)], offers, down={"down"}, leaving={"leaving"})
    assert [where.agent for _, where in placement.launches] == ["staying", "leaving"]
    refusal = place([a_request(1)], offers[:1], down={"down"}).refusals[a_request().shape]
    assert refusal.counts == {"is down for maintenance": 1}
