"""A leader and other nodes over real sockets, with real tasks: what concerns an agent goes to its node; a node that is
away is waited for; a leader that was deposed is not heard."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from chronos_py.drivers.group import Member
from chronos_py.drivers.group import node as node_module
from chronos_py.drivers.group.node import Refused
from chronos_py.drivers.group.transport import Http, NoAnswer
from chronos_py.drivers.group.wire import LARGEST, NODE_PATH, SIGNATURE, Ask, Told, dump, load, sign
from chronos_py.errors import Unavailable, UnknownTask
from chronos_py.model.messages import (
    Acknowledge,
    AgentLost,
    Decline,
    DriverReady,
    Kill,
    Launch,
    OffersReceived,
    Reconcile,
    Resubscribe,
    Revive,
    StatusUpdate,
)
from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources
from tests.drivers.group.rig import KEY, Machine, Register
from tests.drivers.rig import Listener, a_task
from tests.waiting import until


class Leader:
    """A machine that leads two others."""

    def __init__(self, folder: Path) -> None:
        self.register = Register()
        self.machines = [Machine(self.register, folder / name) for name in ("one", "two", "three")]
        self.first, self.second, self.third = self.machines
        self.listener = Listener()
        self.first.driver.start(self.listener.events.put, "")

    @property
    def driver(self) -> Any:
        return self.first.driver

    def offer(self, machine: Machine) -> Offer:
        """Return a machine's next offer."""
        event = self.listener.wait(lambda e: isinstance(e, OffersReceived) and e.offers[0].agent_id == machine.agent_id)
        offer: Offer = event.offers[0]
        return offer

    def launch(self, machine: Machine, command: str, name: str = "") -> str:
        """Start a task on a machine; return its id."""
        task = a_task(name or f"on-{machine.folder.name}", command)
        self.driver.perform(Launch((self.offer(machine),), (task,)))
        return task.id

    def launch_to_stay(self, machine: Machine) -> str:
        """Start a task that ends only when it is told to; return its id once it is at work."""
        task_id = self.launch(machine, "echo at work; exec sleep 600")
        self.listener.running(task_id)
        until(lambda: self.driver.output(task_id, "stdout", 0, 100, machine.agent_id).size > 0)
        return task_id

    def settle(self, task_id: str) -> StatusUpdate:
        end = self.listener.end_of(task_id)
        self.driver.perform(Acknowledge(end))
        return end

    def away(self, machine: Machine) -> None:
        """End a machine that the leader has reached before."""
        until(lambda: self.driver.status().detail["nodes"][machine.agent_id]["live"])
        machine.end()
        self.listener.wait(lambda e: e == AgentLost(machine.agent_id))


@pytest.fixture
def leader(tmp_path: Path) -> Iterator[Leader]:
    leader = Leader(tmp_path)
    yield leader
    for machine in leader.machines:
        machine.end()


def test_tasks_run_where_their_offers_are(leader: Leader):
    ids = {leader.launch(machine, "pwd; echo $0 >&2"): machine for machine in leader.machines}
    for task_id, machine in ids.items():
        end = leader.settle(task_id)
        assert (end.state, end.agent_id, end.host) == ("TASK_FINISHED", machine.agent_id, machine.folder.name)
        for agent_id in (machine.agent_id, ""):
            text = leader.driver.output(task_id, "stdout", 0, 1000, agent_id).data.decode()
            assert str(machine.folder) in text
    with pytest.raises(UnknownTask):
        leader.driver.output("ct:1:0:none:", "stdout", 0, 10, leader.second.agent_id)
    with pytest.raises(UnknownTask):
        leader.driver.output("ct:1:0:none:", "stdout", 0, 10)
    status = leader.driver.status()
    assert status.live
    assert {name: node["live"] for name, node in status.detail["nodes"].items()} == {
        machine.agent_id: True for machine in leader.machines
    }


def test_a_task_is_stopped_and_asked_after_on_its_own_node(leader: Leader):
    task_id, agent_id = leader.launch_to_stay(leader.second), leader.second.agent_id
    leader.driver.perform(Reconcile(((task_id, agent_id), ("ct:1:0:never:", leader.third.agent_id))))
    assert leader.listener.running(task_id).agent_id == agent_id
    assert leader.listener.end_of("ct:1:0:never:").state == "TASK_DROPPED"
    leader.driver.perform(Kill(task_id, agent_id, 5))
    assert leader.settle(task_id).state == "TASK_KILLED"


def test_declined_offers_come_back_from_their_node(leader: Leader):
    offers = [leader.offer(machine) for machine in leader.machines]
    leader.driver.perform(Decline(tuple(offer.id for offer in offers), 3600))
    leader.driver.perform(Revive())
    again = [leader.offer(machine) for machine in leader.machines]
    assert not {offer.id for offer in offers} & {offer.id for offer in again}


