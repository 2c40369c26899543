"""The election, with a ZooKeeper that does what the test says."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kazoo.handlers import utils as kazoo_sockets

from chronos_py.election import Leadership, ZooKeeperLeadership
from chronos_py.election import zookeeper as module
from chronos_py.zookeeper import ZooKeeperAddress
from tests.election.scripted import PATH, FakeClient, FakeZooKeeper
from tests.waiting import until

FOREIGN = "_c_00000000-0000-4000-8000-000000000000-latch-"


class Candidate:
    """One node's part in the election, and what it was told."""

    def __init__(self, zookeeper: FakeZooKeeper, address: str) -> None:
        self.zookeeper = zookeeper
        self.calls: list[str] = []
        self.address = address
        self.election = ZooKeeperLeadership(zookeeper.client, PATH, address, timeout=5.0)

    def start(self) -> Candidate:
        self.election.start(lambda: self.calls.append("elected"), self.calls.append)
        until(lambda: self.election.standing().node)
        return self

    @property
    def client(self) -> FakeClient:
        return self.zookeeper.clients[-1]

    def leads(self) -> bool:
        """Tell whether it leads and has been told so."""
        return self.election.is_leader() and self.calls[-1:] == ["elected"]

    def follows(self, leader: str) -> bool:
        standing = self.election.standing()
        return (standing.role, standing.leader) == ("follower", leader)

    @property
    def nodes(self) -> list[str]:
        return [path for path, node in self.zookeeper.nodes.items() if node.data == self.address.encode()]


@pytest.fixture
def zookeeper() -> FakeZooKeeper:
    return FakeZooKeeper()


