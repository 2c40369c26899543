"""The tasks that have not been acknowledged as ended, and what is told of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from itertools import takewhile

import structlog

from chronos_py.clock import Millis
from chronos_py.drivers.base import Post
from chronos_py.drivers.local import outcomes
from chronos_py.drivers.local.fleet import Fleet
from chronos_py.drivers.local.offers import total_of
from chronos_py.drivers.local.outcomes import Outcome
from chronos_py.drivers.local.sandbox import Sandbox, now
from chronos_py.model.messages import StatusUpdate
from chronos_py.model.resources import Resources
from chronos_py.model.run import TaskState

log = structlog.get_logger(__name__)

REPEAT_S = 10.0


class Attempt:
    """A task from its launch until the acknowledgement of its end. `update` is its final one."""

    __slots__ = ("agent_id", "container", "host", "killing", "need", "pid", "sandbox", "started", "state", "taken",
                 "task_id", "update")  # fmt: skip

    def __init__(
        self,
        task_id: str,
        sandbox: Sandbox,
        agent_id: str,
        host: str,
        taken: Mapping[str, Resources],
        *,
        container: bool,
    ) -> None:
        self.task_id = task_id
        self.sandbox = sandbox
        self.agent_id = agent_id
        self.host = host
        self.taken = taken  # by role
        self.need = total_of(taken.values())
        self.container = container
        self.state = TaskState.STARTING
        self.pid = 0  # the shim's, and its session's
        self.started: Millis | None = None
        self.killing = False  # read by threads that fetch
        self.update: StatusUpdate | None = None


class Attempts:
    """Keeps them by id, tells of their states, and repeats what was not acknowledged. Used by one thread."""

    def __init__(self, post: Post, fleet: Fleet) -> None:
        self.by_id: dict[str, Attempt] = {}
        self._post = post
        self._fleet = fleet
        self._repeats: dict[str, float] = {}  # when to tell again, soonest first

    def add(
        self, task_id: str, sandbox: Sandbox, agent_id: str, taken: Mapping[str, Resources], *, container: bool
    ) -> Attempt:
        """Add a task; its room must have been taken."""
        attempt = Attempt(task_id, sandbox, agent_id, self._fleet.host_of(agent_id), taken, container=container)
        self.by_id[task_id] = attempt
        return attempt

    def unended(self) -> set[str]:
        """Return the keys of those that run, or may soon."""
        return {attempt.sandbox.key for attempt in self.by_id.values() if attempt.update is None}

    def tell(self, attempt: Attempt) -> None:
        """Tell the present state, or the end once more."""
        if attempt.update is not None:
            self._post(attempt.update)
            self._repeats.pop(attempt.task_id, None)
            self._repeats[attempt.task_id] = time.monotonic() + REPEAT_S
        else:
            self._post(StatusUpdate(attempt.task_id, attempt.state, attempt.agent_id, attempt.host, at=attempt.started))

    def tell_all(self) -> None:
        for attempt in list(self.by_id.values()):
            self.tell(attempt)

    def answer(self, task_id: str, outcome: Outcome, sandbox: Sandbox, agent_id: str) -> None:
        """Tell the end of a task that is not kept here any more, or never was."""
        agent_id = agent_id or self._fleet.first
        self._post(outcome.update(task_id, sandbox.key, agent_id, self._fleet.host_of(agent_id)))

    def unknown(self, task_id: str, message: str, agent_id: str = "") -> None:
        """`agent_id` may be another machine's."""
        agent_id = agent_id or self._fleet.first
        host = self._fleet.host_of(agent_id) if self._fleet.is_here(agent_id) else ""
        self._post(StatusUpdate(task_id, TaskState.UNKNOWN, agent_id, host, message=message))

    def conclude(self, attempt: Attempt, outcome: Outcome, *, keep: bool = True) -> None:
        """Take note of an end and tell it. `keep` writes down what the exit status alone does not tell."""
        if keep:
            self.keep(attempt, outcome)
        attempt.state = outcome.state
        attempt.update = outcome.update(attempt.task_id, attempt.sandbox.key, attempt.agent_id, attempt.host)
        self._fleet.give_back(attempt.agent_id, attempt.taken)
        self.tell(attempt)

    @staticmethod
    def keep(attempt: Attempt, outcome: Outcome) -> None:
        if attempt.sandbox.is_live():
            try:
                outcome.keep(attempt.sandbox)
            except OSError as error:  # a full disk: after a restart the end will be told less exactly
                log.error("how a task ended could not be written down", task=attempt.task_id, reason=str(error))

    def refuse(self, task_id: str, sandbox: Sandbox, outcome: Outcome, agent_id: str) -> None:
        """Tell the end of a task that never came to anything; it is remembered only until it is acknowledged."""
        attempt = self.add(task_id, sandbox, agent_id or self._fleet.first, {}, container=False)
        self.conclude(attempt, outcome, keep=False)

    def acknowledge(self, update: StatusUpdate, forgotten: Callable[[str], None]) -> None:
        """Forget a task whose end is known now; `forgotten` is told its name when it leaves a sandbox."""
        attempt = self.by_id.get(update.task_id)
        if attempt is None or attempt.update is None or attempt.update.uuid != update.uuid:
            return
        try:
            attempt.sandbox.acknowledge()
        except OSError as error:
            log.error("an acknowledgement could not be kept", task=update.task_id, reason=str(error))
            return  # it will be told, and acknowledged, again
        del self.by_id[update.task_id]
        self._repeats.pop(update.task_id, None)
        if attempt.sandbox.is_done():
            forgotten(attempt.sandbox.name)

    def repeat(self, moment: float) -> None:
        """Tell again what is due for it."""
        for task_id, _ in list(takewhile(lambda entry: entry[1] <= moment, self._repeats.items())):
            del self._repeats[task_id]
            if task_id in self.by_id:
                self.tell(self.by_id[task_id])

    def pause(self, moment: float) -> float | None:
        """Return the seconds until the next repetition."""
        return max(0.0, next(iter(self._repeats.values())) - moment) if self._repeats else None


def ended_outcome(attempt: Attempt, wait_status: int | None, memory_mib: float | None) -> tuple[Outcome, bool]:
    """Return how a task ended whose shim has gone, and whether that must be written down.

    `wait_status` is the shim's when it was our child; `memory_mib` the limit when the kernel enforced it.
    """
    record = attempt.sandbox.read()
    if record.exit_status is not None:
        outcome = outcomes.from_status(
            record.exit_status, record.changed, killed=attempt.killing, memory_mib=memory_mib
        )
        return outcome, memory_mib is not None
    if record.pid is None:
        if attempt.killing:  # faster than it could begin
            return outcomes.killed_early(), True
        return outcomes.never_started("Its process could not begin: the disk may be full"), True
    if wait_status is not None and (os.WIFEXITED(wait_status) or memory_mib is not None):
        status = outcomes.from_child(wait_status)
        return outcomes.from_status(status, now(), killed=attempt.killing, memory_mib=memory_mib), True
    if attempt.killing:
        return Outcome(TaskState.KILLED, now(), "KILLED", "Stopped on request"), True
    return outcomes.lost(restarted=False), True
