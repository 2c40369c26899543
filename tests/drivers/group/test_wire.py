"""What leader and nodes say to each other comes back as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chronos_py.drivers.group.wire import Ask, Malformed, OutputWanted, Told, dump, is_signed, load, sign
from chronos_py.model.job import Container, Fetch, Network, Pair, PortMapping, Volume
from chronos_py.model.messages import (
    Acknowledge,
    AgentLost,
    AnswerInverseOffers,
    Decline,
    DriverLost,
    DriverReady,
    InverseOffersReceived,
    Kill,
    Launch,
    OfferRescinded,
    OffersReceived,
    Reconcile,
    Resubscribe,
    Revive,
    StatusUpdate,
    Suppress,
)
from chronos_py.model.offer import InverseOffer, Offer, Outage
from chronos_py.model.resources import Resources
from chronos_py.model.run import Task, TaskState

OFFER = Offer(
    "o1", "a1", "here", Resources(1, 2, 3, 4, 5), Resources(9, 9, 9), {"rack": "1"}, role="r", outage=Outage(1, None)
)
CONTAINER = Container(
    "image",
    network="USER",
    networks=(Network("net", labels=(Pair("a", "b"),), port_mappings=(PortMapping(1, 2, "tcp"),)),),
    volumes=(Volume("/a", "/b", "RO"),),
    parameters=(Pair("env", "a=b"),),
)
TASK = Task(
    "ct:1:0:ä \ud800:",
    7,
    "job",
    "echo\nü",
    Resources.of(0.1, 32, 10),
    shell=False,
    arguments=("a", ""),
    environment=(("A", "ß"),),
    user="me",
    fetch=(Fetch("http://x/y", executable=True),),
    container=CONTAINER,
    data=b"\0\xff",
    time_limit=1.5,
    kill_grace=0,
)
UPDATE = StatusUpdate("t", TaskState.FAILED, "a1", "here", "u", 5, "R", "message", 3, 9)
EFFECTS = (
    Launch((OFFER,), (TASK,), 1.5), Decline(("o1",), 5.0), Kill("t", "a1", 3.0), Acknowledge(UPDATE),
    Reconcile((("t", "a1"),)), Reconcile(()), Suppress(), Revive(), Resubscribe("why"),
    AnswerInverseOffers(("i",), ("j",)),
)  # fmt: skip
EVENTS = (
    DriverReady("f"), DriverLost("why"), OffersReceived((OFFER,)), OfferRescinded("o1"), AgentLost("a1"), UPDATE,
    InverseOffersReceived((InverseOffer("i", "a1", Outage(1, 2)),)),
)  # fmt: skip


def test_effects_and_events_come_back_as_they_were():
    ask = Ask(3, 2**62, number=4, effects=EFFECTS, after=5, wait=0.5)
    assert load(Ask, dump(ask)) == ask
    told = Told("a1", EVENTS, 6)
    assert load(Told, dump(told)) == told


def test_what_is_not_said_is_the_default():
    assert json.loads(dump(Ask(3, 4))) == {"epoch": 3, "session": 4}
    assert load(Ask, b'{"epoch":3,"session":4}') == Ask(3, 4)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "JSON"),
        (b"[" * 100_000, "JSON"),
        (b"[]", "must be dict"),
        (b'{"epoch":1}', "session"),
        (b'{"epoch":1,"session":2,"more":3}', "more"),
        (b'{"epoch":true,"session":2}', "Ask.epoch"),
        (b'{"epoch":"1","session":2}', "Ask.epoch"),
        (b'{"epoch":1,"session":2,"effects":[{"kind":"OffersReceived","offers":[]}]}', "OffersReceived"),
        (b'{"epoch":1,"session":2,"effects":[{"kind":["a"]}]}', "kind"),
        (b'{"epoch":1,"session":2,"effects":[{"kind":"Kill","task_id":"t","agent_id":"a"}]}', "grace"),
        (b'{"epoch":1,"session":2,"effects":[{"kind":"Reconcile","tasks":[["t"]]}]}', "2 parts"),
        (b'{"epoch":1,"session":2,"effects":[{"kind":"Acknowledge","update":{"kind":"Kill"}}]}', "kind"),
    ],
)
def test_what_no_node_would_send_is_refused(body: bytes, sentence: str):
    with pytest.raises(Malformed, match=sentence):
        load(Ask, body)


def test_an_endless_number_is_not_sent():
    with pytest.raises(Malformed, match="no JSON form"):
        dump(Decline((), float("inf")))


def test_a_negative_offset_is_one():
    assert load(OutputWanted, dump(OutputWanted("t", "stdout", -5, 10))).offset == -5


@pytest.mark.parametrize("parts", [(b"a", b"bc"), (b"ab", b"c", b""), (b"c", b"ab"), (b"ab",)])
def test_a_signature_is_of_its_parts_and_its_key(parts: tuple[bytes, ...]):
    signature: Any = sign(b"key", b"ab", b"c")
    assert is_signed(signature, b"key", b"ab", b"c")
    assert not is_signed(signature, b"other", b"ab", b"c")
    assert not is_signed(signature, b"key", *parts)
    assert not is_signed("ü", b"key", b"ab", b"c")
