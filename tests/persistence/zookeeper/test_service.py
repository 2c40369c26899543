"""A service on a job store in ZooKeeper, a turn at a time."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import UTC
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss

from chronos_py.errors import StaleLeader, StoreUnavailable
from chronos_py.inbox import Posted
from chronos_py.loading import schedule_text
from chronos_py.model.job import Job
from chronos_py.model.messages import Request, RunJob, SubmitJob
from chronos_py.persistence.zookeeper import ZooKeeperJobStore
from chronos_py.persistence.zookeeper.entry import Entry, encode_entry
from chronos_py.service import Service
from tests.bench import TurnByTurn
from tests.fakes import FakeClock, FakeDriver, FakeOutbox
from tests.persistence.faults import Meddler
from tests.persistence.zookeeper.faults import MeddledClient
from tests.persistence.zookeeper.nodes import document

pytestmark = pytest.mark.external


class Node(TurnByTurn):
    def __init__(self, client: KazooClient, root: str) -> None:
        self.clock = FakeClock()
        self.driver = FakeDriver(now=self.clock.now)
        self.meddler = Meddler()
        meddled = MeddledClient(client, self.meddler)
        self.store = ZooKeeperJobStore(
            "shared", root, schedule_text=schedule_text(UTC), clock=self.clock, patience=1,
            make_client=lambda *_, **__: meddled,
        )  # fmt: skip
        self.service = Service(
            store=self.store, driver=self.driver, outbox=FakeOutbox(), history=None, clock=self.clock,
            monotonic=self.clock.monotonic,
        )  # fmt: skip

    def lead(self) -> None:
        self.service._take_over()
        self.turn()

    def ask(self, request: Request) -> Any:
        answer: Future[Any] = Future()
        self.service._inbox.put(Posted(request, answer))
        try:
            self.turn()
        except StoreUnavailable:
            assert answer.exception(0) is not None
        return answer.result(0)


def test_a_job_s_document_follows_its_runs(client: KazooClient, root: str) -> None:
    node = Node(client, root)
    node.lead()
    node.ask(SubmitJob(Job(name="a", schedule="R5/2026-01-01T01:00:00Z/PT1H")))
    assert document(client, root, "a")["schedule"] == "R5/2026-01-01T01:00:00Z/PT1H"
    node.clock.advance(hours=1)
    node.turn()
    assert document(client, root, "a")["schedule"] == "R4/2026-01-01T02:00:00.000Z/PT1H"
    (task,) = node.driver.launched
    node.driver.run(task)
    node.driver.finish(task)
    node.turn()
    assert document(client, root, "a")["successCount"] == 1
    other = Node(client, root)
    other.clock.at = node.clock.at
    other.lead()
    assert other.service.view.jobs["a"].state == node.service.view.jobs["a"].state
    with pytest.raises(StaleLeader):
        node.ask(RunJob("a"))
    assert other.ask(RunJob("a")) > 0


def test_a_commit_without_an_answer_is_told_and_everything_read_again(client: KazooClient, root: str) -> None:
    node = Node(client, root)
    node.lead()
    node.ask(SubmitJob(Job(name="a", schedule="R/2026-01-01T01:00:00Z/PT1H")))
    for took_effect in (False, True):
        node.meddler.cut(ConnectionLoss, took_effect=took_effect)
        name = f"during {took_effect}"
        with pytest.raises(StoreUnavailable):
            node.ask(SubmitJob(Job(name=name, schedule="R/2026-01-01T01:00:00Z/PT1H")))
        node.meddler.heal()
        node.lead()
        assert ("a" in node.service.view.jobs, name in node.service.view.jobs) == (True, took_effect)
    node.ask(SubmitJob(Job(name="b", schedule="R/2026-01-01T01:00:00Z/PT1H")))
    assert document(client, root, "b")["name"] == "b"


def test_a_job_that_chronos_made_runs_as_its_document_says(client: KazooClient, root: str) -> None:
    Node(client, root).lead()
    text = '{"name":"theirs","command":"x","schedule":"R2/2026-01-01T01:00:00.000Z/PT1H","successCount":40,"retries":1}'
    client.create(f"{root}/state/J_theirs", encode_entry(Entry("J_theirs", b"u" * 16, text.encode())))
    node = Node(client, root)
    node.lead()
    state = node.service.view.jobs["theirs"].state
    assert (state.success_count, state.remaining) == (40, 2)
    node.clock.advance(hours=1)
    node.turn()
    (task,) = node.driver.launched
    node.driver.finish(task)
    node.turn()
    assert document(client, root, "theirs")["successCount"] == 41
    assert document(client, root, "theirs")["schedule"] == "R1/2026-01-01T02:00:00.000Z/PT1H"
