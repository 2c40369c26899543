"""What a framework sees of a Mesos master: a real one and the simulated one have to pass the same tests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from compat_tests.masters_suite import (
    AWARE,
    LOSSY,
    MACHINES,
    MULTI_ROLE,
    QUIET_S,
    REFINED,
    offer_of,
    offers_of,
    shape,
    state_of,
    subscribed,
)
from compat_tests.servers.mesos_client import Answer, Refused, StreamEnded, scalar, task, total


# --- subscribing -----------------------------------------------------------------------
def test_a_stream_begins_with_who_and_how_often(framework):
    one = subscribed(framework)
    assert one.subscribed["heartbeat_interval_seconds"] == 15
    info = one.subscribed["master_info"]
    assert f"{info['address']['ip']}:{info['address']['port']}" == one.address
    assert one.subscribed["framework_id"]["value"].startswith(info["id"])
    assert one.stream.headers["content-type"] == "application/json"
    assert one.stream.headers["transfer-encoding"] == "chunked"
    assert one.stream.stream_id
    one.wait("HEARTBEAT", seconds=5)


def test_the_master_tells_its_version_and_state(framework):
    one = subscribed(framework)
    assert json.loads(one.post(b"", {}, "/version", "GET").text)["version"] == "1.11.0"
    assert one.post(b"", {}, "/health", "GET").status == 200
    state = state_of(one)
    assert state["leader"] == one.subscribed["master_info"]["pid"]
    assert {agent["hostname"] for agent in state["slaves"]} == {machine.hostname for machine in MACHINES}
    mine = next(entry for entry in state["frameworks"] if entry["id"] == one.id)
    assert mine["name"] == one.info["name"] and mine["active"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{nope", "Failed to parse body into JSON"),
        (b"{}", "Failed to validate scheduler::Call: Expecting 'type' to be present"),
        (b'{"type": "NONSENSE"}', "Failed to validate scheduler::Call: Expecting 'type' to be present"),
        (b'{"type": "REVIVE"}', "Failed to validate scheduler::Call: Expecting 'framework_id' to be present"),
        (b'{"type": "REVIVE", "framework_id": {"value": "nobody"}}', "Framework cannot be found"),
    ],
)
def test_a_body_that_is_no_call_is_refused(framework, body, text):
    one = subscribed(framework)
    headers = {"Content-Type": "application/json", "Mesos-Stream-Id": one.stream.stream_id}
    answer = one.post(body, headers)
    assert (answer.status, answer.text[: len(text)]) == (400, text)


@pytest.mark.parametrize(
    ("kind", "part", "text"),
    [
        ("ACCEPT", None, "Failed to validate scheduler::Call: Expecting 'accept' to be present"),
        ("KILL", None, "Failed to validate scheduler::Call: Expecting 'kill' to be present"),
        ("KILL", {}, "Failed to convert JSON into Call protobuf: Missing required fields: kill.task_id"),
        ("REVIVE", {"roles": [1]}, "Failed to convert JSON into Call protobuf: Not expecting a JSON number for field"),
        (
            "RECONCILE",
            {"tasks": [{"task_id": {"value": "a"}}, {}]},
            "Failed to convert JSON into Call protobuf: Missing required fields: reconcile.tasks[1].task_id",
        ),
        ("KILL", {"task_id": "x"}, "Failed to convert JSON into Call protobuf: Not expecting a JSON string for field"),
        (
            "ACKNOWLEDGE",
            {"agent_id": {"value": "a"}, "task_id": {"value": "t"}, "uuid": "abcd"},
            "Failed to validate scheduler::Call: Not a valid UUID",
        ),
    ],
)
def test_a_call_without_its_parts_is_refused(framework, kind, part, text):
    answer = subscribed(framework).call(kind, part)
    assert (answer.status, answer.text[: len(text)]) == (400, text)


def test_null_is_absent_and_a_single_value_is_a_list(framework):
    one = subscribed(framework)
    one.done("RECONCILE", {"tasks": {"task_id": {"value": "single"}, "agent_id": None}})
    assert one.update("single")["message"] == "Reconciliation: Task is unknown"


def test_calls_need_the_right_stream_id_and_type(framework):
    one = subscribed(framework)
    revive = json.dumps({"type": "REVIVE", "framework_id": {"value": one.id}}).encode()
    plain = {"Content-Type": "application/json"}
    right = {"Mesos-Stream-Id": one.stream.stream_id}
    assert one.post(revive, plain) == Answer(400, "All non-subscribe calls should include the 'Mesos-Stream-Id' header")
    wrong = one.post(revive, {**plain, "Mesos-Stream-Id": "x"})
    assert wrong.status == 400
    assert wrong.text.startswith("The stream ID 'x' included in this request didn't match the stream ID currently")
    assert one.post(revive, right) == Answer(400, "Expecting 'Content-Type' to be present")
    assert one.post(revive, {**right, "Content-Type": "text/plain"}).status == 415
    assert one.post(b"", {**plain, **right}, method="GET").status == 405
    assert one.post(revive, {**plain, **right}) == Answer(202, "")


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"roles": ["a"]}, "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable"),
        (
            {"capabilities": [MULTI_ROLE], "role": "a"},
            "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable",
        ),
        (
            {"role": "a/ b"},
            "'FrameworkInfo.role' is not a valid role: Role component ' b' is invalid because it contains backspace "
            "or whitespace",
        ),
        (
            {"capabilities": [MULTI_ROLE], "roles": ["a", "a"]},
            "'FrameworkInfo.roles' contains duplicate items: { a }",
        ),
    ],
)
def test_roles_that_cannot_be_are_an_error_event(framework, info, message):
    one = framework(**info)
    assert one.try_subscribe() == {"type": "ERROR", "error": {"message": message}}
    with pytest.raises(StreamEnded):
        one.stream.event(30)


def test_a_subscription_without_a_name_or_with_two_ids_is_refused(framework):
    one = framework()
    del one.info["name"]
    with pytest.raises(Refused) as nameless:
        one.subscribe()
    assert nameless.value.status == 400
    assert nameless.value.text.endswith("Missing required fields: subscribe.framework_info.name")
    other = framework(id={"value": "one"})
    with pytest.raises(Refused) as two_ids:
        other.subscribe()
    assert two_ids.value.status == 400


def test_an_id_that_the_master_never_gave_out_is_taken(framework):
    one = framework()
    assert one.subscribe("an-id-of-long-ago")["framework_id"]["value"] == "an-id-of-long-ago"


# --- offers ----------------------------------------------------------------------------
def test_an_offer_in_the_old_format(framework):
    one = subscribed(framework, role="prod")
    offer = offer_of(one, "shared")
    assert offer["framework_id"]["value"] == one.id
    assert offer["url"]["scheme"] == "http"
    assert "allocation_info" not in offer and "attributes" not in offer
    found = {(r["name"], r["role"]): r["scalar"]["value"] for r in offer["resources"]}
    assert found == {
        ("cpus", "*"): 2.0,
        ("mem", "*"): 1024.0,
        ("disk", "*"): 1000.0,
        ("cpus", "prod"): 1.5,
        ("mem", "prod"): 512.0,
    }
    assert all(set(r) == {"name", "type", "scalar", "role"} for r in offer["resources"])


def test_an_offer_in_the_new_format(framework):
    one = subscribed(framework, REFINED, role="prod")
    offer = offer_of(one, "shared")
    assert "allocation_info" not in offer
    reserved = [{"type": "STATIC", "role": "prod"}]
    cpus = [r for r in offer["resources"] if r["name"] == "cpus"]
    assert scalar("cpus", 2.0) in cpus and scalar("cpus", 1.5, reservations=reserved) in cpus


def test_an_offer_for_one_of_several_roles(framework):
    one = subscribed(framework, MULTI_ROLE, REFINED, roles=["prod", "other"])
    offer = offer_of(one, "shared", "prod")
    assert offer["allocation_info"] == {"role": "prod"}
    assert all(r["allocation_info"] == {"role": "prod"} for r in offer["resources"])
    assert any("reservations" in r for r in offer["resources"])


@pytest.mark.parametrize("refined", [False, True])
def test_a_dynamic_reservation_names_its_principal(framework, refined):
    one = subscribed(framework, *([REFINED] if refined else []), role="prod")
    offer = offer_of(one, "dynamic")
    if refined:
        own: dict[str, Any] = {"reservations": [{"type": "DYNAMIC", "role": "prod", "principal": "ops"}]}
    else:
        own = {"role": "prod", "reservation": {"principal": "ops"}}
    reserved = scalar("cpus", 1.25, **own)
    assert reserved in offer["resources"] and total(offer, "cpus") == 2.0
    info = task("dynamic", offer, "sleep 1000")
    info["resources"] = [scalar("cpus", 1.0, **own), scalar("mem", 32)]
    one.launch([offer], [info], 0)
    assert scalar("cpus", 0.25, **own) in offer_of(one, "dynamic")["resources"]


def test_what_is_reserved_for_another_role_is_not_offered(framework):
    offer = offer_of(subscribed(framework), "shared")
    assert (total(offer, "cpus"), total(offer, "mem")) == (2.0, 1024.0)


def test_attributes_and_ranges(framework):
    offer = offer_of(subscribed(framework), "plain")
    assert {a["name"]: a for a in offer["attributes"]} == {
        "rack": {"name": "rack", "type": "TEXT", "text": {"value": "r1"}},
        "slots": {"name": "slots", "type": "SCALAR", "scalar": {"value": 5.0}},
        "ports": {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 1, "end": 3}]}},
    }
    ports = next(r for r in offer["resources"] if r["name"] == "ports")
    assert ports["ranges"] == {"range": [{"begin": 31000, "end": 31010}]}


def test_a_declined_offer_stays_away_until_revived(framework):
    one = subscribed(framework)
    one.decline([offer_of(one, "plain")], 1000)
    assert one.has_none("OFFERS", QUIET_S, offers_of("plain"))
    one.revive()
    assert offer_of(one, "plain")


def test_an_offer_declined_for_no_time_comes_back(framework):
    one = subscribed(framework)
    first = offer_of(one, "plain")
    one.decline([first], 0)
    assert offer_of(one, "plain")["id"] != first["id"]


def test_a_suppressed_framework_gets_nothing_until_it_revives(framework):
    one = subscribed(framework)
    one.suppress()
    offer = offer_of(one, "plain")
    one.decline([offer], 0)
    assert one.has_none("OFFERS", QUIET_S, offers_of("plain"))
    one.revive()
    assert offer_of(one, "plain")


def test_one_role_is_suppressed_and_revived(framework):
    one = framework(MULTI_ROLE, roles=["prod", "other"])
    one.subscribe(suppressed_roles=["prod"])
    assert offer_of(one, "plain")["allocation_info"]["role"] == "other"
    of_prod = lambda part: any(offer["allocation_info"]["role"] == "prod" for offer in part["offers"])  # noqa: E731
    assert one.has_none("OFFERS", QUIET_S, of_prod)
    one.suppress("other")
    one.revive("prod")
    assert offer_of(one, "shared", "prod")


# --- leaving and coming back -----------------------------------------------------------
def test_a_second_instance_shuts_the_first_out(framework):
    first = subscribed(framework)
    offer = offer_of(first, "plain")
    first.launch([offer], [task("stays", offer, "sleep 1000")], 0)
    told = first.update("stays", ack=False)
    second = framework()
    second.subscribe(first.id)
    assert second.id == first.id and second.stream.stream_id != first.stream.stream_id
    assert first.wait("ERROR") == {"message": "Framework failed over"}
    with pytest.raises(StreamEnded):
        first.stream.event(30)
    assert first.call("REVIVE").text.startswith(f"The stream ID '{first.stream.stream_id}' included in this request")
    again = second.update("stays")
    assert (again["state"], again["uuid"]) == (told["state"], told["uuid"])
    assert second.update("stays")["state"] == "TASK_RUNNING"
    assert offer_of(second, "plain")


def test_a_framework_that_lost_its_stream_may_come_back(framework):
    one = subscribed(framework)
    offer = offer_of(one, "plain")
    one.launch([offer], [task("kept", offer, "sleep 1000")])
    one.updates("kept", "TASK_RUNNING")
    stream = one.stream.stream_id
    one.disconnect()
    one.subscribe(one.id)
    assert one.stream.stream_id != stream
    one.reconcile()
    assert one.update("kept")["state"] == "TASK_RUNNING"


def test_filters_outlive_a_second_instance_but_not_a_lost_stream(framework):
    first = subscribed(framework)
    first.decline([offer_of(first, "plain")], 1000)
    second = framework()
    second.subscribe(first.id)
    assert second.has_none("OFFERS", QUIET_S, offers_of("plain"))
    second.disconnect()
    second.subscribe(first.id)
    assert offer_of(second, "plain")


def test_a_call_without_a_stream_is_forbidden(framework):
    one, other = subscribed(framework), subscribed(framework)
    stream = one.stream.stream_id
    one.disconnect()
    while next(entry for entry in state_of(other)["frameworks"] if entry["id"] == one.id)["connected"]:
        pass
    body = json.dumps({"type": "REVIVE", "framework_id": {"value": one.id}}).encode()
    headers = {"Content-Type": "application/json", "Mesos-Stream-Id": stream}
    assert one.post(body, headers) == Answer(403, "Framework is not subscribed")
    one.subscribe(one.id)


def test_what_one_framework_declines_goes_to_another(framework):
    one = subscribed(framework)
    offers = one.offers(len(MACHINES))
    other = subscribed(framework)
    assert other.has_none("OFFERS", QUIET_S)
    one.decline(offers, 1000)
    assert {offer["hostname"] for offer in other.offers(len(MACHINES))} == {machine.hostname for machine in MACHINES}


def test_without_a_failover_timeout_a_lost_stream_is_the_end(framework):
    one = subscribed(framework, failover_timeout=0.0)
    gone = one.id
    one.disconnect()
    other = subscribed(framework)
    while any(
        entry["id"] == gone for entry in json.loads(other.post(b"", {}, "/master/state", "GET").text)["frameworks"]
    ):
        pass
    again = framework()
    assert again.try_subscribe(gone) == {"type": "ERROR", "error": {"message": "Framework has been removed"}}


def test_a_torn_down_framework_is_gone_for_good(framework):
    one = subscribed(framework)
    offer = offer_of(one, "plain")
    one.launch([offer], [task("ends too", offer, "sleep 1000")])
    one.updates("ends too", "TASK_RUNNING")
    one.teardown()
    with pytest.raises(StreamEnded):
        one.wait("ERROR")
    assert one.call("REVIVE") == Answer(400, "Framework cannot be found")
    again = framework()
    assert again.try_subscribe(one.id) == {"type": "ERROR", "error": {"message": "Framework has been removed"}}
    with pytest.raises(StreamEnded):
        again.stream.event(30)
    assert total(offer_of(subscribed(framework), "plain"), "cpus") == 4.0


# --- agents ------------------------------------------------------------------------------
def test_maintenance_is_announced_with_offers_and_inverse_offers(mesos_master, framework):
    one = subscribed(framework)
    offer = offer_of(one, "lossy")
    one.launch([offer], [task("in the way", offer, "sleep 1000")], 0)
    one.updates("in the way", "TASK_RUNNING")
    rest = offer_of(one, "lossy")
    window = {"start": {"nanoseconds": 4_000_000_000_000_000_000}, "duration": {"nanoseconds": 60_000_000_000}}
    mesos_master.maintain(LOSSY, 4e9, 60)
    try:
        # A real master rescinds the offers of all agents it knows when the schedule changes.
        one.wait("RESCIND", lambda part: part == {"offer_id": rest["id"]})
        assert offer_of(one, "lossy")["unavailability"] == window
        (inverse,) = one.wait("INVERSE_OFFERS")["inverse_offers"]
        assert inverse["agent_id"] == offer["agent_id"] and inverse["framework_id"] == {"value": one.id}
        assert inverse["unavailability"] == window
        one.done("ACCEPT_INVERSE_OFFERS", {"inverse_offer_ids": [inverse["id"]]})
        assert one.has_none("INVERSE_OFFERS", QUIET_S)
    finally:
        mesos_master.maintain_none(LOSSY)
    while "unavailability" in offer_of(one, "lossy"):
        pass


@pytest.mark.parametrize("capabilities", [[], [AWARE]])
def test_an_agent_is_lost_and_comes_back(mesos_master, framework, capabilities):
    one = subscribed(framework, *capabilities)
    state = "TASK_UNREACHABLE" if capabilities else "TASK_LOST"
    offer = offer_of(one, "lossy")
    agent_id = offer["agent_id"]["value"]
    one.launch([offer], [task("far", offer, "sleep 1000")], 0)
    one.updates("far", "TASK_RUNNING")
    rest = offer_of(one, "lossy")
    mesos_master.lose(LOSSY)
    try:
        lost = one.update("far")
        assert shape(lost) == (state, "REASON_AGENT_REMOVED", "health check timed out", "SOURCE_MASTER")
        assert "uuid" not in lost and lost["unreachable_time"]["nanoseconds"] > 0
        assert one.wait("RESCIND") == {"offer_id": rest["id"]}
        assert one.wait("FAILURE") == {"agent_id": {"value": agent_id}}
        text = ("REASON_RECONCILIATION", "Reconciliation: Task is unreachable", "SOURCE_MASTER")
        for name in ("far", "never known"):
            one.reconcile((name, agent_id))
            assert shape(one.update(name)) == (state, *text)
        one.reconcile()
        assert one.has_none("UPDATE", QUIET_S)
        one.kill("far")
        assert one.update("far")["message"] == "Reconciliation: Task is unknown"
    finally:
        mesos_master.heal(LOSSY)
    back = one.update("far")
    reason = ("REASON_AGENT_REREGISTERED", "Unreachable agent re-reregistered", "SOURCE_MASTER")
    assert shape(back) == ("TASK_RUNNING", *reason)
    one.kill("far")
    assert one.updates("far", "TASK_KILLED")
