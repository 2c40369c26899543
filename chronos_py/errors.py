"""Every error that chronos_py raises on purpose.

    ChronosError
     +- InvalidInput              a field has a value that cannot be accepted: nothing was changed
     |   +- InvalidSchedule       the schedule or its zone cannot be used
     |   |   +- UnusableSchedule  Chronos would have taken it
     |   +- InvalidName           the job's name breaks the dialect's rule
     |   +- BadDocument           a document that Chronos could not make a job of at all
     |   +- IdInUse               an immediate job of that id has another content
     +- BadRecord                 a stored record cannot be read, or a value cannot be stored (persistence/codec.py)
     +- UnknownJob, UnknownRun, UnknownTask
     +- Forbidden                 whoever asks may not do this
     +- UnknownRevision
     +- JobExists                 a job of this name is there, and was not to be replaced
     +- JobChanged                somebody else has changed the job meanwhile
     +- GraphError                the job graph would not be right any more
     |   +- NoParents             a dependency-based job without parents
     |   +- MissingParents        a parent does not exist (or is the job itself, for a new job)
     |   +- DependencyCycle
     +- Unavailable               try again later, here or elsewhere
         +- StoreUnavailable      the durable store refused or did not answer
         +- StaleLeader           the store saw a newer leader: this node must resign
         +- NotLeader             this node may not write
         +- Overloaded            a bounded queue is full
     +- BadGateway                the leader was asked and gave no answer

An error knows its sentence and its facts, not HTTP: `api/errors.py` alone turns it into a status.
"""

from __future__ import annotations

from collections.abc import Sequence


class ChronosError(Exception):
    """Base of all errors a caller may want to catch."""


class Forbidden(ChronosError):
    """Who asks is known, and may not do this."""


class InvalidInput(ChronosError, ValueError):
    """`field` (as the user wrote it) holds `value`, which cannot be accepted; `hint` tells what would be."""

    def __init__(self, field: str, value: object, reason: str, hint: str = "") -> None:
        text = f"{field}: {reason} (given: {_shortened(value)})"
        super().__init__(f"{text}; {hint}" if hint else text)
        self.field = field
        self.value = value
        self.reason = reason
        self.hint = hint


class InvalidSchedule(InvalidInput):
    """The schedule text, or the zone beside it, cannot be used."""


class UnusableSchedule(InvalidSchedule):
    """Well formed by Chronos's grammar, but refused by us: it could never run right."""


class InvalidName(InvalidInput):
    """The job's name does not match the dialect's rule; `pattern` is the rule as a regular expression."""

    def __init__(self, name: str, pattern: str) -> None:
        super().__init__("name", name, f"the job's name is invalid. Allowed names: '{pattern}'")
        self.pattern = pattern


class BadDocument(InvalidInput):
    """A document of the wrong shape: Chronos answered those with an internal error, not with a refusal."""


class IdInUse(InvalidInput):
    """An id that was given before, for something else."""

    def __init__(self, field: str, value: str) -> None:
        super().__init__(field, value, "is in use by an immediate job with another content")


class UnknownJob(ChronosError):
    def __init__(self, name: str) -> None:
        super().__init__(f"Job '{name}' not found")
        self.name = name


class UnknownRevision(ChronosError):
    def __init__(self, job: str, number: int) -> None:
        super().__init__(f"revision {number} of job '{job}' not found")


class JobExists(ChronosError):
    def __init__(self, name: str) -> None:
        super().__init__(f"a job named '{name}' exists already")
        self.name = name


class JobChanged(ChronosError):
    def __init__(self, name: str) -> None:
        super().__init__(f"job '{name}' was changed by somebody else meanwhile; nothing was saved")
        self.name = name


class UnknownRun(ChronosError):
    def __init__(self, run: object) -> None:
        super().__init__(f"run {_shortened(run)} not found")
        self.run = run


class UnknownTask(ChronosError):
    def __init__(self, task_id: str) -> None:
        super().__init__(f"task {_shortened(task_id)} not found")
        self.task_id = task_id


class GraphError(ChronosError):
    """The change would leave a job graph that cannot be scheduled."""

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(sentence)
        self.name = name


class NoParents(GraphError):
    def __init__(self, name: str, *, new: bool) -> None:
        super().__init__(name, "Error, parent does not exist")
        self.new = new


class MissingParents(GraphError):
    """`missing` are the parents that do not exist; `new` tells whether the child is new itself."""

    def __init__(self, name: str, missing: Sequence[str], *, new: bool) -> None:
        super().__init__(name, f"Job {name} does not have all parents defined! Missing: {', '.join(missing)}")
        self.missing = tuple(missing)
        self.new = new


class DependencyCycle(GraphError):
    """`path` is the cycle, its first job repeated at the end."""

    def __init__(self, name: str, path: Sequence[str]) -> None:
        super().__init__(name, f"the parents of job {name} would make a cycle: {' -> '.join(path)}")
        self.path = tuple(path)


class Unavailable(ChronosError):
    """The request changed nothing and may be sent again."""


class StoreUnavailable(Unavailable):
    """The durable store refused a write or did not answer."""


class StaleLeader(StoreUnavailable):
    """A newer leader has written to the store: this node's commit was refused."""


OUTCOME_UNKNOWN = "whether the change was made is not known"


class UnknownOutcome(StoreUnavailable):
    """The durable store did not answer a write: the request may have been carried out."""


class StaleAndUnknown(StaleLeader, UnknownOutcome):
    """A newer leader has written, and whether this node's commit came before that is not known."""


class NotLeader(Unavailable):
    """This node is not the leader and may not write."""


class Overloaded(Unavailable):
    """A bounded queue is full."""


class BadGateway(ChronosError):
    """The leader was asked and gave no answer: the request may have been carried out."""


def _shortened(value: object, limit: int = 200) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
