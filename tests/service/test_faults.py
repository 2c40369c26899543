"""What goes wrong: lost tasks, commits that fail, records that nobody foresaw."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from chronos_py.errors import (
    StoreUnavailable,
)
from chronos_py.inbox import Posted
from chronos_py.model.history import AttemptRecord
from chronos_py.model.job import OnUncertain
from chronos_py.model.messages import (
    DeleteJob,
    Revive,
    RunJob,
    StatusUpdate,
    SubmitJob,
)
from chronos_py.model.run import TaskState
from tests.bench import Bench
from tests.builders import a_job


def test_a_run_of_unknown_fate_is_not_started_again_until_it_counts_as_lost(bench: Bench) -> None:
    bench.add(a_job(schedule="R1//P", retries=1, retry_delay=1))
    bench.driver.run(bench.launched("a")[0])
    bench.turn()
    bench.driver.tell = lambda task_id: None  # type: ignore[method-assign]  # nobody answers
    bench.boot()
    bench.later(seconds=599)
    assert len(bench.launched("a")) == 1
    bench.later(seconds=2)
    bench.later(seconds=2)
    assert len(bench.launched("a")) == 2
    assert [a.outcome.value for a in bench.store.ledger if isinstance(a, AttemptRecord)] == ["lost"]


def test_an_owner_may_choose_never_to_risk_a_second_run(bench: Bench) -> None:
    bench.add(a_job(schedule="R1//P", retries=5, on_uncertain=OnUncertain.SKIP))
    bench.driver.tell = lambda task_id: None  # type: ignore[method-assign]
    bench.boot()
    bench.later(seconds=700)
    assert bench.outcomes("a") == ["lost"]
    assert len(bench.launched("a")) == 1


def test_a_task_that_shows_up_after_it_was_given_up_is_stopped(bench: Bench) -> None:
    bench.add(a_job(schedule="R1//P", retries=0))
    bench.service.post(StatusUpdate("ct:1:0:a:", TaskState.RUNNING, agent_id="a"))
    bench.turn()
    assert [effect for effect in bench.driver.effects if type(effect).__name__ == "Kill"]


def test_an_event_that_cannot_be_digested_is_set_aside(bench: Bench) -> None:
    bench.add(a_job(schedule="R/2026-01-01T00:01:00Z/PT1M"))
    bench.service._inbox.put(Posted(StatusUpdate(["not", "a", "text"], TaskState.RUNNING)))  # type: ignore[arg-type]
    bench.service._inbox.put(Posted(RunJob("a")))
    bench.later(minutes=1)
    assert bench.launched("a")


@pytest.mark.parametrize("counters", [[], None, {"run": "x"}, {"run": 50.5, "record": 1, "job": 1, "id_floor": 0}, {}])
def test_damaged_counters_are_reported_and_no_number_is_given_again(bench: Bench, counters: Any) -> None:
    bench.add(a_job(schedule="R1//P"))
    bench.end("a")
    bench.ask(DeleteJob("a"))
    bench.store.records["meta"]["counters"] = counters
    bench.boot()
    assert [record.key for record in bench.service.view.quarantined] == ["counters"]
    bench.add(a_job(schedule="R1//P"))
    bench.end("a")
    numbers = [row.run for row in bench.rows("a")]
    assert len(set(numbers)) == len(numbers)


def test_a_commit_that_fails_costs_a_request_but_no_launch(bench: Bench) -> None:
    bench.add(a_job(schedule="R0//P"))

    def full(changes: Any) -> None:
        raise StoreUnavailable("disk full")

    bench.store.before = full
    with pytest.raises(StoreUnavailable):
        bench.ask(RunJob("a"))
    bench.store.before = lambda changes: None
    bench.service._take_over()
    revived = [effect for effect in bench.driver.effects if isinstance(effect, Revive)]
    assert revived
    assert not bench.launched("a")


def test_everybody_is_answered_when_a_turn_cannot_even_be_begun_again(bench: Bench) -> None:
    def gone() -> Any:
        raise StoreUnavailable("store gone")

    bench.service._inbox.put(Posted(StatusUpdate(["not", "a", "text"], TaskState.RUNNING)))  # type: ignore[arg-type]
    bench.store.load = gone  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        bench.step_for(RunJob("a"))
    assert isinstance(bench.reply.exception(0), StoreUnavailable)


def test_higher_priority_goes_first(bench: Bench) -> None:
    bench.driver.room = bench.driver.room.__class__.of(1, 1e6, 1e6)
    bench.boot()
    bench.service._engine.loop.disconnected()
    for name, priority in (("low", -1), ("plain", None), ("high", 7)):
        bench.add(a_job(name, schedule="R1//P", priority=priority, cpus=1))
    bench.driver.offer("a")
    bench.turn()
    assert bench.driver.launched[0].task.job == "high"


def test_a_deposed_leader_lets_go_of_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    stopped = threading.Event()
    monkeypatch.setattr(bench.driver, "stop", stopped.set)
    before = bench.service._epoch
    bench.service.start()
    while bench.service._epoch == before or not bench.service.leading():  # it is elected, and reads everything anew
        time.sleep(0.01)
    bench.store.open_epoch()  # somebody else leads
    bench.service.post(SubmitJob(a_job("b")))
    assert stopped.wait(10)
    assert not bench.service.health()["ready"]
    bench.service.stop()
