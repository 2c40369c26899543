"""The election on real ZooKeeper servers: many candidates, nodes of Chronos, servers that go, sessions that end."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError

from chronos_py.election import ZooKeeperLeadership
from chronos_py.election.zookeeper import FIRST_PAUSE_S
from chronos_py.zookeeper import ZooKeeperAddress
from compat_tests.servers.zookeeper import ZooKeeperEnsemble, missing
from tests.waiting import until

pytestmark = pytest.mark.external
SESSION_S = 4.0


class Group:
    """Candidates of one election. That two lead at once is noticed when the second is elected."""

    def __init__(self, hosts: str, path: str, auth: str = "") -> None:
        self.hosts, self.path, self.auth = hosts, path, auth
        self.members: dict[str, ZooKeeperLeadership] = {}
        self.clients: dict[str, list[Any]] = {}
        self.calls: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self.leaders: set[str] = set()
        self.stopped: set[str] = set()  # whoever is told to stop says nothing when it leads no more
        self.clashes: list[set[str]] = []

    def add(self, name: str) -> ZooKeeperLeadership:
        address = ZooKeeperAddress(self.hosts, timeout=SESSION_S, auth=self.auth)
        clients = self.clients[name] = []
        self.stopped.discard(name)

        def connect() -> Any:
            clients.append(address.client())
            return clients[-1]

        def elected() -> None:
            with self.lock:
                self.calls.append((name, "elected"))
                self.leaders |= {name} - self.stopped
                if len(self.leaders) > 1:
                    self.clashes.append(set(self.leaders))

        def resigned(reason: str) -> None:
            with self.lock:
                self.calls.append((name, reason))
                self.leaders.discard(name)

        member = self.members[name] = ZooKeeperLeadership(
            connect, self.path, f"{name}:8080", acl=address.acl(), timeout=SESSION_S
        )
        member.start(elected, resigned)
        until(lambda: member.standing().role != "none", 60)
        return member

    def stop(self, name: str) -> None:
        with self.lock:
            self.stopped.add(name)
            self.leaders.discard(name)
        self.members.pop(name).stop()

    def settled(self) -> bool:
        """Tell whether exactly one leads, and all know it."""
        leading = [name for name, member in self.members.items() if member.is_leader()]
        return len(leading) == 1 and all(
            member.leader() == f"{leading[0]}:8080" and member.standing().role != "none"
            for member in self.members.values()
        )

    @property
    def leader(self) -> str:
        until(self.settled, 60)
        return next(name for name, member in self.members.items() if member.is_leader())

    def close(self) -> None:
        for name in list(self.members):
            self.stop(name)


@pytest.fixture(scope="module")
def server() -> Iterator[ZooKeeperEnsemble]:
    if missing():
        pytest.skip(missing())
    with ZooKeeperEnsemble() as server:
        yield server


@pytest.fixture
def group(server: ZooKeeperEnsemble) -> Iterator[Group]:
    group = Group(server.hosts, f"/{uuid.uuid4().hex}/state/candidate")
    yield group
    group.close()
    assert not group.clashes


@pytest.fixture
def raw(server: ZooKeeperEnsemble) -> Iterator[Any]:
    client = KazooClient(server.hosts, timeout=SESSION_S)
    client.start(30)
    yield client
    client.stop()
    client.close()


def test_leadership_goes_from_the_first_to_the_last(group: Group):
    names = [f"n{number}" for number in range(5)]
    for name in names:
        group.add(name)
    for name in names[:-1]:
        assert group.leader == name
        group.stop(name)
    assert group.leader == names[-1]
    assert group.calls == [(name, "elected") for name in names]


def test_nothing_is_left_behind(group: Group, raw: Any):
    group.add("n1")
    group.add("n2")
    assert group.leader == "n1"
    assert len(raw.get_children(group.path)) == 2
    group.close()
    assert raw.get_children(group.path) == []


def test_a_node_of_chronos_leads_before_ours_and_sees_it(group: Group, raw: Any):
    """As Curator makes it: the protection before the name, the participant's id in its data."""
    raw.ensure_path(group.path)
    theirs = raw.create(
        f"{group.path}/_c_{uuid.uuid4()}-latch-", b"chronos.example.org:4400", ephemeral=True, sequence=True
    )
    raw.create(f"{group.path}/{uuid.uuid4().hex}__lock__", b"kazoo", ephemeral=True, sequence=True)
    member = group.add("n1")
    until(lambda: member.leader() == "chronos.example.org:4400")
    assert member.standing().role == "follower"
    # Curator sorts by what comes after the last `latch-`, and watches the one before its own.
    names = sorted((name for name in raw.get_children(group.path) if "latch-" in name), key=lambda n: n[-10:])
    assert [f"{group.path}/{names[0]}", len(names)] == [theirs, 2]
    data, stat = raw.get(f"{group.path}/{names[1]}")
    assert (data, bool(stat.ephemeralOwner)) == (b"n1:8080", True)
    gone = threading.Event()
    later = raw.create(f"{group.path}/_c_{uuid.uuid4()}-latch-", b"later:4400", ephemeral=True, sequence=True)
    raw.exists(f"{group.path}/{names[1]}", watch=lambda event: gone.set())
    raw.delete(theirs)
    until(member.is_leader)
    group.stop("n1")
    assert gone.wait(30)  # which is when Chronos would lead
    assert raw.get_children(group.path)
    raw.delete(later)


