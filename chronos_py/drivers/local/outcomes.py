"""What the final update of a task says. It is the same each time it is made, also after a restart."""

from __future__ import annotations

import os
import signal
from dataclasses import asdict, dataclass, replace

import orjson

from chronos_py.clock import Millis
from chronos_py.drivers.local.sandbox import Record, Sandbox, now
from chronos_py.model.messages import StatusUpdate
from chronos_py.model.run import TaskState

_SIGNALS = {
    signal.SIGHUP: "Hangup", signal.SIGINT: "Interrupt", signal.SIGQUIT: "Quit", signal.SIGILL: "Illegal instruction",
    signal.SIGABRT: "Aborted", signal.SIGBUS: "Bus error", signal.SIGFPE: "Floating point exception",
    signal.SIGKILL: "Killed", signal.SIGUSR1: "User defined signal 1", signal.SIGSEGV: "Segmentation fault",
    signal.SIGUSR2: "User defined signal 2", signal.SIGPIPE: "Broken pipe", signal.SIGALRM: "Alarm clock",
    signal.SIGTERM: "Terminated",
}  # fmt: skip
_LAST_SIGNAL = 31


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: what of its final update is not the same for all tasks of this agent."""

    state: TaskState
    at: Millis
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    signal: int | None = None

    def update(self, task_id: str, key: str, agent_id: str, host: str) -> StatusUpdate:
        return StatusUpdate(
            task_id,
            self.state,
            agent_id,
            host,
            uuid=f"{key}-{self.state.value[5:].lower()}",
            at=self.at,
            reason=self.reason,
            message=self.message,
            exit_code=self.exit_code,
            signal=self.signal,
        )

    def keep(self, sandbox: Sandbox) -> None:
        """Write it down. Raises OSError."""
        sandbox.note(b"outcome " + orjson.dumps(asdict(self)))


def sentence(exit_code: int | None, number: int | None) -> str:
    if number is not None:
        try:
            return f"Command terminated with signal {_SIGNALS.get(signal.Signals(number), number)}"
        except ValueError:
            return f"Command terminated with signal {number}"
    return f"Command exited with status {exit_code}"


def split_status(status: int) -> tuple[int | None, int | None]:
    """Return exit code and signal of a status as a shell tells it: 128 and the number for a signal."""
    if 128 < status <= 128 + _LAST_SIGNAL:
        return None, status - 128
    return status, None


def from_status(status: int, at: Millis, *, killed: bool, memory_mib: float | None = None) -> Outcome:
    """Return the outcome of a command. `memory_mib` is its limit when the kernel stopped it for want of memory."""
    code, number = split_status(status)
    text = sentence(code, number)
    if killed:
        return Outcome(TaskState.KILLED, at, "KILLED", f"Stopped on request. {text}", code, number)
    if code == 0:
        return Outcome(TaskState.FINISHED, at, "", text, 0)
    outcome = Outcome(TaskState.FAILED, at, "COMMAND_FAILED", text, code, number)
    return outcome if memory_mib is None else short_of_memory(outcome, memory_mib)


def short_of_memory(outcome: Outcome, memory_mib: float) -> Outcome:
    text = f"Memory limit of {memory_mib:g} MiB exceeded. {outcome.message}"
    return replace(outcome, reason="MEMORY_LIMIT", message=text)


def from_child(wait_status: int) -> int:
    """Return a child's status as a shell would tell it."""
    code = os.waitstatus_to_exitcode(wait_status)
    return 128 - code if code < 0 else code


def killed_early() -> Outcome:
    return Outcome(TaskState.KILLED, now(), "KILLED", "Stopped on request before it was started")


def never_started(message: str = "It never started, and never will", reason: str = "NEVER_STARTED") -> Outcome:
    return Outcome(TaskState.DROPPED, now(), reason, message)


def lost(*, restarted: bool) -> Outcome:
    """Return the outcome of a task that ran and left no exit status."""
    if restarted:
        return Outcome(TaskState.LOST, now(), "AGENT_RESTARTED", "The machine was restarted while the task ran")
    text = "The process that watched over the task was killed; the task's result is unknown"
    return Outcome(TaskState.LOST, now(), "EXECUTOR_TERMINATED", text)


def failed(reason: str, message: str) -> Outcome:
    return Outcome(TaskState.FAILED, now(), reason, message)


def impossible(message: str) -> Outcome:
    """Return the outcome of a task that can never start as it is."""
    return Outcome(TaskState.ERROR, now(), "TASK_INVALID", message)


def recorded(record: Record) -> Outcome | None:
    """Return how an attempt ended, as far as its record tells."""
    if record.outcome:
        try:
            return Outcome(**{**record.outcome, "state": TaskState(record.outcome["state"])})
        except (TypeError, ValueError, KeyError):
            return lost(restarted=False)
    if record.exit_status is not None:
        return from_status(record.exit_status, record.changed, killed=record.kill_until is not None)
    return None