def test_what_a_node_ran_while_it_was_away_is_told_when_it_is_back(leader: Leader, tmp_path: Path):
    gate = tmp_path / "gate"
    runs = leader.launch(leader.second, f"until test -e {gate}; do sleep 0.05; done; exit 3")
    agent_id = leader.listener.running(runs).agent_id
    leader.away(leader.second)
    leader.listener.seen.clear()
    never = "ct:1:0:never-arrived:"
    leader.driver.perform(Reconcile(((runs, agent_id), (never, agent_id))))
    for task_id in (runs, never):
        assert leader.listener.news(task_id).state == "TASK_UNREACHABLE"
    with pytest.raises(Unavailable):
        leader.driver.output(runs, "stdout", 0, 10, agent_id)
    gate.touch()
    leader.second.begin()
    assert leader.listener.end_of(never).state == "TASK_DROPPED"
    end = leader.settle(runs)
    assert (end.state, end.exit_code, end.agent_id) == ("TASK_FAILED", 3, agent_id)


def test_a_launch_that_never_went_out_is_dropped_at_once(leader: Leader):
    offer = leader.offer(leader.second)
    leader.away(leader.second)
    task = a_task("late", "true")
    leader.driver.perform(Launch((offer,), (task,)))
    end = leader.listener.end_of(task.id)
    assert (end.state, end.reason, end.uuid) == ("TASK_DROPPED", "INVALID_OFFERS", "")
    leader.driver.perform(Kill(task.id, offer.agent_id, 1))
    leader.second.begin()
    assert leader.offer(leader.second).id != offer.id


def test_a_node_that_is_gone_for_good_is_forgotten(leader: Leader):
    agent_id = leader.second.agent_id
    leader.away(leader.second)
    leader.register.leave(agent_id)
    assert agent_id not in leader.driver.status().detail["nodes"]
    leader.second.begin()
    leader.offer(leader.second)


def test_the_next_leader_learns_all_and_the_one_before_is_not_heard(leader: Leader):
    runs = leader.launch_to_stay(leader.third)
    ended = leader.launch(leader.first, "exit 4")
    leader.listener.end_of(ended)
    late = leader.offer(leader.second)
    listener, before = Listener(), leader.first.driver
    leader.second.epoch = 2
    leader.second.driver.start(listener.events.put, "")
    assert isinstance(listener.events.get(timeout=20), DriverReady)
    assert listener.running(runs).agent_id == leader.third.agent_id
    end = listener.end_of(ended)
    assert end.exit_code == 4
    leader.second.driver.perform(Acknowledge(end))
    task = a_task("deposed", "true")
    before.perform(Launch((late,), (task,)))  # which it had yet to give when it lost
    before.perform(Kill(runs, leader.third.agent_id, 0))
    lost = {leader.listener.wait(lambda e: isinstance(e, AgentLost)) for _ in leader.machines}
    assert lost == {AgentLost(machine.agent_id) for machine in leader.machines}
    leader.second.driver.perform(Reconcile(((runs, leader.third.agent_id), (task.id, leader.second.agent_id))))
    assert listener.running(runs).agent_id == leader.third.agent_id
    assert listener.end_of(task.id).state == "TASK_DROPPED"
    leader.second.driver.perform(Kill(runs, leader.third.agent_id, 1))
    assert listener.end_of(runs).state == "TASK_KILLED"


def test_a_leader_that_is_elected_again_goes_on_with_a_new_epoch(leader: Leader):
    for machine in leader.machines:
        leader.offer(machine)
    leader.first.epoch = 5
    for seen in leader.register.epochs:
        seen(5)
    leader.driver.perform(Revive())
    task_id = leader.launch(leader.third, "true")
    assert leader.settle(task_id).state == "TASK_FINISHED"


def test_all_sessions_are_made_anew_on_demand(leader: Leader):
    task_id = leader.launch_to_stay(leader.third)
    for machine in (leader.first, leader.second):
        leader.offer(machine)
    leader.listener.seen.clear()
    leader.driver.perform(Resubscribe("no offers come"))
    lost = {leader.listener.wait(lambda e: isinstance(e, AgentLost)) for _ in leader.machines}
    assert lost == {AgentLost(machine.agent_id) for machine in leader.machines}
    assert leader.listener.running(task_id).agent_id == leader.third.agent_id
    for machine in leader.machines:
        leader.offer(machine)
    leader.driver.perform(Kill(task_id, leader.third.agent_id, 1))
    assert leader.settle(task_id).state == "TASK_KILLED"


def test_an_epoch_outlives_the_node(leader: Leader):
    leader.register.epochs[1](7)
    leader.second.end()
    leader.second.begin()
    with pytest.raises(Refused, match="epoch 6 is over"):
        leader.second.driver.node.exchange(Ask(6, 2**62, begin=True))


def test_a_session_is_begun_once_and_its_requests_are_carried_out_once(leader: Leader):
    node = leader.second.driver.node
    session = 2**62
    assert node.exchange(Ask(9, session, begin=True)).agent_id == node.agent_id
    kill = Kill("ct:1:0:x:", node.agent_id, 1)
    node.exchange(Ask(9, session, number=1, effects=(kill,)))
    for ask in (
        Ask(9, session, number=1, effects=(kill,)),
        Ask(9, session, begin=True),
        Ask(9, session - 1, begin=True),
        Ask(9, session - 1),
        Ask(9, session + 1),
        Ask(8, session),
    ):
        with pytest.raises(Refused):
            node.exchange(ask)