def test_a_session_that_zookeeper_ended(group: Group, server: ZooKeeperEnsemble):
    first = group.add("n1")
    group.add("n2")
    assert group.leader == "n1"
    node = first.standing().node
    thief = KazooClient(server.hosts, timeout=SESSION_S, client_id=group.clients["n1"][-1].client_id)
    thief.start(30)
    thief.stop()  # ends the session of both
    thief.close()
    until(group.members["n2"].is_leader, 60)
    until(group.settled, 60)
    assert ("n1", "elected") in group.calls
    assert [name for name, call in group.calls if call == "elected"] == ["n1", "n2"]
    assert first.standing().role == "follower"
    assert first.standing().node not in ("", node)


def test_a_server_that_hangs(group: Group, server: ZooKeeperEnsemble):
    """The leader steps down before its session can have ended, and one leads again afterwards."""
    group.add("n1")
    group.add("n2")
    leader = group.members[group.leader]
    server.pause(0)
    try:
        until(lambda: not leader.is_leader(), 60)
        until(lambda: not group.leaders and leader.leader() == "", 60)  # which is told a moment after the lease ends
    finally:
        server.resume(0)
    assert group.leader in ("n1", "n2")


def test_a_server_that_is_killed_and_comes_back(group: Group, server: ZooKeeperEnsemble):
    group.add("n1")
    group.add("n2")
    leader = group.members[group.leader]
    server.kill(0)
    try:
        until(lambda: not leader.is_leader(), 60)
    finally:
        server.start(0)
        server.wait()
    assert group.leader in ("n1", "n2")
    assert all(len(clients) == 1 for clients in group.clients.values())


def test_only_who_has_the_credentials_stands(server: ZooKeeperEnsemble, raw: Any):
    """Credentials go out before anything is asked, however often a client connects."""
    group = Group(server.hosts, f"/{uuid.uuid4().hex}/candidate", auth="chronos:secret")
    try:
        group.add("n1")
        assert group.leader == "n1"
        for number in range(10):
            group.add(f"m{number}")
            group.stop(f"m{number}")
        (name,) = raw.get_children(group.path)
        assert raw.get(f"{group.path}/{name}")[0] == b"n1:8080"
        for forbidden in (
            lambda: raw.create(f"{group.path}/x", b""),
            lambda: raw.delete(f"{group.path}/{name}"),
            lambda: raw.set(f"{group.path}/{name}", b"me:1"),
        ):
            with pytest.raises(NoAuthError):
                forbidden()
        assert group.calls == [("n1", "elected")]
    finally:
        group.close()


def test_without_the_credentials_there_is_no_election(server: ZooKeeperEnsemble, raw: Any):
    group = Group(server.hosts, f"/{uuid.uuid4().hex}/candidate", auth="chronos:secret")
    stranger = Group(server.hosts, group.path, auth="chronos:wrong")
    try:
        group.add("n1")
        member = ZooKeeperLeadership(
            ZooKeeperAddress(server.hosts, timeout=SESSION_S).client, group.path, "x:1", timeout=SESSION_S
        )
        member.start(lambda: stranger.calls.append(("x", "elected")), lambda reason: None)
        until(lambda: member._pause > FIRST_PAUSE_S)  # it was refused
        group.stop("n1")
        assert len(raw.get_children(group.path)) == 0
        member.stop()
        assert stranger.calls == []
    finally:
        group.close()


def test_an_ensemble_that_loses_its_members():
    """Whatever goes, never do two lead at once; and one leads while there is a majority."""
    if missing():
        pytest.skip(missing())
    with ZooKeeperEnsemble(3) as ensemble:
        group = Group(ensemble.hosts, "/chronos/state/candidate")
        try:
            for name in ("n1", "n2", "n3"):
                group.add(name)
            for index in range(3):
                ensemble.kill(index)
                assert group.leader
                ensemble.start(index)
                ensemble.wait()
            for index in (0, 1):
                ensemble.kill(index)
            until(lambda: not group.leaders, 60)  # no majority, no leader
            for index in (0, 1):
                ensemble.start(index)
            ensemble.wait()
            assert group.leader
        finally:
            group.close()
        assert not group.clashes
