"""What becomes of tasks: launched, refused, killed, asked about; a real Mesos master and the simulated one agree."""

from __future__ import annotations

from typing import Any

import pytest

from compat_tests.masters_suite import (
    AWARE,
    KILLING,
    MACHINES,
    QUIET_S,
    REFINED,
    offer_of,
    shape,
    subscribed,
)
from compat_tests.servers.mesos_client import scalar, task, total


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
