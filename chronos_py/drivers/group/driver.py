"""All nodes of the group as one cluster: each is an agent, or several. What concerns an agent goes to its node.

A node that is away: its offers are void (AgentLost), its runs are uncertain, and what was asked after is asked when it
is back. Until then it is said of such a task that its agent cannot be reached, never that it was dropped.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from chronos_py.drivers.base import DriverStatus, OutputChunk, Post
from chronos_py.drivers.group.link import Link, Owner, dropped
from chronos_py.drivers.group.members import Member, Members
from chronos_py.drivers.group.node import Node
from chronos_py.drivers.group.transport import Direct, Http, Transport
from chronos_py.drivers.group.wire import OutputWanted
from chronos_py.drivers.local.fleet import machine_of
from chronos_py.errors import Unavailable, UnknownTask
from chronos_py.model.capacity import AgentCapacity
from chronos_py.model.messages import (
    Acknowledge,
    AgentLost,
    Decline,
    DriverEffect,
    DriverEvent,
    DriverReady,
    Kill,
    Launch,
    OfferRescinded,
    OffersReceived,
    Reconcile,
    Resubscribe,
    StatusUpdate,
)
from chronos_py.model.run import TaskState

log = structlog.get_logger(__name__)

QUESTIONS = 200_000  # tasks of nodes that are away which are remembered; the engine asks again anyway
STOP_S = 1.0  # for acknowledgements that are on their way
TOGETHER = 1000  # tasks in one question


class GroupDriver:
    """The Driver of a node that leads; `open` and `close` are for this machine's own tasks, which run also while it
    does not.

    `epoch` gives the leader's present epoch. `members` makes what finds the nodes, from what is to be told of them.
    """

    def __init__(
        self,
        node: Node,
        address: str,
        epoch: Callable[[], int],
        members: Callable[[Callable[[Mapping[str, Member]], None], Callable[[int], None]], Members],
    ) -> None:
        self.node = node
        self.instance = uuid.uuid4().hex
        self._address = address
        self._epoch = epoch
        self._members = members(self._meet, node.see_epoch)
        self._lock = threading.Lock()
        self._post: Post | None = None  # None: this node does not lead
        self._met: Mapping[str, Member] = {}
        self._links: dict[str, Link] = {}
        self._offers: dict[str, str] = {}  # nodes of offers that are out
        self._questions: dict[str, str] = {}  # tasks that were asked after, and their agents
        self._known: dict[str, AgentCapacity] = {}  # what the nodes' offers say of their agents
        self._agents: dict[str, set[str]] = {}  # which agents each node has spoken of in its session
        self._last_session = 0

    # --- this machine

    def open(self) -> None:
        """Take up this machine's tasks, and join the group. Raises OSError when the data folder cannot be used."""
        self.node.start()
        self._members.start(Member(self.node.agent_id, self._address, self.instance))

    def close(self) -> None:
        """Leave the group; tasks run on."""
        self._members.stop()
        self.node.stop()

    def key(self) -> bytes:
        """Return what nodes sign their requests with, empty while it is not known."""
        return self._members.key()

    # --- the protocol

    def start(self, post: Post, framework_id: str) -> None:
        del framework_id
        with self._lock:
            self._post = post
            self._offers.clear()
            self._questions.clear()
        post(DriverReady())
        self._meet(self._met)

    def stop(self) -> None:
        with self._lock:
            self._post = None
            links, self._links = list(self._links.values()), {}
        for link in links:
            link.stop()
        deadline = time.monotonic() + STOP_S
        for link in links:
            link.join(deadline - time.monotonic())

    def perform(self, effect: DriverEffect) -> None:
        match effect:
            case Launch():
                self._launch(effect)
            case Reconcile(tasks=tasks) if tasks:
                self._ask_after(tasks)
            case Kill() as kill:
                self._give(machine_of(kill.agent_id), kill)
            case Acknowledge() as acknowledge:
                self._give(machine_of(acknowledge.update.agent_id), acknowledge)
            case Decline():
                self._decline(effect)
            case Resubscribe():
                for link in list(self._links.values()):
                    link.renew(effect.reason)
            case _:
                for agent_id in list(self._links):
                    self._give(agent_id, effect)

    def status(self) -> DriverStatus:
        own = self.node.status()
        with self._lock:
            links, met = dict(self._links), self._met
        nodes = {
            agent_id: {
                "address": met[agent_id].address if agent_id in met else "",
                "live": link.live,
                "problem": "" if link.live else link.problem,
            }
            for agent_id, link in sorted(links.items())
        }
        detail: dict[str, Any] = {**own.detail, "nodes": nodes}
        return DriverStatus("group", own.live and self._post is not None, detail)

    def capacity(self) -> Sequence[AgentCapacity]:
        """Of other nodes it is known what they have, as they last offered, and whether they can be reached."""
        own = self.node.local.capacity()
        with self._lock:
            links, known = dict(self._links), dict(self._known)
        away = {agent_id: one for agent_id, one in known.items() if machine_of(agent_id) != self.node.agent_id}
        others = ((one, links.get(machine_of(agent_id))) for agent_id, one in away.items())
        return [*own, *(replace(one, active=link.live) for one, link in others if link is not None)]

    def output(self, task_id: str, stream: str, offset: int, length: int, agent_id: str = "") -> OutputChunk:
        """Raises UnknownTask, Unavailable when the node is away."""
        wanted = OutputWanted(task_id, stream, offset, length)
        with self._lock:
            links = dict(self._links)
        machine = machine_of(agent_id)
        if machine in ("", self.node.agent_id):
            try:
                return Direct(self.node).output(wanted)
            except UnknownTask:
                if agent_id:
                    raise
        elif machine in links:
            return links[machine].transport.output(wanted)
        else:
            raise Unavailable(f"the node {machine}, which has the output, is away")
        away: Unavailable | None = None
        for other, link in links.items():
            if other != self.node.agent_id:
                try:
                    return link.transport.output(wanted)
                except UnknownTask:
                    continue
                except Unavailable as error:
                    away = error
        raise away or UnknownTask(task_id)

    def sandbox_url(self, task_id: str, agent_id: str) -> str:
        """Sandboxes are read through our own API only."""
        del task_id, agent_id
        return ""

    # --- effects

    def _give(self, machine: str, effect: DriverEffect) -> bool:
        link = self._links.get(machine)
        return link is not None and link.give(self._epoch(), effect)

    def _launch(self, launch: Launch) -> None:
        with self._lock:
            for offer in launch.offers:
                self._offers.pop(offer.id, None)
        if launch.offers and not self._give(machine_of(launch.offers[0].agent_id), launch):
            for event in dropped(launch, "The node of these offers is away"):
                self._tell(event)

    def _decline(self, decline: Decline) -> None:
        with self._lock:
            machines = {self._offers.pop(offer_id, "") for offer_id in decline.offer_ids} - {""}
        for machine in machines:
            self._give(machine, decline)

    def _ask_after(self, tasks: Iterable[tuple[str, str]]) -> None:
        """Ask each task's own node; remember what was asked until there is an answer."""
        by_agent: dict[str, list[tuple[str, str]]] = {}
        with self._lock:
            for task_id, agent_id in tasks:
                by_agent.setdefault(agent_id, []).append((task_id, agent_id))
                self._questions.pop(task_id, None)
                self._questions[task_id] = agent_id
            while len(self._questions) > QUESTIONS:
                del self._questions[next(iter(self._questions))]
        for agent_id, asked in by_agent.items():
            if not self._give(machine_of(agent_id), Reconcile(tuple(asked))):
                for task_id, _ in asked:
                    sentence = f"The node {agent_id} is away" if agent_id else "It is not known where it was launched"
                    self._tell(StatusUpdate(task_id, TaskState.UNREACHABLE, agent_id, message=sentence))

    # --- events

    def _tell(self, event: DriverEvent) -> None:
        """Tell the service, while this node leads."""
        post = self._post
        if post is not None:
            post(event)

    def _hear(self, machine: str, event: DriverEvent) -> None:
        """Take what a node says."""
        with self._lock:
            if isinstance(event, OffersReceived):
                self._offers.update((offer.id, machine) for offer in event.offers)
                for offer in event.offers:
                    self._agents.setdefault(machine, set()).add(offer.agent_id)
                    self._known[offer.agent_id] = AgentCapacity(
                        offer.agent_id, offer.host, offer.total, attributes=offer.attributes
                    )
            elif isinstance(event, OfferRescinded):
                self._offers.pop(event.offer_id, None)
            elif isinstance(event, StatusUpdate):
                self._questions.pop(event.task_id, None)
                if machine_of(event.agent_id) == machine:
                    self._agents.setdefault(machine, set()).add(event.agent_id)
        self._tell(event)

    def _gone(self, machine: str) -> None:
        with self._lock:
            self._offers = {offer: there for offer, there in self._offers.items() if there != machine}
            agents = self._agents.pop(machine, set()) | {machine}
        for agent_id in sorted(agents):
            self._tell(AgentLost(agent_id))

    def _asked(self, machine: str) -> list[Reconcile]:
        """Return what is to be asked of a node that is back. Which agents it has it will say."""
        with self._lock:
            for agent_id in [known for known in self._known if known != machine and machine_of(known) == machine]:
                del self._known[agent_id]
            ids = [(task_id, agent) for task_id, agent in self._questions.items() if machine_of(agent) == machine]
        return [Reconcile(tuple(ids[first : first + TOGETHER])) for first in range(0, len(ids), TOGETHER)]

    # --- the nodes

    def _session(self) -> int:
        with self._lock:
            self._last_session = max(self._last_session + 1, time.time_ns())
            return self._last_session

    def _meet(self, members: Mapping[str, Member]) -> None:
        """Connect to nodes that are new, and give up those that are gone and do not answer."""
        own = members.get(self.node.agent_id)
        if own is not None and own.instance != self.instance:
            log.error("another node has a copy of this data folder", agent=own.agent_id, address=own.address)
        fresh: list[Link] = []
        gone: list[Link] = []
        with self._lock:
            before, self._met = self._met, members
            if self._post is None:
                return
            for agent_id in {self.node.agent_id, *members}:
                link = self._links.get(agent_id)
                if link is None:
                    link = self._links[agent_id] = self._link(agent_id)
                    fresh.append(link)
                elif before.get(agent_id) != members.get(agent_id):
                    link.hurry()
            for agent_id, link in list(self._links.items()):
                if agent_id != self.node.agent_id and agent_id not in members and not link.live:
                    gone.append(self._links.pop(agent_id))
        for link in fresh:
            link.start()
        for link in gone:
            link.stop()

    def _link(self, agent_id: str) -> Link:
        owner = Owner(self._epoch, self._session, self._asked, self._hear, self._gone)
        return Link(agent_id, self._transport(agent_id), owner)

    def _transport(self, agent_id: str) -> Transport:
        if agent_id == self.node.agent_id:
            return Direct(self.node)
        last = self._met[agent_id]

        def member() -> Member:
            nonlocal last
            last = self._met.get(agent_id, last)
            return last

        return Http(member, self.key)
