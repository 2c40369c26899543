"""A Mesos cluster behind the driver protocol: callbacks only post events, effects only queue calls."""

from __future__ import annotations

import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import structlog

from chronos_py.drivers.base import DriverStatus, OutputChunk, Post
from chronos_py.drivers.mesos import calls
from chronos_py.drivers.mesos.agents import AgentDirectory
from chronos_py.drivers.mesos.callbacks import Callbacks
from chronos_py.drivers.mesos.connection import Answer
from chronos_py.drivers.mesos.executors import Executors
from chronos_py.drivers.mesos.launches import Launches
from chronos_py.drivers.mesos.link import Link, LinkState
from chronos_py.drivers.mesos.masters import find_masters
from chronos_py.drivers.mesos.sandboxes import Sandboxes
from chronos_py.drivers.mesos.sender import Call, Sender
from chronos_py.drivers.mesos.settings import MesosSettings
from chronos_py.drivers.mesos.stream import Endpoint
from chronos_py.drivers.mesos.web import get_json, post_json
from chronos_py.model.capacity import AgentCapacity
from chronos_py.model.messages import (
    Acknowledge,
    AnswerInverseOffers,
    Decline,
    DriverEffect,
    DriverEvent,
    Kill,
    Launch,
    Reconcile,
    Resubscribe,
    Revive,
    Suppress,
)

log = structlog.get_logger(__name__)

STOP_S = 5.0
TASKS_PER_CALL = 1000  # of a reconciliation
STALE = frozenset({-1, 307, 401, 403})  # answers that only a new subscription can mend


