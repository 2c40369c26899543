"""Offers and inverse offers of Mesos as the model's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from chronos_py.drivers.mesos.offers import Detail, Ranges, read_inverse_offer, read_offer
from chronos_py.model.job import Constraint
from chronos_py.model.offer import InverseOffer, Offer, Outage
from chronos_py.model.resources import Resources
from chronos_py.scheduler.constraints import holds
from tests.drivers.mesos.fuzz import damaged
from tests.drivers.mesos.messages import an_offer, scalar

AN_INVERSE_OFFER = {
    "id": {"value": "i-1"},
    "agent_id": {"value": "s-1"},
    "url": an_offer()["url"],
    "unavailability": {"start": {"nanoseconds": 5_000_000}},
}


def test_an_offer_with_everything() -> None:
    offer = an_offer()
    assert read_offer(offer) == Offer(
        id="o-1",
        agent_id="s-1",
        host="one.example.org",
        resources=Resources.of(cpus=10, mem=6000, disk=10_000, gpus=2, ports=20),
        attributes={"rack": "r1", "cores": 16.0, "open": Ranges(((80, 90),)), "zones": ("a", "b")},
        detail=Detail(tuple(offer["resources"]), "http://10.0.0.1:5051"),
        role="prod",
        outage=Outage(1_700_000_000_123, 1_700_003_600_124),
        reserved={"prod": Resources.of(cpus=2)},
    )


def test_an_offer_with_hardly_anything() -> None:
    offer = read_offer({"id": {"value": "o"}, "agent_id": {"value": "s"}})
    assert offer == Offer("o", "s", "", Resources(), detail=Detail(()))


def test_what_may_not_be_used_is_left_out() -> None:
    offer = read_offer(an_offer(resources=[scalar("cpus", 1, revocable={}), scalar("cpus", 2), scalar("mem", 1, "x")]))
    assert (offer.resources, offer.detail.resources) == (Resources.of(cpus=2), (scalar("cpus", 2),))


def test_the_agents_total_is_known_where_somebody_knows_it() -> None:
    totals = {"s-1": Resources.of(cpus=16)}
    assert read_offer(an_offer(), totals).total == Resources.of(cpus=16)
    assert read_offer(an_offer(agent_id={"value": "s-2"}), totals).total == Resources()


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ({"ip": "10.0.0.1", "port": 5051}, "http://10.0.0.1:5051"),
        ({"hostname": "one", "port": "5051"}, "http://one:5051"),
        ({"ip": "::1", "port": 5051}, "http://[::1]:5051"),
        ({"ip": "10.0.0.1"}, ""),
        ({"port": 5051}, ""),
    ],
)
def test_the_agents_address(address: dict[str, Any], url: str) -> None:
    assert read_offer(an_offer(url={"address": address})).detail.url == url
    if url:
        secure = read_offer(an_offer(url={"scheme": "https", "address": address}))
        assert secure.detail.url == url.replace("http", "https")


def test_of_two_attributes_of_one_name_the_first_counts() -> None:
    twice = [{"name": "rack", "type": "TEXT", "text": {"value": value}} for value in ("r1", "r2")]
    assert read_offer(an_offer(attributes=twice)).attributes == {"rack": "r1"}


@pytest.mark.parametrize(
    ("constraint", "met"),
    [
        (Constraint("rack", "EQUALS", "r1"), True), (Constraint("cores", "EQUALS", "16.0"), False),
        (Constraint("cores", "LIKE", r"16\.0"), True), (Constraint("zones", "LIKE", "b"), True),
        (Constraint("zones", "EQUALS", "b"), False), (Constraint("open", "EQUALS", "[80-90]"), False),
        (Constraint("open", "LIKE", ".*"), False), (Constraint("open", "UNLIKE", "x"), False),
        (Constraint("hostname", "EQUALS", "one.example.org"), True),
    ],
)  # fmt: skip
def test_attributes_meet_constraints_as_in_chronos(constraint: Constraint, met: bool) -> None:
    offer = read_offer(an_offer())
    assert holds(constraint, offer.attributes, offer.host) is met


def test_no_constraint_matches_empty_ranges() -> None:
    offer = read_offer(an_offer(attributes=[{"name": "open", "type": "RANGES", "ranges": {}}]))
    assert not holds(Constraint("open", "UNLIKE", "x"), offer.attributes, offer.host)


def test_an_outage_may_have_no_end() -> None:
    assert read_offer(an_offer(unavailability={"start": {"nanoseconds": 1_999_999}})).outage == Outage(1)
    assert read_offer(an_offer(unavailability=None)).outage is None


def test_inverse_offers() -> None:
    assert read_inverse_offer(AN_INVERSE_OFFER) == InverseOffer("i-1", "s-1", Outage(5))
    nobodys = {key: value for key, value in AN_INVERSE_OFFER.items() if key != "agent_id"}
    assert read_inverse_offer(nobodys).agent_id == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": None}, "offer.id.value: must be a text, is None"),
        ({"id": {"value": ""}}, "offer.id: is empty"),
        ({"agent_id": "s"}, "offer.agent_id: must be an object, is 's'"),
        ({"hostname": 5}, "offer.hostname: must be a text, is 5"),
        ({"resources": {}}, "offer.resources: must be a list"),
        ({"attributes": [{"name": "a"}]}, "attribute a.type: must be a text"),
        ({"attributes": [{"name": "a", "type": "SECRET"}]}, "attribute a.type: 'SECRET' is none of TEXT"),
        ({"attributes": [{"name": "a", "type": "SET", "set": {"item": [1]}}]}, "attribute a.set.item: must be a list"),
        ({"unavailability": {}}, "offer.unavailability.start.nanoseconds: must be a whole number"),
        ({"allocation_info": {"role": []}}, "offer.allocation_info.role: must be a text"),
    ],
)
def test_the_error_says_what_is_wrong(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_offer(an_offer(**changes))


@pytest.mark.parametrize("what", [None, 5, [], "offer"])
def test_what_is_no_object_is_no_offer(what: Any) -> None:
    for read in (read_offer, read_inverse_offer):
        with pytest.raises(ValueError, match="must be an object"):
            read(what)


@settings(deadline=None, max_examples=200)
@given(damaged(an_offer()))
def test_a_damaged_offer_is_read_or_is_a_value_error(offer: Any) -> None:
    try:
        read = read_offer(offer)
    except ValueError as error:
        assert str(error)
    else:
        assert read.id
        assert read.agent_id


@settings(deadline=None)
@given(damaged(AN_INVERSE_OFFER))
def test_a_damaged_inverse_offer_is_read_or_is_a_value_error(offer: Any) -> None:
    try:
        assert read_inverse_offer(offer).id
    except ValueError as error:
        assert str(error)
