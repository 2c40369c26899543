"""One life of the driver, from start to stop: what comes in goes to offers, attempts and supervisor."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import structlog

from chronos_py.drivers.base import Post
from chronos_py.drivers.local import outcomes, recovery
from chronos_py.drivers.local.attempts import Attempt, Attempts
from chronos_py.drivers.local.fetch import Fetcher
from chronos_py.drivers.local.finding import Finder
from chronos_py.drivers.local.fleet import Fleet
from chronos_py.drivers.local.launch import Launcher
from chronos_py.drivers.local.limits import Limits
from chronos_py.drivers.local.offers import Offers
from chronos_py.drivers.local.processes import Watch
from chronos_py.drivers.local.prune import Pruner
from chronos_py.drivers.local.recovery import Examiner
from chronos_py.drivers.local.sandbox import Sandbox
from chronos_py.drivers.local.stopping import Stopper
from chronos_py.drivers.local.supervisor import Supervisor
from chronos_py.model.capacity import AgentCapacity
from chronos_py.model.messages import Acknowledge, Decline, DriverEffect, Kill, Launch, Reconcile, Revive, Suppress
from chronos_py.model.pools import AgentSpec, ResourceOrder
from chronos_py.model.run import Task

log = structlog.get_logger(__name__)

TICK_S = 1.0  # from one look at the outputs' sizes to the next
LOOK_S = 0.2  # the same for processes without a pidfd
IDLE_S = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the driver was told about this machine."""

    agents: tuple[AgentSpec, ...]
    host: str
    roles: tuple[str, ...]
    order: ResourceOrder
    default_user: str
    output_max_bytes: int
    fetch_max_bytes: int


