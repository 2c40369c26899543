"""What a framework sees of a Mesos master: a real one and the simulated one have to pass the same tests."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from compat_tests.servers.masters import Machine, real, simulated
from compat_tests.servers.mesos import missing
from compat_tests.servers.mesos_client import Answer, MesosFramework, Refused, StreamEnded, scalar, task, total

MACHINES = [
    Machine("plain", "cpus:4;mem:4096;disk:1000;ports:[31000-31010]", {"rack": "r1", "slots": "5", "ports": "[1-3]"}),
    Machine("shared", "cpus:2;mem:1024;disk:1000;ports:[];cpus(prod):1.5;mem(prod):512", {}),
    Machine("lossy", "cpus:2;mem:1024;disk:1000;ports:[]", {}),
    Machine("dynamic", "cpus:2;mem:1024;disk:1000;ports:[]", {}, reserved_cpus=1.25),
]
LOSSY = 2
QUIET_S = 0.7  # several allocations
AWARE = {"type": "PARTITION_AWARE"}
REFINED = {"type": "RESERVATION_REFINEMENT"}
MULTI_ROLE = {"type": "MULTI_ROLE"}
KILLING = {"type": "TASK_KILLING_STATE"}


@pytest.fixture(scope="module", params=["simulated", pytest.param("real", marks=pytest.mark.external)])
def master(request):
    if request.param == "real" and (lacking := missing()):
        pytest.skip(lacking)
    with (real if request.param == "real" else simulated)(MACHINES) as master:
        yield master


@pytest.fixture
def framework(master):
    """Makes frameworks, and tears them down at the end."""
    made = []

    def make(*capabilities, **info):
        if capabilities:
            info["capabilities"] = list(capabilities)
        made.append(MesosFramework(master.address, **info))
        return made[-1]

    yield make
    for one in made:
        if one.id is not None:
            with contextlib.suppress(AssertionError, OSError, StreamEnded, TimeoutError):
                one.teardown()
        one.close()


def subscribed(framework, *capabilities, **info):
    made = framework(*capabilities, **info)
    made.subscribe()
    return made


def offer_of(framework, hostname, role=None):
    """Return an offer of that machine; all others are declined for long."""
    while True:
        for offer in framework.offers():
            if offer["hostname"] == hostname and role in (None, offer.get("allocation_info", {}).get("role")):
                return offer
            framework.decline([offer], 1000)


def offers_of(hostname):
    """Match an OFFERS event with one of that machine."""
    return lambda part: any(offer["hostname"] == hostname for offer in part["offers"])


def state_of(framework):
    return json.loads(framework.post(b"", {}, "/master/state", "GET").text)


def shape(status):
    return tuple(status.get(key) for key in ("state", "reason", "message", "source"))


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


# --- launching -------------------------------------------------------------------------
def test_a_task_from_start_to_end(framework):
    one = subscribed(framework)
    offer = offer_of(one, "plain")
    one.launch([offer], [task("ends", offer, "exit 3")])
    statuses = one.updates("ends", "TASK_FAILED")
    assert [status["state"] for status in statuses] == ["TASK_STARTING", "TASK_RUNNING", "TASK_FAILED"]
    assert statuses[-1]["message"] == "Command exited with status 3"
    for status in statuses:
        assert status["agent_id"] == offer["agent_id"] and status["executor_id"] == {"value": "ends"}
        assert status["source"] == "SOURCE_EXECUTOR" and status["uuid"] and "reason" not in status
        assert "container_id" in status["container_status"]


def test_an_update_waits_for_the_acknowledgement_of_the_one_before(framework):
    one = subscribed(framework)
    offer = offer_of(one, "plain")
    one.launch([offer], [task("waits", offer)])
    first = one.update("waits", ack=False)
    assert first["state"] == "TASK_STARTING"
    assert one.has_none("UPDATE", QUIET_S)
    one.acknowledge(first)
    assert [status["state"] for status in one.updates("waits", "TASK_FINISHED")] == ["TASK_RUNNING", "TASK_FINISHED"]


def test_what_a_task_leaves_of_an_offer_comes_back(framework):
    one = subscribed(framework)
    offer = offer_of(one, "plain")
    one.launch([offer], [task("holds", offer, "sleep 1000", cpus=1.5, mem=96)], 0)
    rest = offer_of(one, "plain")
    assert (total(rest, "cpus"), total(rest, "mem")) == (2.5, 4000.0)


def test_ports_are_taken_from_a_range(framework):
    one = subscribed(framework)
    offer = offer_of(one, "plain")
    info = task("ports", offer, "sleep 1000")
    taken = {"range": [{"begin": 31003, "end": 31004}]}
    info["resources"].append({"name": "ports", "type": "RANGES", "ranges": taken})
    one.launch([offer], [info], 0)
    rest = offer_of(one, "plain")
    ports = next(r for r in rest["resources"] if r["name"] == "ports")
    assert ports["ranges"] == {"range": [{"begin": 31000, "end": 31002}, {"begin": 31005, "end": 31010}]}


@pytest.mark.parametrize("refined", [False, True])
def test_reserved_resources_are_taken_as_offered(framework, refined):
    one = subscribed(framework, *([REFINED] if refined else []), role="prod")
    offer = offer_of(one, "shared")
    own = {"reservations": [{"type": "STATIC", "role": "prod"}]} if refined else {"role": "prod"}
    info = task("reserved", offer, "sleep 1000")
    info["resources"] = [scalar("cpus", 1.25, **own), scalar("cpus", 0.5), scalar("mem", 64, **own)]
    one.launch([offer], [info], 0)
    rest = offer_of(one, "shared")
    left = {
        (r["name"], "reservations" in r or r.get("role") == "prod"): r["scalar"]["value"] for r in rest["resources"]
    }
    assert left[("cpus", True)] == 0.25 and left[("cpus", False)] == 1.5 and left[("mem", True)] == 448


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "slash": ({"task_id": {"value": "a/b"}}, "'a/b' contains invalid characters"),
    "backslash": ({"task_id": {"value": "a\\b"}}, "'a\\b' contains invalid characters"),
    "line feed": ({"task_id": {"value": "a\n"}}, "'a\n' contains invalid characters"),
    "dots": ({"task_id": {"value": ".."}}, "'..' is disallowed"),
    "empty": ({"task_id": {"value": ""}}, "ID must not be empty"),
    "long": ({"task_id": {"value": "x" * 256}}, "ID must not be greater than 255 characters"),
    "another agent": ({"agent_id": {"value": "nope"}}, "Task uses invalid agent nope while agent "),
    "no resources": ({"resources": []}, "Task uses no resources"),
    "too much": ({"resources": [scalar("cpus", 4.001), scalar("mem", 32)]}, "Total resources cpus(allocated: *):4.001"),
    "another role": (
        {"resources": [scalar("cpus", 0.1, role="prod"), scalar("mem", 32)]},
        "Total resources cpus(allocated: *)(reservations: [(STATIC,prod)]):0.1; mem(allocated: *):32 required by task",
    ),
    "no command": ({"command": None}, "Task should have at least one (but not both) of CommandInfo or ExecutorInfo"),
    "negative": (
        {"resources": [scalar("cpus", -1), scalar("mem", 32)]},
        "Resource 'cpus:-1' is invalid: Invalid scalar resource: value <= 0",
    ),
}


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_task_is_an_error_and_its_resources_stay_free(framework, case):
    changes, message = INVALID[case]
    one = subscribed(framework)
    offer = offer_of(one, "plain")
    info = {key: value for key, value in (task("invalid", offer) | changes).items() if value is not None}
    one.launch([offer], [info], 0)
    status = one.update(info["task_id"]["value"])
    assert shape(status)[::3] == ("TASK_ERROR", "SOURCE_MASTER")
    assert status["reason"] == "REASON_TASK_INVALID" and "uuid" not in status
    assert status["message"].startswith(message) and status["agent_id"] == info["agent_id"]
    assert total(offer_of(one, "plain"), "cpus") == 4.0


def test_an_id_in_use_is_refused_and_the_rest_of_the_call_goes_on(framework):
    one = subscribed(framework)
    offer = offer_of(one, "plain")
    one.launch([offer], [task("same", offer, "sleep 1000"), task("same", offer), task("next", offer)])
    assert one.update("same", "TASK_ERROR")["message"] == "Task has duplicate ID: same"
    assert one.update("same")["state"] == "TASK_STARTING"
    assert one.updates("next", "TASK_FINISHED")


def test_one_resource_that_cannot_be_fails_all_tasks_of_the_call(framework):
    one = subscribed(framework)
    offer = offer_of(one, "plain")
    one.launch([offer], [task("good", offer), task("tiny", offer, cpus=0.0004)])
    text = "Resource 'cpus:0' is invalid: Invalid scalar resource: value <= 0"
    expected = ("TASK_ERROR", "REASON_TASK_INVALID", text, "SOURCE_MASTER")
    assert shape(one.update("good")) == shape(one.update("tiny")) == expected


@pytest.mark.parametrize(("capabilities", "state"), [([], "TASK_LOST"), ([AWARE], "TASK_DROPPED")])
def test_offers_that_do_not_go_together_drop_the_task(framework, capabilities, state):
    one = subscribed(framework, *capabilities)
    offers = {offer["hostname"]: offer for offer in one.offers(len(MACHINES))}
    plain, shared, lossy = offers["plain"], offers["shared"], offers["lossy"]

    def refused(chosen, name):
        one.launch(chosen, [task(name, chosen[0])])
        status = one.update(name)
        assert (status["state"], status["reason"]) == (state, "REASON_INVALID_OFFERS")
        assert status["agent_id"] == chosen[0]["agent_id"] and "uuid" not in status
        return status["message"].removeprefix("Task launched with invalid offers: ")

    one.decline([plain], 1000)
    assert refused([plain], "used") == f"Offer {plain['id']['value']} is no longer valid"
    assert refused([shared, shared], "twice") == f"Duplicate offer {shared['id']['value']} in offer list"
    again = offer_of(one, "shared")
    assert refused([again, lossy], "two agents").startswith("Aggregated offers must belong to one single agent. Offer")


# --- kill and reconcile ------------------------------------------------------------------
@pytest.mark.parametrize("capabilities", [[], [KILLING]])
def test_a_running_task_is_killed(framework, capabilities):
    one = subscribed(framework, *capabilities)
    offer = offer_of(one, "plain")
    one.launch([offer], [task("victim", offer, "exec sleep 1000")])
    one.updates("victim", "TASK_RUNNING")
    one.kill("victim", "another agent's id")
    one.kill("victim", offer["agent_id"]["value"])
    statuses = one.updates("victim", "TASK_KILLED")
    assert [status["state"] for status in statuses] == (["TASK_KILLING"] if capabilities else []) + ["TASK_KILLED"]
    assert statuses[-1]["message"] == "Command terminated with signal Terminated"
    one.kill("victim")
    assert one.update("victim")["message"] == "Reconciliation: Task is unknown"


@pytest.mark.parametrize("call", ["kill", "reconcile"])
@pytest.mark.parametrize("capabilities", [[], [AWARE]])
def test_unknown_tasks(framework, call, capabilities):
    one = subscribed(framework, *capabilities)
    agent_id = offer_of(one, "plain")["agent_id"]["value"]

    def ask(task_id, *agent):
        if call == "kill":
            one.kill(task_id, *agent)
        else:
            one.reconcile((task_id, *agent) if agent else task_id)
        return one.update(task_id)

    unknown, gone = ("TASK_UNKNOWN", "TASK_GONE") if capabilities else ("TASK_LOST", "TASK_LOST")
    text = "Reconciliation: Task is unknown"
    assert shape(ask("q1")) == (unknown, "REASON_RECONCILIATION", text, "SOURCE_MASTER")
    assert shape(ask("q2", "no agent")) == (unknown, "REASON_RECONCILIATION", text, "SOURCE_MASTER")
    answer = ask("q3", agent_id)
    assert shape(answer) == (gone, "REASON_RECONCILIATION", f"{text} to the agent", "SOURCE_MASTER")
    assert answer["agent_id"] == {"value": agent_id}


def test_known_tasks_are_reconciled_with_their_latest_state(framework):
    one = subscribed(framework, AWARE)
    offer = offer_of(one, "plain")
    one.launch([offer], [task("runs", offer, "sleep 1000"), task("ended", offer), task("untold", offer)])
    one.updates("runs", "TASK_RUNNING")
    one.updates("ended", "TASK_FINISHED")
    one.update("untold", "TASK_STARTING", ack=False)
    latest = ("REASON_RECONCILIATION", "Reconciliation: Latest task state", "SOURCE_MASTER")
    one.reconcile()
    answers = {name: shape(one.update(name)) for name in ("runs", "untold")}
    assert answers == {"runs": ("TASK_RUNNING", *latest), "untold": ("TASK_STARTING", *latest)}
    one.reconcile("ended", ("runs", "no agent"))
    assert one.update("ended")["state"] == "TASK_UNKNOWN"
    assert shape(one.update("runs")) == ("TASK_RUNNING", *latest)
    assert one.has_none("UPDATE", QUIET_S)


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
def test_maintenance_is_announced_with_offers_and_inverse_offers(master, framework):
    one = subscribed(framework)
    offer = offer_of(one, "lossy")
    one.launch([offer], [task("in the way", offer, "sleep 1000")], 0)
    one.updates("in the way", "TASK_RUNNING")
    rest = offer_of(one, "lossy")
    window = {"start": {"nanoseconds": 4_000_000_000_000_000_000}, "duration": {"nanoseconds": 60_000_000_000}}
    master.maintain(LOSSY, 4e9, 60)
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
        master.maintain_none(LOSSY)
    while "unavailability" in offer_of(one, "lossy"):
        pass


@pytest.mark.parametrize("capabilities", [[], [AWARE]])
def test_an_agent_is_lost_and_comes_back(master, framework, capabilities):
    one = subscribed(framework, *capabilities)
    state = "TASK_UNREACHABLE" if capabilities else "TASK_LOST"
    offer = offer_of(one, "lossy")
    agent_id = offer["agent_id"]["value"]
    one.launch([offer], [task("far", offer, "sleep 1000")], 0)
    one.updates("far", "TASK_RUNNING")
    rest = offer_of(one, "lossy")
    master.lose(LOSSY)
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
        master.heal(LOSSY)
    back = one.update("far")
    reason = ("REASON_AGENT_REREGISTERED", "Unreachable agent re-reregistered", "SOURCE_MASTER")
    assert shape(back) == ("TASK_RUNNING", *reason)
    one.kill("far")
    assert one.updates("far", "TASK_KILLED")
