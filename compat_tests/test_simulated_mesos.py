"""The faults that the simulated Mesos master plays, as a framework sees them."""

from __future__ import annotations

import base64
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys

import pytest
import requests

from compat_tests.servers.mesos_client import EventStream, MesosFramework, Refused, StreamEnded, task, total
from compat_tests.servers.simulated_mesos import SimulatedMesos
from compat_tests.servers.simulated_mesos.process import ROOT

QUIET_S = 0.3
SLEEP = "exec sleep 1000"


@pytest.fixture
def simulator():
    with SimulatedMesos(agents=2, allocation_interval=0.05) as simulator:
        yield simulator


@pytest.fixture
def framework(simulator):
    one = MesosFramework(simulator.address, capabilities=[{"type": "PARTITION_AWARE"}])
    one.subscribe()
    yield one
    one.close()


def running(framework, *names):
    """Start a sleeping task of each name on one agent, acknowledged up to TASK_RUNNING."""
    offer = framework.offers()[0]
    framework.launch([offer], [task(name, offer, SLEEP) for name in names], 0)
    for name in names:
        framework.updates(name, "TASK_RUNNING")
    return offer


# --- the process -------------------------------------------------------------------------
def test_it_dies_with_its_owner():
    owner = (
        "from compat_tests.servers.simulated_mesos import SimulatedMesos\n"
        "import sys\ns = SimulatedMesos()\nprint(s.pid, s.address, flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", owner], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        _, address = process.stdout.readline().split()
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            os.kill(process.pid, signal.SIGKILL)
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""  # nobody is left who would hold it


def test_unknown_commands_and_settings_are_refused(simulator):
    with pytest.raises(RuntimeError, match="no command"):
        simulator.no_such_thing()
    with pytest.raises(RuntimeError, match="agent: there is no 'nope'"):
        simulator.lose_agent(agent="nope")
    with pytest.raises(RuntimeError, match="no setting 'speed'"):
        simulator.settings(speed=3)
    with pytest.raises(ValueError, match="no setting 'speed'"):
        SimulatedMesos(speed=3)


def test_a_thousand_agents_are_offered():
    with SimulatedMesos(agents=1000, agent_resources="cpus:2;mem:512", allocation_interval=0.05) as simulator:
        one = MesosFramework(simulator.address)
        one.subscribe()
        offers = one.offers(1000)
        assert len({offer["agent_id"]["value"] for offer in offers}) == 1000
        assert simulator.trace()["offers_outstanding"] == 1000
        one.close()


def test_credentials_are_required():
    with SimulatedMesos(credential=("alice", "secret")) as simulator:
        for credential in (None, ("alice", "wrong")):
            with pytest.raises(Refused) as refused:
                MesosFramework(simulator.address, credential=credential).subscribe()
            assert refused.value.status == 401 and refused.value.headers["www-authenticate"].startswith("Basic")
        one = MesosFramework(simulator.address, credential=("alice", "secret"))
        one.subscribe()
        one.revive()
        one.close()


# --- agents and offers ---------------------------------------------------------------------
def test_a_lost_agent_comes_back_as_a_new_one(simulator, framework):
    offer = running(framework, "t")
    old = offer["agent_id"]["value"]
    simulator.lose_agent(agent=old)
    assert framework.update("t")["state"] == "TASK_UNREACHABLE"
    new = simulator.return_agent(agent=old, fresh=True)
    assert new != old
    assert {a["id"]: a["state"] for a in simulator.agents()}[old] == "unreachable"
    while all(offer["agent_id"]["value"] != new for offer in framework.offers()):
        pass
    framework.reconcile(("t", old))
    assert framework.update("t")["state"] == "TASK_UNREACHABLE"


def test_updates_of_a_lost_agent_come_when_it_is_back(simulator, framework):
    offer = running(framework, "t")
    simulator.lose_agent(agent=offer["agent_id"]["value"])
    framework.update("t", "TASK_UNREACHABLE")
    simulator.finish(task_id="t", state="TASK_FAILED", message="of memory", reason="REASON_CONTAINER_LIMITATION_MEMORY")
    assert framework.has_none("UPDATE", QUIET_S)
    simulator.return_agent(agent=offer["agent_id"]["value"])
    assert framework.update("t", "TASK_FAILED")["reason"] == "REASON_CONTAINER_LIMITATION_MEMORY"


