"""All that passes between the engine and the rim: events (what happened), effects (what to do), changes (what to keep).

Events come in through the service's inbox. The engine answers with changes, which are committed first, and effects,
which are carried out after, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from chronos_py.clock import Millis
from chronos_py.model.history import HistoryRecord
from chronos_py.model.immediate import Immediate
from chronos_py.model.job import Counters, Job, JobState, Pair
from chronos_py.model.notice import Notice
from chronos_py.model.offer import InverseOffer, Offer
from chronos_py.model.run import Run, Task

# --- events: requests. Each is answered with a value, or with a ChronosError and then nothing was changed.


@dataclass(frozen=True, slots=True)
class SubmitJob:
    """Create or replace a job (answer: True when it is new). `check_new` raises for what a new job may not have."""

    job: Job
    counters: Counters = field(default_factory=Counters)
    check_new: Callable[[Job, Millis], None] | None = None
    only_new: bool = False  # never replace a job
    only_check: bool = False  # raise what would be raised, and change nothing


@dataclass(frozen=True, slots=True)
class ChangeJob:
    """Change a job as it is at that moment: `change` makes the new definition and counters from the present ones, or
    raises. Unless it changes the schedule itself, the position in it stays (answer: None)."""

    name: str
    change: Callable[[Job, JobState], tuple[Job, Counters]]
    only_check: bool = False  # raise what would be raised, and change nothing


@dataclass(frozen=True, slots=True)
class DeleteJob:
    name: str


@dataclass(frozen=True, slots=True)
class RunJob:
    """Run a job now, whatever its schedule or parents (answer: the run's number)."""

    name: str
    arguments: str | None = None


@dataclass(frozen=True, slots=True)
class MarkSuccess:
    """Count a success without a run (answer: False for an unknown job)."""

    name: str


@dataclass(frozen=True, slots=True)
class KillTasks:
    """Stop what runs of a job, and retries that wait (answer: how many). Queued runs stay, as in Chronos."""

    name: str


@dataclass(frozen=True, slots=True)
class KillRun:
    """Stop one run, queued or running (answer: None)."""

    run: int


@dataclass(frozen=True, slots=True)
class SetPriority:
    """Give one run that has not ended another priority than its job's (answer: None)."""

    run: int
    priority: int


@dataclass(frozen=True, slots=True)
class ReportResult:
    """The result of an asynchronous job's task (answer: False when no such task is waited for)."""

    task_id: str
    success: bool


@dataclass(frozen=True, slots=True)
class ReportProgress:
    name: str
    task_id: str
    elements: int


@dataclass(frozen=True, slots=True)
class PurgeTasks:
    """Drop every queued run and every waiting retry, of all jobs but immediate ones (answer: how many)."""


@dataclass(frozen=True, slots=True)
class SubmitImmediate:
    """Start all of these, or none (answer: their runs' numbers). One whose id is known already, with the same content,
    is not started again: the answer has the run that it is."""

    jobs: Sequence[Immediate]


@dataclass(frozen=True, slots=True)
class StopImmediate:
    """Stop immediate jobs: those of `ids`, and those that have all `labels` if there are any. With `forget` nothing is
    known of them any more, ended ones included (answer: Stopped)."""

    ids: Sequence[str] = ()
    labels: Sequence[Pair] = ()
    forget: bool = False


@dataclass(frozen=True, slots=True)
class Stopped:
    """`stopped` were under way; `forgotten` are known no more; `unknown` ids were not known before."""

    stopped: tuple[str, ...] = ()
    forgotten: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


# --- events: the driver's


@dataclass(frozen=True, slots=True)
class DriverReady:
    """The driver can take calls. What was launched before must now be reconciled."""

    framework_id: str = ""


@dataclass(frozen=True, slots=True)
class DriverLost:
    """No calls reach the cluster; offers are void."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class OffersReceived:
    offers: Sequence[Offer]


@dataclass(frozen=True, slots=True)
class OfferRescinded:
    offer_id: str


@dataclass(frozen=True, slots=True)
class InverseOffersReceived:
    """The cluster wants agents back; each is answered by AnswerInverseOffers."""

    offers: Sequence[InverseOffer]


@dataclass(frozen=True, slots=True)
class AgentLost:
    """An agent was removed from the cluster; news of its tasks comes besides, or has to be asked for."""

    agent_id: str


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """News of a task. `uuid` is not empty when the driver wants it acknowledged once it is stored.

    `at` is when it happened, by the agent's clock, or None. `reason` is a short code, `message` a sentence.
    """

    task_id: str
    state: str
    agent_id: str = ""
    host: str = ""
    uuid: str = ""
    at: Millis | None = None
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    signal: int | None = None


@dataclass(frozen=True, slots=True)
class NoticeDone:
    """A channel has delivered a notice, or given it up."""

    number: int
    channel: str


@dataclass(frozen=True, slots=True)
class HistoryWritten:
    """All outbox entries up to this number are in the history store."""

    up_to: int


Request = (
    SubmitJob
    | ChangeJob
    | DeleteJob
    | RunJob
    | MarkSuccess
    | KillTasks
    | KillRun
    | SetPriority
    | ReportResult
    | ReportProgress
    | PurgeTasks
    | SubmitImmediate
    | StopImmediate
)
DriverEvent = (
    DriverReady | DriverLost | OffersReceived | OfferRescinded | InverseOffersReceived | AgentLost | StatusUpdate
)
Event = Request | DriverEvent | HistoryWritten | NoticeDone

# --- effects


@dataclass(frozen=True, slots=True)
class Launch:
    """Start `tasks` on one agent, using `offers` (all of that agent and one role); what they do not use is free again,
    for us after `refuse_seconds` at the earliest."""

    offers: tuple[Offer, ...]
    tasks: tuple[Task, ...]
    refuse_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Decline:
    offer_ids: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Kill:
    """Stop a task: TERM, then KILL after `grace` seconds. Repeated until a terminal update comes."""

    task_id: str
    agent_id: str
    grace: float


@dataclass(frozen=True, slots=True)
class Acknowledge:
    update: StatusUpdate


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Ask for the state of these (task id, agent id); the driver answers with a StatusUpdate for each. With none it
    tells of all tasks that it knows."""

    tasks: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Suppress:
    """No more offers are needed."""


@dataclass(frozen=True, slots=True)
class Revive:
    """Offers are needed again."""


@dataclass(frozen=True, slots=True)
class Resubscribe:
    """The connection to the cluster seems to be no good: make a new one."""

    reason: str


@dataclass(frozen=True, slots=True)
class AnswerInverseOffers:
    """Agree to give the agents of `accepted` back, and not yet those of `declined`; both are inverse offers' ids."""

    accepted: tuple[str, ...] = ()
    declined: tuple[str, ...] = ()


DriverEffect = Launch | Decline | Kill | Acknowledge | Reconcile | Suppress | Revive | Resubscribe | AnswerInverseOffers


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell the owners; the notice is stored until all its channels have delivered it."""

    notice: Notice


Effect = DriverEffect | Notify

# --- changes: one turn's are committed together, all or none

Kind = Literal["job", "state", "run", "meta", "outbox"]


@dataclass(frozen=True, slots=True)
class Put:
    """Keep `value` under `key`: a Job or JobState by name, a Run by number, a history record by outbox number.

    `meta` keys are texts with JSON values (next run number, framework id, ...).
    """

    kind: Kind
    key: str | int
    value: Job | JobState | Run | HistoryRecord | Any


@dataclass(frozen=True, slots=True)
class Delete:
    """Forget `key`; an absent one is no error. For the outbox: all numbers up to `key`. Of `pending`, tasks of a
    Chronos 2 by their ids, there are deletes only."""

    kind: Kind | Literal["pending"]
    key: str | int


Change = Put | Delete
