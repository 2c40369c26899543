"""Bags of resource objects: what may be used, how much it is, and that taking is exact."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronos_py.drivers.mesos.amounts import Bag, NotEnough, port_numbers, room, usable
from chronos_py.model.resources import Resources
from tests.drivers.mesos.fuzz import damaged
from tests.drivers.mesos.messages import Json, an_offer, ports, reserved_for, scalar
from tests.strategies import json_values

SCALARS = ("cpus", "mem", "disk", "gpus")


def without_amount(resource: Json) -> Json:
    return {key: value for key, value in resource.items() if key not in ("scalar", "ranges", "set")}


def summed(resources: list[Json]) -> Resources:
    """Add up resource objects by exact fractions; each amount must be the float next to a whole thousandth."""
    amounts: dict[str, Fraction] = dict.fromkeys(SCALARS, Fraction(0))
    for resource in resources:
        if resource["name"] != "ports":
            whole = Fraction(resource["scalar"]["value"]).limit_denominator(1000)
            assert float(whole) == resource["scalar"]["value"]
            assert whole > 0
            amounts[resource["name"]] += whole
    exact = {name: amount * 1000 for name, amount in amounts.items()}
    assert all(amount.denominator == 1 for amount in exact.values())
    return Resources(**{name: int(amount) for name, amount in exact.items()}, ports=len(port_numbers(resources)))


# --- what may be used


@pytest.mark.parametrize(
    "resource",
    [
        scalar("cpus", 1),
        scalar("cpus", 1, "prod"),
        scalar("cpus", 1, "eng", "eng/dev", allocated="eng/dev/web"),
        scalar("cpus", 1, "eng", allocated="eng/dev"),
        scalar("cpus", 1, provider_id={"value": "p"}),
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}, "role": "*"},
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}, "role": "prod"},
        scalar("cpus", 1, role="prod", reservation={"principal": "p"}),
        scalar("disk", 1, disk={}),
    ],
)
def test_what_is_ours_for_good_may_be_used(resource: Json) -> None:
    assert usable(resource)
    assert room([resource]) != Resources()


@pytest.mark.parametrize(
    "resource",
    [
        scalar("cpus", 1, revocable={}),
        scalar("disk", 1, "prod", shared={}),
        scalar("disk", 1, "prod", disk={"persistence": {"id": "p"}, "volume": {"container_path": "d", "mode": "RW"}}),
        scalar("disk", 1, disk={"source": {"type": "MOUNT", "mount": {"root": "/d"}}}),
        scalar("cpus", 1, "other"),
        scalar("cpus", 1, "prod", "prod/deeper"),
        scalar("cpus", 1, "pro"),
        scalar("cpus", 1, role="other", reservation={"principal": "p"}),
    ],
)
def test_what_may_be_taken_back_or_is_somebody_elses_may_not(resource: Json) -> None:
    assert not usable(resource)
    assert room([resource]) == Resources()


def test_where_both_forms_are_given_the_stack_counts() -> None:
    assert usable(scalar("cpus", 1, "prod", role="other"))


def test_room_is_summed_over_roles_and_rounded_as_mesos_does() -> None:
    given_resources = [
        scalar("cpus", 0.1 + 0.2), scalar("cpus", 1.7, "prod"), scalar("mem", 10.0004), scalar("disk", 5),
        scalar("network", 9), ports((31000, 31001), (31005, 31005)),
    ]  # fmt: skip
    assert room(given_resources) == Resources(cpus=2000, mem=10_000, disk=5000, ports=3)


def test_a_port_that_is_offered_twice_is_there_once() -> None:
    bag = Bag([ports((10, 20)), ports((15, 25), reserved="prod"), ports((12, 13)), ports((20, 20))])
    assert bag.room.ports == 16
    assert port_numbers(bag.take(Resources(ports=16))) == tuple(range(10, 26))


def test_numbers_that_no_port_has_are_no_room() -> None:
    assert room([ports((65_530, 2**63))]).ports == 6
    assert room([ports((70_000, 80_000))]).ports == 0


# --- taking


def test_what_is_shared_goes_first() -> None:
    bag = Bag([scalar("cpus", 1, "prod"), scalar("cpus", 1)])
    taken = bag.take(Resources.of(cpus=1.5))
    assert taken == [scalar("cpus", 1), scalar("cpus", 0.5, "prod")]


def test_what_is_reserved_goes_first_where_that_is_wanted() -> None:
    bag = Bag([scalar("cpus", 1), scalar("cpus", 1, "prod"), ports((10, 12)), ports((20, 21), reserved="prod")])
    taken = bag.take(Resources.of(cpus=1.5, ports=3), reserved_first=True)
    assert taken[:2] == [scalar("cpus", 1, "prod"), scalar("cpus", 0.5)]
    assert taken[2:] == [ports((10, 10)), ports((20, 21), reserved="prod")]


def test_a_copy_keeps_all_that_is_said_of_a_resource() -> None:
    labels = {"labels": [{"key": "k", "value": "v"}]}
    stack = reserved_for("prod", type="DYNAMIC", principal="ops", labels=labels)
    whole = scalar("cpus", 4, reservations=stack, provider_id={"value": "p"})
    taken = Bag([whole]).take(Resources.of(cpus=1))
    assert taken == [scalar("cpus", 1, reservations=stack, provider_id={"value": "p"})]


def test_like_resources_of_several_offers_are_one_pile() -> None:
    bag = Bag([scalar("cpus", 1), scalar("cpus", 1), ports((10, 11)), ports((12, 13))])
    assert bag.take(Resources.of(cpus=2, ports=4)) == [scalar("cpus", 2), ports((10, 13))]


def test_ports_are_taken_lowest_first_and_by_number() -> None:
    bag = Bag([ports((20, 22)), ports((10, 12))])
    assert port_numbers(bag.take(Resources(ports=2))) == (10, 11)
    assert port_numbers(bag.take(Resources(ports=2), ports=[21])) == (12, 21)
    assert port_numbers(bag.take(Resources(ports=2))) == (20, 22)
    assert bag.room == Resources()


def test_too_little_is_said_and_nothing_is_taken() -> None:
    bag = Bag([scalar("cpus", 1), ports((10, 12))])
    with pytest.raises(NotEnough, match=r"the offer has cpus:1;.*the task needs cpus:1\.001;"):
        bag.take(Resources(cpus=1001))
    with pytest.raises(NotEnough, match="does not have port 13, 14"):
        bag.take(Resources(cpus=1000, ports=3), ports=[14, 10, 13])
    with pytest.raises(NotEnough):
        bag.take(Resources(mem=1))
    assert bag.room == Resources(cpus=1000, ports=3)


def test_nonsense_is_refused() -> None:
    bag = Bag([scalar("cpus", 1), ports((10, 12))])
    with pytest.raises(ValueError, match="cpus: a need cannot be negative"):
        bag.take(Resources(cpus=-1))
    with pytest.raises(ValueError, match="2 ports are asked for by number, 1 in all"):
        bag.take(Resources(ports=1), ports=[10, 11])


# --- for any resources and any needs

roles = st.sampled_from([(), ("prod",), ("other",), ("prod", "prod/web")])
amounts_offered = st.integers(0, 10_000).map(lambda number: number / 1000) | st.sampled_from([0.1 + 0.2, 1e-16, 0.0])
scalars_offered = st.builds(
    lambda name, value, roles, more: scalar(name, value, *roles, **more),
    st.sampled_from([*SCALARS, "network"]),
    amounts_offered,
    roles,
    st.sampled_from([{}, {"provider_id": {"value": "p"}}, {"revocable": {}}]),
)
port_spans = st.tuples(st.integers(1, 60), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1]))
ports_offered = st.builds(
    lambda spans, reserved: ports(*spans, reserved=reserved),
    st.lists(port_spans, max_size=4),
    st.sampled_from(["", "prod", "other"]),
)
offered = st.lists(scalars_offered | ports_offered, max_size=8)
small = st.integers(0, 6000)
needs = st.tuples(st.builds(Resources, small, small, small, small, st.integers(0, 9)), st.booleans())


@settings(deadline=None)
@given(offered, st.lists(needs, max_size=8))
def test_whatever_is_taken_is_exact_and_never_overdrawn(resources: list[Json], wanted: list[Any]) -> None:
    bag = Bag(resources)
    start = bag.room
    kinds = [without_amount(resource) for resource in resources if usable(resource)]
    given_out, seen = Resources(), Counter[int]()
    for need, reserved_first in wanted:
        before = bag.room
        try:
            taken = bag.take(need, reserved_first=reserved_first)
        except NotEnough:
            assert not before.covers(need)
            assert bag.room == before
            continue
        assert summed(taken) == need
        assert bag.room + need == before
        assert all(without_amount(resource) in kinds for resource in taken)
        seen.update(port_numbers(taken))
        given_out += need
    assert start == bag.room + given_out
    assert start.covers(given_out)
    assert all(count == 1 for count in seen.values())
    offered_ports = {port for resource in resources if usable(resource) for port in port_numbers([resource])}
    assert seen.keys() <= offered_ports
    assert start.ports == len(offered_ports)


@settings(deadline=None)
@given(offered)
def test_all_of_it_can_be_taken_from_each_kind_what_was_offered(resources: list[Json]) -> None:
    bag = Bag(resources)
    taken = bag.take(bag.room)
    assert bag.room == Resources()
    for resource in taken:
        if resource["name"] != "ports":
            alike = [other for other in resources if without_amount(other) == without_amount(resource)]
            whole = sum(round(other["scalar"]["value"] * 1000) for other in alike)
            assert round(resource["scalar"]["value"] * 1000) == whole


@settings(deadline=None)
@given(offered, needs, st.data())
def test_ports_by_number_are_among_those_taken(resources: list[Json], wanted: Any, data: st.DataObject) -> None:
    bag = Bag(resources)
    free = [port for resource in resources if usable(resource) for port in port_numbers([resource])]
    if free:
        numbers = data.draw(st.sets(st.sampled_from(free), max_size=5))
        taken = bag.take(Resources(ports=len(numbers)), ports=sorted(numbers), reserved_first=wanted[1])
        assert set(port_numbers(taken)) == numbers
        assert bag.room.ports == len(set(free)) - len(numbers)


@settings(deadline=None, max_examples=300)
@given(st.lists(json_values, max_size=3) | damaged(an_offer()["resources"]))
def test_what_is_no_resource_is_a_value_error(resources: Any) -> None:
    try:
        free = room(resources)
    except ValueError as error:
        assert str(error)
    else:
        assert free.covers(Resources())


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        ({"type": "SCALAR"}, "resource.name: must be a text, is None"),
        ({"name": "cpus"}, "cpus.scalar.value: must be a number, is None"),
        ({"name": "cpus", "scalar": {"value": -1}}, "cpus.scalar.value: is negative"),
        ({"name": "cpus", "scalar": {"value": float("nan")}}, "must be a finite number"),
        ({"name": "ports", "ranges": {"range": [{"begin": 5, "end": 4}]}}, "5 to 4 is no range"),
        ({"name": "ports", "ranges": {"range": [{"begin": "x", "end": 4}]}}, "must be a whole number"),
        ({"name": "cpus", "reservations": [5]}, r"resource.reservations\[0\]: must be an object, is 5"),
        (7, "resource: must be an object, is 7"),
    ],
)
def test_the_error_says_what_is_wrong(resource: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        room([resource])


def test_whole_numbers_may_come_as_text() -> None:
    text = ports((1, 2))
    text["ranges"]["range"][0]["begin"] = "1"
    assert room([text]).ports == 2