def test_offers_are_rescinded_and_withheld(simulator, framework):
    offers = framework.offers(2)
    simulator.withhold()
    assert simulator.rescind() == 2
    rescinded = [framework.wait("RESCIND")["offer_id"]["value"] for _ in offers]
    assert sorted(rescinded) == sorted(offer["id"]["value"] for offer in offers)
    framework.revive()
    assert framework.has_none("OFFERS", QUIET_S)
    framework.launch([offers[0]], [task("late", offers[0])])
    assert framework.update("late")["state"] == "TASK_DROPPED"
    simulator.withhold(on=False)
    assert framework.offers()


def test_agents_with_gpus_are_offered_to_those_who_know_them(simulator, framework):
    simulator.add_agent(hostname="gpu", resources="cpus:1;mem:512;gpus:2", attributes="kind:fast")
    other = MesosFramework(simulator.address, capabilities=[{"type": "GPU_RESOURCES"}])
    other.subscribe()
    offer = other.offers()[0]
    assert (offer["hostname"], total(offer, "gpus")) == ("gpu", 2.0)
    framework.offers(2)
    assert framework.has_none("OFFERS", QUIET_S)
    other.close()


# --- updates -------------------------------------------------------------------------------
def test_unacknowledged_updates_are_told_again(simulator, framework):
    simulator.settings(retry_interval=0.2)
    offer = framework.offers()[0]
    framework.launch([offer], [task("t", offer)])
    first = framework.update("t", ack=False)
    assert framework.update("t", ack=False)["uuid"] == first["uuid"]
    framework.acknowledge(first)
    assert framework.update("t", "TASK_RUNNING")["uuid"] != first["uuid"]


def test_duplicate_reordered_and_invented_updates(simulator, framework):
    offer = framework.offers()[0]
    framework.launch([offer], [task("t", offer, SLEEP)])
    first = framework.update("t", ack=False)
    simulator.duplicate(task_id="t", count=2)
    assert [framework.update("t", ack=False)["uuid"] for _ in range(2)] == [first["uuid"]] * 2
    simulator.hold_updates()
    framework.acknowledge(first)
    simulator.send_status(task_id="t", state="TASK_FROM_THE_FUTURE")
    assert framework.has_none("UPDATE", QUIET_S)
    assert simulator.release_updates() == 2
    assert [framework.update("t", ack=False)["state"] for _ in range(2)] == ["TASK_FROM_THE_FUTURE", "TASK_RUNNING"]
    simulator.send_status(task_id="nobody's", state="TASK_FINISHED", uuid=None)
    assert "uuid" not in framework.update("nobody's")


@pytest.mark.parametrize("direct", [True, False])
def test_a_burst_of_updates(simulator, framework, direct):
    running(framework, "a", "b")
    simulator.burst(count=100, direct=direct)
    for name in ("a", "b"):
        assert len({framework.update(name, "TASK_RUNNING")["uuid"] for _ in range(50)}) == 50


def test_launches_that_nothing_is_heard_of(simulator, framework):
    simulator.silent_launches(count=1)
    offer = framework.offers()[0]
    framework.launch([offer], [task("silent", offer), task("next", offer)])
    framework.updates("next", "TASK_FINISHED")
    framework.reconcile("silent")
    assert framework.update("silent")["state"] == "TASK_STAGING"
    framework.kill("silent")
    killed = framework.update("silent")
    assert (killed["state"], killed["reason"]) == ("TASK_KILLED", "REASON_TASK_KILLED_DURING_LAUNCH")


# --- the stream ------------------------------------------------------------------------------
def test_heartbeats_stop():
    with SimulatedMesos(heartbeat_interval=0.05) as other:
        one = MesosFramework(other.address)
        one.subscribe()
        for _ in range(3):
            one.wait("HEARTBEAT")
        other.heartbeats(on=False)
        one.held.clear()
        one.has_none("HEARTBEAT", QUIET_S)  # one may be on its way
        assert one.has_none("HEARTBEAT", QUIET_S)
        one.close()


def test_a_stalled_master_neither_reads_nor_sends(simulator, framework):
    framework.offers(2)
    simulator.stall()
    with socket.create_connection(("127.0.0.1", int(simulator.address.rpartition(":")[2])), timeout=QUIET_S) as late:
        late.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(TimeoutError):
            late.recv(1)
        simulator.rescind()
        assert framework.has_none("RESCIND", QUIET_S)
        simulator.resume()
        late.settimeout(30)
        assert late.recv(100).startswith(b"HTTP/1.1 200")
    assert framework.wait("RESCIND")


