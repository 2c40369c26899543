"""What ZooKeeperJobStore does beyond the suite: its nodes, damage, other writers, users, servers that are away."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC
from typing import Any

import pytest
from kazoo.client import KazooClient, KazooState
from kazoo.security import READ_ACL_UNSAFE, make_digest_acl

from chronos_py.errors import StaleLeader, StoreUnavailable
from chronos_py.loading import schedule_text
from chronos_py.model.job import CatchUp, Counters, Job, JobState
from chronos_py.model.messages import Change, Delete, Put
from chronos_py.persistence.codec import BadRecord
from chronos_py.persistence.zookeeper import ZooKeeperJobStore
from chronos_py.persistence.zookeeper.entry import Entry, encode_entry
from chronos_py.persistence.zookeeper.layout import layout_of
from compat_tests.servers.zookeeper import ZooKeeperEnsemble
from tests.persistence.test_job_store_suite import a_record, a_run, held
from tests.persistence.zookeeper import decoder
from tests.persistence.zookeeper.faults import MeddledClient, Meddler

pytestmark = pytest.mark.external

Open = Callable[..., ZooKeeperJobStore]
UTC_HOURLY = "R/2026-01-01T00:00:00.000Z/PT1H"


@pytest.fixture
def opened(hosts: str, root: str) -> Iterator[Open]:
    stores: list[ZooKeeperJobStore] = []

    def make(**options: Any) -> ZooKeeperJobStore:
        stores.append(ZooKeeperJobStore(hosts, root, **options))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


def document(client: KazooClient, root: str, name: str) -> dict[str, Any]:
    return decoder.job(f"J_{name}", client.get(f"{root}/state/J_{name}")[0])


def variable(name: str, value: str) -> bytes:
    return encode_entry(Entry(f"J_{name}", b"0123456789abcdef", value.encode()))


# --- nodes


def test_a_job_lies_where_and_as_chronos_keeps_it(client: KazooClient, root: str, opened: Open) -> None:
    store = opened(schedule_text=schedule_text(UTC))
    job = Job(
        name="a b#1", command="écho €/", schedule="R5/2026-01-01T00:00:00Z/PT1H", owner="o@x",
        extra={"unknown": {"kept": [1, None]}},
    )  # fmt: skip
    state = JobState(success_count=2, last_success="2026-01-01T01:00:01.000Z", advanced=True, next_index=2, remaining=3)
    store.commit(store.open_epoch(), [Put("job", job.name, job), Put("state", job.name, state)])
    text = decoder.entry(client.get(f"{root}/state/J_a b#1")[0])[2].decode()
    assert text == (
        '{"name":"a b#1","command":"écho €/","shell":true,"executor":"","executorFlags":"","taskInfoData":"",'
        '"retries":2,"owner":"o@x","ownerName":"","description":"","successCount":2,"errorCount":0,'
        '"lastSuccess":"2026-01-01T01:00:01.000Z","lastError":"","cpus":0.1,"disk":256.0,"mem":128.0,"disabled":false,'
        '"softError":false,"dataProcessingJobType":false,"errorsSinceLastSuccess":0,"fetch":[],"uris":[],'
        '"environmentVariables":[],"arguments":[],"highPriority":false,"runAsUser":"","concurrent":false,'
        '"maxCompletionTime":0,"constraints":[],"schedule":"R3/2026-01-01T02:00:00.000Z/PT1H","scheduleTimeZone":"",'
        '"unknown":{"kept":[1,null]}}'
    )
    assert opened().load().jobs == {job.name: job}


def test_each_store_gives_a_new_uuid_and_only_what_differs_is_stored(
    client: KazooClient, root: str, opened: Open
) -> None:
    store = opened()
    epoch = store.open_epoch()
    store.commit(epoch, [Put("job", "a", Job(name="a", schedule=UTC_HOURLY))])
    first = client.get(f"{root}/state/J_a")[0]
    store.commit(epoch, [Put("state", "a", JobState(success_count=1))])
    second, stat = client.get(f"{root}/state/J_a")
    assert decoder.entry(first)[1] != decoder.entry(second)[1]
    store.commit(epoch, [Put("state", "a", JobState(success_count=1, last_other_id=7))])  # nothing that Chronos knows
    assert client.get(f"{root}/state/J_a") == (second, stat)
    assert opened().load().states["a"].last_other_id == 7
    store.commit(epoch, [Delete("job", "a"), Delete("state", "a")])
    assert client.get_children(f"{root}/state") == []


def test_the_framework_s_id(client: KazooClient, root: str, opened: Open) -> None:
    store = opened()
    epoch = store.open_epoch()
    store.commit(epoch, [Put("meta", "framework_id", "f-1")])
    assert decoder.framework_id(client.get(f"{root}/state/frameworkId")[0]) == "f-1"
    store.commit(epoch, [Delete("meta", "framework_id")])
    assert client.exists(f"{root}/state/frameworkId") is None
    client.create(f"{root}/state/frameworkId", encode_entry(Entry("frameworkId", b"u" * 16, b"\x0a\x03f-2")))
    store.open_epoch()
    assert store.load().meta == {"framework_id": "f-2"}
    assert opened().load().meta == {"framework_id": "f-2"}


def test_a_name_that_zookeeper_does_not_take_is_kept_all_the_same(client: KazooClient, root: str, opened: Open) -> None:
    store = opened()
    jobs = {name: Job(name=name) for name in ("tab\there", "a/b", "smile \U0001f600", "plain")}
    store.commit(store.open_epoch(), [Put("job", name, job) for name, job in jobs.items()])
    assert client.get_children(f"{root}/state") == ["J_plain"]
    store.open_epoch()
    assert store.load().jobs == jobs


@pytest.mark.parametrize("path", ["", "/", "a//b", "/a/../b", "/a\nb"])
def test_a_path_that_zookeeper_does_not_know(path: str) -> None:
    with pytest.raises(ValueError, match="not a path in ZooKeeper"):
        layout_of(path)


# --- many turns, large records


def test_the_log_is_cut_and_pages_hold_the_rest(client: KazooClient, root: str, opened: Open) -> None:
    store = opened(log_turns=8)
    epoch = store.open_epoch()
    for turn in range(200):
        changes: list[Change] = [Put("run", turn * 40, a_run(turn * 40)), Put("meta", f"m{turn % 7}", turn)]
        store.commit(epoch, [*changes, Delete("run", (turn - 50) * 40), Put("outbox", turn, a_record(turn))])
        if turn % 20 == 19:
            store.commit(epoch, [Delete("outbox", turn - 5)])
    assert len(client.get_children(f"{root}/x/log")) <= 8
    expected = held(store.load())
    assert sorted(expected["run"]) == [turn * 40 for turn in range(150, 200)]
    assert sorted(expected["outbox"]) == list(range(195, 200))
    assert held(opened().load()) == expected
    for kind in ("run", "meta", "outbox"):
        shards = [name.partition(".")[0] for name in client.get_children(f"{root}/x/pages/{kind}")]
        assert 0 < len(shards) == len(set(shards)) <= 256


def test_records_larger_than_a_node(client: KazooClient, root: str, opened: Open) -> None:
    store = opened(log_turns=2)
    epoch = store.open_epoch()
    big = "x" * 2_500_000
    store.commit(epoch, [Put("meta", "big", big), Put("meta", "small", 1)])
    for turn in range(8):
        store.commit(epoch, [Put("meta", "small", turn)])
    assert opened().load().meta == {"big": big, "small": 7}
    sizes = [
        len(client.get(f"{root}/x/{place}/{name}")[0])
        for place in ("log", "pages/meta")
        for name in client.get_children(f"{root}/x/{place}")
    ]
    assert 700_000 < max(sizes) < 800_000


def test_a_job_that_has_no_room_in_a_request_is_refused(client: KazooClient, root: str, opened: Open) -> None:
    store = opened()
    epoch = store.open_epoch()
    with pytest.raises(BadRecord, match=r"job a.*takes 900\d* bytes; ZooKeeper has room for 800000"):
        store.commit(epoch, [Put("job", "a", Job(name="a", command="x" * 900_000)), Put("run", 1, a_run())])
    store.commit(epoch, [Put("job", "a", Job(name="a", command="x" * 790_000)), Put("run", 1, a_run())])
    assert len(document(client, root, "a")["command"]) == 790_000
    assert list(opened().load().jobs) == ["a"]


def test_a_turn_of_thousands_of_jobs(client: KazooClient, root: str, opened: Open) -> None:
    store = opened()
    epoch = store.open_epoch()
    names = [f"job-{number:05}" for number in range(2500)]
    store.commit(epoch, [Put("job", name, Job(name=name)) for name in names])
    assert sorted(client.get_children(f"{root}/state")) == [f"J_{name}" for name in names]
    store.commit(epoch, [Put("state", name, JobState(success_count=1)) for name in names])
    assert document(client, root, names[-1])["successCount"] == 1
    assert len(opened().load().jobs) == 2500
    store.commit(epoch, [Delete("job", name) for name in names])
    assert client.get_children(f"{root}/state") == []


# --- damage


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the node is empty"),
        (b'{"name":"bad"}', "is no protobuf message"),
        (variable("other", '{"name":"bad"}'), "is 'J_other' in the node 'J_bad'"),
        (variable("bad", '{"name":"other"}'), "is 'other' in the document of 'bad'"),
        (variable("bad", "{"), "is no JSON"),
        (variable("bad", '{"command":"x"}'), "name: is required"),
        (variable("bad", "[]"), "must be a JSON object"),
        (b"\x0a\x05J_bad\x12\x10" + b"u" * 16 + b"\x1a\x02\xff\xfe", "is no JSON"),
    ],
)
def test_a_variable_that_cannot_be_read_is_left_alone(
    client: KazooClient, root: str, opened: Open, data: bytes, reason: str
) -> None:
    store = opened()
    store.commit(store.open_epoch(), [Put("job", "good", Job(name="good"))])
    client.create(f"{root}/state/J_bad", data)
    epoch = store.open_epoch()
    snapshot = store.load()
    assert list(snapshot.jobs) == ["good"]
    (found,) = snapshot.quarantined
    assert (found.kind, found.key) == ("job", "bad")
    assert reason in found.reason
    store.commit(epoch, [Put("state", "good", JobState(success_count=1)), Delete("job", "bad")])
    assert client.get(f"{root}/state/J_bad")[0] == data
    store.commit(epoch, [Put("job", "bad", Job(name="bad"))])  # somebody makes the job anew
    assert document(client, root, "bad")["name"] == "bad"
    (kept,) = client.get_children(f"{root}/x/quarantine")
    assert client.get(f"{root}/x/quarantine/{kept}")[0].endswith(b"\n" + data)


def test_a_variable_of_ours_that_was_damaged_does_not_cost_the_job(
    client: KazooClient, root: str, opened: Open
) -> None:
    store = opened()
    job = Job(name="a", command="run", priority=3)
    store.commit(store.open_epoch(), [Put("job", "a", job), Put("state", "a", JobState(success_count=4))])
    client.set(f"{root}/state/J_a", b"\x00")
    epoch = store.open_epoch()
    snapshot = store.load()
    assert (snapshot.jobs, snapshot.states["a"].success_count) == ({"a": job}, 4)
    assert [found.key for found in snapshot.quarantined] == ["a"]
    assert client.get(f"{root}/state/J_a")[0] == b"\x00"
    store.commit(epoch, [Put("state", "a", JobState(success_count=5))])
    assert document(client, root, "a")["successCount"] == 5


def test_damaged_lines_of_ours_are_reported_and_kept(client: KazooClient, root: str, opened: Open) -> None:
    store = opened(log_turns=2)
    epoch = store.open_epoch()
    store.commit(epoch, [Put("run", 1, a_run(1)), Put("run", 2, a_run(2)), Put("meta", "k", 1)])
    for turn in range(6):
        store.commit(epoch, [Put("meta", "k", turn)])
    (page,) = client.get_children(f"{root}/x/pages/run")
    data = client.get(f"{root}/x/pages/run/{page}")[0]
    bad = data.replace(b'"trigger":"manual"', b'"trigger":"magic!"', 1)
    client.set(f"{root}/x/pages/run/{page}", bad)
    epoch = store.open_epoch()
    snapshot = store.load()
    assert list(snapshot.runs) == [2]
    assert {found.kind for found in snapshot.quarantined} == {"page", "run"}
    for turn in range(8):
        store.commit(epoch, [Put("run", 3, a_run(3)), Put("meta", "k", turn)])
    names = client.get_children(f"{root}/x/pages/run")
    assert page in names  # stays for somebody to look at
    newest = client.get(f"{root}/x/pages/run/{max(names)}")[0]
    assert b'"trigger":"magic!"' in newest
    store.commit(epoch, [Put("run", 1, a_run(1))])
    kept = [client.get(f"{root}/x/quarantine/{name}")[0] for name in client.get_children(f"{root}/x/quarantine")]
    assert any(b'"trigger":"magic!"' in text for text in kept)


def test_a_lost_or_damaged_turn_does_not_stop_the_others(client: KazooClient, root: str, opened: Open) -> None:
    store = opened()
    epoch = store.open_epoch()
    for number in range(5):
        store.commit(epoch, [Put("run", number, a_run(number))])
    client.delete(f"{root}/x/log/0000000002")
    client.set(f"{root}/x/log/0000000003", b"")
    epoch = store.open_epoch()
    snapshot = store.load()
    assert sorted(snapshot.runs) == [0, 3, 4]
    assert [(found.kind, found.key) for found in snapshot.quarantined] == [("log", "2"), ("log", "3")]
    store.commit(epoch, [Put("run", 9, a_run(9))])
    assert sorted(opened().load().runs) == [0, 3, 4, 9]


def test_a_store_of_a_newer_version_is_left_alone(client: KazooClient, root: str, opened: Open) -> None:
    opened().open_epoch()
    client.set(f"{root}/x/format", b"2")
    with pytest.raises(StoreUnavailable, match="written by another chronos-py"):
        opened().open_epoch()


# --- other writers


def test_jobs_that_chronos_has_written_meanwhile_are_taken_over(client: KazooClient, root: str, opened: Open) -> None:
    store = opened()
    job = Job(name="a", schedule=UTC_HOURLY, priority=7, catch_up=CatchUp.ALL)
    state = JobState(sequence=4, version=9, success_count=1, next_index=3, advanced=False)
    puts = [Put("job", name, Job(name=name, schedule=UTC_HOURLY)) for name in ("gone", "same")]
    store.commit(store.open_epoch(), [Put("job", "a", job), Put("state", "a", state), *puts])
    # Chronos counts a success, drops what it does not know, deletes a job, makes one, changes a schedule
    theirs = document(client, root, "a") | {"successCount": 8, "lastSuccess": "2026-01-02T00:00:00.000Z"}
    for field in ("priority", "catchUp"):
        del theirs[field]
    client.set(f"{root}/state/J_a", variable("a", json.dumps(theirs)))
    client.delete(f"{root}/state/J_gone")
    client.create(
        f"{root}/state/J_new",
        variable("new", '{"name":"new","command":"c","schedule":"R3//PT5M","errorCount":"2","someday":[1]}'),
    )
    epoch = store.open_epoch()
    snapshot = store.load()
    assert snapshot.quarantined == []
    assert sorted(snapshot.jobs) == ["a", "new", "same"]
    assert snapshot.jobs["a"].priority == 7
    assert snapshot.jobs["a"].catch_up is CatchUp.ALL
    assert snapshot.states["a"].success_count == 8
    assert (snapshot.states["a"].version, snapshot.states["a"].next_index) == (9, 3)
    assert snapshot.jobs["new"].extra == {"someday": [1]}
    assert "new" not in snapshot.states
    assert snapshot.counters == {"new": Counters(error_count=2)}
    later = opened().load()
    assert (later.jobs, later.states, later.counters) == (snapshot.jobs, snapshot.states, snapshot.counters)
    store.commit(epoch, [Put("state", "new", JobState(error_count=2, sequence=5))])  # now it is ours
    later = opened().load()
    assert (later.jobs, later.counters) == (snapshot.jobs, {})
    assert later.states["new"] == JobState(error_count=2, sequence=5)
    assert document(client, root, "new")["someday"] == [1]
    kept = [client.get(f"{root}/x/quarantine/{name}")[0] for name in client.get_children(f"{root}/x/quarantine")]
    assert any(b'"gone"' in text for text in kept)


def test_a_changed_schedule_starts_anew(client: KazooClient, root: str, opened: Open) -> None:
    store = opened()
    puts: list[Change] = [
        Put("job", "a", Job(name="a", schedule=UTC_HOURLY)),
        Put("state", "a", JobState(next_index=5)),
    ]
    store.commit(store.open_epoch(), puts)
    client.set(
        f"{root}/state/J_a", variable("a", '{"name":"a","schedule":"R/2027-01-01T00:00:00Z/P1D","successCount":3}')
    )
    store.open_epoch()
    snapshot = store.load()
    assert snapshot.jobs["a"].schedule == "R/2027-01-01T00:00:00Z/P1D"
    assert "a" not in snapshot.states
    assert snapshot.counters == {"a": Counters(success_count=3)}


def test_reading_without_an_epoch_writes_nothing(client: KazooClient, root: str, opened: Open) -> None:
    store = opened()
    store.commit(store.open_epoch(), [Put("job", "a", Job(name="a"))])
    client.create(f"{root}/state/J_new", variable("new", '{"name":"new","schedule":"R/2027-01-01T00:00:00Z/P1D"}'))
    before = client.get_children(f"{root}/x/log")
    assert sorted(opened().load().jobs) == ["a", "new"]
    assert client.get_children(f"{root}/x/log") == before


def test_zookeeper_itself_refuses_a_deposed_leader(root: str, opened: Open) -> None:
    old, new = opened(), opened()
    epoch = old.open_epoch()
    old.commit(epoch, [Put("meta", "k", 1)])
    newer = new.open_epoch()
    with pytest.raises(StaleLeader, match=f"epoch {epoch} is over"):
        old.commit(epoch, [Put("meta", "k", 2)])
    new.commit(newer, [Put("meta", "k", 3)])
    with pytest.raises(StaleLeader):
        old.commit(epoch, [Put("meta", "k", 4)])
    assert opened().load().meta == {"k": 3}


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
