"""What every driver must do, as `drivers/base.py` says. A driver joins by a cluster of its own in `CLUSTERS`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from chronos_py.drivers.base import Driver
from chronos_py.drivers.local import LocalDriver
from chronos_py.drivers.mesos import MesosDriver, MesosSettings
from chronos_py.model.messages import (
    Acknowledge,
    Decline,
    DriverEvent,
    DriverReady,
    Kill,
    Launch,
    OfferRescinded,
    OffersReceived,
    Reconcile,
    Revive,
    StatusUpdate,
    Suppress,
)
from chronos_py.model.resources import Resources
from chronos_py.model.run import Task
from compat_tests.servers.mesos import AgentSpec, MesosCluster, missing
from tests.drivers.group.rig import Machine, OverHttp, Register
from tests.drivers.rig import ALL, PATIENCE_S, Listener

SMALL = Resources.of(0.1, 32, 10)
PROGRESS = ("TASK_STARTING", "TASK_RUNNING", "TASK_KILLING")
BEHAVIOURS = {"succeed": "exit 0", "fail": "exit 3", "wait": "exec sleep 600"}


class Cluster(Protocol):
    """Machines that outlive the drivers which use them. They understand the commands in `BEHAVIOURS`.

    `forgotten` is the answer about a task that the cluster does not know, or not any more; None: it remembers how tasks
    ended, and is certain that what never came to it never will.
    """

    forgotten: str | None

    def driver(self) -> Driver: ...

    def close(self) -> None: ...


class ThisMachine:
    forgotten: str | None = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def driver(self) -> Driver:
        return LocalDriver(self._folder / "data", ALL, host="here", limits="none")

    def close(self) -> None:
        """Nothing of it is left once the test has ended its tasks."""


class AGroup:
    """A node of a group, which its own driver reaches as it does others."""

    forgotten: str | None = None

    def __init__(self, folder: Path) -> None:
        self._machine = Machine(Register(), folder / "here", OverHttp)

    def driver(self) -> Driver:
        self._machine.epoch += 1
        return self._machine.driver

    def close(self) -> None:
        self._machine.end()


class RealMesos:
    """A master and an agent of Apache Mesos."""

    forgotten: str | None = "TASK_GONE"

    def __init__(self, folder: Path) -> None:
        del folder
        lacking = missing()
        if lacking:
            pytest.skip(lacking)
        agents = [AgentSpec(hostname="here", resources="cpus:4;mem:4096;disk:4096")]
        self._cluster = MesosCluster(agents, master_flags={"allocation_interval": "100ms"}).start()

    def driver(self) -> Driver:
        return MesosDriver(MesosSettings(master=self._cluster.master_address))

    def close(self) -> None:
        self._cluster.stop()


CLUSTERS: dict[str, Callable[[Path], Cluster]] = {"group": AGroup, "local": ThisMachine, "mesos": RealMesos}
MARKS = {"mesos": pytest.mark.external}


class Session:
    """A driver that was started, and who listens to it. Its progress is acknowledged at once, or no end would come."""

    def __init__(self, cluster: Cluster, framework_id: str = "") -> None:
        self.cluster = cluster
        self.listener = Listener()
        self.driver = cluster.driver()
        self.framework_id = framework_id
        self.driver.start(self.take, framework_id)

    def take(self, event: DriverEvent) -> None:
        if isinstance(event, DriverReady):
            self.framework_id = event.framework_id
        if isinstance(event, StatusUpdate) and event.uuid and event.state in PROGRESS:
            self.driver.perform(Acknowledge(event))
        self.listener.events.put(event)

    def launch(self, *tasks: Task) -> None:
        self.driver.perform(Launch((self.listener.offer(),), tasks))

    def again(self) -> Session:
        """Stop this driver and start another one on the same cluster."""
        self.driver.stop()
        return Session(self.cluster, self.framework_id)

    def answer(self, task_id: str, agent_id: str = "") -> StatusUpdate:
        """Ask after a task; return the answer."""
        self.listener.seen.clear()
        self.driver.perform(Reconcile(((task_id, agent_id),)))
        return self.listener.news(task_id)

    def settle(self, task_id: str) -> StatusUpdate:
        """Wait for a task's end and acknowledge it."""
        end = self.listener.end_of(task_id)
        self.driver.perform(Acknowledge(end))
        return end


@pytest.fixture(params=[pytest.param(name, marks=MARKS.get(name, ())) for name in sorted(CLUSTERS)])
def session(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Session]:
    cluster = CLUSTERS[request.param](tmp_path)
    session = Session(cluster)
    yield session
    session.driver.stop()
    cluster.close()


@pytest.fixture
def remembering(tmp_path: Path) -> Iterator[Session]:
    """A session on a cluster that forgets nothing: this machine."""
    session = Session(ThisMachine(tmp_path))
    yield session
    session.driver.stop()


def a_task(name: str, behaviour: str, need: Resources = SMALL) -> Task:
    return Task(id=f"ct:1:0:{name}:", run=1, job=name, command=BEHAVIOURS[behaviour], resources=need)


def test_ready_comes_before_the_first_offer(session: Session) -> None:
    kinds = [type(session.listener.events.get(timeout=PATIENCE_S)) for _ in range(2)]
    assert kinds == [DriverReady, OffersReceived]
    assert session.driver.status().live
    session.driver.stop()
    assert not session.driver.status().live


