"""News of a task in Mesos' form as the model's StatusUpdate."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass

from chronos_py.drivers.mesos.reading import Message, identity, message, number, text
from chronos_py.model.messages import StatusUpdate
from chronos_py.model.run import TaskState

_STATES = frozenset(TaskState)
# At the start of a message only: further on it may quote what other programs said, such as `docker pull`.
_ENDED = re.compile(
    r"(Command|Container) (?:exited with status (\d{1,5})|terminated with signal ([^()\n]+?)(?: \(core dumped\))?)\s*$"
)
_SIGNALS = {
    name: number.value
    for number in signal.Signals
    for name in (number.name, signal.strsignal(number) or number.name, str(number.value))
}
# An agent that does not know the job's user drops the task, though that is the job's fault: everywhere it would be so.
_NO_SUCH_USER = re.compile(r"Failed to create executor directory .*Failed to chown directory to ", re.DOTALL)
_LAST_SIGNAL = 31
_LATEST = 253_402_300_800  # seconds: the year 10000


@dataclass(frozen=True, slots=True)
class Ending:
    """How a program ended, as far as a message tells."""

    exit_code: int | None = None
    signal: int | None = None


def read_status(status: Message) -> StatusUpdate:
    """Return a task's status as the model's; `host` is left empty, for Mesos does not tell it. Raises ValueError.

    A state that the model does not know becomes TASK_UNKNOWN, and its name goes into the message. A task that an agent
    dropped for its user becomes TASK_FAILED: as a fault of the platform it would be tried again and again. A time that
    is none is left out, for what counts is the state.
    """
    message(status, "status")
    state, said = text(status, "state", "status"), text(status, "message", "status", "")
    if state not in _STATES:
        said = f"{state[:100]}: {said}" if said else f"The state is {state[:100]}"
        state = TaskState.UNKNOWN
    elif state == TaskState.DROPPED and _NO_SUCH_USER.match(said):
        state = TaskState.FAILED
    ending = read_ending(said)
    return StatusUpdate(
        task_id=identity(status, "task_id", "status"),
        state=TaskState(state),
        agent_id=identity(status, "agent_id", "status", ""),
        uuid=text(status, "uuid", "status", ""),
        at=_instant(status),
        reason=text(status, "reason", "status", "").removeprefix("REASON_"),
        message=said,
        exit_code=ending.exit_code,
        signal=ending.signal,
    )


def _instant(status: Message) -> int | None:
    try:
        seconds = number(status, "timestamp", "status")
    except ValueError:
        return None
    return round(seconds * 1000) if 0 <= seconds < _LATEST else None


def read_ending(said: str) -> Ending:
    """Return exit code or signal from sentences such as `Command exited with status 3`.

    Of a container 128 and a number means that signal, for that is how Docker tells of it.
    """
    ended = _ENDED.match(said)
    if not ended:
        return Ending()
    if ended[3]:
        return Ending(signal=_SIGNALS.get(ended[3]))
    code = int(ended[2])
    if ended[1] == "Container" and 128 < code <= 128 + _LAST_SIGNAL:
        return Ending(signal=code - 128)
    return Ending(exit_code=code)
