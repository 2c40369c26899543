"""The service and its election: when it takes over, and what it does no more once it has lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chronos_py.clock import SystemClock
from chronos_py.election import Standing
from chronos_py.errors import NotLeader, StaleLeader, StoreUnavailable
from chronos_py.model.job import Job
from chronos_py.model.messages import Acknowledge, Launch, RunJob, SubmitJob
from chronos_py.model.run import Phase
from chronos_py.service import Service
from tests.builders import a_job
from tests.fakes import FakeDriver, FakeOutbox, FakeStore
from tests.waiting import until

OWN, OTHER = "me:1", "other:1"


class Election:
    """A leadership whose outcome the test decides."""

    def __init__(self) -> None:
        self.standing_ = Standing(OWN, "", "none", 1, "connecting")
        self.resignations: list[str] = []
        self.stopped_at: float = 0
        self.keeps = False  # resigning comes to nothing

    def start(self, on_elected: Callable[[], None], on_resigned: Callable[[str], None]) -> None:
        self.on_elected, self.on_resigned = on_elected, on_resigned

    def elect(self) -> None:
        self.standing_ = Standing(OWN, OWN, "leader", 1, "connected")
        self.on_elected()

    def depose(self, leader: str = OTHER, session: Any = "connected") -> None:
        self.standing_ = Standing(OWN, leader, "follower", 1, session)
        self.on_resigned("the test says so")

    def leader(self) -> str:
        return self.standing_.leader

    def is_leader(self) -> bool:
        return self.standing_.role == "leader"

    def lease(self) -> float:
        return 4.0

    def standing(self) -> Standing:
        return self.standing_

    def resign(self, reason: str) -> None:
        self.resignations.append(reason)
        if self.is_leader():
            self.depose()

    def stop(self) -> None:
        self.stopped_at = time.monotonic()


class Driver(FakeDriver):
    """Counts its starts, and cannot be stopped twice."""

    starts = 0
    running = False

    def start(self, post: Any, framework_id: str) -> None:
        assert not self.running
        self.starts, self.running = self.starts + 1, True
        super().start(post, framework_id)

    def stop(self) -> None:
        assert self.running
        self.running = False
        super().stop()


class Rig:
    def __init__(self) -> None:
        self.store, self.driver, self.election = FakeStore(), Driver(), Election()
        self.service = Service(
            store=self.store, driver=self.driver, leadership=self.election, outbox=FakeOutbox(), history=None,
            clock=SystemClock(),
        )  # fmt: skip
        self.service.start()

    def lead(self) -> None:
        self.election.elect()
        until(self.service.leading)

    def follow(self) -> None:
        self.election.depose()
        until(lambda: not self.driver.running and not self.service.view.loaded)


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.service.stop()
    assert not rig.driver.running


def submit(rig: Rig, name: str = "a") -> None:
    job: Job = a_job(name, schedule="R/2090-01-01T00:00:00Z/P1D")
    rig.service.call(SubmitJob(job), timeout=20)


def test_nothing_is_read_or_started_before_the_election(rig: Rig):
    until(lambda: rig.service.health()["problem"] == "this node has not been elected")
    assert not rig.service.leading()
    assert not rig.service.answers()
    assert rig.store.epoch == 0
    assert rig.driver.starts == 0
    with pytest.raises(NotLeader):
        submit(rig)


def test_who_is_elected_reads_everything_and_starts_the_driver(rig: Rig):
    rig.lead()
    assert rig.service.answers()
    submit(rig)
    assert (rig.store.epoch, rig.driver.starts) == (1, 1)
    health = rig.service.health()
    assert (health["leading"], health["election"]["role"], health["election"]["leader"]) == (True, "leader", OWN)


def test_who_has_lost_forgets_and_stops_the_driver(rig: Rig):
    rig.lead()
    submit(rig)
    events = rig.service.subscribe()
    rig.follow()
    assert not rig.service.view.jobs
    assert not rig.service.answers()
    assert rig.service.health()["jobs"] == 0
    assert rig.service.leader() == OTHER
    found = [events.get(0) for _ in range(5)]
    assert ("resigned", {"leader": OTHER}) in found
    with pytest.raises(NotLeader):
        submit(rig, "b")
    assert set(rig.store.records["job"]) == {"a"}


def test_a_follower_is_ready_when_it_knows_the_leader_and_is_in_touch(rig: Rig):
    rig.lead()
    rig.follow()
    health = rig.service.health()
    assert (health["ready"], health["leading"], health["problem"]) == (True, False, "")
    for leader, session in (("", "connected"), (OTHER, "suspended"), (OWN, "connected")):
        rig.election.depose(leader, session)
        health = rig.service.health()
        assert (health["ready"], bool(health["problem"])) == (False, True)


def test_who_is_elected_again_reads_everything_again(rig: Rig):
    rig.lead()
    submit(rig)
    rig.follow()
    rig.store.records["job"]["b"] = rig.store.records["job"]["a"]  # while another node led
    del rig.store.records["job"]["a"]
    rig.lead()
    until(lambda: rig.driver.starts == 2)  # a moment after it leads
    assert rig.store.epoch == 2
    assert rig.service.answers()


def test_an_election_lost_and_won_between_two_turns_is_noticed(rig: Rig):
    rig.lead()
    changed = rig.service.view.changed

    def flicker(changes: Any) -> None:
        rig.store.before = lambda changes: None
        rig.election.depose()
        rig.election.elect()

    rig.store.before = flicker
    submit(rig)
    until(lambda: rig.store.epoch == 2 and rig.service.leading())
    assert rig.service.view.changed > changed
    assert "a" in rig.service.view.jobs


def test_nothing_is_launched_or_acknowledged_after_the_loss(rig: Rig):
    """The loss comes while the turn is being stored. The launch is stored, and left to the next leader."""
    rig.lead()
    submit(rig)
    stored = len(rig.store.records["run"])

    def lose(changes: Any) -> None:
        if any(change.kind == "run" and change.value.phase is Phase.LAUNCHING for change in changes):
            rig.store.before = lambda changes: None
            rig.election.depose()

    rig.store.before = lose
    rig.service.call(RunJob("a"), timeout=20)
    until(lambda: not rig.driver.running)
    assert len(rig.store.records["run"]) == stored + 1
    assert not rig.driver.launched
    assert not [effect for effect in rig.driver.effects if isinstance(effect, Launch | Acknowledge)]


def test_who_was_deposed_by_the_store_stands_again(rig: Rig):
    rig.lead()
    rig.store.epoch = 7
    with pytest.raises(StaleLeader):
        submit(rig)
    until(lambda: rig.election.resignations == ["the store saw a newer leader"])
    until(lambda: not rig.driver.running)
    rig.lead()
    assert rig.store.epoch == 8
    submit(rig)


def test_a_store_that_is_away_is_tried_again_and_then_left_to_others(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("chronos_py.service.GIVE_WAY_S", 0.15)
    tries: list[float] = []

    def fail(self: FakeStore) -> int:
        tries.append(time.monotonic())
        raise StoreUnavailable("it is away")

    with monkeypatch.context() as patch:
        patch.setattr(FakeStore, "open_epoch", fail)
        rig.election.elect()
        until(lambda: rig.election.resignations)
        assert len(tries) >= 2
        assert "it is away" in rig.election.resignations[0]
        assert not rig.service.answers()
    rig.lead()


def test_a_new_election_ends_the_wait_after_a_failure(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    failing = [StoreUnavailable("it is away")] * 4  # then it would wait for 1.6 seconds
    begin = FakeStore.open_epoch

    def open_epoch(self: FakeStore) -> int:
        if failing:
            raise failing.pop()
        return begin(self)

    monkeypatch.setattr(FakeStore, "open_epoch", open_epoch)
    monkeypatch.setattr("chronos_py.service.LONGEST_BACK_OFF_S", 1000.0)
    monkeypatch.setattr("chronos_py.service.GIVE_WAY_S", 1000.0)
    rig.election.elect()
    until(lambda: not failing)
    rig.election.depose()
    rig.lead()


def test_the_turn_under_way_ends_before_others_may_lead(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("chronos_py.service.HAND_OVER_S", 20.0)
    rig.lead()
    entered = threading.Event()
    ended: list[float] = []

    def slow(changes: Any) -> None:
        if any(change.kind == "job" for change in changes):  # else it is what the driver said when it began
            entered.set()
            assert rig.service._stopping.wait(20)
            ended.append(time.monotonic())

    rig.store.before = slow
    caller = threading.Thread(target=submit, args=(rig,))
    caller.start()
    assert entered.wait(20)
    rig.service.stop()
    caller.join(20)
    assert ended[-1] <= rig.election.stopped_at
    assert "a" in rig.store.records["job"]


def test_a_turn_that_does_not_end_holds_nobody_up(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("chronos_py.service.HAND_OVER_S", 0.05)
    rig.lead()
    entered, stopped = threading.Event(), threading.Event()

    def stop() -> None:
        stopped.set()
        rig.election.stopped_at = time.monotonic()

    def slow(changes: Any) -> None:
        if not any(change.kind == "job" for change in changes):
            return
        entered.set()
        assert stopped.wait(20)  # until the leadership was given up

    monkeypatch.setattr(rig.election, "stop", stop)
    rig.store.before = slow
    caller = threading.Thread(target=submit, args=(rig,))
    caller.start()
    assert entered.wait(20)
    rig.service.stop()
    caller.join(20)
    assert stopped.is_set()


def test_what_is_stored_while_others_may_lead_already_is_theirs_to_launch(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("chronos_py.service.HAND_OVER_S", 0.05)
    rig.lead()
    submit(rig)
    entered, stopped = threading.Event(), threading.Event()

    def slow(changes: Any) -> None:
        if any(change.kind == "run" and change.value.phase is Phase.LAUNCHING for change in changes):
            entered.set()
            assert stopped.wait(20)

    monkeypatch.setattr(rig.election, "stop", stopped.set)
    rig.store.before = slow
    caller = threading.Thread(target=rig.service.call, args=(RunJob("a"), 20))
    caller.start()
    assert entered.wait(20)
    rig.service.stop()
    caller.join(20)
    assert not rig.driver.launched


def test_who_has_lost_says_so_though_a_turn_is_under_way(rig: Rig):
    """What came too late for that turn is certainly not carried out."""
    rig.lead()
    entered, asked = threading.Event(), threading.Event()

    def slow(changes: Any) -> None:
        if any(change.kind == "job" for change in changes):
            entered.set()
            assert asked.wait(20)

    rig.store.before = slow
    caller = threading.Thread(target=submit, args=(rig,))
    caller.start()
    assert entered.wait(20)
    rig.election.depose()
    try:
        with pytest.raises(NotLeader, match="lost the leadership"):
            submit(rig, "b")
    finally:
        asked.set()
        caller.join(20)
