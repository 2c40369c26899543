"""Runs, their attempts, and the ids under which a cluster knows them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from chronos_py.clock import Millis
from chronos_py.model.immediate import TASK_PREFIX, Immediate
from chronos_py.model.job import Container, Fetch
from chronos_py.model.resources import Resources


class Trigger(StrEnum):
    """Why a run exists."""

    SCHEDULE = "schedule"
    PARENTS = "parents"
    MANUAL = "manual"
    IMMEDIATE = "immediate"


class Phase(StrEnum):
    """How far a run has come. A run that has ended is no longer in the job store but in history; that of an immediate
    job is in both for a while."""

    QUEUED = "queued"  # waits for a place
    RETRYING = "retrying"  # waits for its retry's delay to pass
    LAUNCHING = "launching"  # the intent is stored; no word from the driver yet
    RUNNING = "running"
    REPORTING = "reporting"  # an asynchronous job's task ended; its program has yet to report the result
    ENDED = "ended"  # of immediate jobs alone: its result is kept


class Outcome(StrEnum):
    """How a due time, or a run, ended."""

    SUCCESS = "success"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    LOST = "lost"
    KILLED = "killed"  # on a user's demand
    PREEMPTED = "preempted"  # of attempts alone: stopped to make room for a run of higher priority
    SKIPPED = "skipped"  # never started; the reason says why
    MERGED = "merged"  # became part of another run


class TaskState(StrEnum):
    """Task states, by the names of Mesos."""

    STAGING = "TASK_STAGING"
    STARTING = "TASK_STARTING"
    RUNNING = "TASK_RUNNING"
    KILLING = "TASK_KILLING"
    FINISHED = "TASK_FINISHED"
    FAILED = "TASK_FAILED"
    KILLED = "TASK_KILLED"
    ERROR = "TASK_ERROR"
    LOST = "TASK_LOST"
    DROPPED = "TASK_DROPPED"  # certain: it never started and never will
    UNREACHABLE = "TASK_UNREACHABLE"
    GONE = "TASK_GONE"
    GONE_BY_OPERATOR = "TASK_GONE_BY_OPERATOR"
    UNKNOWN = "TASK_UNKNOWN"


PREEMPTED = "preempted"  # why a task was told to stop, and what its attempt's record says

_TASK_ID = re.compile(r"ct:(\d+):(\d+):([\w\s.#-]+)(?::(.*))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class TaskId:
    """The id of one attempt: `ct:<millis>:<attempt>:<job>:`.

    `millis` is the due time of a scheduled run and the time of the request or release of any other. Ours carry no
    arguments, so that no argument can make an id that a cluster refuses; all the forms of Chronos are read.
    """

    millis: Millis
    attempt: int
    job: str
    arguments: str = ""

    @classmethod
    def parse(cls, text: str) -> TaskId:
        """Read any form that a Chronos has made. Raises ValueError for all else."""
        match = _TASK_ID.fullmatch(text)
        if not match:
            raise ValueError(f"not a task id of ours: {text[:200]!r}")
        return cls(int(match[1]), int(match[2]), match[3], match[4] or "")

    def __str__(self) -> str:
        return f"ct:{self.millis}:{self.attempt}:{self.job}:"


@dataclass(frozen=True, slots=True)
class Ended:
    """How an immediate job ended, and when that may be forgotten."""

    outcome: Outcome
    at: Millis
    forget_at: Millis
    attempts: int = 0
    reason: str = ""
    exit_reason: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One due time of a schedule, one release by parents, or one request: until it has ended.

    `attempt` counts tries from 0; `faults` counts those that cost no retry, for the platform ended them.
    `not_before` is when a retry may start; `expires` the last instant at which a first attempt may start. `killing`
    says why the task was told to stop (user, deleted, timeout, preempted), empty when it was not. `deadline` is the
    next instant at which the run needs attention: its time limit, or the end of patience with an uncertain fate.
    """

    id: int
    job: str
    trigger: Trigger
    due: Millis
    stamp: Millis  # the time in its task ids
    created: Millis
    phase: Phase = Phase.QUEUED
    index: int | None = None  # which due time of the schedule
    version: int = 0  # of the job's schedule, as in JobState
    attempt: int = 0
    faults: int = 0
    priority: int = 0
    not_before: Millis = 0
    expires: Millis | None = None
    arguments: str | None = None  # instead of the job's own, for this run
    causes: tuple[int, ...] = ()  # the parents' runs that released it
    roots: tuple[tuple[str, int], ...] = ()
    agent_id: str = ""
    host: str = ""
    launched: Millis | None = None
    started: Millis | None = None
    deadline: Millis | None = None
    killing: str = ""
    uncertain: bool = False  # nobody has confirmed yet that the task exists
    avoid: tuple[str, ...] = ()  # agents on which attempts failed, newest last
    elements_processed: int = 0
    reported: str = ""  # success or failure: what an asynchronous job's program said while its task still ran
    faulted: tuple[tuple[str, int], ...] = ()  # how many attempts ended by which fault of the platform
    kills: int = 0  # how often the present attempt's task was told to stop
    foreign_id: str = ""  # the present attempt's task id when we would have made another
    avoid_until: tuple[Millis, ...] = ()  # until when each agent of `avoid` is avoided; none given: to the end
    spots: tuple[tuple[str, str], ...] = ()  # values of its agent's attributes that matter to the job's other runs
    since: Millis = 0  # when it began to wait anew, having been preempted; 0: it waits since it was due
    displaced_by: int = 0  # the run for which it was preempted last
    first_started: Millis | None = None  # when the first attempt that started did; None: the present one is the first
    immediate: Immediate | None = None  # its definition, where it has no job of its own in the store
    ended: Ended | None = None  # with phase ENDED

    @property
    def task_id(self) -> str:
        """Return the id of the present attempt."""
        if self.foreign_id:
            return self.foreign_id
        if self.immediate is not None:
            return f"{TASK_PREFIX}{self.stamp}:{self.id}:{self.attempt}:{self.immediate.id}"
        return f"ct:{self.stamp}:{self.attempt}:{self.job}:"

    @property
    def waits_from(self) -> Millis:
        """Return the instant that orders waiting runs of one priority."""
        return self.since or self.due

    @property
    def on_agent(self) -> bool:
        """Tell whether a task of this run may exist outside."""
        return self.phase in (Phase.LAUNCHING, Phase.RUNNING)


@dataclass(frozen=True, slots=True)
class Task:
    """All that a driver needs to start one attempt; nothing in it depends on the kind of cluster.

    With `shell`, `command` is a shell's text; without, `command` is the program and `arguments` its arguments.
    `time_limit` and `kill_grace` in seconds, 0 for none. `user` may be empty: the driver's own.
    """

    id: str
    run: int
    job: str
    command: str
    resources: Resources
    shell: bool = True
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    user: str = ""
    fetch: tuple[Fetch, ...] = ()
    container: Container | None = None
    executor: str = ""
    data: bytes = b""
    time_limit: float = 0
    kill_grace: float = 3