def test_events_are_kept_until_they_have_arrived(leader: Leader):
    node = leader.second.driver.node
    node.exchange(Ask(9, 2**62, begin=True))
    first = node.exchange(Ask(9, 2**62, wait=20))
    assert first.events
    again = node.exchange(Ask(9, 2**62))
    assert again.events[: len(first.events)] == first.events
    later = node.exchange(Ask(9, 2**62, after=first.upto))
    assert later.upto >= first.upto
    assert later.events == again.events[len(first.events) :] or later.upto > again.upto


def test_a_leader_that_fetches_nothing_loses_its_session(leader: Leader, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(node_module, "HELD", 3)
    node = leader.second.driver.node
    node.exchange(Ask(9, 2**62, begin=True))
    for number in range(10):
        node.local.perform(Reconcile(((f"ct:1:0:n{number}:", node.agent_id),)))

    def refused() -> bool:
        try:
            node.exchange(Ask(9, 2**62))
        except Refused:
            return True
        return False

    until(refused)


# --- strangers


@pytest.mark.parametrize("path", [NODE_PATH, "/internal/output", "/internal/else"])
def test_who_has_no_key_is_not_heard(leader: Leader, path: str):
    body = dump(Ask(99, 99, begin=True))
    instance = leader.second.driver.instance.encode()
    wrong = [
        "",
        "0" * 64,
        "\xe4",
        sign(b"other key", instance, path.encode(), body),
        sign(KEY, b"another instance", path.encode(), body),
        sign(KEY, instance, b"/internal/elsewhere", body),
        sign(KEY, instance, path.encode(), body + b" "),
    ]
    for signature in wrong:
        answer = requests.post(
            leader.second.url + path, body, headers={SIGNATURE: signature.encode("latin-1")}, timeout=10
        )
        assert answer.status_code == 401
        assert SIGNATURE not in answer.headers
    assert leader.second.driver.node._epoch < 99


def test_requests_of_wrong_forms_are_refused(leader: Leader):
    url, instance = leader.second.url + NODE_PATH, leader.second.driver.instance.encode()
    assert requests.get(url, timeout=10).status_code == 405
    big = {SIGNATURE: "0" * 64, "Content-Length": str(LARGEST + 1)}
    assert requests.post(url, b"", headers=big, timeout=10).status_code == 413
    for body, status in ((b"{}", 400), (b"no", 400), (dump(Ask(1, 1, wait=1e6)), 400), (dump(Ask(0, 1)), 409)):
        signature = sign(KEY, instance, NODE_PATH.encode(), body)
        answer = requests.post(url, body, headers={SIGNATURE: signature}, timeout=10)
        assert (answer.status_code, bool(answer.json()["error"])) == (status, True)
    signature = sign(KEY, instance, b"/internal/else", b"")
    answer = requests.post(f"{leader.second.url}/internal/else", b"", headers={SIGNATURE: signature}, timeout=10)
    assert answer.status_code == 404


def test_an_answer_that_is_not_the_nodes_own_is_not_believed(leader: Leader):
    """Somebody who answers at the node's address without the key says that the task was dropped."""
    member = Member(leader.second.agent_id, f"127.0.0.1:{leader.second.port}", leader.second.driver.instance)
    lie = dump(Told(member.agent_id, (StatusUpdate("ct:1:0:t:", "TASK_DROPPED", member.agent_id),), 1))

    def lying(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        start_response("200 OK", [("Content-Length", str(len(lie))), (SIGNATURE, sign(b"guess", lie))])
        return [lie]

    leader.second.server.set_app(lying)
    with pytest.raises(NoAnswer, match="not signed"):
        Http(lambda: member, lambda: KEY).exchange(Ask(1, 1))
    assert load(Told, lie).events


def test_a_big_launch_arrives_whole(leader: Leader):
    offer = leader.offer(leader.third)
    small = Resources.of(0.01, 1, 1)
    tasks = tuple(a_task(f"big-{number}", f"true {'x' * 50_000}", resources=small) for number in range(20))
    leader.driver.perform(Launch((offer,), tasks))
    assert {leader.settle(task.id).state for task in tasks} == {"TASK_FINISHED"}


def test_a_driver_that_was_stopped_tells_nothing(leader: Leader):
    leader.offer(leader.second)
    leader.driver.stop()
    assert not leader.driver.status().live
    before = threading.active_count()
    leader.driver.perform(Revive())
    leader.driver.perform(Reconcile((("ct:1:0:x:", leader.second.agent_id),)))
    leader.second.driver.node.local.perform(Revive())
    until(lambda: threading.active_count() <= before)
    while not leader.listener.events.empty():
        assert not isinstance(leader.listener.events.get(), AgentLost)