class MesosDriver:
    """A Driver for an Apache Mesos cluster, version 1.4 or later."""

    def __init__(self, settings: MesosSettings, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Raises ValueError for a master that is no address, OSError for a certificate file that cannot be read."""
        self.settings = settings
        self._monotonic = monotonic
        self._tls = _tls_context(settings)
        self._headers = _credentials(settings)
        self._post: Post = lambda event: None
        self._link: Link | None = None
        self._make_parts()

    def _make_parts(self) -> None:
        """Nothing of one `start` goes on in the next."""
        settings = self.settings
        self._masters = find_masters(settings.master, self._tls)
        self._directory = AgentDirectory(self._get, self._monotonic)
        self._executors = Executors(settings.executor, by_default=settings.own_executor)
        self._sandboxes = Sandboxes(self._directory, self._ask_agent, self._get, self._tls, self._executors)
        self._sender = Sender(settings.call_timeout, settings.queue_limit, self._call_failed)
        self._launches = Launches(settings, self._executors, self._tell, self._sender.give)

    # --- the protocol

    def start(self, post: Post, framework_id: str) -> None:
        self._post = post
        self._make_parts()
        self._link = Link(
            Callbacks(self._tell, self._sender, self._directory, self._executors, self._headers, self._monotonic),
            _framework(self.settings, framework_id),
            self._masters,
            self._headers,
            self._emit,
            call_timeout=self.settings.call_timeout,
            heartbeats_missed=self.settings.heartbeats_missed,
            longest_back_off=self.settings.longest_back_off,
            monotonic=self._monotonic,
        )
        self._sender.start()
        self._directory.start()
        self._link.start()
        log.info(
            "tasks run on Mesos", master=self.settings.master.rpartition("@")[2], framework_id=framework_id or "new"
        )

    def stop(self) -> None:
        """End the subscription; the framework stays registered, so that tasks run on."""
        link = self._link
        if link is None:
            return
        self._sender.stop(STOP_S)
        link.stop()
        self._directory.stop()
        link.join(STOP_S)
        if link.alive:
            log.error("the connection to Mesos does not end")
        self._link = None

    def perform(self, effect: DriverEffect) -> None:
        link = self._link
        if link is None:
            return
        for call in self._calls(effect, link):
            self._sender.give(call)

    def status(self) -> DriverStatus:
        link = self._link
        if link is None:
            return DriverStatus("mesos", False)
        return DriverStatus(
            "mesos", link.state.subscribed and link.alive and self._sender.alive, self._detail(link.state)
        )

    def capacity(self) -> Sequence[AgentCapacity]:
        ours = _usable_roles(self.settings.roles)
        listed, age = self._directory.listed()
        return [
            AgentCapacity(
                id=known.id,
                host=known.host,
                total=known.total,
                used=known.used,
                reserved=known.reserved,
                attributes=known.attributes,
                active=known.active,
                ours=ours,
                age=age,
            )
            for known in listed
        ]

    def output(self, task_id: str, stream: str, offset: int, length: int, agent_id: str = "") -> OutputChunk:
        """Read part of a task's stdout or stderr from its agent. Raises UnknownTask, Unavailable."""
        return self._sandboxes.read(self._framework_id, task_id, agent_id, stream, offset, length)

    def sandbox_url(self, task_id: str, agent_id: str) -> str:
        """Return where a browser finds a task's sandbox, empty when the agent is not known."""
        return self._sandboxes.url(self._framework_id, task_id, agent_id)

    # --- effects

    def _calls(self, effect: DriverEffect, link: Link) -> Iterator[Call]:
        match effect:
            case Launch():
                for task in effect.tasks:
                    if task.executor:
                        self._sandboxes.note(task.id, task.job)  # the executor's id, see tasks.task_info
                yield self._launches.call(effect, lambda: self._framework_id)
            case Acknowledge():
                yield self._call(lambda: link.acknowledgeStatusUpdate(calls.acknowledgement(effect.update)))
            case Kill():
                yield Call(lambda: self._body("KILL", "kill", calls.kill(effect)))
            case Reconcile():
                for part in _parts(effect.tasks, TASKS_PER_CALL):
                    yield Call(partial(self._reconciliation, part))
            case Decline():
                offers = [{"value": offer_id} for offer_id in effect.offer_ids]
                yield self._call(lambda: link.declineOffer(offers, {"refuse_seconds": effect.seconds}))
            case Suppress():
                yield self._call(link.suppressOffers)
            case Revive():
                yield self._call(link.reviveOffers)
            case Resubscribe():
                log.warning("subscribing to Mesos anew", reason=effect.reason)
                link.resubscribe(effect.reason)
            case AnswerInverseOffers():
                if effect.accepted:
                    accepted = [{"value": offer_id} for offer_id in effect.accepted]
                    yield self._call(lambda: link.acceptInverseOffers(accepted))
                if effect.declined:
                    declined = [{"value": offer_id} for offer_id in effect.declined]
                    yield self._call(lambda: link.declineInverseOffer(declined))

    def _reconciliation(self, tasks: tuple[tuple[str, str], ...]) -> dict[str, Any]:
        return self._body("RECONCILE", "reconcile", calls.reconciliation(Reconcile(tasks)))

    def _body(self, kind: str, name: str, content: dict[str, Any]) -> dict[str, Any]:
        """Return a call that pymesos cannot make: its own leave agents and grace periods out."""
        return {"type": kind, "framework_id": {"value": self._framework_id}, name: content}

    def _call(self, method: Callable[[], object]) -> Call:
        """Let one of pymesos's methods make the body; on the sender's thread, which alone calls them."""

        def make() -> dict[str, Any] | None:
            self._made = None
            method()
            return self._made

        return Call(make)

    _made: dict[str, Any] | None = None

    def _emit(self, body: dict[str, Any]) -> None:
        self._made = body

    def _call_failed(self, answer: Answer) -> None:
        """A call of unknown fate, or one that the master refused because it takes us for somebody else: subscribe anew.
        The old stream's calls are refused from then on, so what is asked after then has its final answer."""
        link = self._link
        if link is not None and (answer.unknown or answer.disowned or answer.status in STALE):
            link.resubscribe(f"a call failed: {answer.text or answer.status}")

    # --- what the callbacks use

    def _tell(self, event: DriverEvent) -> None:
        self._post(event)

    @property
    def _framework_id(self) -> str:
        link = self._link
        return link.state.framework_id if link is not None else ""

    def _get(self, endpoint: Endpoint, path: str) -> Any:
        return get_json(endpoint, path, self._headers, self.settings.call_timeout)

    def _ask_agent(self, endpoint: Endpoint, question: dict[str, Any]) -> Any:
        return post_json(endpoint, "/api/v1", question, self._headers, self.settings.call_timeout)

    def _detail(self, state: LinkState) -> dict[str, Any]:
        now = self._monotonic()
        return {
            "master": state.master,
            "frameworkId": state.framework_id,
            "problem": state.problem,
            "sinceLastEvent": round(now - state.last_event, 3) if state.last_event else None,
            "sinceLastOffer": round(now - state.last_offer, 3) if state.last_offer is not None else None,
            "heartbeatSeconds": state.heartbeat,
            "subscriptions": state.subscriptions,
            "callsQueued": len(self._sender),
            "callsSent": self._sender.sent,
            "callsFailed": self._sender.refused,
            "failedCallbacks": state.failed_callbacks,
            "removedFrameworkIds": list(state.removed_ids),
            "agents": len(self._directory),
        }


def _framework(settings: MesosSettings, framework_id: str) -> dict[str, Any]:
    return calls.framework(
        name=settings.name,
        user=settings.user,
        roles=settings.roles,
        failover_timeout=settings.failover_timeout,
        checkpoint=settings.checkpoint,
        hostname=settings.hostname,
        webui_url=settings.webui_url,
        principal=settings.principal,
        gpus=settings.gpus,
        framework_id=framework_id,
    )


def _usable_roles(roles: Sequence[str]) -> frozenset[str]:
    """Return the roles whose reservations we may use: ours, and those above them."""
    return frozenset("/".join(role.split("/")[:depth]) for role in roles for depth in range(1, role.count("/") + 2))


def _parts(tasks: tuple[tuple[str, str], ...], size: int) -> Iterator[tuple[tuple[str, str], ...]]:
    """Split; nothing stays nothing, once: that is the question after all tasks."""
    for start in range(0, max(1, len(tasks)), size):
        yield tasks[start : start + size]


def _credentials(settings: MesosSettings) -> dict[str, str]:
    if not (settings.principal and settings.secret):
        return {}
    pair = b64encode(f"{settings.principal}:{settings.secret}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def _tls_context(settings: MesosSettings) -> ssl.SSLContext | None:
    if not settings.tls and not settings.master.startswith("https://"):
        return None
    return ssl.create_default_context(cafile=settings.ca_file or None)
