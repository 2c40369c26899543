"""The service as other threads see it: what they may ask, hand in, and read. Nothing here waits for the engine but a
caller for its own answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from chronos_py.clock import Clock, Millis
from chronos_py.drivers.base import Driver, DriverStatus, OutputChunk
from chronos_py.durations import Durations
from chronos_py.edits import AUTHOR, NoRevisions, Revisions
from chronos_py.election import Leadership, SoleLeader, Standing
from chronos_py.errors import NotLeader, Overloaded
from chronos_py.feed import Subscription
from chronos_py.inbox import Inbox, Posted
from chronos_py.loading import Loader
from chronos_py.model.capacity import ZERO, AgentCapacity, Parts, parts
from chronos_py.model.job import Job
from chronos_py.model.messages import Event, HistoryWritten, NoticeDone, Request
from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources
from chronos_py.model.run import Run
from chronos_py.model.tally import Tally
from chronos_py.model.view import View, Waiting
from chronos_py.outlets import NoNotifier, Notifier, Outbox
from chronos_py.publishing import Publisher
from chronos_py.scheduler.engine import Engine
from chronos_py.scheduler.policy import Policy
from chronos_py.scheduler.tasks import need


class Front:
    """What callers need of the service's state. The service itself, which is one of these, alone changes it."""

    def __init__(
        self,
        *,
        driver: Driver,
        leadership: Leadership | None,
        outbox: Outbox,
        history: Any,
        clock: Clock,
        policy: Policy | None,
        notifier: Notifier | None,
        revisions: Revisions | None,
        inbox_limit: int,
        durations: Callable[[], Any] | None,
        history_state: Callable[[], Mapping[str, Any]] | None,
        monotonic: Callable[[], float] | None,
    ) -> None:
        self.history = history
        self.driver = driver
        self.revisions: Any = revisions or NoRevisions()
        self._leadership = leadership or SoleLeader("")
        self._mandate = 0  # which election we won, 0: none that still holds
        self._held = 0  # the mandate on which the state was read
        self._epoch = 0
        self._leading = False
        self._problem = "starting"
        self._clock = clock
        self._monotonic = monotonic or time.monotonic
        self._policy = policy or Policy()
        self._inbox = Inbox(inbox_limit)
        self._engine = Engine(self._policy)
        self._loader = Loader(self._policy, clock)
        self._publisher = Publisher(self.why, self._need_of)
        self._outbox = outbox
        self._notifier = notifier or NoNotifier()
        self._durations = Durations(durations)
        self._history_state = history_state or dict
        self._driver_started = False
        self._connected = False
        self._last_turn = self._monotonic()

    @property
    def view(self) -> View:
        """Return the records of the last commit."""
        return self._publisher.view

    def post(self, event: Event) -> None:
        """Hand in an event that nobody waits for. Never blocks."""
        self._inbox.put(Posted(event))

    def call(self, request: Request, timeout: float = 30.0) -> Any:
        """Hand in a request and return its answer once that is durable. Raises ChronosError; nothing changed then,
        except after a time-out, when the request may still be carried out."""
        if not self.leading():  # though the turn under way may not have noticed yet
            raise NotLeader(f"this node does not lead: {self._problem or 'it has just lost the leadership'}")
        reply: Future[Any] = Future()
        self._inbox.put(Posted(request, reply, AUTHOR.get()))
        try:
            return reply.result(timeout)
        except TimeoutError:
            reply.cancel()
            raise Overloaded(f"no answer within {timeout:g} s; the request may still be carried out") from None

    def now(self) -> Millis:
        return self._clock.now()

    def histogram(self, job: str) -> Sequence[int]:
        """Return the newest durations of successes, due time to end, in milliseconds, oldest first."""
        return self._durations.of(job)

    def leader(self) -> str:
        """Return the leader's host:port, empty when nobody leads."""
        return self._leadership.leader()

    def standing(self) -> Standing:
        """Return how this node stands in the election."""
        return self._leadership.standing()

    @property
    def epoch(self) -> int:
        """Return the epoch in which this node writes, or last did; 0 before the first."""
        return self._epoch

    def leading(self) -> bool:
        """Tell whether this node has been elected, has read the state, and can write."""
        return self._leading and self._mandate == self._held

    def answers(self) -> bool:
        """Tell whether this node is the one that answers for all: elected, and what it knows is of this election."""
        holds = self._mandate > 0 and self._mandate == self._held and self.view.loaded
        return holds and self._leadership.is_leader()  # else what it knows may be old

    def output(self, task_id: str, stream: str, offset: int, length: int, agent_id: str = "") -> OutputChunk:
        """Return part of a task's output, where the driver can reach it. Raises UnknownTask, Unavailable."""
        known = task_id in self._engine.book.by_task  # before reading: what is read then is all there is
        chunk = self.driver.output(task_id, stream, offset, length, agent_id)
        return chunk if known or chunk.ended else replace(chunk, ended=True)

    def sandbox_url(self, task_id: str, agent_id: str) -> str:
        """Return where a browser finds what the task left, empty when there is no such place."""
        return self.driver.sandbox_url(task_id, agent_id) if agent_id else ""

    def why(self, run: int) -> Waiting | None:
        return self._engine.why(run)

    def subscribe(self) -> Subscription:
        return self._publisher.subscribe()

    def capacity(self) -> Sequence[AgentCapacity]:
        """Return what the driver knows of agents."""
        return self.driver.capacity() if self._driver_started else ()

    def held_offers(self) -> Sequence[Offer]:
        """Return the offers that are held at present."""
        return list(self._engine.loop.held.values())

    def need(self, job: Job) -> Resources:
        """Return what a run of a job takes of its agent."""
        return need(job, self._policy.tasks)

    def _need_of(self, run: Run) -> Parts:
        entry = self._engine.book.owner(run)
        return parts(self.need(entry.job)) if entry else ZERO

    def tally(self) -> Tally:
        """Return the sums over runs that have not ended."""
        return self.view.tally

    @property
    def policy(self) -> Policy:
        """Return the settings by which the engine decides."""
        return self._policy

    def queue_levels(self) -> dict[int, int]:
        """Return how many runs wait for a place, by priority."""
        return self._engine.book.queue.levels

    def quotas(self) -> list[dict[str, Any]]:
        """Return what is guaranteed, used and waited for, by quota."""
        return self._engine.quotas()

    def health(self) -> dict[str, Any]:
        """Return how this node is; `ready` means that it leads and launches reach machines, or that it knows who leads
        and passes on what it is asked."""
        driver = self.driver.status() if self._driver_started else DriverStatus("none", False)
        standing, leading = self._leadership.standing(), self.leading()
        follows = not leading and standing.role == "follower" and standing.able
        return {
            "ready": follows or (leading and driver.live and self._connected),
            "leading": leading,
            "problem": "" if follows else self._problem,
            "election": standing.shown(),
            "driver": {"name": driver.name, "live": driver.live, **driver.detail},
            "inbox": len(self._inbox),
            "queue": len(self._engine.book.queue),
            "runs": len(self.view.runs),
            "jobs": len(self.view.jobs),
            "quarantined": len(self.view.quarantined),
            "historyLag": self._outbox.lag(),
            "history": dict(self._history_state()),
            "notifications": self._notifier.status(),
            "sinceLastTurn": round(self._monotonic() - self._last_turn, 3),
            "watchdogs": {
                name: {"alarm": watch.alarm, "since": watch.since, "reason": watch.reason}
                for name, watch in sorted(self._engine.watchdogs.states.items())
            },
            "setAside": self._loader.shown,
            "avoidedAgents": self._engine.book.health.forms(self._clock.now()),
        }

    def notice_done(self, number: int, channel: str) -> None:
        """Note that a channel is done with a notice: the job store may forget it."""
        self.post(NoticeDone(number, channel))

    def history_written(self, up_to: int) -> None:
        """Note that history has all records up to this number: the job store may forget them."""
        self.post(HistoryWritten(up_to))