class Agent:
    """All but `leave`, `detail`, `capacity` and the first four are used by the driver's thread alone.

    The messages are this life's own: what a thread of an earlier one leaves late reaches nobody. Its task was found,
    and perhaps given up, by the life that came after.
    """

    def __init__(
        self,
        root: str,
        agent_id: str,
        boot: str,
        rebooted: bool,
        options: Options,
        limits: Limits,
        pruner: Pruner,
        post: Post,
    ) -> None:
        self.messages: SimpleQueue[DriverEffect | Callable[[], None]] = SimpleQueue()
        self.watch = Watch()
        self.stopping = False
        self.pruner = pruner
        self.post = post
        self._root = root
        self._agent_id = agent_id
        self._boot = boot
        self._rebooted = rebooted
        self._options = options
        self._limits = limits
        self._fleet = Fleet(agent_id, options.host, options.agents, options.roles, options.order, post)
        self._attempts = Attempts(post, self._fleet)
        self._launcher = Launcher(limits, options.default_user)
        self._stopper = Stopper(limits, self._force)
        self._supervisor = Supervisor(
            root,
            boot,
            self._attempts,
            self._launcher,
            Fetcher(Path(root, "cache"), max_bytes=options.fetch_max_bytes),
            self.watch,
            self._stopper,
            self.leave,
            lambda: not self.stopping,
        )
        self._finder = Finder(
            root, boot, rebooted, self._attempts, self._fleet, limits, self._stopper, self._supervisor, pruner
        )
        self._rotated = time.monotonic()

    def leave(self, message: DriverEffect | Callable[[], None]) -> None:
        """Have something done by the driver's thread; from any thread."""
        self.messages.put(message)
        self.watch.ring()

    def close(self) -> None:
        self._supervisor.close()
        self.watch.close()
        self._launcher.close()
        self._limits.close(self._attempts.unended())

    def _force(self, attempt: Attempt) -> None:
        self._supervisor.force(attempt)

    def recover(self) -> None:
        self._finder.all()

    def detail(self) -> dict[str, Any]:
        return {
            "agent": self._agent_id,
            "tasks": len(self._attempts.by_id),
            "agents": len(self._fleet),
            "total": str(self._fleet.total),
            "used": str(self._fleet.used),
            "limits": self._limits.name,
            "limitsDetail": self._limits.detail,
        }

    def capacity(self) -> list[AgentCapacity]:
        return self._fleet.capacity()

    # --- what comes in

    def perform(self, effect: DriverEffect) -> None:
        match effect:
            case Launch():
                self._launch(effect)
            case Acknowledge():
                self._attempts.acknowledge(effect.update, self.pruner.add)
            case Kill():
                self._kill(effect)
            case Reconcile():
                examiner = Examiner(self._boot)
                if not effect.tasks:
                    self._attempts.tell_all()
                for task_id, agent_id in effect.tasks:
                    if not self._elsewhere(task_id, agent_id):
                        self._tell(task_id, examiner, agent_id)
            case Decline():
                self._fleet.decline(effect, time.monotonic())
            case Suppress():
                self._fleet.suppress()
            case Revive():
                self._fleet.revive()

    def ended(self, pid: int) -> None:
        self._supervisor.ended(pid)

    def _launch(self, launch: Launch) -> None:
        target = self._fleet.target(launch)
        offers = target if target is not None and target.use(launch) else None
        agent_id = launch.offers[0].agent_id if launch.offers else ""
        self._supervisor.prepare_batch()
        for task in launch.tasks:
            if self.stopping:  # the rest never started, as will be answered when it is asked after
                return
            try:
                self._launch_one(task, agent_id, offers)
            except Exception:  # of which nothing is known: its fate is told when it is asked after
                log.exception("a launch came to nothing", task=task.id)

    def _launch_one(self, task: Task, agent_id: str, offers: Offers | None) -> None:
        sandbox = Sandbox.of(self._root, task.id)
        if task.id in self._attempts.by_id:
            self._launched_before(task, agent_id)
        elif offers is None or (taken := offers.take(task.resources, task.resource_order)) is None:
            text = "The agent has too little left for it" if offers else "The offer was used or is unknown"
            self._attempts.refuse(task.id, sandbox, outcomes.never_started(text, "INVALID_OFFERS"), agent_id)
        else:
            try:
                new = sandbox.reserve()
            except OSError as error:
                offers.give_back(taken)
                log.error("no sandbox could be made", task=task.id, reason=str(error))
                text = f"No sandbox could be made: {error.strerror or error}"
                self._attempts.refuse(task.id, sandbox, outcomes.never_started(text, "SANDBOX_FAILED"), agent_id)
                return
            if new:
                self._supervisor.launch(task, sandbox, agent_id, taken)
            else:
                offers.give_back(taken)
                self._launched_before(task, agent_id)

    def _launched_before(self, task: Task, agent_id: str) -> None:
        log.error("a task was launched before, and is not again", task=task.id)
        self._tell(task.id, Examiner(self._boot), agent_id)

    def _kill(self, kill: Kill) -> None:
        attempt = self._attempts.by_id.get(kill.task_id)
        if self._elsewhere(kill.task_id, kill.agent_id):
            return
        if attempt is None or attempt.update is not None:
            self._tell(kill.task_id, Examiner(self._boot), kill.agent_id)
        else:
            self._supervisor.kill(attempt, kill.grace)

    # --- questions

    def _elsewhere(self, task_id: str, agent_id: str) -> bool:
        """Tell whether a task was launched on another machine, by another node of the group: nothing is known of it
        here, and that it never started must not be said."""
        if self._fleet.is_here(agent_id):
            return False
        self._attempts.unknown(task_id, "It was launched on another machine", agent_id)
        return True

    def _tell(self, task_id: str, examiner: Examiner, agent_id: str) -> None:
        """Say what became of a task; when it never started, make certain first that it never will."""
        attempt = self._attempts.by_id.get(task_id)
        sandbox = Sandbox.of(self._root, task_id)
        try:
            if attempt is not None:
                self._attempts.tell(attempt)
            elif sandbox.is_live():
                self._finder.one(task_id, sandbox, examiner)
            elif sandbox.is_done():
                record = sandbox.read()
                self._attempts.answer(task_id, recovery.on_record(record), sandbox, record.agent or agent_id)
            else:
                self._tell_of_nothing(task_id, sandbox, agent_id)
        except OSError as error:
            self._attempts.unknown(task_id, f"Its fate cannot be read now: {error.strerror or error}", agent_id)

    def _tell_of_nothing(self, task_id: str, sandbox: Sandbox, agent_id: str) -> None:
        new = recovery.certainly_never(sandbox)
        if new:
            self.pruner.add(sandbox.name)
        outcome = outcomes.never_started()
        if self._rebooted:  # what is not on the disk may not have reached it in time
            outcome = outcomes.lost(restarted=True)
        self._attempts.answer(task_id, outcome, sandbox, agent_id)

    # --- now and then

    def tick(self, moment: float) -> None:
        """Do what is due, and offer what is free once all else of this turn is done."""
        self._stopper.step(moment)
        self._attempts.repeat(moment)
        if self.watch.must_look:
            for pid in self.watch.overdue():
                self.ended(pid)
        if moment - self._rotated >= TICK_S:
            self._rotated = moment
            self._supervisor.rotate(self._options.output_max_bytes)
        self._fleet.refresh(moment)

    def pause(self, moment: float) -> float:
        """Return how long the thread may wait for news."""
        pauses = [self._stopper.pause(moment), self._attempts.pause(moment), self._fleet.pause(moment)]
        if self.watch.must_look:
            pauses.append(LOOK_S)
        if self._supervisor.busy:
            pauses.append(max(0.0, self._rotated + TICK_S - moment))
        return min((pause for pause in pauses if pause is not None), default=IDLE_S)