def test_it_tells_what_agents_have_and_what_of_it_is_used(session: Session) -> None:
    session.launch(a_task("used", "wait"))
    deadline = time.monotonic() + PATIENCE_S
    while True:
        agents = session.driver.capacity()
        busy = [agent for agent in agents if agent.used.covers(SMALL)]
        if busy:
            break
        assert time.monotonic() < deadline, agents
        time.sleep(0.05)
    assert all(agent.active and agent.id and agent.host and agent.total.covers(agent.used) for agent in agents)
    session.driver.perform(Kill("ct:1:0:used:", busy[0].id, 0))
    session.settle("ct:1:0:used:")


@pytest.mark.parametrize(("command", "state"), [("succeed", "TASK_FINISHED"), ("fail", "TASK_FAILED")])
def test_a_task_runs_and_its_end_wants_to_be_acknowledged(session: Session, command: str, state: str) -> None:
    task = a_task("one", command)
    session.launch(task)
    running = session.listener.running(task.id)
    assert (bool(running.agent_id), running.host) == (True, "here")
    end = session.listener.end_of(task.id)
    assert (end.state, bool(end.uuid)) == (state, True)
    session.driver.stop()


def test_an_end_is_told_again_to_the_next_driver_until_it_is_acknowledged(session: Session) -> None:
    task = a_task("told", "fail")
    session.launch(task)
    first = session.listener.end_of(task.id)
    later = session.again()
    second = later.settle(task.id)
    assert (second.state, second.uuid, second.exit_code) == (first.state, first.uuid, first.exit_code)
    last = later.again()
    agent_id = last.listener.offer().agent_id
    assert not [event for event in last.listener.seen if isinstance(event, StatusUpdate)]
    assert last.answer(task.id, agent_id).state == (session.cluster.forgotten or first.state)
    last.driver.stop()


def test_a_running_task_is_found_again_and_can_be_stopped(session: Session) -> None:
    task = a_task("stays", "wait")
    session.launch(task)
    running = session.listener.running(task.id)
    later = session.again()
    later.listener.offer()
    answer = later.answer(task.id, running.agent_id)
    assert answer.state == "TASK_RUNNING"
    later.driver.perform(Kill(task.id, answer.agent_id, 5))
    assert later.settle(task.id).state == "TASK_KILLED"
    later.driver.stop()


def test_of_a_task_that_was_never_launched_it_is_certain_that_it_never_will_be(remembering: Session) -> None:
    session = remembering
    task = a_task("late", "succeed")
    assert session.answer(task.id).state == "TASK_DROPPED"
    session.launch(task)
    assert session.listener.end_of(task.id).state == "TASK_DROPPED"
    later = session.again()
    assert later.answer(task.id).state == "TASK_DROPPED"
    later.driver.perform(Kill("ct:1:0:unheard:", "", 0))
    assert later.listener.end_of("ct:1:0:unheard:").state == "TASK_DROPPED"
    later.driver.stop()


def test_all_that_are_asked_after_are_answered(session: Session) -> None:
    runs, ended = a_task("runs", "wait"), a_task("ended", "succeed")
    session.launch(runs, ended)
    session.settle(ended.id)
    agent_id = session.listener.running(runs.id).agent_id
    session.listener.seen.clear()
    ids = (runs.id, ended.id, "ct:1:0:none:")
    session.driver.perform(Reconcile(tuple((task_id, agent_id) for task_id in ids)))
    answers = [session.listener.news(task_id).state for task_id in ids]
    forgotten = session.cluster.forgotten
    assert answers == ["TASK_RUNNING", forgotten or "TASK_FINISHED", forgotten or "TASK_DROPPED"]
    session.driver.perform(Kill(runs.id, agent_id, 0))
    session.settle(runs.id)
    session.driver.stop()


def test_an_id_is_launched_once(remembering: Session) -> None:
    session = remembering
    task = a_task("twice", "succeed")
    session.launch(task)
    end = session.settle(task.id)
    session.launch(task)
    again = session.listener.end_of(task.id)
    assert (again.state, again.uuid, again.at) == (end.state, end.uuid, end.at)
    session.driver.stop()


def test_an_offer_is_used_once_and_an_unknown_one_never(session: Session) -> None:
    offer = session.listener.offer()
    first, second = a_task("first", "succeed"), a_task("second", "succeed")
    session.driver.perform(Launch((offer,), (first,)))
    session.driver.perform(Launch((offer,), (second,)))
    assert session.settle(first.id).state == "TASK_FINISHED"
    end = session.settle(second.id)
    assert (end.state, end.reason) == ("TASK_DROPPED", "INVALID_OFFERS")
    session.driver.stop()


def test_what_a_launch_leaves_and_what_ended_tasks_free_is_offered(session: Session) -> None:
    offer, task = session.listener.offer(), a_task("takes", "wait", Resources.of(1, 100, 100))
    session.driver.perform(Launch((offer,), (task,)))
    rest = session.listener.offer()
    assert rest.resources == offer.resources - task.resources
    session.driver.perform(Kill(task.id, rest.agent_id, 5))
    session.settle(task.id)
    if session.cluster.forgotten:  # Mesos offers what was freed besides
        assert session.listener.offer().resources == task.resources
    else:
        session.listener.wait(lambda e: isinstance(e, OfferRescinded) and e.offer_id == rest.id)
        assert session.listener.offer().resources == offer.resources
    session.driver.stop()


def test_what_was_declined_comes_back_in_time_or_on_demand(session: Session) -> None:
    session.driver.perform(Decline((session.listener.offer().id,), 0.2))
    begun = time.monotonic()
    offer = session.listener.offer()
    assert time.monotonic() - begun >= 0.15
    session.driver.perform(Decline((offer.id,), 3600))
    session.driver.perform(Suppress())
    session.driver.perform(Revive())
    session.listener.offer()
    session.driver.stop()
