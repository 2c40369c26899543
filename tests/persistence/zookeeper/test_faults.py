"""What becomes of a turn when another hand is in ZooKeeper between any two of its requests; and of a store that meets
one fault after another. `test_job_store_faults.py` has the single faults."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss

from chronos_py.errors import StaleLeader, StoreUnavailable
from chronos_py.model.job import JobState
from chronos_py.model.messages import Put
from chronos_py.persistence.zookeeper import ZooKeeperJobStore, pages, store, writing
from tests.persistence.faults import Meddler
from tests.persistence.test_job_store_suite import held
from tests.persistence.turns import BEFORE, TURN, State, after
from tests.persistence.zookeeper import decoder
from tests.persistence.zookeeper.faults import MeddledClient

pytestmark = [pytest.mark.external, pytest.mark.timeout(300)]


@pytest.fixture(params=["one request", "many requests"])
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a turn of a few kilobytes be too large for one request, or not."""
    if request.param == "many requests":
        for module in (writing, pages, store):
            monkeypatch.setattr(module, "PACKET", 3000, raising=False)
        monkeypatch.setattr(writing, "MARGIN", 300)
        for module in (writing, pages):
            monkeypatch.setattr(module, "PART", 800)


def open_store(client: KazooClient, root: str, meddler: Meddler | None = None) -> ZooKeeperJobStore:
    return ZooKeeperJobStore(
        "shared",
        root,
        log_turns=2,
        patience=10,
        make_client=lambda *_, **__: MeddledClient(client, meddler or Meddler()),
    )


def begin(client: KazooClient, root: str) -> State:
    first = open_store(client, root)
    epoch = first.open_epoch()
    for at in range(0, len(BEFORE), 3):  # several turns, so that there are pages
        first.commit(epoch, BEFORE[at : at + 3])
    return held(first.load())


def work(client: KazooClient, root: str, meddler: Meddler) -> str:
    """Lead, and commit the turn; return what its caller was told."""
    leader = open_store(client, root, meddler)
    try:
        epoch = leader.open_epoch()
        leader.load()
        leader.commit(epoch, TURN)
    except StoreUnavailable as error:
        return type(error).__name__
    return "done"


def variables(client: KazooClient, root: str, state: State) -> None:
    names = client.get_children(f"{root}/state")
    assert sorted(name for name in names if name != "frameworkId") == sorted(f"J_{name}" for name in state["job"])
    for name, job in state["job"].items():
        document = decoder.job(f"J_{name}", client.get(f"{root}/state/J_{name}")[0])
        assert document["command"] == job.command
        assert document["successCount"] == state["state"].get(name, JobState()).success_count
    assert decoder.framework_id(client.get(f"{root}/state/frameworkId")[0]) == state["meta"]["framework_id"]


def test_the_same_store_goes_on_after_a_fault(client: KazooClient, root: str, sizes: None) -> None:
    old = begin(client, root)
    new = after(old)
    meddler = Meddler()
    leader = open_store(client, root, meddler)
    for number in range(0, 60, 2):
        meddler.at, meddler.count, meddler.error, meddler.took_effect = number, 0, ConnectionLoss, number % 4 == 0
        for _ in range(5):
            try:
                epoch = leader.open_epoch()
                leader.load()
                leader.commit(epoch, TURN)
                break
            except StoreUnavailable:
                continue
        else:
            raise AssertionError("it did not recover")
        assert held(leader.load()) == new
    variables(client, root, new)


def _depose(client: KazooClient, root: str) -> None:
    open_store(client, root).open_epoch()


def _overwrite(client: KazooClient, root: str) -> None:
    data = client.get(f"{root}/state/J_b")[0]
    client.set(f"{root}/state/J_b", data.replace(b'"owner":""', b'"owner":"them"'))


def _delete(client: KazooClient, root: str) -> None:
    if client.exists(f"{root}/state/J_b"):
        client.delete(f"{root}/state/J_b")


def _create(client: KazooClient, root: str) -> None:
    if not client.exists(f"{root}/state/J_d"):
        client.create(f"{root}/state/J_d", b"theirs")


def _take_directory(client: KazooClient, root: str) -> None:
    client.delete(f"{root}/state", recursive=True)


@pytest.mark.parametrize("hand", [_depose, _overwrite, _delete, _create, _take_directory])
def test_another_hand_between_any_two_requests(
    client: KazooClient, root: str, sizes: None, hand: Callable[[KazooClient, str], None]
) -> None:
    """BadVersion, NoNode and NodeExists, as they really come about."""
    told = set()
    for number in range(200):
        place = f"{root}/{number}"
        old = begin(client, place)
        new = after(old)
        meddler = Meddler(at=number, before=lambda place=place: hand(client, place))  # type: ignore[misc]
        answer = work(client, place, meddler)
        if not meddler.fired:
            break
        told.add(answer)
        following = open_store(client, place)
        following.open_epoch()
        snapshot = following.load()
        if hand is _depose:
            assert held(snapshot) in ([new] if answer == "done" else [old, new])
        else:
            assert answer in ("done", "StoreUnavailable"), (number, meddler.seen[number])
            assert snapshot.runs in ([new["run"]] if answer == "done" else [old["run"], new["run"]])
            assert snapshot.outbox in ([new["outbox"]] if answer == "done" else [old["outbox"], new["outbox"]])
        again = open_store(client, place)
        again.commit(again.open_epoch(), TURN)
    assert "done" in told
    if hand is _depose:
        assert StaleLeader.__name__ in told


def test_what_others_wrote_while_we_led_is_kept_aside(client: KazooClient, root: str) -> None:
    begin(client, root)
    leader = open_store(client, root)
    epoch = leader.open_epoch()
    leader.load()
    _overwrite(client, root)
    theirs = client.get(f"{root}/state/J_b")[0]
    leader.commit(epoch, [Put("state", "b", JobState(success_count=9))])
    assert decoder.job("J_b", client.get(f"{root}/state/J_b")[0])["successCount"] == 9
    (name,) = client.get_children(f"{root}/x/quarantine")
    head, _, data = client.get(f"{root}/x/quarantine/{name}")[0].partition(b"\n")
    assert json.loads(head) == {"kind": "node", "key": "J_b"}
    assert data == theirs
