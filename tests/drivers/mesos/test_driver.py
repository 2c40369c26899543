"""The Mesos driver against a master that says what each test wants."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from chronos_py.drivers.mesos import MesosDriver, MesosSettings, link
from chronos_py.model.messages import (
    Acknowledge,
    AgentLost,
    AnswerInverseOffers,
    Decline,
    DriverEffect,
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
from chronos_py.model.offer import Offer
from tests.drivers.mesos.scripted import ScriptedMaster, Subscription, a_master, an_offer, an_update
from tests.drivers.rig import PATIENCE_S, Listener, a_task


@pytest.fixture
def master() -> Iterator[ScriptedMaster]:
    with a_master() as master:
        yield master


@contextmanager
def a_driver(master: ScriptedMaster, framework_id: str = "", **settings: Any) -> Iterator[tuple[MesosDriver, Listener]]:
    listener = Listener()
    patience = {"call_timeout": 5.0, "longest_back_off": 0.2}
    driver = MesosDriver(MesosSettings(**{"master": master.address, **patience, **settings}))
    driver.start(listener.events.put, framework_id)
    try:
        yield driver, listener
    finally:
        driver.stop()
    assert not [thread for thread in threading.enumerate() if thread.name in ("mesos-link", "mesos-sender")]


def offered(listener: Listener, stream: Subscription, *offers: dict[str, Any]) -> list[Offer]:
    stream.say({"type": "OFFERS", "offers": {"offers": list(offers or (an_offer(),))}})
    received: OffersReceived = listener.wait(lambda event: isinstance(event, OffersReceived))
    return list(received.offers)


def ready(listener: Listener) -> DriverReady:
    event: DriverReady = listener.wait(lambda event: isinstance(event, DriverReady))
    return event


# --- subscribing


def test_a_new_framework_is_told_its_id_and_comes_back_with_it(master):
    with a_driver(master) as (driver, listener):
        first = master.subscribed("id-7")
        assert "framework_id" not in first.body
        assert "id" not in first.framework
        assert ready(listener).framework_id == "id-7"
        assert driver.status().live
        first.end()
        second = master.subscribed("id-7")
        assert second.body["framework_id"] == {"value": "id-7"}
        assert second.framework["id"] == {"value": "id-7"}
        assert isinstance(listener.wait(lambda event: isinstance(event, DriverLost)), DriverLost)
        assert ready(listener).framework_id == "id-7"


def test_what_the_framework_says_of_itself(master):
    settings = {
        "name": "n", "user": "u", "roles": ("a", "b"), "failover_timeout": 5, "checkpoint": False,
        "principal": "p", "secret": "s", "hostname": "h", "webui_url": "http://h:1", "gpus": True,
    }  # fmt: skip
    with a_driver(master, "stored", **settings):
        info = master.subscribed("stored").framework
    capabilities = {entry["type"] for entry in info.pop("capabilities")}
    assert {"PARTITION_AWARE", "MULTI_ROLE", "TASK_KILLING_STATE", "GPU_RESOURCES"} <= capabilities
    assert info == {
        "name": "n", "user": "u", "roles": ["a", "b"], "failover_timeout": 5, "checkpoint": False,
        "principal": "p", "hostname": "h", "webui_url": "http://h:1", "id": {"value": "stored"},
    }  # fmt: skip
    assert master.headers[0]["Authorization"] == "Basic cDpz"


def test_a_removed_framework_registers_anew_under_another_id(master):
    with a_driver(master, "old") as (driver, listener):
        stream = master.subscriptions.get(timeout=PATIENCE_S)
        stream.say({"type": "ERROR", "error": {"message": "Framework has been removed"}})
        again = master.subscribed("new")
        assert "framework_id" not in again.body
        assert ready(listener).framework_id == "new"
        assert driver.status().detail["removedFrameworkIds"] == ["old"]


def test_another_subscriber_with_our_id_is_left_alone_for_a_while(master, monkeypatch):
    waited = queue.SimpleQueue()
    monkeypatch.setattr(link, "USURPED_S", 0.3)
    with a_driver(master, "shared") as (_, listener):
        stream = master.subscribed("shared")
        ready(listener)
        stream.say({"type": "ERROR", "error": {"message": "Framework failed over"}})
        assert "failed over" in listener.wait(lambda event: isinstance(event, DriverLost)).reason
        waited.put(master.subscribed("shared").body["framework_id"])
    assert waited.get() == {"value": "shared"}


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_a_refused_subscription_is_tried_again(master, status):
    master.refuse = [(status, {}, "no"), (status, {}, "no")]
    with a_driver(master) as (driver, listener):
        master.subscribed()
        ready(listener)
        assert driver.status().live


def test_a_redirect_is_followed(master):
    with a_master() as leader:
        master.refuse = [(307, {"Location": f"//{leader.address}/api/v1/scheduler"}, "")]
        with a_driver(master) as (driver, listener):
            leader.subscribed()
            ready(listener)
            assert driver.status().detail["master"] == leader.address


def test_a_master_that_falls_silent_is_left(master):
    with a_driver(master, heartbeats_missed=3) as (_, listener):
        master.subscribed(heartbeat=0.05)
        ready(listener)
        lost = listener.wait(lambda event: isinstance(event, DriverLost))
        assert "heartbeat" in lost.reason
        master.subscribed()
        ready(listener)


def test_heartbeats_keep_the_stream(master):
    with a_driver(master, heartbeats_missed=40) as (driver, listener):
        stream = master.subscribed(heartbeat=0.05)
        ready(listener)
        for _ in range(5):
            stream.say({"type": "HEARTBEAT"})
        stream.say(an_update("ct:1:0:a:", "TASK_RUNNING"))
        listener.news("ct:1:0:a:")
        assert driver.status().detail["subscriptions"] == 1


def test_a_senseless_heartbeat_interval_costs_nothing(master):
    with a_driver(master) as (driver, listener):
        for interval in (-1, 0, 1e300, "x", True, None, [5]):
            stream = master.subscribed(heartbeat=interval)
            ready(listener)
            stream.end()
        master.subscribed(heartbeat=1e-9).end()
        master.subscribed()
        ready(listener)
        assert driver.status().detail["failedCallbacks"] == 0


def test_a_master_that_takes_subscriptions_and_nothing_else_is_not_asked_all_the_time(master):
    master.answer = lambda call: (403, "no")
    with a_driver(master, longest_back_off=PATIENCE_S) as (driver, listener):
        began = time.monotonic()
        for _ in range(6):
            master.subscribed()
            ready(listener)
            driver.perform(Revive())
            listener.wait(lambda event: isinstance(event, DriverLost))
        assert time.monotonic() - began > 0.05 + 0.1 + 0.2 + 0.4 + 0.8


@pytest.mark.parametrize(
    "noise",
    [b"zz\n", b"9" * 30, b"5\n{oops", b"3\n[1]", b"2\n{}", b'18\n{"type":"NEWISH"}', b'17\n{"type":"OFFERS"}'],
)
def test_nonsense_in_the_stream_costs_at_most_the_stream(master, noise):
    with a_driver(master) as (_, listener):
        stream = master.subscribed()
        ready(listener)
        stream.raw(noise)
        stream.end()
        ready_again = master.subscribed()
        ready(listener)
        ready_again.say(an_update("ct:1:0:a:", "TASK_RUNNING"))
        assert listener.news("ct:1:0:a:").state == "TASK_RUNNING"


def test_a_flood_of_strange_events_and_of_failed_calls_is_not_a_flood_of_lines(master, capsys, caplog):
    master.answer = lambda call: (400, "no")
    with a_driver(master) as (driver, listener):
        stream = master.subscribed()
        ready(listener)
        for _ in range(500):
            stream.say({"type": "NEWISH"})
            stream.say({"type": "OFFERS"})
            driver.perform(Revive())
        stream.say(an_update("ct:1:0:a:", "TASK_RUNNING"))
        listener.news("ct:1:0:a:")
        for _ in range(500):
            master.call("REVIVE")
    assert len(capsys.readouterr().out.splitlines()) < 50
    assert not [record for record in caplog.records if record.name.startswith("pymesos")]


CALLBACKS = {
    "registered": None,
    "resourceOffers": {"type": "OFFERS", "offers": {"offers": [an_offer()]}},
    "inverseOffers": {"type": "INVERSE_OFFERS", "inverse_offers": {"inverse_offers": [{}]}},
    "offerRescinded": {"type": "RESCIND", "rescind": {"offer_id": {"value": "x"}}},
    "inverseOfferRescinded": {
        "type": "RESCIND_INVERSE_OFFER",
        "rescind_inverse_offer": {"inverse_offer_id": {"value": "x"}},
    },
    "statusUpdate": an_update("ct:1:0:bad:", "TASK_RUNNING"),
    "operationStatusUpdate": {"type": "UPDATE_OPERATION_STATUS", "update_operation_status": {"status": {}}},
    "slaveLost": {"type": "FAILURE", "failure": {"agent_id": {"value": "x"}}},
    "executorLost": {
        "type": "FAILURE",
        "failure": {"agent_id": {"value": "x"}, "executor_id": {"value": "y"}, "status": 1},
    },
    "frameworkMessage": {
        "type": "MESSAGE",
        "message": {"agent_id": {"value": "x"}, "executor_id": {"value": "y"}, "data": "eA=="},
    },
    "processHeartBeat": {"type": "HEARTBEAT"},
    "disconnected": None,
}


@pytest.mark.parametrize("name", CALLBACKS)
def test_an_exception_inside_a_callback_ends_nothing(master, monkeypatch, name):
    from chronos_py.drivers.mesos.callbacks import Callbacks

    raised = threading.Event()
    kept = getattr(Callbacks, name)

    def bad(*_: Any) -> None:
        raised.set()
        monkeypatch.setattr(Callbacks, name, kept)
        raise RuntimeError("thrown on purpose")

    monkeypatch.setattr(Callbacks, name, bad)
    with a_driver(master) as (driver, listener):
        stream = master.subscribed()
        if event := CALLBACKS[name]:
            stream.say(event)
        if name == "disconnected":
            ready(listener)
            stream.end()
            stream = master.subscribed()
            ready(listener)
        if name == "registered":
            stream = master.subscribed()  # a subscription that nobody was told of is no use: it is made again
            ready(listener)
        stream.say(an_update("ct:1:0:good:", "TASK_RUNNING"))
        assert listener.news("ct:1:0:good:").state == "TASK_RUNNING"
        assert raised.is_set()
        assert driver.status().live


def test_events_become_events(master):
    outage = {"start": {"nanoseconds": 5_000_000_000}, "duration": {"nanoseconds": 1_000_000_000}}
    inverse = {
        "id": {"value": "i"},
        "agent_id": {"value": "x"},
        "unavailability": outage,
        "framework_id": {"value": "f"},
    }
    with a_driver(master) as (_, listener):
        stream = master.subscribed()
        stream.say({"type": "FAILURE", "failure": {"agent_id": {"value": "x"}}})
        stream.say({"type": "RESCIND", "rescind": {"offer_id": {"value": "o"}}})
        stream.say({"type": "INVERSE_OFFERS", "inverse_offers": {"inverse_offers": [inverse]}})
        assert listener.wait(lambda event: isinstance(event, AgentLost)) == AgentLost("x")
        assert listener.wait(lambda event: isinstance(event, OfferRescinded)) == OfferRescinded("o")
        received = listener.wait(lambda event: isinstance(event, InverseOffersReceived))
        assert [(offer.id, offer.agent_id, offer.outage.start) for offer in received.offers] == [("i", "x", 5000)]


def test_agents_totals_and_hosts_are_known(master):
    master.agents = [
        {"id": "agent-1", "hostname": "h1", "pid": "slave(1)@127.0.0.1:1", "resources": {"cpus": 8, "mem": 2048}}
    ]
    with a_driver(master) as (_, listener):
        stream = master.subscribed()
        (offer,) = offered(listener, stream)
        assert (offer.total.cpus, offer.total.mem) == (8000, 2_048_000)
        assert offer.host == "host-of-agent-1"
        stream.say(an_update("ct:1:0:a:", "TASK_RUNNING"))
        assert listener.news("ct:1:0:a:").host == "h1"


def test_an_offer_that_cannot_be_read_is_declined_and_does_not_spoil_the_others(master):
    with a_driver(master) as (_, listener):
        bad = an_offer(1) | {"agent_id": 5}
        assert [offer.id for offer in offered(listener, master.subscribed(), bad, an_offer(2))] == ["offer-2"]
        assert master.call("DECLINE")["decline"]["offer_ids"] == [{"value": "offer-1"}]


# --- calls


def test_effects_become_calls(master):
    update = StatusUpdate("ct:1:0:a:", "TASK_RUNNING", "agent-1", uuid="dXVpZA==")
    effects: list[tuple[DriverEffect, str]] = [
        (Acknowledge(update), "ACKNOWLEDGE"),
        (Kill("ct:1:0:a:", "agent-1", 2.5), "KILL"),
        (Reconcile((("ct:1:0:a:", "agent-1"), ("ct:1:0:b:", ""))), "RECONCILE"),
        (Reconcile(()), "RECONCILE"),
        (Decline(("offer-1", "offer-2"), 5), "DECLINE"),
        (Suppress(), "SUPPRESS"),
        (Revive(), "REVIVE"),
        (AnswerInverseOffers(("i",), ("j",)), "ACCEPT_INVERSE_OFFERS"),
    ]
    with a_driver(master) as (driver, listener):
        master.subscribed()
        ready(listener)
        calls = []
        for effect, kind in effects:
            driver.perform(effect)
            calls.append(master.call(kind))
        calls.append(master.call("DECLINE_INVERSE_OFFERS"))
    bodies = [{k: v for k, v in call.items() if k not in ("type", "framework_id")} for call in calls]
    task, agent = {"value": "ct:1:0:a:"}, {"value": "agent-1"}
    assert bodies == [
        {"acknowledge": {"task_id": task, "agent_id": agent, "uuid": "dXVpZA=="}},
        {"kill": {"task_id": task, "agent_id": agent, "kill_policy": {"grace_period": {"nanoseconds": 2_500_000_000}}}},
        {"reconcile": {"tasks": [{"task_id": task, "agent_id": agent}, {"task_id": {"value": "ct:1:0:b:"}}]}},
        {"reconcile": {"tasks": []}},
        {"decline": {"offer_ids": [{"value": "offer-1"}, {"value": "offer-2"}], "filters": {"refuse_seconds": 5}}},
        {},
        {},
        {"accept_inverse_offers": {"inverse_offer_ids": [{"value": "i"}]}},
        {"decline_inverse_offers": {"inverse_offer_ids": [{"value": "j"}]}},
    ]
    assert {call["framework_id"]["value"] for call in calls} == {"framework-1"}
    sent = [headers for headers in master.headers if headers.get("Mesos-Stream-Id")]
    assert {headers["Mesos-Stream-Id"] for headers in sent} == {"stream-1"}


def test_a_launch_uses_all_offers_and_says_what_to_do_with_the_rest(master):
    with a_driver(master) as (driver, listener):
        offers = offered(listener, master.subscribed(), an_offer(1), an_offer(2))
        driver.perform(Launch(tuple(offers), (a_task("a", "true"), a_task("b", "true")), refuse_seconds=7))
        accept = master.call("ACCEPT")["accept"]
    assert accept["offer_ids"] == [{"value": "offer-1"}, {"value": "offer-2"}]
    assert accept["filters"] == {"refuse_seconds": 7}
    (operation,) = accept["operations"]
    assert [info["task_id"]["value"] for info in operation["launch"]["task_infos"]] == ["ct:1:0:a:", "ct:1:0:b:"]


def test_a_task_that_cannot_be_expressed_fails_alone(master):
    with a_driver(master) as (driver, listener):
        offers = offered(listener, master.subscribed())
        bad = replace(a_task("bad", "true"), id="ct:1:0:a/b:")
        driver.perform(Launch(tuple(offers), (bad, a_task("good", "true"))))
        infos = master.call("ACCEPT")["accept"]["operations"][0]["launch"]["task_infos"]
        assert [info["task_id"]["value"] for info in infos] == ["ct:1:0:good:"]
        error = listener.end_of(bad.id)
        assert (error.state, error.uuid) == ("TASK_ERROR", "")
        assert "slash" in error.message


def test_offers_of_a_launch_with_nothing_to_launch_go_back(master):
    with a_driver(master) as (driver, listener):
        offers = offered(listener, master.subscribed())
        driver.perform(Launch(tuple(offers), (replace(a_task("bad", "true"), id="ct:1:0:a/b:"),)))
        assert master.call("DECLINE")["decline"]["offer_ids"] == [{"value": "offer-1"}]


def test_a_call_that_cannot_be_written_spoils_no_others(master):
    hold, held = threading.Event(), threading.Event()

    def answer(call: dict[str, Any]) -> tuple[int, str]:
        if call["type"] == "SUPPRESS":
            held.set()
            hold.wait(PATIENCE_S)
        return 202, ""

    master.answer = answer
    with a_driver(master) as (driver, listener):
        offers = offered(listener, master.subscribed())
        driver.perform(Suppress())
        assert held.wait(PATIENCE_S)  # so that the others go together
        driver.perform(Revive())
        driver.perform(Acknowledge(StatusUpdate("ct:1:0:a:", "TASK_RUNNING", "\ud800", uuid="dXVpZA==")))
        driver.perform(Launch(tuple(offers), (a_task("a", "true"),)))
        hold.set()
        master.call("REVIVE")
        master.call("ACCEPT")
        assert driver.status().live


OLD_STREAM = "The stream ID 'a' included in this request didn't match the stream ID currently associated with it"


@pytest.mark.parametrize(
    "answer",
    [(403, "no"), (429, "no"), (501, "no"), (400, OLD_STREAM), (400, "Framework cannot be found")],
)
def test_tasks_of_a_launch_that_was_refused_never_started(master, answer):
    with a_driver(master) as (driver, listener):
        offers = offered(listener, master.subscribed())
        master.answer = lambda call: answer if call["type"] == "ACCEPT" else (202, "")
        driver.perform(Launch(tuple(offers), (a_task("a", "true"),)))
        dropped = listener.end_of("ct:1:0:a:")
        assert (dropped.state, dropped.agent_id, dropped.host) == ("TASK_DROPPED", "agent-1", "host-of-agent-1")


def test_of_tasks_that_the_master_cannot_read_the_bad_one_is_found(master):
    def answer(call: dict[str, Any]) -> tuple[int, str]:
        names = [
            info["task_id"]["value"]
            for operation in call.get("accept", {}).get("operations", ())
            for info in operation["launch"]["task_infos"]
        ]
        return (400, "cannot read it") if "ct:1:0:bad:" in names else (202, "")

    master.answer = answer
    with a_driver(master) as (driver, listener):
        offers = offered(listener, master.subscribed())
        driver.perform(Launch(tuple(offers), (a_task("bad", "true"), a_task("good", "true"))))
        assert listener.end_of("ct:1:0:good:").state == "TASK_DROPPED"  # it will be launched again
        assert listener.end_of("ct:1:0:bad:").state == "TASK_ERROR"
        assert driver.status().live


@pytest.mark.parametrize("status", [0, 500, 502, 503, 504])
def test_a_launch_of_unknown_fate_is_followed_by_a_new_subscription(master, status):
    with a_driver(master) as (driver, listener):
        offers = offered(listener, master.subscribed())
        master.answer = lambda call: (status, "")
        driver.perform(Launch(tuple(offers), (a_task("a", "true"),)))
        listener.wait(lambda event: isinstance(event, DriverLost))
        master.subscribed()
        ready(listener)
        assert not [event for event in listener.seen if isinstance(event, StatusUpdate)]


def test_without_a_subscription_a_launch_never_starts_and_nothing_else_is_kept(master):
    with a_driver(master) as (driver, listener):
        stream = master.subscribed()
        offers = offered(listener, stream)
        master.refuse = [(503, {}, "")] * 1000
        stream.end()
        listener.wait(lambda event: isinstance(event, DriverLost))
        driver.perform(Launch(tuple(offers), (a_task("a", "true"),)))
        assert listener.end_of("ct:1:0:a:").state == "TASK_DROPPED"
        driver.perform(Revive())
        assert driver.status().detail["callsQueued"] == 0
        assert not driver.status().live


def test_a_full_queue_refuses_launches_and_holds_no_more(master, monkeypatch):
    monkeypatch.setattr("chronos_py.drivers.mesos.sender.MOST_OWED", 1)  # else what is queued may be on its way already
    hold, held = threading.Event(), threading.Event()

    def answer(call: dict[str, Any]) -> tuple[int, str]:
        held.set()
        hold.wait(PATIENCE_S)
        return 202, ""

    master.answer = answer
    with a_driver(master, queue_limit=3) as (driver, listener):
        offers = offered(listener, master.subscribed())
        driver.perform(Revive())
        assert held.wait(PATIENCE_S)
        for _ in range(10):
            driver.perform(Revive())
        driver.perform(Launch(tuple(offers), (a_task("a", "true"),)))
        assert listener.end_of("ct:1:0:a:").state == "TASK_DROPPED"
        assert driver.status().detail["callsQueued"] == 3
        hold.set()


def test_a_new_subscription_on_demand(master):
    with a_driver(master) as (driver, listener):
        master.subscribed()
        ready(listener)
        driver.perform(Resubscribe("no offers came"))
        assert listener.wait(lambda event: isinstance(event, DriverLost)).reason == "no offers came"
        master.subscribed()
        ready(listener)


def test_five_thousand_updates_in_a_burst(master):
    with a_driver(master) as (driver, listener):
        stream = master.subscribed()
        for number in range(5000):
            stream.say(an_update(f"ct:{number}:0:a:", "TASK_FINISHED"))
        for number in range(5000):
            update = listener.events.get(timeout=PATIENCE_S)
            while not isinstance(update, StatusUpdate):
                update = listener.events.get(timeout=PATIENCE_S)
            assert update.task_id == f"ct:{number}:0:a:"
            driver.perform(Acknowledge(update))
        acknowledged = {master.call("ACKNOWLEDGE")["acknowledge"]["task_id"]["value"] for _ in range(5000)}
        assert len(acknowledged) == 5000
