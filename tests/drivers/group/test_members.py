"""Who belongs to the group, on a real ZooKeeper: nodes come, go and come again; the key is one, and nobody else's."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from kazoo.exceptions import NoAuthError

from chronos_py.drivers.group.members import Member, Members, newest, read_member
from chronos_py.zookeeper import ZooKeeperAddress
from compat_tests.servers.zookeeper import ZooKeeperEnsemble, missing
from tests.waiting import until

SESSION_S = 4.0


def a_member(name: str) -> Member:
    return Member(name, f"{name}:4400", uuid.uuid4().hex)


def test_the_newest_entry_of_an_agent_counts():
    names = ["a-b-0000000002", "a-b-0000000010", "a-0000000003", "a", "0000000001", "a/b-0000000004"]
    assert newest(names) == {"a-b": "a-b-0000000010", "a": "a-0000000003"}


def test_an_entry_comes_back_as_it_was():
    member = a_member("one")
    assert read_member("one", member.dump()) == member


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        Member("two", "host:1", "0" * 32).dump(),
        Member("one", "host", "0" * 32).dump(),
        Member("one", "me@host:1", "0" * 32).dump(),
        Member("one", "host:1", "").dump(),
    ],
)
def test_what_is_no_entry_is_refused(data: bytes):
    with pytest.raises(ValueError, match=r".+"):
        read_member("one", data)


class View:
    """A node's view of the group."""

    def __init__(self, hosts: str, path: str, member: Member, auth: str = "") -> None:
        self.member = member
        self.clients: list[Any] = []
        self.found: Mapping[str, Member] = {}
        self.epoch = 0
        address = ZooKeeperAddress(hosts, SESSION_S, auth)

        def connect() -> Any:
            self.clients.append(address.client())
            return self.clients[-1]

        self.members = Members(
            connect, path, acl=address.acl(), secret_acl=address.acl(secret=True), timeout=SESSION_S,
            changed=self.change, epoch=self.see,
        )  # fmt: skip
        self.members.start(member)

    def change(self, members: Mapping[str, Member]) -> None:
        self.found = members

    def see(self, epoch: int) -> None:
        self.epoch = epoch


@pytest.fixture(scope="module")
def zookeeper() -> Iterator[ZooKeeperEnsemble]:
    if missing():
        pytest.skip(missing())
    with ZooKeeperEnsemble() as server:
        yield server


class Views:
    """Nodes of one group."""

    def __init__(self, hosts: str) -> None:
        self.hosts = hosts
        self.path = f"/{uuid.uuid4().hex}/state"
        self.all: list[View] = []
        self.client = ZooKeeperAddress(hosts).client()
        self.client.start(timeout=30)

    def join(self, member: Member, auth: str = "") -> View:
        view = View(self.hosts, self.path, member, auth)
        self.all.append(view)
        return view

    def close(self) -> None:
        for view in self.all:
            view.members.stop()
        self.client.stop()
        self.client.close()


@pytest.fixture
def views(zookeeper: ZooKeeperEnsemble) -> Iterator[Views]:
    views = Views(zookeeper.hosts)
    yield views
    views.close()


@pytest.mark.external
def test_nodes_find_each_other_and_share_a_key(views: Views):
    one, two, three = (views.join(a_member(name)) for name in ("one", "two", "three"))
    everybody = {view.member.agent_id: view.member for view in (one, two, three)}
    for view in (one, two, three):
        until(lambda view=view: view.found == everybody)  # type: ignore[misc]
    assert len(one.members.key()) == 64
    assert one.members.key() == two.members.key() == three.members.key()
    two.members.stop()
    del everybody["two"]
    for view in (one, three):
        until(lambda view=view: view.found == everybody)  # type: ignore[misc]


@pytest.mark.external
def test_a_node_that_was_started_again_is_found_at_once(views: Views):
    """Its former entry is there until its session ends."""
    one = views.join(a_member("one"))
    views.join(a_member("two"))
    until(lambda: set(one.found) == {"one", "two"})
    again = views.join(a_member("two"))
    until(lambda: one.found.get("two") == again.member)


@pytest.mark.external
def test_an_entry_that_was_deleted_is_made_again(views: Views):
    one, two = (views.join(a_member(name)) for name in ("one", "two"))
    nodes = f"{views.path}/x/nodes"
    until(lambda: set(two.found) == {"one", "two"})
    (entry,) = (name for name in views.client.get_children(nodes) if name.startswith("one"))
    views.client.delete(f"{nodes}/{entry}")
    until(lambda: any(name.startswith("one") and name != entry for name in views.client.get_children(nodes)))
    until(lambda: set(two.found) == set(one.found) == {"one", "two"})


@pytest.mark.external
def test_what_others_write_there_is_left_out(views: Views):
    one = views.join(a_member("one"))
    until(lambda: set(one.found) == {"one"})
    views.client.create(f"{views.path}/x/nodes/odd-0000000099", b"nonsense")
    views.client.create(f"{views.path}/x/nodes/else", b"")
    views.client.create(f"{views.path}/x/nodes/good-0000000098", a_member("good").dump())
    until(lambda: set(one.found) == {"one", "good"})


@pytest.mark.external
def test_a_new_epoch_is_noticed(views: Views):
    one = views.join(a_member("one"))
    until(lambda: bool(one.found))
    views.client.create(f"{views.path}/x/epoch", b"")
    for _ in range(3):
        views.client.set(f"{views.path}/x/epoch", b"")
    until(lambda: one.epoch == 3)


@pytest.mark.external
def test_a_session_that_ends_is_followed_by_another(views: Views):
    one, two = (views.join(a_member(name)) for name in ("one", "two"))
    until(lambda: set(one.found) == set(two.found) == {"one", "two"})
    one.clients[0].stop()
    until(lambda: len(one.clients) == 2 and set(two.found) == {"one", "two"})
    views.join(a_member("three"))
    until(lambda: set(one.found) == set(two.found) == {"one", "two", "three"})


@pytest.mark.external
def test_the_key_is_for_those_with_credentials(views: Views):
    one = views.join(a_member("one"), "chronos:secret")
    until(lambda: bool(one.members.key()))
    until(lambda: set(one.found) == {"one"})
    with pytest.raises(NoAuthError):
        views.client.get(f"{views.path}/x/key")
    two = views.join(a_member("two"), "chronos:other")
    three = views.join(a_member("three"), "chronos:secret")
    until(lambda: "three" in one.found)
    assert three.members.key() == one.members.key()
    assert not two.members.key()
    assert "two" not in one.found


@pytest.mark.external
def test_a_zookeeper_that_is_away_changes_nothing(views: Views):
    with ZooKeeperEnsemble() as server:
        view = View(server.hosts, "/away/state", a_member("one"))
        try:
            until(lambda: set(view.found) == {"one"})
            key = view.members.key()
            server.kill(0)
            server.start(0)
            server.wait()
            other = View(server.hosts, "/away/state", a_member("two"))
            try:
                until(lambda: set(view.found) == set(other.found) == {"one", "two"})
                assert view.members.key() == other.members.key() == key
            finally:
                other.members.stop()
        finally:
            view.members.stop()
