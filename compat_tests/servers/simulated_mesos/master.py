"""The simulated master's state and what happens to it; calls, launches and control commands act through it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from compat_tests.servers.simulated_mesos.allocator import Allocator
from compat_tests.servers.simulated_mesos.http import Connection
from compat_tests.servers.simulated_mesos.ids import uuid_text
from compat_tests.servers.simulated_mesos.model import (
    TERMINAL,
    Agent,
    Framework,
    InverseOffer,
    Message,
    Offer,
    Task,
)
from compat_tests.servers.simulated_mesos.resources import Bag, attributes_from_text, from_text
from compat_tests.servers.simulated_mesos.settings import Settings
from compat_tests.servers.simulated_mesos.trace import Trace
from compat_tests.servers.simulated_mesos.updates import Executors

VERSION = "1.11.0"
MOST_COMPLETED = 10_000


class Master:
    """Needs a running event loop; all of it happens in that one thread."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.trace = Trace()
        self.address = ""
        self.id = uuid_text()
        self.started = time.time()
        self.agents: dict[str, Agent] = {}
        self.frameworks: dict[str, Framework] = {}
        self.completed: dict[str, None] = {}
        self.offers: dict[str, Offer] = {}
        self._inverse_answers: dict[tuple[str, str], str] = {}
        self._loop = asyncio.get_running_loop()
        self._counts = {"S": 0, "O": 0, "F": 0}
        self._allocation_is_due = False
        self.allocator = Allocator(self)
        self.executors = Executors(self)
        self.sends_heartbeats = True
        self.held_updates: list[tuple[Framework, Message]] | None = None  # while a fault keeps them back

    def now(self) -> float:
        """Monotonic seconds."""
        return self._loop.time()

    def _number(self, kind: str) -> int:
        number = self._counts[kind]
        self._counts[kind] = number + 1
        return number

    def send(self, framework: Framework, kind: str, part: Message | None = None) -> None:
        """Send an event to a framework, if it is connected."""
        if framework.connected:
            self.trace.events[kind] += 1
            framework.send({"type": kind} if part is None else {"type": kind, kind.lower(): part})

    # --- agents ----------------------------------------------------------------------
    def add_agent(
        self, hostname: str | None = None, resources: str | None = None, attributes: str | None = None
    ) -> Agent:
        """Register a new agent. Raises ValueError for resources or attributes it cannot read."""
        total = from_text(self.settings.agent_resources if resources is None else resources)
        shown = attributes_from_text(self.settings.agent_attributes if attributes is None else attributes)
        number = self._number("S")
        agent = Agent(f"{self.id}-S{number}", hostname or f"agent-{number}", total, shown, total.copy())
        agent.has_gpus = total.total("gpus") > 0
        self.agents[agent.id] = agent
        self.allocate_soon()
        return agent

    def allocate_soon(self) -> None:
        """Make offers in the next turn of the loop, not only at the next interval."""
        if not self._allocation_is_due:
            self._allocation_is_due = True
            self._loop.call_soon(self._allocate)

    def _allocate(self) -> None:
        self._allocation_is_due = False
        self.allocator.allocate()

    # --- offers ----------------------------------------------------------------------
    def make_offer(self, framework: Framework, role: str, agent: Agent, bag: Bag) -> Offer:
        offer = Offer(f"{self.id}-O{self._number('O')}", framework, agent, role, bag, time.time())
        agent.free.subtract(bag)
        agent.changes += 1
        framework.take(role, bag)
        self.offers[offer.id] = framework.offers[offer.id] = agent.offers[offer.id] = offer
        return offer

    def end_offer(self, offer: Offer, how: str) -> None:
        """Take an offer back; its resources are still allocated to the framework until `release`."""
        del self.offers[offer.id], offer.framework.offers[offer.id], offer.agent.offers[offer.id]
        self.trace.holds.append({"seconds": round(time.time() - offer.since, 6), "how": how})

    def release(self, framework: Framework, role: str, agent: Agent, bag: Bag) -> None:
        """Make resources free that were offered or used."""
        framework.give_back(role, bag)
        agent.free.add(bag)
        agent.changes += 1

    def withdraw(self, offer: Offer, rescind: bool, how: str = "rescinded") -> None:
        """Take an offer back and free what it held; `rescind` tells the framework."""
        self.end_offer(offer, how)
        self.release(offer.framework, offer.role, offer.agent, offer.bag)
        if rescind:
            self.send(offer.framework, "RESCIND", {"offer_id": {"value": offer.id}})

    def make_inverse_offer(self, framework: Framework, agent: Agent) -> Message:
        offer = InverseOffer(f"{self.id}-O{self._number('O')}", framework, agent)
        framework.inverse_offers[offer.id] = offer
        return {
            "id": {"value": offer.id},
            "framework_id": {"value": framework.id},
            "agent_id": {"value": agent.id},
            "unavailability": agent.unavailability,
            "url": {
                "scheme": "http",
                "address": {"hostname": agent.hostname, "ip": "127.0.0.1", "port": 5051},
                "path": "/slave(1)",
            },
        }

    def answer_inverse_offer(self, offer: InverseOffer, answer: str) -> None:
        del offer.framework.inverse_offers[offer.id]
        self._inverse_answers[offer.framework.id, offer.agent.id] = answer

    def has_answered(self, framework: Framework, agent: Agent) -> bool:
        return (framework.id, agent.id) in self._inverse_answers

    def inverse_answers(self) -> list[Message]:
        return [
            {"framework_id": framework_id, "agent_id": agent_id, "answer": answer}
            for (framework_id, agent_id), answer in self._inverse_answers.items()
        ]

    def set_unavailability(self, agent: Agent, unavailability: Message | None) -> None:
        """Plan maintenance: the agent's offers are rescinded and made again with the window; inverse offers follow."""
        agent.unavailability = unavailability
        for offer in list(agent.offers.values()):
            self.withdraw(offer, rescind=True)
        for framework in self.frameworks.values():
            self._inverse_answers.pop((framework.id, agent.id), None)
            for inverse in [i for i in framework.inverse_offers.values() if i.agent is agent]:
                del framework.inverse_offers[inverse.id]
                self.send(framework, "RESCIND_INVERSE_OFFER", {"inverse_offer_id": {"value": inverse.id}})
        self.allocate_soon()

    # --- frameworks --------------------------------------------------------------------
    def subscribe(self, framework_id: str | None, info: Message, suppressed: set[str], connection: Connection) -> None:
        """Give a framework a stream. The head of the answer has been sent; an id that has ended gets an ERROR."""
        if framework_id is not None and framework_id in self.completed:
            self.reject(connection, "Framework has been removed")
            return
        if framework_id is None:
            framework_id = f"{self.id}-{self._number('F'):04d}"
        framework = self.frameworks.get(framework_id)
        if framework is None:
            framework = self.frameworks[framework_id] = Framework(framework_id)
        else:
            if framework.connected:
                framework.close_stream("Framework failed over")
                self.withdraw_all(framework)  # its filters outlive this, but not a lost stream
        if framework.failover_timer is not None:
            framework.failover_timer.cancel()
            framework.failover_timer = None
        framework.update(info)
        framework.suppressed = suppressed
        stream = framework.open_stream(connection)
        gone = framework
        connection.on_lost = lambda: self._disconnected(gone, stream)
        subscribed = {
            "framework_id": {"value": framework_id},
            "heartbeat_interval_seconds": self.settings.heartbeat_interval,
            "master_info": self.master_info(),
        }
        self.send(framework, "SUBSCRIBED", subscribed)
        if self.sends_heartbeats:
            self.send(framework, "HEARTBEAT")
        self.executors.resume(framework.tasks.values())
        self.allocate_soon()

    def reject(self, connection: Connection, message: str) -> None:
        """Answer a SUBSCRIBE with a stream of one ERROR."""
        rejected = Framework("")
        rejected.open_stream(connection)
        rejected.close_stream(message)

    def master_info(self) -> Message:
        host, _, port = self.address.rpartition(":")
        return {
            "id": self.id,
            "ip": int.from_bytes(bytes(int(part) for part in host.split(".")), "little"),
            "port": int(port),
            "pid": f"master@{self.address}",
            "hostname": host,
            "version": VERSION,
            "address": {"hostname": host, "ip": host, "port": int(port)},
            "capabilities": [{"type": "AGENT_UPDATE"}, {"type": "AGENT_DRAINING"}, {}],
        }

    def _disconnected(self, framework: Framework, stream_id: str) -> None:
        if framework.stream_id == stream_id and self.frameworks.get(framework.id) is framework:
            framework.connection = None
            self.deactivate(framework)
            seconds = min(float(framework.info.get("failover_timeout", 0.0)), 10_000_000.0)
            framework.failover_timer = self._loop.call_later(seconds, self.remove_framework, framework)

    def withdraw_all(self, framework: Framework) -> None:
        """Take back a framework's offers without a word."""
        for offer in list(framework.offers.values()):
            self.withdraw(offer, rescind=False, how="framework left")
        framework.inverse_offers.clear()

    def deactivate(self, framework: Framework) -> None:
        """Take back its offers and forget its filters."""
        self.withdraw_all(framework)
        framework.filters.clear()
        framework.filtered.clear()

    def remove_framework(self, framework: Framework, message: str | None = None) -> None:
        """End a framework and its tasks; its id cannot be used again."""
        self.deactivate(framework)
        for task in [*framework.tasks.values(), *framework.unreachable.values()]:
            self.executors.vanish(task)
            self.forget(task, framework)
        if framework.failover_timer is not None:
            framework.failover_timer.cancel()
        framework.close_stream(message)
        self.frameworks.pop(framework.id, None)
        self.completed[framework.id] = None
        if len(self.completed) > MOST_COMPLETED:
            del self.completed[next(iter(self.completed))]

    def heartbeat(self) -> None:
        if self.sends_heartbeats:
            for framework in self.frameworks.values():
                self.send(framework, "HEARTBEAT")

    # --- tasks -------------------------------------------------------------------------
    def told(self, task: Task, status: Message) -> None:
        """An agent tells an update: note the state, free the resources of a task that has ended, pass it on."""
        if task.agent.state != "registered":
            return
        framework = self.frameworks.get(task.framework_id)
        if framework is None:
            return
        task.told = status["state"]
        if task.holds and task.latest in TERMINAL:
            task.holds = False
            self.release(framework, task.role, task.agent, task.bag)
        self.send_update(framework, status)

    def send_update(self, framework: Framework, status: Message) -> None:
        if self.held_updates is not None:
            self.held_updates.append((framework, status))
        elif framework.connected:
            self.trace.updates[status["state"]] += 1
            self.send(framework, "UPDATE", {"status": status})

    def forget(self, task: Task, framework: Framework) -> None:
        """Drop a task that has ended and been told, or whose machine or framework is gone."""
        if task.holds:
            task.holds = False
            self.release(framework, task.role, task.agent, task.bag)
        framework.tasks.pop(task.id, None)
        framework.unreachable.pop(task.id, None)
        task.agent.tasks.pop((task.framework_id, task.id), None)

    def master_status(
        self,
        framework: Framework,
        task_id: str,
        state: str,
        message: str,
        reason: str,
        agent_id: str | None,
        **more: Any,
    ) -> None:
        """Send a status of the master's own, which nobody acknowledges."""
        status: Message = {
            "task_id": {"value": task_id},
            "state": state,
            "message": message,
            "source": "SOURCE_MASTER",
            "reason": reason,
            **({} if agent_id is None else {"agent_id": {"value": agent_id}}),
            "timestamp": time.time(),
            **more,
        }
        self.send_update(framework, status)
