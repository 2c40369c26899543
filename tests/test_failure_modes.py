"""Each known failure of Chronos, by its number in the list of failure modes, and that it does not happen here.

Short and direct; the parts' own tests go further. Four rows of the list are about followers and ZooKeeper state, which
do not exist here: 4, 12, 21, 22.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from chronos_py.api import create_app
from chronos_py.api.backend import ApiSettings
from chronos_py.drivers.mesos.amounts import Bag
from chronos_py.drivers.mesos.callbacks import Callbacks
from chronos_py.errors import StoreUnavailable
from chronos_py.model.history import AttemptRecord
from chronos_py.model.job import Constraint
from chronos_py.model.messages import (
    AgentLost,
    Change,
    Decline,
    DeleteJob,
    HistoryWritten,
    Launch,
    Reconcile,
    ReportResult,
    Revive,
    RunJob,
    StatusUpdate,
    SubmitJob,
    Suppress,
)
from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources
from chronos_py.model.run import Phase, TaskState
from chronos_py.persistence.sqlite import SqliteJobStore
from chronos_py.scheduler.offers import Demand, OfferLoop, OfferPolicy
from chronos_py.scheduler.queue import Shape
from chronos_py.scheduler.retry import LONGEST_FAULT_DELAY, fault_delay
from chronos_py.service import Service
from tests.bench import Bench
from tests.builders import a_job
from tests.drivers.mesos.scripted import ScriptedMaster, a_master, an_offer
from tests.drivers.mesos.test_driver import a_driver, offered, ready
from tests.drivers.rig import PATIENCE_S
from tests.fakes import NEW_YEAR, FakeClock, FakeDriver, FakeOutbox, FakeStore


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def master() -> Iterator[ScriptedMaster]:
    with a_master() as master:
        yield master


def asked(bench: Bench) -> list[str]:
    """Return the task ids that the driver was asked about since the last time."""
    found = [i for effect in bench.driver.effects if isinstance(effect, Reconcile) for i, _ in effect.tasks]
    bench.driver.effects.clear()
    return found


def names(client: FlaskClient) -> list[str]:
    return [job["name"] for job in client.get("/v1/scheduler/jobs").get_json()]


def test_01_an_exception_in_a_callback_does_not_end_the_offers(
    master: ScriptedMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, calls = Callbacks.resourceOffers, []

    def raise_once(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 1:
            raise RuntimeError("thrown on purpose")
        kept(*arguments)

    monkeypatch.setattr(Callbacks, "resourceOffers", raise_once)
    with a_driver(master) as (driver, listener):
        stream = master.subscribed()
        ready(listener)
        stream.say({"type": "OFFERS", "offers": {"offers": [an_offer(1)]}})
        assert [offer.id for offer in offered(listener, stream, an_offer(2))] == ["offer-2"]
        status = driver.status()
        assert status.live
        assert status.detail["failedCallbacks"] == 1
        assert status.detail["subscriptions"] == 1
        assert status.detail["sinceLastOffer"] is not None
        assert status.detail["sinceLastEvent"] is not None


def test_02_memory_and_store_do_not_part_when_a_write_fails(bench: Bench) -> None:
    bench.add(a_job(schedule="R0//P"))

    def fail(changes: Sequence[Change]) -> None:
        raise StoreUnavailable("null")

    bench.store.before = fail
    with pytest.raises(StoreUnavailable):
        bench.ask(RunJob("a"))
    assert not bench.launched("a")
    bench.store.before = lambda changes: None
    bench.service._take_over()
    bench.turn()
    assert not bench.launched("a")
    assert bench.service.view.runs == bench.store.records["run"] == {}
    assert Revive() in bench.driver.effects, "offers of before were forgotten, so others are asked for"
    bench.driver.offer("a")
    bench.ask(RunJob("a"))
    bench.end("a")
    assert bench.outcomes("a") == ["success"]


def test_03_no_native_client_can_take_the_process_down() -> None:
    code = "import chronos_py.app, chronos_py.drivers.mesos; print(open('/proc/self/maps').read())"
    maps = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "libpython" in maps or "python" in maps
    assert "libmesos" not in maps and "libzookeeper" not in maps


def test_05_nobody_waits_for_a_write_of_the_store_to_read() -> None:
    store, writing, go_on = FakeStore(), threading.Event(), threading.Event()
    clock = FakeClock()
    service = Service(
        store=store, driver=FakeDriver(now=clock.now), outbox=FakeOutbox(), history=None, clock=clock,
    )  # fmt: skip
    client = create_app(service, ApiSettings()).test_client()

    def block(changes: Sequence[Change]) -> None:
        writing.set()
        assert go_on.wait(PATIENCE_S)

    service.start()
    try:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(service.call, SubmitJob(a_job("first", schedule="R0//P"))).result(PATIENCE_S)
            store.before = block
            try:
                posting = pool.submit(service.call, SubmitJob(a_job("second", schedule="R0//P")))
                assert writing.wait(PATIENCE_S)
                assert names(client) == ["first"]
                assert client.get("/health").get_json()["leading"]
                assert not posting.done()
            finally:
                store.before = lambda changes: None
                go_on.set()
            posting.result(PATIENCE_S)
        assert names(client) == ["first", "second"]
    finally:
        service.stop()


def test_06_a_load_that_fails_does_not_hold_offers(tmp_path: Path) -> None:
    bench = Bench()
    bench.add(a_job(schedule="R/2026-01-01T00:01:00Z/PT1M"))
    kept, started = bench.store.load, list[str]()
    bench.driver.start = lambda post, framework_id: started.append(framework_id)  # type: ignore[method-assign]

    def fail() -> Any:
        raise StoreUnavailable("cannot be read")

    bench.store.load = fail  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        bench.boot()
    assert not started, "nothing is registered before all is known"
    bench.store.load = kept  # type: ignore[method-assign]
    bench.boot()
    assert started == ["framework-1"]


def test_06_a_bad_record_does_not_keep_the_others_from_being_loaded(tmp_path: Path) -> None:
    import sqlite3

    store = SqliteJobStore(tmp_path / "state.sqlite")
    bench = Bench()
    bench.store = store  # type: ignore[assignment]
    bench.boot()
    bench.add(a_job("good", schedule="R1/2026-01-01T00:01:00Z/PT1M"), a_job("bad", schedule="R0//P"))
    store.close()
    with sqlite3.connect(tmp_path / "state.sqlite") as db:
        (table,) = [name for (name,) in db.execute("SELECT name FROM sqlite_master") if name in ("job", "jobs")]
        assert db.execute(f"UPDATE {table} SET value = ? WHERE name = 'bad'", (b"{",)).rowcount == 1
    db.close()
    store = SqliteJobStore(tmp_path / "state.sqlite")
    bench.store = store  # type: ignore[assignment]
    try:
        bench.boot()
        bench.later(minutes=1)
        assert [record.key for record in bench.service.view.quarantined][:1] == ["bad"]
        assert bench.launched("good")
    finally:
        store.close()


def test_07_a_task_does_not_leave_the_store_before_it_has_ended(bench: Bench) -> None:
    stored: list[Phase] = []

    def look(effect: Any) -> None:
        if isinstance(effect, Launch):
            stored.extend(run.phase for run in bench.store.records["run"].values())

    bench.driver.on_effect = look
    bench.add(a_job(schedule="R1//P"))
    assert stored == [Phase.LAUNCHING], "the intent is stored before the launch"
    bench.driver.run(bench.launched("a")[0])
    bench.turn()
    assert [run.phase for run in bench.store.records["run"].values()] == [Phase.RUNNING]
    bench.driver.finish(bench.launched("a")[0])
    bench.turn()
    assert bench.store.records["run"] == {}
    assert bench.launched("a")[0].acknowledged
    assert bench.outcomes("a") == ["success"]


def test_08_a_retry_is_not_left_under_an_old_id(bench: Bench) -> None:
    bench.add(a_job(schedule="R1//P", retries=2, retry_delay=1))
    for _ in range(3):
        bench.end("a", TaskState.FAILED)
        assert len(bench.store.records["run"]) <= 1
        bench.later(seconds=2)
    attempts = [row for row in bench.store.ledger if isinstance(row, AttemptRecord)]
    assert [row.attempt for row in attempts] == [0, 1, 2]
    assert len({row.task_id for row in attempts}) == 3
    assert bench.store.records["run"] == {}
    assert bench.outcomes("a") == ["failed"]


def test_09_a_stale_head_of_the_queue_does_not_block_it(bench: Bench) -> None:
    huge = Resources.of(200, 1, 1)
    assert not bench.driver.room.covers(huge)
    bench.add(a_job("deleted", schedule="R1//P", priority=9, cpus=200))
    bench.add(a_job("too-big", schedule="R1//P", priority=8, cpus=200))
    bench.add(a_job("disabled", schedule="R1//P", priority=7, cpus=200))
    bench.ask(DeleteJob("deleted"))
    bench.ask(SubmitJob(a_job("disabled", schedule="R1//P", priority=7, cpus=200, disabled=True)))
    bench.add(a_job("fits", schedule="R1//P"))
    bench.end("fits")
    assert bench.outcomes("fits") == ["success"]


def test_10_a_finite_job_does_not_run_for_ever_or_forget_what_it_did(bench: Bench) -> None:
    bench.add(a_job(schedule="R2/2026-01-01T00:01:00Z/PT1M"))
    for _ in range(2):
        bench.later(minutes=1)
        bench.end("a")
    bench.boot()
    bench.later(hours=2)
    assert len(bench.launched("a")) == 2
    assert bench.outcomes("a") == ["success", "success"]
    assert (bench.state("a").success_count, bench.state("a").error_count) == (2, 0)
    assert bench.state("a").last_success
    assert bench.job("a").disabled


def test_11_the_report_of_an_asynchronous_job_is_not_refused_or_taken_for_another(bench: Bench) -> None:
    bench.add(a_job(schedule="R1//P", is_async=True, retries=0))
    task = bench.launched("a")[0].task.id
    bench.end("a")
    assert bench.ask(ReportResult("no task id", True)) is False
    assert bench.ask(ReportResult(task.replace(":0:", ":1:"), True)) is False
    assert bench.outcomes("a") == []
    assert bench.ask(ReportResult(task, True)) is True
    assert bench.outcomes("a") == ["success"]


def test_13_no_crumbs_are_left_of_an_agent() -> None:
    resources = [
        {"name": name, "type": "SCALAR", "scalar": {"value": amount}, "allocation_info": {"role": "*"}}
        for name, amount in (("cpus", 0.3), ("mem", 0.3), ("disk", 0.3))
    ]
    bag = Bag(resources)
    for amount in (0.1, 0.2):
        taken = bag.take(Resources.of(amount, amount, amount))
        assert [resource["scalar"]["value"] for resource in taken] == [amount] * 3
    assert bag.room == Resources()
    assert Resources.of(0.1, 0.1, 0.1) + Resources.of(0.2, 0.2, 0.2) == Resources.of(0.3, 0.3, 0.3)


def test_14_a_master_that_was_started_again_does_not_go_unnoticed(master: ScriptedMaster) -> None:
    with a_driver(master, heartbeats_missed=2) as (_, listener):
        master.subscribed("ours", heartbeat=0.1)  # and not a sound from then on
        ready(listener)
        again = master.subscribed("ours")
        assert again.body["framework_id"] == {"value": "ours"}
        assert ready(listener).framework_id == "ours"


def test_15_a_new_leader_does_not_register_as_another_framework(bench: Bench) -> None:
    given = []
    kept = bench.driver.start

    def start(post: Any, framework_id: str) -> None:
        given.append(framework_id)
        kept(post, framework_id)

    bench.driver.start = start  # type: ignore[method-assign]
    for _ in range(2):
        bench.boot()
        assert bench.store.records["meta"]["framework_id"] == "framework-1"
    assert given == ["framework-1", "framework-1"]


def test_16_a_framework_that_was_removed_does_not_come_back_for_ever(master: ScriptedMaster, bench: Bench) -> None:
    with a_driver(master, "removed") as (_, listener):
        stream = master.subscriptions.get(timeout=PATIENCE_S)
        assert stream.body["framework_id"] == {"value": "removed"}
        stream.say({"type": "ERROR", "error": {"message": "Framework has been removed"}})
        again = master.subscribed("new")
        assert "framework_id" not in again.body and "id" not in again.framework
        news = ready(listener)
    bench.driver.post(news)
    bench.turn()
    assert bench.store.records["meta"]["framework_id"] == "new", "the next process begins with the new one"


def test_17_a_change_of_leader_does_not_run_anything_twice(bench: Bench) -> None:
    bench.add(a_job(schedule="R1//P", retries=0))
    task = bench.launched("a")[0]
    bench.driver.run(task)
    bench.turn()
    bench.driver.on_reconcile = False
    asked(bench)
    bench.boot()
    questions = [effect.tasks for effect in bench.driver.effects if isinstance(effect, Reconcile)]
    assert questions == [((task.task.id, task.agent),)]
    asked(bench)
    for _ in range(59):
        bench.later(seconds=10)
    assert len(bench.launched("a")) == 1, "not before --unknown_task_timeout"
    assert len(asked(bench)) >= 5, "it is asked again and again"
    bench.driver.tell(task.task.id)
    bench.turn()
    bench.later(hours=1)
    assert len(bench.launched("a")) == 1
    bench.driver.finish(task)
    bench.turn()
    assert bench.outcomes("a") == ["success"]


def test_18_offers_are_neither_hogged_nor_asked_for_all_the_time() -> None:
    loop = OfferLoop(OfferPolicy(keep=False))
    room = Resources.of(4, 1000, 1000)
    loop.receive([Offer("o", "a", "h", room, total=room)], NEW_YEAR)
    told = loop.settle(Demand(), NEW_YEAR)
    assert [effect.seconds for effect in told if isinstance(effect, Decline)] == [5.0]
    assert Suppress() in told
    assert not loop.held
    assert loop.settle(Demand(), NEW_YEAR + 60_000) == [], "said once"
    work = Demand([Shape(Resources.of(1, 1, 1))])
    assert loop.settle(work, NEW_YEAR + 60_001) == [Revive()]
    assert loop.settle(work, NEW_YEAR + 60_002) == [], "said once"


def test_19_what_is_stored_does_not_grow_with_failures(bench: Bench) -> None:
    bench.add(a_job(retries=3, retry_delay=1))
    sizes = []
    for _ in range(60):
        if bench.launched("a")[-1].update is None:
            bench.end("a", TaskState.FAILED)
        newest = max(bench.store.records["outbox"], default=0)
        bench.service.post(HistoryWritten(newest))
        bench.later(seconds=5)
        sizes.append(sum(len(table) for table in bench.store.records.values()))
    assert len(bench.launched("a")) > 10
    assert max(sizes[30:]) <= max(sizes[:30]) <= 10


def test_19_a_loop_of_faults_slows_down(bench: Bench) -> None:
    bench.add(a_job(schedule="R1//P", retries=0))
    delays = []
    for _ in range(8):
        run = next(iter(bench.service.view.runs.values()))
        delays.append(fault_delay(run, "TASK_LOST"))
        bench.end("a", TaskState.LOST)
        bench.later(seconds=LONGEST_FAULT_DELAY / 1000)
    assert delays == sorted(delays) and delays[0] == 0 and delays[-1] > 10_000


def test_20_agents_are_not_filled_one_by_one_and_no_retry_goes_where_it_failed() -> None:
    bench = Bench()
    bench.add(*[a_job(f"a{number}", schedule="R1//P", cpus=10, retries=1, retry_delay=1) for number in range(6)])
    agents = [task.agent for task in bench.driver.launched]
    assert sorted(agents) == ["a", "a", "a", "b", "b", "b"]
    failed = bench.launched("a0")[0]
    bench.end("a0", TaskState.FAILED)
    bench.later(seconds=2)
    assert bench.launched("a0")[1].agent != failed.agent


def test_23_a_constraint_that_is_not_met_does_not_look_like_a_lack_of_room(bench: Bench) -> None:
    bench.add(a_job("picky", schedule="R1//P", constraints=(Constraint("rack", "EQUALS", "moon"),)))
    bench.add(a_job("huge", schedule="R1//P", cpus=200))
    why = {run.job: bench.service.why(number) for number, run in bench.service.view.runs.items()}
    picky, huge = why["picky"], why["huge"]
    assert picky is not None and huge is not None
    assert "rack EQUALS moon" in picky.sentence
    assert "cpus" in huge.sentence and "rack" not in huge.sentence


def test_24_a_task_that_mesos_refuses_is_not_forgotten(bench: Bench) -> None:
    bench.add(a_job(schedule="R1//P", retries=3))
    task = bench.launched("a")[0]
    update = StatusUpdate(
        task.task.id, TaskState.ERROR, task.agent, uuid="u", reason="REASON_TASK_INVALID", message="bad id"
    )
    task.update = update
    bench.driver.post(update)
    bench.turn()
    assert task.acknowledged
    assert bench.outcomes("a") == ["failed"]
    assert bench.rows("a")[0].reason == "bad id"
    assert bench.state("a").error_count == 1
    (body,) = [notice.body for notice in bench.notices if notice.event == "failed"]
    assert (body or "").endswith("The scheduler provided this message:\n\nbad id")


def test_25_a_lost_agent_does_not_make_us_forget_the_tasks_of_the_others(bench: Bench) -> None:
    bench.add(*[a_job(name, schedule="R1//P") for name in ("x", "y")])
    for task in bench.driver.launched:
        bench.driver.run(task)
    bench.turn()
    by_agent = {task.agent: task for task in bench.driver.launched}
    assert set(by_agent) == {"a", "b"}
    asked(bench)
    bench.driver.on_reconcile = False
    bench.driver.post(AgentLost("a"))
    bench.turn()
    assert asked(bench) == [by_agent["a"].task.id]
    assert {run.phase for run in bench.service.view.runs.values()} == {Phase.RUNNING}
    for task in bench.driver.launched:
        bench.driver.finish(task)
    bench.turn()
    assert bench.outcomes("x") == bench.outcomes("y") == ["success"]
