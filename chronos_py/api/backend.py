"""What the HTTP side needs of the rest: the service offers exactly this."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from chronos_py.clock import Millis
from chronos_py.election import Standing
from chronos_py.model.capacity import AgentCapacity
from chronos_py.model.documents import JobDefaults
from chronos_py.model.history import AttemptRecord, RunRecord
from chronos_py.model.job import Job
from chronos_py.model.messages import Request
from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources
from chronos_py.model.revision import Revision
from chronos_py.model.statistics import Group, StatisticsQuery
from chronos_py.model.tally import Tally
from chronos_py.model.view import View
from chronos_py.persistence.base import RunQuery
from chronos_py.scheduler.policy import Policy


class History(Protocol):
    """Ended runs, the newest of them included."""

    def runs(self, query: RunQuery) -> list[RunRecord]: ...

    def run(self, number: int) -> RunRecord | None: ...

    def attempts(self, run: int) -> list[AttemptRecord]: ...

    def recent_attempts(self, job: str, limit: int) -> list[AttemptRecord]: ...

    def overlapping(self, begin: Millis, end: Millis, latest: Millis, limit: int) -> list[RunRecord]:
        """Return runs made before `end` that ended from `begin` on and before `latest`, the first to end first."""

    def newest_of(self, jobs: Sequence[str]) -> list[RunRecord]:
        """Return the newest run of each of these jobs, of those that ran."""

    def statistics(self, query: StatisticsQuery, now: Millis) -> Sequence[Group]:
        """Sum up; records that were made a moment ago may be missing. Raises InvalidInput for what is not kept."""


class Revisions(Protocol):
    """Who changed which job."""

    def of_job(self, job: str, limit: int, before: int | None = None) -> list[Revision]:
        """Return a job's revisions, newest first. Raises StoreUnavailable."""

    def get(self, job: str, number: int) -> Revision | None: ...


class OutputChunk(Protocol):
    """Part of a task's output: `offset` counts from the beginning of all of it, `size` is where it ends now."""

    @property
    def data(self) -> bytes: ...

    @property
    def offset(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def ended(self) -> bool:
        """Tell whether no more will come."""


class Changes(Protocol):
    """A stream of what changes, for one reader."""

    def get(self, timeout: float) -> tuple[str, dict[str, Any]] | None:
        """Return the next change, None when none came within `timeout` seconds."""

    def close(self) -> None: ...


class Backend(Protocol):
    """The running service as HTTP threads see it."""

    @property
    def view(self) -> View:
        """Return the records of the last commit."""

    @property
    def history(self) -> History: ...

    @property
    def policy(self) -> Policy:
        """Return the settings by which the engine decides."""

    @property
    def revisions(self) -> Revisions: ...

    def call(self, request: Request, timeout: float = 30.0) -> Any:
        """Carry out a request, durably, and return its answer. Raises ChronosError; then nothing was changed."""

    def now(self) -> Millis: ...

    def histogram(self, job: str) -> Sequence[int]:
        """Return the newest durations of successes, due time to end, in milliseconds."""

    def health(self) -> dict[str, Any]:
        """Return how this node is; `ready` is always there."""

    def leader(self) -> str:
        """Return the leader's host:port, empty when nobody leads."""

    def standing(self) -> Standing:
        """Return how this node stands in the election."""

    def output(self, task_id: str, stream: str, offset: int, length: int, agent_id: str = "") -> OutputChunk:
        """Return part of a task's output; a negative offset counts from its end. Raises UnknownTask, Unavailable."""

    def sandbox_url(self, task_id: str, agent_id: str) -> str:
        """Return where a browser finds what the task left, empty when there is no such place."""

    def capacity(self) -> Sequence[AgentCapacity]:
        """Return what the driver knows of agents."""

    def held_offers(self) -> Sequence[Offer]:
        """Return the offers that are held at present."""

    def need(self, job: Job) -> Resources:
        """Return what a run of a job takes of its agent."""

    def tally(self) -> Tally:
        """Return the sums over runs that have not ended."""

    def queue_levels(self) -> Mapping[int, int]:
        """Return how many runs wait, by priority."""

    def quotas(self) -> list[dict[str, Any]]:
        """Return what is guaranteed, used and waited for, by quota."""

    def subscribe(self) -> Changes: ...


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """The server's options as far as answers depend on them."""

    defaults: JobDefaults = field(default_factory=JobDefaults)
    default_epsilon: str = "PT60S"
    history_limit: int = 5
    compression: bool = True
    largest_body: int = 16 * 1024 * 1024
    ageing: Millis = 600_000  # the waiting that a level of priority is worth
    retention: float = 3600.0  # seconds for which results of immediate jobs are kept that name no time of their own
    followers: int = 8  # streams that may be open at once: each keeps a thread busy
    stopping: threading.Event = field(default_factory=threading.Event)  # set: streams end
