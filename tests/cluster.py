"""A shared cluster that behaves as Mesos does: offers with filters, suppressed, revived and rescinded; agents that go,
come back, or are to be maintained; news that is doubled or late. It writes down what a framework must not do."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from chronos_py.clock import Millis
from chronos_py.drivers.base import Post
from chronos_py.model.messages import (
    Acknowledge,
    AgentLost,
    AnswerInverseOffers,
    Decline,
    DriverEffect,
    DriverReady,
    InverseOffersReceived,
    Kill,
    Launch,
    OfferRescinded,
    OffersReceived,
    Reconcile,
    Resubscribe,
    Revive,
    StatusUpdate,
    Suppress,
)
from chronos_py.model.offer import InverseOffer, Offer, Outage
from chronos_py.model.resources import Resources
from chronos_py.model.run import TaskState
from tests.fakes import FakeDriver, FakeTask

ALLOCATION: Millis = 1000  # from one round of offers to the next
ROOM = Resources.of(1.5, 4000, 8000)


@dataclass
class Agent:
    name: str
    up: bool = True
    filtered: Millis = 0
    outage: Outage | None = None


@dataclass
class SharedCluster(FakeDriver):
    """`hold` is how long the framework may keep an offer. `problems` are its misdeeds."""

    random: random.Random = field(default_factory=lambda: random.Random(0))
    hold: Millis = 2000
    problems: list[str] = field(default_factory=list)
    machines: dict[str, Agent] = field(default_factory=dict)
    out: dict[str, tuple[Offer, Millis]] = field(default_factory=dict)
    said: dict[str, int] = field(default_factory=dict)  # how often each thing happened
    spent: set[str] = field(default_factory=set)  # offers that were used or declined
    suppressed: bool = False
    round: Millis = 0
    unasked: set[str] = field(default_factory=set)  # inverse offers that were not answered

    def __post_init__(self) -> None:
        self.machines = {name: Agent(name) for name in self.agents}

    def start(self, post: Post, framework_id: str) -> None:
        self.post = post
        self.out.clear()
        self.suppressed = False
        for machine in self.machines.values():
            machine.filtered = 0
        post(DriverReady("framework-1"))
        for task in self.tasks.values():
            if task.update is not None and not task.acknowledged:
                self.tell_end(task)

    def note(self, what: str) -> None:
        self.said[what] = self.said.get(what, 0) + 1

    # --- offers

    def free(self, name: str) -> Resources:
        """Return what no task has, and what is not on offer."""
        left = ROOM
        for task in self.tasks.values():
            if task.update is None and task.agent == name:
                left = left - task.task.resources
        for offer, _ in self.out.values():
            if offer.agent_id == name:
                left = left - offer.resources
        return left

    def next_round(self) -> Millis | None:
        """Return when something may next be offered."""
        if self.suppressed:
            return None
        ends = [max(self.round, m.filtered) for m in self.machines.values() if m.up and self.free(m.name).cpus >= 100]
        return min(ends, default=None)

    def allocate(self) -> None:
        now = self.now()
        if self.suppressed or now < self.round:
            return
        self.round = now + ALLOCATION
        for machine in self.machines.values():
            free = self.free(machine.name)
            if machine.up and now >= machine.filtered and free.cpus >= 100:
                self.offers += 1
                offer = Offer(
                    f"offer-{self.offers}", machine.name, machine.name, free, total=ROOM, outage=machine.outage
                )  # fmt: skip
                self.out[offer.id] = (offer, now)
                self.post(OffersReceived([offer]))

    def give_back(self, offer_id: str, seconds: float) -> Offer | None:
        found = self.out.pop(offer_id, None)
        if found is None:
            return None
        offer, since = found
        self.spent.add(offer_id)
        if self.now() - since > self.hold:
            self.problems.append(f"{offer_id} was held for {self.now() - since} ms")
        machine = self.machines[offer.agent_id]
        machine.filtered = max(machine.filtered, self.now() + int(seconds * 1000))
        return offer

    # --- calls

    def perform(self, effect: DriverEffect) -> None:
        self.on_effect(effect)
        self.note(type(effect).__name__)
        match effect:
            case Launch():
                self._launch(effect)
            case Acknowledge():
                if effect.update.task_id in self.tasks:
                    self.tasks[effect.update.task_id].acknowledged = True
            case Kill():
                task = self.tasks.get(effect.task_id)
                if task and task.update is None and self.machines[task.agent].up and self.random.random() < 0.7:
                    self.end(task, TaskState.KILLED)
            case Reconcile():
                for task_id in [task_id for task_id, _ in effect.tasks] or list(self.tasks):
                    if self.random.random() < 0.8:
                        self.tell(task_id)
            case Decline():
                for offer_id in effect.offer_ids:
                    self.give_back(offer_id, effect.seconds)
            case Suppress():
                if self.suppressed:
                    self.problems.append("suppressed twice")
                self.suppressed = True
            case Revive():
                self.suppressed = False
                for machine in self.machines.values():
                    machine.filtered = 0
            case AnswerInverseOffers():
                self.unasked.difference_update((*effect.accepted, *effect.declined))
            case Resubscribe():
                self.start(self.post, "")

    def _launch(self, launch: Launch) -> None:
        again = self.spent.intersection(offer.id for offer in launch.offers)
        if again:
            self.problems.append(f"{sorted(again)} were used though they had been used or declined")
        offers = [self.give_back(offer.id, launch.refuse_seconds) for offer in launch.offers]
        if None in offers or not self.machines[launch.offers[0].agent_id].up:
            self.note("stale launch")
            for task in launch.tasks:
                reason, agent = "REASON_INVALID_OFFERS", launch.offers[0].agent_id
                self.post(StatusUpdate(task.id, TaskState.DROPPED, agent, uuid=f"stale-{task.id}", reason=reason))
            return
        room, need = Resources(), Resources()
        for offer in launch.offers:
            room = room + offer.resources
            outage = offer.outage
            if outage is not None and outage.start <= self.now() < (outage.end or self.now() + 1):
                self.problems.append(f"launched on {offer.agent_id} in its outage")
        for task in launch.tasks:
            need = need + task.resources
            if task.id in self.tasks:
                self.problems.append(f"{task.id} launched twice")
            self.tasks[task.id] = FakeTask(task, launch.offers[0].agent_id)
            self.launched.append(self.tasks[task.id])
        if not room.covers(need):
            self.problems.append(f"{launch.offers} were overdrawn")

    # --- news

    def tell(self, task_id: str) -> None:
        task = self.tasks.get(task_id)
        if task is None:
            self.post(StatusUpdate(task_id, TaskState.GONE, reason="REASON_RECONCILIATION"))
        elif task.update is not None:
            if not task.acknowledged:
                self.tell_end(task)
        elif not self.machines[task.agent].up:
            self.post(StatusUpdate(task_id, TaskState.UNREACHABLE, task.agent, reason="REASON_RECONCILIATION"))
        else:
            self.post(StatusUpdate(task_id, task.state, task.agent, task.agent, reason="REASON_RECONCILIATION"))

    def tell_end(self, task: FakeTask) -> None:
        """Tell of an end, some times twice, and with late news of the start after it."""
        assert task.update is not None
        if not self.machines[task.agent].up and task.update.state != TaskState.GONE_BY_OPERATOR:
            return  # its agent tells when it is back
        self.post(task.update)
        if self.random.random() < 0.2:
            self.note("doubled")
            self.post(task.update)
            self.post(StatusUpdate(task.task.id, TaskState.RUNNING, task.agent, task.agent))

    def run(self, task: FakeTask) -> None:
        task.state = TaskState.RUNNING
        if self.machines[task.agent].up:
            self.post(StatusUpdate(task.task.id, task.state, task.agent, task.agent, at=self.now()))

    def end(self, task: FakeTask, state: TaskState, exit_code: int | None = None) -> None:
        task.state = state
        task.update = StatusUpdate(
            task.task.id, state, task.agent, task.agent, uuid=f"uuid-{task.task.id}", at=self.now(), exit_code=exit_code
        )
        self.tell_end(task)

    # --- trouble

    def trouble(self) -> None:
        """Let something happen to an agent or an offer."""
        machine = self.machines[self.random.choice(sorted(self.machines))]
        kind = self.random.randrange(4)
        if kind == 0 and self.out:
            self.note("rescinded")
            offer_id = self.random.choice(sorted(self.out))
            del self.out[offer_id]
            if self.random.random() < 0.5:  # else the word of it comes too late
                self.post(OfferRescinded(offer_id))
        elif kind == 1 and machine.up:
            self.lose(machine)
        elif kind == 2 and machine.outage is None:
            self.note("outage")
            start = self.now() + self.random.choice((0, 300_000, 5_000_000))
            machine.outage = Outage(start, start + 600_000)
            self.unasked.add(f"inverse-{self.now()}")
            self.post(InverseOffersReceived([InverseOffer(f"inverse-{self.now()}", machine.name, machine.outage)]))
        elif kind == 3:
            self.mend()

    def lose(self, machine: Agent) -> None:
        """An agent cannot be reached; for good, or for a while."""
        machine.up = False
        self.note("agent lost")
        for offer_id in [i for i, (offer, _) in self.out.items() if offer.agent_id == machine.name]:
            del self.out[offer_id]
            self.post(OfferRescinded(offer_id))
        gone = self.random.random() < 0.3
        for task in self.tasks.values():
            if task.update is None and task.agent == machine.name:
                if gone:
                    self.end(task, TaskState.GONE_BY_OPERATOR)
                elif self.random.random() < 0.5:
                    self.post(StatusUpdate(task.task.id, TaskState.UNREACHABLE, machine.name))
        self.post(AgentLost(machine.name))

    def mend(self) -> None:
        """All agents are back, with the tasks that they had."""
        for machine in self.machines.values():
            if machine.outage is not None and machine.outage.end is not None and machine.outage.end <= self.now():
                machine.outage = None
            if not machine.up:
                self.note("agent back")
                machine.up = True
                for task in self.tasks.values():
                    if task.agent == machine.name:
                        if task.update is not None and not task.acknowledged:
                            self.tell_end(task)
                        elif task.update is None:
                            self.post(StatusUpdate(task.task.id, task.state, task.agent, task.agent))
