"""Finding again what a server before this one launched."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import structlog

from chronos_py.drivers.local import outcomes
from chronos_py.drivers.local.attempts import Attempt, Attempts
from chronos_py.drivers.local.fleet import Fleet
from chronos_py.drivers.local.limits import Limits
from chronos_py.drivers.local.processes import reap
from chronos_py.drivers.local.prune import Pruner
from chronos_py.drivers.local.recovery import Examiner
from chronos_py.drivers.local.sandbox import Record, Sandbox
from chronos_py.drivers.local.stopping import Stopper
from chronos_py.drivers.local.supervisor import Supervisor

log = structlog.get_logger(__name__)


class Finder:
    """Takes attempts on the disk back into memory. `rebooted`: the last server ran before the machine was started."""

    def __init__(
        self,
        root: str,
        boot: str,
        rebooted: bool,
        attempts: Attempts,
        fleet: Fleet,
        limits: Limits,
        stopper: Stopper,
        supervisor: Supervisor,
        pruner: Pruner,
    ) -> None:
        self._root = root
        self._boot = boot
        self._rebooted = rebooted
        self._attempts = attempts
        self._fleet = fleet
        self._limits = limits
        self._stopper = stopper
        self._supervisor = supervisor
        self._pruner = pruner

    def all(self) -> None:
        """Find what was launched before: what runs is watched again, the others' ends are told.

        They are told once nothing of them is left running.
        """
        examiner, found = Examiner(self._boot), []
        for name in sorted(os.listdir(f"{self._root}/live")):
            sandbox = Sandbox(self._root, name)
            try:
                task_id = sandbox.read().about.get("id")
                if isinstance(task_id, str):
                    found.append(self._look(task_id, sandbox, examiner))
                else:
                    self._put_aside(sandbox)
            except Exception:
                log.exception("a task could not be found again", sandbox=sandbox.path)
        self._stopper.step(time.monotonic())
        for settle in found:
            settle()
        self._limits.tidy(self._attempts.unended())
        if self._attempts.by_id:
            log.info("tasks were found from before", tasks=len(self._attempts.by_id))

    def one(self, task_id: str, sandbox: Sandbox, examiner: Examiner) -> None:
        """Find one attempt again and tell of it. Raises OSError when its fate cannot be read now."""
        settle = self._look(task_id, sandbox, examiner)
        self._stopper.step(time.monotonic())
        settle()

    def _put_aside(self, sandbox: Sandbox) -> None:
        """Settle what has no readable record. Processes are started only after it was written, so there was none;
        unless the machine went down before it reached the disk."""
        sandbox.claim()
        if self._rebooted:
            outcomes.lost(restarted=True).keep(sandbox)
            sandbox.acknowledge()
        else:
            os.unlink(sandbox.live)
        self._pruner.add(sandbox.name)

    def _look(self, task_id: str, sandbox: Sandbox, examiner: Examiner) -> Callable[[], None]:
        """Examine an attempt, and have stopped what is left of it; return how to settle it after that."""
        record = sandbox.read()
        found = examiner.examine(sandbox, record)
        container = bool(record.about.get("container"))
        agent_id = record.agent or self._fleet.first
        self._fleet.of(agent_id, record.host).take_anyway(record.taken)
        attempt = self._attempts.add(task_id, sandbox, agent_id, record.taken, container=container)
        if found.outcome is None:
            return lambda: self._adopt(attempt, found.pid, record)
        outcome = found.outcome
        if found.pid:  # it may be our own child, that ended between a stop and this start
            reap(found.pid)
        keep = found.keep
        if outcome.reason == "COMMAND_FAILED" and self._limits.out_of_memory(sandbox.key):
            outcome, keep = outcomes.short_of_memory(outcome, attempt.need.mem / 1000), True
        if found.sweep:
            self._stopper.leftovers(found.pid, sandbox, ours=False)
        if container and found.keep and found.pid:
            return lambda: self._supervisor.conclude_container(attempt, outcome)
        if keep:  # at once, or a server that comes after us would have to find it out again
            self._attempts.keep(attempt, outcome)
        return lambda: self._attempts.conclude(attempt, outcome, keep=False)

    def _adopt(self, attempt: Attempt, pid: int, record: Record) -> None:
        until = record.kill_until
        self._supervisor.watch(attempt, pid, record.changed if until is None else record.about.get("made"))
        if until is not None:
            self._stopper.resume(attempt, until)