@pytest.fixture
def candidates(zookeeper: FakeZooKeeper, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Make a candidate by its address."""
    monkeypatch.setattr(module, "MOMENT_S", 0.05)
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)
    made: list[Candidate] = []

    def make(address: str = "me:1") -> Candidate:
        made.append(Candidate(zookeeper, address))
        return made[-1].start()

    yield make
    for candidate in made:
        candidate.election.stop()
        assert not candidate.nodes


def test_a_lone_candidate_is_elected(candidates: Any, zookeeper: FakeZooKeeper):
    one = candidates("me:1")
    until(one.leads)
    leadership: Leadership = one.election
    standing = leadership.standing()
    assert one.calls == ["elected"]
    assert (standing.leader, standing.session, standing.candidates) == ("me:1", "connected", 1)
    assert standing.node == zookeeper.names()[0]
    assert standing.able


def test_the_next_one_follows_until_the_leader_stops(candidates: Any):
    first = candidates("first:1")
    until(first.leads)
    second = candidates("second:1")
    until(lambda: second.follows("first:1"))
    third = candidates("third:1")
    until(lambda: third.follows("first:1"))
    first.election.stop()
    until(second.leads)
    until(lambda: third.follows("second:1"))
    assert (first.calls, second.calls, third.calls) == (["elected"], ["elected"], [])
    assert not first.election.is_leader()
    assert first.election.leader() == ""


def test_a_follower_watches_the_one_before_it_and_the_leader(candidates: Any, zookeeper: FakeZooKeeper):
    first, second, third = candidates("a:1"), candidates("b:1"), candidates("c:1")
    until(lambda: third.follows("a:1"))
    assert {f"{PATH}/{one.election.standing().node}" for one in (first, second, third)} <= set(zookeeper.watches)
    second.election.stop()
    until(lambda: third.election.standing().candidates == 2)
    assert third.follows("a:1")


def test_a_node_of_chronos_is_respected(candidates: Any, zookeeper: FakeZooKeeper):
    name = zookeeper.add(FOREIGN, b"chronos:8080")
    one = candidates()
    until(lambda: one.follows("chronos:8080"))
    assert one.calls == []
    zookeeper.remove(f"{PATH}/{name}")
    until(one.leads)


@pytest.mark.parametrize("name", ["0123456789abcdef0123456789abcdef__lock__", "latch-", "json.info_"])
def test_nodes_of_other_forms_do_not_stand_in_the_way(candidates: Any, zookeeper: FakeZooKeeper, name: str):
    zookeeper.add(name, b"other:1")
    until(candidates().leads)


def test_a_leader_that_left_no_address_is_not_known(candidates: Any, zookeeper: FakeZooKeeper):
    zookeeper.add(FOREIGN, b"")
    one = candidates()
    until(lambda: one.election.standing().role == "follower")
    assert one.election.leader() == ""
    assert not one.election.standing().able


def test_a_connection_in_doubt_ends_leadership_at_once(candidates: Any):
    one = candidates()
    until(one.leads)
    one.client.suspend()
    assert not one.leads()  # before anything else is asked
    assert 0 < one.election.lease() <= 5.0  # nobody else can lead yet
    assert one.election.leader() == ""
    assert one.calls == ["elected", "the connection to ZooKeeper is suspended"]
    node = one.nodes
    one.client.connect()
    until(one.leads)
    assert one.nodes == node  # the session lived on, and nobody else could lead
    assert one.calls[2:] == ["elected"]


def test_a_follower_in_doubt_still_knows_the_leader(candidates: Any, zookeeper: FakeZooKeeper):
    zookeeper.add(FOREIGN, b"chronos:8080")
    one = candidates()
    until(lambda: one.follows("chronos:8080"))
    one.client.suspend()
    standing = one.election.standing()
    assert (standing.leader, standing.role, standing.session) == ("chronos:8080", "none", "suspended")
    assert not standing.able
    assert one.calls == []


def test_an_ended_session_means_a_new_node(candidates: Any, zookeeper: FakeZooKeeper):
    one = candidates()
    until(one.leads)
    before = one.nodes
    one.client.suspend()
    one.client.expire()
    assert one.election.standing().session == "lost"
    assert one.election.lease() == 0
    zookeeper.add(FOREIGN, b"chronos:8080")
    one.client.connect()
    until(lambda: one.follows("chronos:8080"))
    assert len(one.nodes) == 1
    assert one.nodes != before
    assert one.calls == ["elected", "the connection to ZooKeeper is suspended"]


def test_what_was_seen_before_a_doubt_elects_nobody(candidates: Any):
    """The connection drops between the last answer and the conclusion."""
    one = candidates()
    until(one.leads)
    one.client.suspend()
    looked = threading.Event()

    def drop() -> None:
        one.client.suspend()
        one.client.connect()
        looked.set()

    one.client.before["get"] = drop
    one.client.connect()
    assert looked.wait(20)
    until(one.leads)
    assert one.calls.count("elected") == 2  # not a third time, for what was seen before the drop


@pytest.mark.parametrize("done", [True, False])
def test_a_node_whose_creation_was_not_confirmed_is_found_or_made_once(zookeeper: FakeZooKeeper, done: bool):
    candidate = Candidate(zookeeper, "me:1")
    connect = candidate.zookeeper.client

    def losing() -> FakeClient:
        client = connect()
        client.lose("create", done=done)
        return client

    candidate.election = ZooKeeperLeadership(losing, PATH, "me:1", timeout=5.0)
    candidate.start()
    until(candidate.leads)
    assert len(candidate.nodes) == 1
    assert "sync" in candidate.client.asked
    assert candidate.client.asked.count("create") == (1 if done else 2)
    candidate.election.stop()
    assert not candidate.nodes


@pytest.mark.parametrize("done", [True, False])
def test_a_node_whose_deletion_was_not_confirmed_is_gone_all_the_same(candidates: Any, done: bool):
    one = candidates("one:1")
    until(one.leads)
    two = candidates("two:1")
    until(lambda: two.follows("one:1"))
    first = one.zookeeper.clients[0]
    first.lose("delete", done=done)
    one.election.resign("tired")
    assert one.calls == ["elected", "tired"]
    until(two.leads)
    until(lambda: one.follows("two:1"))
    assert len(one.nodes) == 1
    first.lose("delete", done=done)
    one.election.stop()
    assert not one.nodes  # the session's end deletes it


def test_who_resigns_stands_again_behind_the_others(candidates: Any):
    one, two = candidates("one:1"), candidates("two:1")
    until(one.leads)
    one.election.resign("tired")
    until(two.leads)
    until(lambda: one.follows("two:1"))
    one.election.resign("it does not lead")
    assert one.calls == ["elected", "tired"]
    two.election.stop()
    until(one.leads)


def test_who_is_alone_leads_again_after_resigning(candidates: Any):
    one = candidates()
    until(one.leads)
    one.election.resign("tired")
    until(one.leads)
    assert one.calls == ["elected", "tired", "elected"]


def test_a_leader_whose_node_is_deleted_leads_no_more(candidates: Any, zookeeper: FakeZooKeeper):
    one = candidates("one:1")
    until(one.leads)
    two = candidates("two:1")
    until(lambda: two.follows("one:1"))
    zookeeper.remove(one.nodes[0])
    until(two.leads)
    until(lambda: one.follows("two:1"))
    assert one.calls == ["elected", "our node in ZooKeeper is gone"]


def test_a_node_of_an_earlier_session_is_not_ours(candidates: Any, zookeeper: FakeZooKeeper):
    """A creation that was carried out late, in the session before this one."""
    one = candidates()
    until(one.leads)
    (path,) = one.nodes
    one.client.suspend()
    zookeeper.nodes[path].ephemeralOwner = 999
    one.client.connect()
    until(one.leads)
    until(lambda: path not in one.nodes)
    assert len(one.nodes) == 1


def test_refused_credentials_are_tried_again_with_a_new_client(candidates: Any, zookeeper: FakeZooKeeper):
    one = candidates()
    until(one.leads)
    refused = one.client
    refused.refuse()
    assert one.calls[1:] == ["the connection to ZooKeeper is refused"]
    until(lambda: len(zookeeper.clients) == 2 and one.leads())
    assert refused.stopped


def test_a_zookeeper_that_cannot_be_reached_is_waited_for(zookeeper: FakeZooKeeper):
    candidate = Candidate(zookeeper, "me:1")

    def unreachable() -> FakeClient:
        client = zookeeper.client()
        client.unreachable = True
        return client

    candidate.election = ZooKeeperLeadership(unreachable, PATH, "me:1", timeout=5.0)
    candidate.election.start(lambda: candidate.calls.append("elected"), candidate.calls.append)
    until(lambda: zookeeper.clients)
    assert candidate.election.standing().session == "connecting"
    assert candidate.election.leader() == ""
    candidate.client.connect()
    until(candidate.leads)
    candidate.election.stop()


def test_a_client_that_cannot_be_made_ends_nothing(zookeeper: FakeZooKeeper, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)
    failures = [OSError("no such file"), ValueError("nonsense")]

    def connect() -> FakeClient:
        if failures:
            raise failures.pop()
        return zookeeper.client()

    calls: list[str] = []
    election = ZooKeeperLeadership(connect, PATH, "me:1", timeout=5.0)
    election.start(lambda: calls.append("elected"), calls.append)
    until(election.is_leader)
    election.stop()
    assert calls == ["elected"]


def test_stopping_before_anything_came_of_it(zookeeper: FakeZooKeeper):
    election = ZooKeeperLeadership(zookeeper.client, PATH, "me:1", timeout=5.0)
    election.stop()
    assert election.standing().role == "none"
    election.start(lambda: None, lambda reason: None)
    assert not election.is_leader()
    assert not zookeeper.names()


def test_a_connection_that_is_back_is_asked_at_once(candidates: Any, monkeypatch: pytest.MonkeyPatch):
    """However long the pauses have become: nobody leads meanwhile."""
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 600.0)
    monkeypatch.setattr(module, "LONGEST_REST_S", 600.0)
    one = candidates()
    until(one.leads)
    one.election._pause = 600.0
    one.client.lose("get_children", done=True)
    one.election._wake.set()
    until(lambda: not one.client.losing["get_children"])
    one.client.suspend()
    one.client.connect()
    until(one.leads)


def test_one_server_that_is_dead_does_not_take_the_whole_session(monkeypatch: pytest.MonkeyPatch):
    given: list[float] = []

    def connect(*_: Any, timeout: float, **__: Any) -> None:
        given.append(timeout)
        raise OSError("no route")

    monkeypatch.setattr(kazoo_sockets, "create_tcp_connection", connect)
    client = ZooKeeperAddress("a:1,b:2,c:3", timeout=4.0).client()
    with pytest.raises(OSError, match="no route"):
        client.handler.create_connection(address=("a", 1), timeout=4.0)
    assert given == [pytest.approx(4 / 3)]


def test_a_leader_that_was_frozen_does_not_know_that_it_leads_before_it_has_asked(zookeeper: FakeZooKeeper):
    """Others may have been elected meanwhile; its own node, or what it knew of it, says nothing any more."""
    frozen_s = 0.0
    calls: list[str] = []
    election = ZooKeeperLeadership(
        zookeeper.client, PATH, "me:1", timeout=5.0, monotonic=lambda: time.monotonic() + frozen_s
    )
    election.start(lambda: calls.append("elected"), calls.append)
    try:
        until(election.is_leader)
        with zookeeper.lock:  # no answer
            frozen_s = 5.0
            assert not election.is_leader()
            assert election.lease() == 0
            assert election.standing().role == "leader"
        until(election.is_leader)
        assert calls == ["elected"]
    finally:
        election.stop()
