"""What ZooKeeperJobStore does beyond the suite: its nodes, damage, other writers."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC

import pytest
from kazoo.client import KazooClient

from chronos_py.errors import StaleLeader, StoreUnavailable
from chronos_py.loading import schedule_text
from chronos_py.model.job import CatchUp, Counters, Job, JobState, Pair
from chronos_py.model.messages import Change, Delete, Put
from chronos_py.persistence.codec import BadRecord
from chronos_py.persistence.zookeeper import ZooKeeperJobStore, pages
from chronos_py.persistence.zookeeper.entry import Entry, encode_entry
from chronos_py.persistence.zookeeper.layout import layout_of
from tests.persistence.test_job_store_suite import a_record, a_run, held
from tests.persistence.zookeeper import decoder
from tests.persistence.zookeeper.nodes import document, variable

pytestmark = pytest.mark.external

Open = Callable[..., ZooKeeperJobStore]
UTC_HOURLY = "R/2026-01-01T00:00:00.000Z/PT1H"
LABELS = (Pair("team", "x"),)


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


@pytest.mark.parametrize("budget", [1, pages.BUDGET])
def test_the_log_is_cut_and_pages_hold_the_rest(
    client: KazooClient, root: str, opened: Open, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    monkeypatch.setattr(pages, "BUDGET", budget)  # 1: a page a turn, so that most are behind
    store = opened(log_turns=8)
    epoch = store.open_epoch()
    for turn in range(200):
        changes: list[Change] = [Put("run", turn * 40, a_run(turn * 40)), Put("meta", f"m{turn % 7}", turn)]
        store.commit(epoch, [*changes, Delete("run", (turn - 50) * 40), Put("outbox", turn, a_record(turn))])
        if turn % 20 == 19:
            store.commit(epoch, [Delete("outbox", turn - 5)])
    assert len(client.get_children(f"{root}/x/log")) <= 8 * (1 if budget > 1 else pages.MOST)
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


@pytest.mark.parametrize("path", ["x/epoch", "x/log", "x/pages/run", "x/pages"])
def test_a_store_that_lacks_a_part_is_not_taken_for_an_empty_one(
    client: KazooClient, root: str, opened: Open, path: str
) -> None:
    store = opened()
    epoch = store.open_epoch()
    store.commit(epoch, [Put("job", "a", Job(name="a")), Put("run", 1, a_run())])
    client.delete(f"{root}/{path}", recursive=True)
    with pytest.raises(StoreUnavailable, match=path):
        store.open_epoch()
        store.load()
    with pytest.raises(StoreUnavailable):
        opened().commit(epoch, [Put("run", 2, a_run(2))])


# --- other writers


def test_jobs_that_chronos_has_written_meanwhile_are_taken_over(client: KazooClient, root: str, opened: Open) -> None:
    store = opened()
    job = Job(name="a", schedule=UTC_HOURLY, priority=7, catch_up=CatchUp.ALL, labels=LABELS, start_within=9.0)
    state = JobState(sequence=4, version=9, success_count=1, next_index=3, advanced=False)
    puts = [Put("job", name, Job(name=name, schedule=UTC_HOURLY)) for name in ("gone", "same")]
    store.commit(store.open_epoch(), [Put("job", "a", job), Put("state", "a", state), *puts])
    # Chronos counts a success, drops what it does not know, deletes a job, makes one, changes a schedule
    theirs = document(client, root, "a") | {"successCount": 8, "lastSuccess": "2026-01-02T00:00:00.000Z"}
    for field in ("priority", "catchUp", "labels", "startWithin"):
        del theirs[field]
    client.set(f"{root}/state/J_a", variable("a", json.dumps(theirs)))
    client.delete(f"{root}/state/J_gone")
    new = variable("new", '{"name":"new","command":"c","schedule":"R3//PT5M","errorCount":"2","someday":[1]}')
    client.create(f"{root}/state/J_new", new)
    epoch = store.open_epoch()
    snapshot = store.load()
    assert snapshot.quarantined == []
    assert sorted(snapshot.jobs) == ["a", "new", "same"]
    assert (snapshot.jobs["a"].priority, snapshot.jobs["a"].labels, snapshot.jobs["a"].start_within) == (7, LABELS, 9.0)
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
    assert client.get(f"{root}/state/J_new")[0] == new  # it says all of that already
    kept = [client.get(f"{root}/x/quarantine/{name}")[0] for name in client.get_children(f"{root}/x/quarantine")]
    assert any(b'"gone"' in text for text in kept)


def test_a_job_of_others_can_be_deleted_before_it_has_a_state(client: KazooClient, root: str, opened: Open) -> None:
    store = opened()
    store.open_epoch()
    client.create(f"{root}/state/J_a", variable("a", '{"name":"a","schedule":"R3//PT5M"}'))
    epoch = store.open_epoch()
    assert "a" in store.load().jobs
    store.commit(epoch, [Delete("job", "a")])
    assert client.get_children(f"{root}/state") == []
    assert not opened().load().jobs


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
