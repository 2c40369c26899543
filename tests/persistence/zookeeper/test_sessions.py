"""Users, servers that are away, sessions that end; what loading asks for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing

import pytest
from kazoo.client import KazooClient, KazooState
from kazoo.security import READ_ACL_UNSAFE, make_digest_acl

from chronos_py.errors import StoreUnavailable, UnknownOutcome
from chronos_py.model.job import Counters, Job, JobState
from chronos_py.model.messages import Delete, Put
from chronos_py.persistence.zookeeper import ZooKeeperJobStore, keeper
from compat_tests.servers.tcp_gate import TcpGate
from compat_tests.servers.zookeeper import ZooKeeperEnsemble
from tests.persistence.faults import Meddler
from tests.persistence.test_job_store_suite import held
from tests.persistence.zookeeper.faults import MeddledClient
from tests.persistence.zookeeper.nodes import variable

pytestmark = pytest.mark.external

Open = Callable[..., ZooKeeperJobStore]
UTC_HOURLY = "R/2026-01-01T00:00:00.000Z/PT1H"


# --- users


def test_with_a_user_others_may_read_and_not_write(client: KazooClient, root: str, opened: Open) -> None:
    store = opened(auth="chronos:secret")
    job = Job(name="a", schedule=UTC_HOURLY)
    store.commit(store.open_epoch(), [Put("job", "a", job), Put("meta", "framework_id", "f")])
    for path in ("state/J_a", "state/frameworkId", "x/epoch", "x/log", "x/log/0000000001"):
        acls = client.get_acls(f"{root}/{path}")[0]
        assert {(acl.id.scheme, acl.perms) for acl in acls} == {("world", 1), ("digest", 31)}
    assert client.get_acls(f"{root}/state")[0][0].id.scheme == "world"
    client.create(f"{root}/state/T_other", b"")  # the directory is open, as Curator makes it
    stranger = opened()
    with pytest.raises(StoreUnavailable, match="NoAuth"):
        stranger.open_epoch()
    assert stranger.load().jobs == {"a": job}
    assert opened(auth="chronos:secret").open_epoch() == 2


def test_variables_that_may_not_be_read_or_written(client: KazooClient, root: str, opened: Open) -> None:
    store = opened()
    job = Job(name="mine", schedule=UTC_HOURLY)
    store.commit(store.open_epoch(), [Put("job", "mine", job)])
    nobody = make_digest_acl("somebody", "else", all=True)
    client.create(f"{root}/state/J_secret", b"theirs", acl=[nobody])
    client.set_acls(f"{root}/state/J_mine", [nobody])
    epoch = store.open_epoch()
    snapshot = store.load()
    assert snapshot.jobs == {"mine": job}
    assert {found.key for found in snapshot.quarantined} == {"mine", "secret"}
    store.commit(epoch, [Put("state", "mine", JobState(success_count=3)), Put("job", "secret", Job(name="secret"))])
    again = opened().load()
    assert again.states["mine"].success_count == 3
    assert sorted(again.jobs) == ["mine", "secret"]


def test_a_job_of_others_that_may_not_be_written_is_taken_over_once(
    client: KazooClient, root: str, opened: Open
) -> None:
    store = opened()
    store.open_epoch()
    theirs = variable("a", '{"name":"a","schedule":"R3/2027-01-01T00:00:00Z/P1D"}')
    acl = [*READ_ACL_UNSAFE, make_digest_acl("somebody", "else", all=True)]
    client.create(f"{root}/state/J_a", theirs, acl=acl)
    epoch = store.open_epoch()
    assert store.load().counters == {"a": Counters()}
    store.commit(epoch, [Put("state", "a", JobState(next_index=2, remaining=1, version=4))])
    assert client.get(f"{root}/state/J_a")[0] == theirs
    later = opened()
    later.open_epoch()
    snapshot = later.load()
    assert (snapshot.states["a"].next_index, snapshot.counters) == (2, {})


# --- servers that are away


def test_no_server_at_all_is_told_in_time() -> None:
    with closing(ZooKeeperJobStore("127.0.0.1:1", "/x", patience=0.5)) as store:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="no ZooKeeper can be reached"):
            store.open_epoch()
        assert time.monotonic() - began < 15


def test_a_closed_store_says_so(opened: Open) -> None:
    store = opened()
    store.close()
    with pytest.raises(StoreUnavailable, match="has been closed"):
        store.load()


def test_hosts_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="notaport"):
        ZooKeeperJobStore("127.0.0.1:notaport")


@pytest.mark.timeout(300)
def test_a_server_that_hangs_dies_and_comes_back(root: str) -> None:
    with ZooKeeperEnsemble() as server, closing(ZooKeeperJobStore(server.hosts, root, timeout=2, patience=3)) as store:
        epoch = store.open_epoch()
        store.commit(epoch, [Put("meta", "k", 1)])
        server.pause(0)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.commit(epoch, [Put("meta", "k", 2)])
        with pytest.raises(StoreUnavailable):
            store.load()
        assert time.monotonic() - began < 60
        server.resume(0)
        epoch = _lead(store)
        assert store.load().meta["k"] in (1, 2)
        store.commit(epoch, [Put("meta", "k", 3)])
        server.kill(0)
        with pytest.raises(StoreUnavailable):
            store.commit(epoch, [Put("meta", "k", 4)])
        server.start(0)
        epoch = _lead(store)
        assert store.load().meta["k"] in (3, 4)
        store.commit(epoch, [Put("meta", "k", 5)])
        assert store.load().meta == {"k": 5}


@pytest.mark.timeout(300)
def test_one_of_three_servers_may_go(root: str) -> None:
    with ZooKeeperEnsemble(3) as servers, closing(ZooKeeperJobStore(servers.hosts, root, timeout=4)) as store:
        epoch = store.open_epoch()
        for index in range(3):
            store.commit(epoch, [Put("meta", f"before {index}", 1)])
            servers.kill(index)
            number = 0
            while True:  # a commit may fail while the others elect; then what was told is what is there
                number += 1
                assert number < 30
                try:
                    store.commit(epoch, [Put("meta", f"after {index}", number)])
                    break
                except StoreUnavailable:
                    epoch = _lead(store)
            servers.start(index)
            servers.wait()
        found = store.load().meta
        assert {f"before {index}" for index in range(3)} | {f"after {index}" for index in range(3)} == set(found)


def _lead(store: ZooKeeperJobStore) -> int:
    for _ in range(60):
        try:
            return store.open_epoch()
        except StoreUnavailable:
            continue
    raise AssertionError("no server came back")


# --- loading


def test_variables_that_nobody_touched_are_not_read(client: KazooClient, root: str) -> None:
    meddler = Meddler()
    store = ZooKeeperJobStore("shared", root, make_client=lambda *_, **__: MeddledClient(client, meddler))
    epoch = store.open_epoch()
    jobs = {f"job-{number}": Job(name=f"job-{number}") for number in range(1200)}
    store.commit(epoch, [Put("job", name, job) for name, job in jobs.items()])
    for name in ("job-3", "job-4", "job-5"):
        store.commit(epoch, [Put("state", name, JobState(success_count=1))])
    store.commit(epoch, [Delete("job", "job-7")])
    meddler.count = 0
    assert held(store.load())["job"].keys() == jobs.keys() - {"job-7"}
    assert meddler.count < 30
    client.set(f"{root}/state/J_job-9", variable("job-9", '{"name":"job-9","schedule":"","owner":"them"}'))
    meddler.count = 0
    assert store.load().jobs["job-9"].owner == "them"
    assert 500 < meddler.count < 530  # those that were asked for together


def test_a_job_that_was_deleted_and_made_anew_is_noticed(client: KazooClient, root: str, opened: Open) -> None:
    store = opened()
    store.commit(store.open_epoch(), [Put("job", "a", Job(name="a")), Put("job", "b", Job(name="b"))])
    client.delete(f"{root}/state/J_a")
    client.create(f"{root}/state/J_a", variable("a", '{"name":"a","schedule":"","owner":"them"}'))  # version 0 again
    store.open_epoch()
    assert store.load().jobs["a"].owner == "them"
    assert opened().load().jobs["a"].owner == "them"


def test_a_session_that_ended_costs_nothing(client: KazooClient, root: str, opened: Open, hosts: str) -> None:
    store = opened()
    epoch = store.open_epoch()
    inner = store._keeper._client
    lost = threading.Event()
    inner.add_listener(lambda state: lost.set() if state == KazooState.LOST else None)
    for number in range(3):
        store.commit(epoch, [Put("meta", f"before {number}", 1)])
        lost.clear()
        thief = KazooClient(hosts, client_id=inner.client_id)
        thief.start(30)
        thief.stop()  # ends the session that both have
        thief.close()
        assert lost.wait(30)
        store.commit(epoch, [Put("meta", f"after {number}", 1)])
    assert len(store.load().meta) == 6


@pytest.mark.parametrize("cut_before", [False, True])
def test_nobody_waits_for_a_write_when_another_node_may_lead(hosts: str, root: str, cut_before: bool) -> None:
    """`cut_before`: the connection is known to be away when the write begins; else the write is on its way."""
    ports = [int(host.rpartition(":")[2]) for host in hosts.split(",")]
    over = threading.Event()
    with TcpGate(ports) as gate:
        through = ",".join(f"127.0.0.1:{port}" for port in gate.ports)
        lease = [60.0]

        def end_lease() -> None:
            over.set()
            lease[0] = 0.0

        with closing(ZooKeeperJobStore(through, root, timeout=4, patience=60, lease=lambda: lease[0])) as store:
            epoch = store.open_epoch()
            store.commit(epoch, [Put("meta", "first", 1)])
            inner = store._keeper._client
            away = threading.Event()
            inner.add_listener(lambda state: away.set() if state != KazooState.CONNECTED else None)
            gate.shut()
            assert not cut_before or away.wait(30)
            lease[0] = 0.5
            threading.Timer(1.0, end_lease).start()
            began = time.monotonic()
            with pytest.raises(StoreUnavailable) as refused:
                store.commit(epoch, [Put("meta", "second", 2)])
            assert over.is_set()
            assert time.monotonic() - began < 20
            assert isinstance(refused.value, UnknownOutcome) != cut_before, refused.value
            assert ("not known" in str(refused.value)) != cut_before
            gate.open()
            lease[0] = 60.0
            assert store.load().meta["first"] == 1


def test_a_client_that_was_given_up_says_nothing_of_the_next_one() -> None:
    listeners: list[Callable[[str], None]] = []

    class Client:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return listeners.append if name == "add_listener" else lambda *_: None

    holder = keeper.Keeper("nowhere:1", patience=0.1, make=lambda *_, **__: Client())
    holder.connect()
    holder._drop()
    holder.connect()
    listeners[0](KazooState.LOST)
    holder.connect()
    listeners[1](KazooState.SUSPENDED)
    with pytest.raises(StoreUnavailable, match="not connected"):
        holder.connect()
    holder.close()


def test_a_follower_has_its_store_ready(hosts: str, root: str, opened: Open) -> None:
    leader, follower = opened(), opened()
    follower.warm_up()  # nobody has led yet
    epoch = leader.open_epoch()
    leader.commit(epoch, [Put("job", "a", Job(name="a"))])
    follower.warm_up()
    assert follower._held is None
    leader.commit(epoch, [Put("job", "b", Job(name="b"))])
    assert follower.open_epoch() == epoch + 1
    assert set(follower.load().jobs) == {"a", "b"}
    follower.warm_up()
    follower.commit(epoch + 1, [Put("job", "c", Job(name="c"))])


class Stuck:
    """A client of which one call never returns."""

    def __init__(self, call: str) -> None:
        self.free = threading.Event()
        self.called: list[str] = []
        self._call = call

    def __getattr__(self, name: str) -> Callable[..., None]:
        def call(*_: object) -> None:
            self.called.append(name)
            if name == self._call:
                self.free.wait(60)

        return call


@pytest.mark.parametrize("call", ["start", "stop"])
def test_a_client_that_is_stuck_holds_nobody_up(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    monkeypatch.setattr(keeper, "END_S", 0.1)
    client = Stuck(call)
    holder = keeper.Keeper("nowhere:1", patience=0.1, make=lambda *_, **__: client)
    try:
        if call == "start":
            with pytest.raises(StoreUnavailable, match="no ZooKeeper can be reached"):
                holder.one("/x")
        else:
            holder._client = holder._start()
        holder.close()
        assert "stop" in client.called
    finally:
        client.free.set()