def test_a_stream_is_cut_and_taken_up_again(simulator, framework):
    running(framework, "t")
    simulator.cut(framework_id=framework.id)
    with pytest.raises((StreamEnded, ConnectionResetError)):
        framework.wait("ERROR")
    framework.subscribe(framework.id)
    framework.reconcile()
    assert framework.update("t")["state"] == "TASK_RUNNING"


def test_what_is_injected_arrives_as_it_is(simulator, framework):
    framework.offers(2)
    framework.wait("HEARTBEAT")
    simulator.inject(event={"type": "UNHEARD_OF", "unheard_of": 1})
    assert framework.stream.event(30) == {"type": "UNHEARD_OF", "unheard_of": 1}
    simulator.inject(text="{not json")
    assert framework.stream.record(30) == b"{not json"
    simulator.inject(chunk=base64.b64encode(b"this is no chunk\r\n").decode())
    with pytest.raises(ValueError, match="this is no chunk"):
        framework.stream.record(30)


# --- calls -----------------------------------------------------------------------------------
@pytest.mark.parametrize("after", [False, True])
def test_an_accept_whose_fate_is_unknown(simulator, framework, after):
    offer = framework.offers()[0]
    simulator.fail_calls(action="cut", kind="ACCEPT", after=after)
    with pytest.raises(requests.ConnectionError):
        requests.post(
            f"http://{simulator.address}/api/v1/scheduler",
            json={
                "type": "ACCEPT",
                "framework_id": {"value": framework.id},
                "accept": {
                    "offer_ids": [offer["id"]],
                    "operations": [{"type": "LAUNCH", "launch": {"task_infos": [task("t", offer, SLEEP)]}}],
                },
            },
            headers={"Mesos-Stream-Id": framework.stream.stream_id},
            timeout=30,
        )
    framework.reconcile(("t", offer["agent_id"]["value"]))
    if after:
        assert framework.updates("t", "TASK_RUNNING")
    else:
        assert framework.update("t")["state"] == "TASK_GONE"
    assert simulator.trace()["launches"] == int(after)


def test_calls_fail_for_a_while(simulator, framework):
    simulator.fail_calls(action="503", count=2)
    simulator.fail_calls(action="500", kind="REVIVE")
    assert [framework.call("REVIVE").status for _ in range(4)] == [503, 503, 500, 202]
    simulator.fail_calls(action="hang", kind="REVIVE")
    with pytest.raises(requests.Timeout):
        requests.post(
            f"http://{simulator.address}/api/v1/scheduler",
            json={"type": "REVIVE", "framework_id": {"value": framework.id}},
            headers={"Mesos-Stream-Id": framework.stream.stream_id},
            timeout=QUIET_S,
        )
    assert simulator.trace()["refused"] == {"503": 2, "500": 1}


def test_a_master_that_does_not_lead(simulator):
    one = MesosFramework(simulator.address)
    simulator.unavailable(on=True)
    with pytest.raises(Refused, match="503"):
        one.subscribe()
    simulator.redirect(to="127.0.0.1:9")
    with pytest.raises(Refused) as refused:
        one.subscribe()
    assert refused.value.status == 307
    assert refused.value.headers["location"] == "//127.0.0.1:9/api/v1/scheduler"
    simulator.redirect(to=None)
    simulator.unavailable(on=False)
    one.subscribe()
    one.close()


# --- the master --------------------------------------------------------------------------------
def test_an_operator_removes_the_framework(simulator, framework):
    running(framework, "t")
    simulator.remove_framework(framework_id=framework.id)
    assert framework.wait("ERROR") == {"message": "Framework has been removed"}
    again = MesosFramework(simulator.address)
    assert again.try_subscribe(framework.id)["type"] == "ERROR"
    again.close()
    assert simulator.tasks() == []


def test_another_master_learns_of_tasks_when_agents_register(simulator, framework):
    offer = running(framework, "t")
    agent_id = offer["agent_id"]["value"]
    simulator.failover(agents_after=None)
    with pytest.raises(StreamEnded):
        framework.wait("ERROR")
    framework.subscribe(framework.id)
    framework.reconcile()
    framework.reconcile(("t", agent_id), ("never", agent_id))
    framework.reconcile("never")
    assert framework.update("never")["state"] == "TASK_UNKNOWN"  # without the agent's id there is nothing to wait for
    assert not [event for event in framework.held if event["type"] == "UPDATE"]
    assert {agent["state"] for agent in simulator.agents()} == {"recovered"}
    assert simulator.register_agents() == 2
    framework.reconcile()
    assert framework.update("t")["state"] == "TASK_RUNNING"
    framework.kill("t")
    assert framework.update("t", "TASK_KILLED")


