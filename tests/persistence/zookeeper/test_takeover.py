"""A ZooKeeper that a Chronos filled, taken over in place, and given back. The tree is written and checked by code that
shares nothing with the store's."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from kazoo.client import KazooClient

from chronos_py.clock import iso_utc
from chronos_py.loading import schedule_text
from chronos_py.model.messages import ChangeJob, StatusUpdate, SubmitJob
from chronos_py.model.run import Outcome, Phase, TaskState, Trigger
from chronos_py.persistence.zookeeper import ZooKeeperJobStore
from chronos_py.persistence.zookeeper.keeper import Keeper
from chronos_py.scheduler.policy import Policy
from chronos_py.scheduler.takeover import HOLD
from chronos_py.service import Service
from compat_tests.servers.chronos_state import (
    VERSIONS,
    Tree,
    container,
    differences,
    document,
    entry,
    plant,
    read,
    tree,
)
from tests.bench import TurnByTurn
from tests.builders import a_job
from tests.fakes import NEW_YEAR, FakeClock, FakeDriver, FakeOutbox, FakeTask

pytestmark = pytest.mark.external

SECOND, MINUTE, DAY = 1000, 60_000, 86_400_000
RAN = ("schedule", "successCount", "errorCount", "errorsSinceLastSuccess", "lastSuccess", "lastError", "disabled")
LATER = iso_utc(NEW_YEAR + 10 * DAY)


class Place(TurnByTurn):
    """A path of ZooKeeper with what a Chronos left there, and our servers that take it over, one after another."""

    def __init__(self, hosts: str) -> None:
        self.hosts, self.path = hosts, f"/{uuid.uuid4().hex}/state"
        self.client = KazooClient(hosts)
        self.client.start(30)
        self.clock = FakeClock()
        self.driver = FakeDriver(now=self.clock.now, agents=("a",))
        self.stores: list[ZooKeeperJobStore] = []

    def plant(self, made: Tree) -> None:
        plant(self.client, self.path, made)

    def store(self) -> ZooKeeperJobStore:
        store = ZooKeeperJobStore(
            self.hosts, self.path, schedule_text=schedule_text(Policy().default_zone), clock=self.clock, patience=30
        )
        self.stores.append(store)
        return store

    def boot(self, store: ZooKeeperJobStore | None = None) -> Service:
        """Take over, as a process that has just been elected does."""
        self.driver.stop()
        self.service = Service(
            store=store or self.store(), driver=self.driver, outbox=FakeOutbox(), history=None, clock=self.clock,
            policy=Policy(), monotonic=self.clock.monotonic,
        )  # fmt: skip
        self.service._take_over()
        self.turn()
        return self.service

    def after(self, millis: int) -> None:
        self.clock.advance(millis=millis)
        self.turn()

    def settle(self) -> None:
        """Let every task that was launched succeed, and what follows from it, too."""
        while open_ones := [task for task in self.driver.launched if task.update is None]:
            for task in open_ones:
                self.driver.run(task)
                self.driver.finish(task)
            self.turn()

    @property
    def runs(self) -> list[Any]:
        return list(self.service._engine.book.runs.values())

    def rows(self) -> list[Any]:
        return [record for _, record in self.stores[-1].read_outbox(0, 10_000)]

    def names(self) -> set[str]:
        return set(self.client.get_children(f"{self.path}/state"))

    def write(self, name: str, data: bytes) -> None:
        self.client.create(f"{self.path}/state/{name}", data, makepath=True)

    def end(self) -> None:
        for store in self.stores:
            store.close()
        self.client.stop()
        self.client.close()


@pytest.fixture
def place(zookeeper_server: Any) -> Iterator[Place]:
    place = Place(zookeeper_server.hosts)
    yield place
    place.end()


def scheduled(version: str, name: str, millis: int = 10 * DAY, **more: Any) -> str:
    return document(version, name, schedule=f"R/{iso_utc(NEW_YEAR + millis)}/P1D", **more)


# --- documents


@pytest.mark.parametrize("version", VERSIONS)
def test_taking_over_changes_no_byte_of_what_did_not_run(place: Place, version: str):
    made = tree(version, 40, LATER, LATER)
    place.plant(made)
    stats = {name: place.client.get(f"{place.path}/state/{name}") for name in place.names()}
    place.boot()
    assert len(place.service.view.jobs) == 40
    place.boot()  # the next leader finds what this one has left
    place.after(MINUTE)
    for name in place.names() - {"frameworkId"}:  # the fake master gives another
        assert place.client.get(f"{place.path}/state/{name}") == stats[name]


@pytest.mark.parametrize("version", ["2.4", "3.0.2"])
def test_five_hundred_jobs_there_and_back(place: Place, version: str):
    made = tree(version, 500, iso_utc(NEW_YEAR + MINUTE), LATER)
    place.plant(made)
    before = read(place.client, place.path)
    place.boot()
    place.after(MINUTE)
    place.settle()
    place.boot()
    place.after(70 * MINUTE)  # the hourly ones once more
    place.settle()
    after = read(place.client, place.path)
    assert after.keys() == before.keys()
    ran = {task.task.job for task in place.driver.launched}
    assert 50 < len(ran) < 250
    # For a rack that is not there, or was too late when it could have run: the schedule has moved on all the same.
    waits = {run.job for run in place.runs} | {row.job for row in place.rows() if row.outcome == Outcome.SKIPPED}
    for name, value in before.items():
        job = name.removeprefix("J_")
        if job in ran:
            assert differences(value, after[name], RAN) == {}
            old, new = json.loads(value), json.loads(after[name])
            count = sum(task.task.job == job for task in place.driver.launched)
            assert new["successCount"] == old["successCount"] + count
            assert (new["lastSuccess"] > old["lastSuccess"], new["errorsSinceLastSuccess"]) == (True, 0)
            if "schedule" in old:
                assert new["schedule"].rpartition("/")[2] == old["schedule"].rpartition("/")[2]
                assert new["schedule"] != old["schedule"]
        elif job in waits:
            assert differences(value, after[name], ("schedule",)) == {}
        elif name != "frameworkId":
            assert after[name] == value


def test_what_is_given_back_is_what_chronos_would_have_written(place: Place):
    """Down to the bytes, with fields that nobody knows, and blanks where no Chronos writes any."""
    text = scheduled("2.4", "a b", MINUTE, owner="ä", successCount=41, epsilon="PT15M")
    text = text.replace('"retries":2', '"retries" : "3"').replace('"shell"', '"laterField":{"a": [1.50,null]},"shell"')
    place.plant(Tree({"a b": text}))
    place.boot()
    place.after(MINUTE)
    place.settle()
    expected = (
        text.replace(iso_utc(NEW_YEAR + MINUTE), iso_utc(NEW_YEAR + MINUTE + DAY))
        .replace('"successCount":41', '"successCount":42')
        .replace('"lastSuccess":""', f'"lastSuccess":"{iso_utc(place.clock.now())}"')
    )
    assert read(place.client, place.path)["J_a b"].decode() == expected


def test_every_later_leader_keeps_the_form(place: Place, monkeypatch: pytest.MonkeyPatch):
    """Also those that do not read again what they find as the last leader left it."""
    text = scheduled("2.4", "a", MINUTE, successCount=7).replace("{", '{"x" : {"y":[1.50]},', 1)
    place.plant(Tree({"a": text, "b": scheduled("3.0.2", "b")}))
    quick: list[Any] = []
    differing = Keeper.differing

    def counted(self: Keeper, versions: Any) -> list[str]:
        quick.append(versions)
        return differing(self, versions)

    monkeypatch.setattr(Keeper, "differing", counted)
    place.clock.advance(millis=MINUTE)
    for leader in range(5):
        place.boot()
        place.settle()
        if leader < 4:
            place.after(DAY)
            place.settle()
    after = read(place.client, place.path)["J_a"]
    assert len(quick) >= 3
    assert differences(text.encode(), after, RAN) == {}
    assert after.startswith(b'{"x" : {"y":[1.50]},')
    assert json.loads(after)["successCount"] == 12


def test_a_job_that_its_owner_changes_gets_a_document_of_ours_that_loses_nothing(place: Place):
    place.plant(Tree({"a": scheduled("2.4", "a", successCount=7, **{"async": True}).replace("{", '{"x":{"y":1},', 1)}))
    place.boot()
    place.ask(ChangeJob("a", lambda job, state: (replace(job, command="false"), counters_of(state))))
    value = json.loads(read(place.client, place.path)["J_a"])
    assert (value["command"], value["epsilon"], value["async"], value["x"]) == ("false", "PT60S", True, {"y": 1})
    assert (value["successCount"], value["schedule"]) == (7, f"R/{LATER}/P1D")


def counters_of(state: Any) -> Any:
    from dataclasses import fields

    from chronos_py.model.job import Counters

    return Counters(**{field.name: getattr(state, field.name) for field in fields(Counters)})


FIRST_VERSION = {
    "name": "a", "command": "b", "epsilon": "PT15M", "executor": "", "executorFlags": "", "retries": 2, "owner": "",
    "async": True, "successCount": 3, "errorCount": 0, "lastSuccess": "", "lastError": "", "cpus": 0.1,
    "disk": 256, "mem": 128, "disabled": False, "parents": ["b"],
}  # fmt: skip
ODD: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no fields but the name": ({"name": "a"}, {"command": "", "retries": 2}),
    "numbers as text": (
        {"name": "a", "retries": "5", "cpus": "0.5", "schedule": "R//P1D"},
        {"retries": 5, "cpus": 0.5},
    ),
    "nulls": (
        {"name": "a", "command": None, "owner": None, "epsilon": None, "container": None, "uris": None,
         "schedule": f"R/{LATER}/P1D", "scheduleTimeZone": None},
        {"command": "", "owner": "", "epsilon": None, "container": None, "schedule_zone": ""},
    ),
    "of the first version": (FIRST_VERSION, {"epsilon": "PT15M", "is_async": True, "parents": ("b",), "mem": 128.0}),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_odd_documents_are_read(place: Place, case: str):
    given, expected = ODD[case]
    place.plant(Tree({"a": json.dumps(given)}))
    job = place.store().load().jobs["a"]
    assert {name: getattr(job, name) for name in expected} == expected


@pytest.mark.parametrize("version", VERSIONS)
def test_containers_are_read(place: Place, version: str):
    place.plant(Tree({"a": scheduled(version, "a", container=container(version))}))
    job = place.store().load().jobs["a"]
    assert job.container is not None
    assert (job.container.type, job.container.image) == (
        "MESOS" if version == "3.0.2" else "DOCKER",
        "example/report:7",
    )
    if version == "3.0.2":
        assert job.container.networks[0].port_mappings[0].host_port == 31080


# --- what cannot be read


BAD = {
    "empty": b"",
    "no entry": b"hello",
    "cut off": entry("J_bad", scheduled("2.4", "bad").encode())[:-20],
    "no JSON": entry("J_bad", b"{"),
    "no object": entry("J_bad", b"[]"),
    "of another name": entry("J_bad", scheduled("2.4", "good").encode()),
    "in another's node": entry("J_good", scheduled("2.4", "bad").encode()),
    "not UTF-8": entry("J_bad", b'{"name":"bad","command":"\xff"}'),
    "oversized": entry("J_bad", b" " * 1_048_000),
    "uuid as text": entry("J_bad", b"{}", uuid.uuid4().hex.encode()),
    "unknown operator": entry("J_bad", scheduled("2.4", "bad", constraints=[["a", "NEAR", "b"]]).encode()),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_is_reported_and_left(place: Place, case: str):
    place.plant(Tree({"good": scheduled("2.4", "good", MINUTE)}))
    place.write("J_bad", BAD[case])
    place.boot()
    place.after(MINUTE)
    place.settle()
    assert set(place.service.view.jobs) == {"good"}
    assert [(lost.kind, lost.key) for lost in place.service.view.quarantined] == [("job", "bad")]
    found = place.client.get(f"{place.path}/state/J_bad")
    assert (found[0], found[1].version) == (BAD[case], 0)


def test_a_bad_node_is_kept_aside_before_a_new_job_of_its_name_replaces_it(place: Place):
    place.plant(Tree({}))
    place.write("J_bad", b"hello")
    place.boot()
    place.ask(SubmitJob(a_job("bad", schedule=f"R/{LATER}/P1D")))
    assert json.loads(read(place.client, place.path)["J_bad"])["name"] == "bad"
    (aside,) = place.client.get_children(f"{place.path}/x/quarantine")
    assert place.client.get(f"{place.path}/x/quarantine/{aside}")[0].endswith(b"hello")


# --- pending tasks


def pending(place: Place, *tasks: str, version: str = "2.4", **more: Any) -> None:
    """Plant job `a b`, whose schedule has moved on, with tasks that wait."""
    text = scheduled(version, "a b", **more)
    place.plant(Tree({"a b": text}, dict.fromkeys(tasks, text)))


def test_a_task_that_is_to_come_runs_at_its_time_and_once(place: Place):
    due = NEW_YEAR + 30 * SECOND
    pending(place, f"ct:{due}:0:a b:")
    place.boot()
    assert place.names() == {"J_a b", "frameworkId"}
    place.boot()
    (run,) = place.runs
    assert (run.due, run.phase, run.trigger, run.task_id) == (due, Phase.RETRYING, Trigger.SCHEDULE, f"ct:{due}:0:a b:")
    place.after(29 * SECOND)
    assert not place.driver.launched
    place.after(SECOND)
    assert [task.task.id for task in place.driver.launched] == [f"ct:{due}:0:a b:"]
    place.settle()
    place.boot()
    place.after(MINUTE)
    assert len(place.driver.launched) == 1


@pytest.mark.parametrize(
    "late, more, runs",
    [
        (59 * SECOND, {}, True),
        (61 * SECOND, {}, False),
        (14 * MINUTE, {"epsilon": "PT15M"}, True),
        (16 * MINUTE, {"epsilon": "PT15M"}, False),
        (SECOND, {"disabled": True}, False),
    ],
)
def test_a_late_task_runs_now_or_is_left_out(place: Place, late: int, more: dict[str, Any], runs: bool):
    due = NEW_YEAR - late
    pending(place, f"ct:{due}:1:a b:", **more)
    place.boot()
    place.after(HOLD)
    assert [(task.task.id) for task in place.driver.launched] == ([f"ct:{due}:1:a b:"] if runs else [])
    reason = "disabled" if "disabled" in more else "late"
    rows = [(row.outcome, row.reason, row.due) for row in place.rows()]
    assert rows == ([] if runs else [(Outcome.SKIPPED, reason, due)])
    assert place.names() == {"J_a b", "frameworkId"}


def test_many_old_tasks_make_one_row(place: Place):
    times = [NEW_YEAR - number * DAY for number in range(1, 40)]
    pending(place, *(f"ct:{time}:0:a b:" for time in times), f"ct:{NEW_YEAR}:0:gone:")
    place.boot()
    rows = {row.job: row for row in place.rows()}
    assert (rows["a b"].due, rows["a b"].last_due, rows["a b"].reason) == (times[-1], times[0], "late")
    assert rows["gone"].reason == "its job is gone"
    assert place.names() == {"J_a b", "frameworkId"}


def test_arguments_of_a_task_count_where_they_are_not_the_jobs_own(place: Place):
    due = NEW_YEAR + SECOND
    pending(place, f"ct:{due}:0:a b:-v x", f"ct:{due + 1}:0:a b:other", arguments=["-v", "x"])
    place.boot()
    assert [(run.arguments, run.task_id) for run in place.runs] == [
        (None, f"ct:{due}:0:a b:-v x"),
        ("other", f"ct:{due + 1}:0:a b:other"),
    ]


def test_strange_tasks_and_those_of_jobs_that_cannot_be_read_stay(place: Place):
    strange = ["T_hello", f"T_ct:{'9' * 30}:0:a b:", f"T_ct:{NEW_YEAR + 1}:0:bad:", "T_ct:5:0:a b:"]
    pending(place)
    place.write("J_bad", b"")
    for name in strange[:3]:
        place.write(name, entry(name, b"{}"))
    place.write(strange[3], b"")
    place.boot()
    assert place.names() == {"J_a b", "J_bad", "frameworkId", *strange}
    reported = {(lost.kind, lost.key) for lost in place.service.view.quarantined}
    assert reported == {("job", "bad"), *(("task", strange[number][2:]) for number in (0, 1, 3))}
    assert not place.runs


def test_what_a_chronos_2_left_below_a_chronos_3_is_left_alone(place: Place):
    old, task = scheduled("2.4", "a b"), f"ct:{NEW_YEAR + SECOND}:0:a b:"
    place.plant(Tree({"a b": old, "new": scheduled("3.0.2", "new")}, {task: old}))
    place.boot()
    place.after(MINUTE)
    assert f"T_{task}" in place.names()
    assert not place.driver.launched
    assert not place.service.view.quarantined


class Crash(BaseException):
    pass


def ends_after(allowed: int, when: str, mortal: Keeper) -> Callable[..., None]:
    """Return Keeper.multi, but `mortal` ends before, or after, what comes after `allowed` requests."""
    multi, left = Keeper.multi, [allowed]

    def request(self: Keeper, operations: Any, deadline: float | None = None) -> None:
        left[0] -= self is mortal
        if left[0] < 0 and when == "before":
            raise Crash
        multi(self, operations, deadline)
        if left[0] < 0:
            raise Crash

    return request


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("many", [False, True], ids=["in one request", "in several"])
def test_a_crash_loses_and_doubles_no_task(place: Place, when: str, many: bool, monkeypatch: pytest.MonkeyPatch):
    """The leader ends at each of its writes in turn; whoever follows finishes."""
    task = f"ct:{NEW_YEAR + SECOND}:0:a b:"
    old = [f"ct:{number}:0:a b:{'x' * 200}" for number in range(3000)] if many else []
    pending(place, task, *old, successCount=5)
    crashes = 0
    for allowed in range(100):
        store = place.store()
        monkeypatch.setattr(Keeper, "multi", ends_after(allowed, when, store._keeper))
        try:
            place.boot(store)
        except Crash:
            crashes += 1
        else:
            break
        finally:
            monkeypatch.undo()
    assert crashes >= (5 if many else 3)
    assert [run.task_id for run in place.runs] == [task]
    assert place.names() == {"J_a b", "frameworkId"}
    assert sum(row.reason == "late" for row in place.rows()) == int(many)
    place.after(SECOND)
    place.settle()
    place.after(MINUTE)
    assert [launched.task.id for launched in place.driver.launched] == [task]
    assert json.loads(read(place.client, place.path)["J_a b"])["successCount"] == 6


# --- tasks that run


@pytest.mark.parametrize(
    "form", ["ct:{at}:0:a b", "ct:{at}:0:a b:", "ct:{at}:2:a b:-v x", "ct:{at}:0:a b:http://h/x;y"]
)
def test_running_tasks_are_adopted_under_their_old_ids(place: Place, form: str):
    """Also when our own run came first: the job brought no ids of ours along."""
    place.plant(Tree({"a b": scheduled("2.4", "a b", SECOND, successCount=1)}))
    place.boot()
    place.after(SECOND)
    place.settle()
    name = form.format(at=NEW_YEAR - 5 * MINUTE)
    place.driver.post(StatusUpdate(name, TaskState.RUNNING, agent_id="a", host="a", at=NEW_YEAR - 5 * MINUTE))
    place.turn()
    (run,) = place.runs
    assert (run.task_id, run.phase, run.trigger) == (name, Phase.RUNNING, Trigger.SCHEDULE)
    place.driver.tasks[name] = FakeTask(None, "a", TaskState.RUNNING)  # type: ignore[arg-type]
    place.driver.post(StatusUpdate(name, TaskState.FINISHED, agent_id="a", uuid="u"))
    place.turn()
    assert json.loads(read(place.client, place.path)["J_a b"])["successCount"] == 3


def test_a_pending_task_that_was_launched_already_goes_on(place: Place):
    name = f"ct:{NEW_YEAR - SECOND}:0:a b:"
    pending(place, name)
    place.boot()
    place.driver.post(StatusUpdate(name, TaskState.RUNNING, agent_id="a", host="a"))
    place.turn()
    place.after(HOLD)
    (run,) = place.runs
    assert (run.task_id, run.phase) == (name, Phase.RUNNING)
    assert not place.driver.launched


def test_a_chronos_that_led_meanwhile_counts(place: Place):
    """Handed back, run there, taken over again: its counters, its place in the schedule, its ids."""
    place.plant(Tree({"a b": scheduled("2.4", "a b", MINUTE), "c": document("2.4", "c", parents=["a b"])}))
    place.boot()
    place.after(MINUTE)
    place.settle()
    for name, value in read(place.client, place.path).items():
        if name.startswith("J_"):
            theirs = value.decode().replace('"successCount":1', '"successCount":9')
            theirs = theirs.replace(iso_utc(NEW_YEAR + MINUTE + DAY), iso_utc(NEW_YEAR + MINUTE + 3 * DAY))
            place.client.set(f"{place.path}/state/{name}", entry(name, theirs.encode()))
    place.clock.advance(hours=60)
    place.boot()
    book = place.service._engine.book
    assert {name: job.state.success_count for name, job in book.jobs.items()} == {"a b": 9, "c": 9}
    assert book.jobs["a b"].due == NEW_YEAR + MINUTE + 3 * DAY
    for name in ("a b", "c"):
        place.driver.post(StatusUpdate(f"ct:{NEW_YEAR + 2 * DAY}:0:{name}:", TaskState.RUNNING, agent_id="a"))
    place.turn()
    assert {run.job for run in place.runs} == {"a b", "c"}