def test_agents_come_back_to_another_master_by_themselves(simulator, framework):
    running(framework, "t")
    simulator.failover(agents_after=0.2, spread=0.2)
    framework.subscribe(framework.id)
    assert framework.offers(2)


def test_what_was_called_is_kept(simulator, framework):
    offers = framework.offers(2)
    framework.decline([offers[0]], 7.5)
    framework.launch([offers[1]], [task("t", offers[1], "exit 1")], 1000)
    framework.updates("t", "TASK_FAILED")
    trace = simulator.trace()
    assert (trace["calls"]["DECLINE"], trace["calls"]["ACCEPT"], trace["calls"]["ACKNOWLEDGE"]) == (1, 1, 3)
    assert (trace["launches"], trace["launched_twice"], trace["ended"]) == (1, {}, {"TASK_FAILED": 1})
    (decline,) = simulator.log(of="declines")
    assert (decline["offers"], decline["refuse_seconds"]) == (1, 7.5)
    assert {hold["how"] for hold in simulator.log(of="holds")} == {"declined", "accepted"}
    assert [call for _, call, _ in simulator.log(of="call_log")] == ["SUBSCRIBE", "DECLINE", "ACCEPT"]
    later = framework.offers()  # of the agent whose task has ended, once its filter does not contain what is free
    framework.launch(later, [task("t", later[0])], 1000)
    framework.updates("t", "TASK_FINISHED")
    assert simulator.trace()["launched_twice"] == {"t": 1}


JUNK = [None, True, 0, -1, 1.5, 1e308, "", "x", [], {}, [1], [{}], {"value": 1}, {"value": None}, [[]], 10**30]


def mutated(value, dice):
    """Return a copy with a few members left out or replaced by something odd."""
    if dice.random() < 0.12:
        return dice.choice(JUNK)
    if isinstance(value, dict):
        return {key: mutated(part, dice) for key, part in value.items() if dice.random() > 0.03}
    return [mutated(part, dice) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize("seed", range(4))
def test_no_call_is_too_odd_to_be_answered(simulator, framework, seed):
    dice = random.Random(seed)
    offer = framework.offers()[0]
    infos = [task("t", offer, executor={"executor_id": {"value": "x"}}), task("u", offer)]
    launch = {"type": "LAUNCH", "launch": {"task_infos": infos}}
    known = {"task_id": {"value": "x"}, "agent_id": offer["agent_id"]}
    parts = {
        "ACCEPT": {"offer_ids": [offer["id"]], "operations": [launch], "filters": {"refuse_seconds": 0.0}},
        "DECLINE": {"offer_ids": [offer["id"]], "filters": {"refuse_seconds": 1}},
        "REVIVE": {"roles": ["*"]},
        "SUPPRESS": {"roles": ["*"]},
        "KILL": known,
        "RECONCILE": {"tasks": [known]},
        "ACKNOWLEDGE": known | {"uuid": "vWzdjgsGSQO7qb69R4nBqQ=="},
        "ACCEPT_INVERSE_OFFERS": {"inverse_offer_ids": [{"value": "x"}]},
    }
    for _ in range(60):
        for kind, part in parts.items():
            assert framework.call(kind, mutated(part, dice)).status in (202, 400, 501)
    framework.teardown()  # gives back all that it held, if it was all accounted for
    other = MesosFramework(simulator.address)
    other.subscribe()
    assert sorted(total(offer, "cpus") for offer in other.offers(2)) == [8.0, 8.0]
    other.close()


def test_a_body_may_come_in_pieces_and_calls_in_a_row(simulator):
    call = {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "u", "name": "n"}}}
    stream = EventStream(simulator.address, call, {"Content-Type": "application/json"})
    framework_id = stream.event(30)["subscribed"]["framework_id"]["value"]
    body = b'{"type":"REVIVE","framework_id":{"value":"%b"}}' % framework_id.encode()
    head = b"POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nMesos-Stream-Id: %b\r\n"
    request = head % stream.stream_id.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    host, _, port = simulator.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        data = request * 3
        for start in range(0, len(data), 100):
            connection.sendall(data[start : start + 100])
        answers = b""
        while answers.count(b"HTTP/1.1 202") < 3:
            answers += connection.recv(1000)
        connection.sendall(b"nonsense\r\n\r\n")
        while data := connection.recv(1000):
            answers += data
        assert b"HTTP/1.1 400" in answers
    stream.close()
