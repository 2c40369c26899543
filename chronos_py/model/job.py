"""What a user defines (`Job`), and what its runs change (`JobState`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from chronos_py.clock import Millis
from chronos_py.model.replacing import replacer


class CatchUp(StrEnum):
    """What becomes of due times that could not start in time."""

    SKIP = "skip"  # only the newest, and only within the lateness limit; each one missed uses up a repetition
    ONE = "one"  # all that were missed become one run (Chronos 3.x); it uses up one repetition
    ALL = "all"  # each becomes a run of its own, in order


class OnUncertain(StrEnum):
    """What to do with a run whose fate cannot be learnt within the time limit."""

    SKIP = "skip"  # never risk a second run
    RERUN = "rerun"  # try it again, at no cost in retries


class First(StrEnum):
    """Which of an agent's resources a task uses first."""

    SHARED = "shared"  # what is anybody's
    RESERVED = "reserved"  # what is reserved for our role


class Avoid(StrEnum):
    """How a retry avoids the agents on which attempts of its run failed."""

    SOFT = "soft"  # uses one when no other agent has room
    HARD = "hard"  # waits for another until the agent is forgiven


@dataclass(frozen=True, slots=True)
class Pair:
    """A key and a value: a Docker parameter, a label, a volume driver's option."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable of a job."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Fetch:
    """A file brought into the sandbox before the task starts."""

    uri: str
    executable: bool = False
    cache: bool = False
    extract: bool = True
    output_file: str = ""


@dataclass(frozen=True, slots=True)
class ExternalVolume:
    name: str
    provider: str
    options: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True)
class Volume:
    container_path: str
    host_path: str | None = None
    mode: str | None = None  # RW or RO; None means RW
    external: ExternalVolume | None = None


@dataclass(frozen=True, slots=True)
class PortMapping:
    host_port: int
    container_port: int
    protocol: str | None = None


@dataclass(frozen=True, slots=True)
class Network:
    name: str
    protocol: str | None = None
    labels: tuple[Pair, ...] = ()
    port_mappings: tuple[PortMapping, ...] = ()


@dataclass(frozen=True, slots=True)
class Container:
    image: str
    type: str = "DOCKER"  # DOCKER or MESOS
    network: str = "HOST"  # HOST, BRIDGE or USER
    network_name: str | None = None
    networks: tuple[Network, ...] = ()
    volumes: tuple[Volume, ...] = ()
    force_pull_image: bool = False
    parameters: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True)
class Constraint:
    """A demand on an agent's attribute; `operators` has the operators. `value` is empty where one needs none."""

    attribute: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class Job:
    """A job's definition, as its owner sent it. Immutable: a change is a new Job.

    Exactly one of `schedule` and `parents` is not None. `cpus` in cores, `mem` and `disk` in MiB; each of them 0 or
    less means the server's default. `max_completion_time`, `kill_grace`, `retry_delay`, `retry_max_delay` in seconds.
    `epsilon` is an ISO 8601 period or None when the owner gave none.
    """

    name: str
    command: str = ""
    shell: bool = True
    schedule: str | None = None  # as sent; JobState knows how far it has come
    schedule_zone: str = ""
    parents: tuple[str, ...] | None = None
    epsilon: str | None = None
    executor: str = ""
    executor_flags: str = ""
    task_info_data: str = ""
    retries: int = 2
    owner: str = ""
    owner_name: str = ""
    description: str = ""
    is_async: bool = False
    cpus: float = 0.1
    mem: float = 128.0
    disk: float = 256.0
    disabled: bool = False
    soft_error: bool = False
    data_processing: bool = False
    fetch: tuple[Fetch, ...] = ()
    uris: tuple[str, ...] = ()
    environment: tuple[Variable, ...] = ()
    arguments: tuple[str, ...] = ()
    high_priority: bool = False
    run_as_user: str = ""
    concurrent: bool = False
    max_completion_time: int = 0
    container: Container | None = None
    constraints: tuple[Constraint, ...] = ()
    # ours; None means the server's default
    priority: int | None = None  # higher first; high_priority alone is HIGH_PRIORITY
    retry_delay: float | None = None
    retry_backoff: float | None = None  # factor from one retry's delay to the next, at least 1
    retry_max_delay: float | None = None
    catch_up: CatchUp | None = None
    on_uncertain: OnUncertain | None = None
    kill_grace: float | None = None  # from TERM to KILL
    gpus: float = 0.0
    ports: int = 0  # how many network ports of the agent
    avoid_failed_agents: Avoid | None = None  # None: soft
    labels: tuple[Pair, ...] = ()  # each key once, in order of the keys
    preemptible: bool = False  # its runs may be stopped to make room for runs of higher priority
    start_within: float | None = None  # promises, in seconds from the due time: for statistics alone
    finish_within: float | None = None
    resource_order: First | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)  # stored fields that we do not know, kept as they are

    @property
    def level(self) -> int:
        """Return the priority that counts, higher first."""
        if self.priority is not None:
            return self.priority
        return HIGH_PRIORITY if self.high_priority else 0


HIGH_PRIORITY = 100  # what Chronos's boolean highPriority means on our scale; its absence is 0


@dataclass(frozen=True, slots=True)
class Token:
    """A parent's success that a child has not used yet.

    `due` is the nominal time of the parent's run; `roots` the runs of root jobs that it goes back to, by job name, so
    that a child pairs runs of one cycle even when a parent missed a cycle.
    """

    run: int
    due: Millis
    roots: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """What a child knows of one parent: successes not used yet, oldest first, and the due time of its last run if
    that one did not succeed."""

    parent: str
    tokens: tuple[Token, ...] = ()
    broken: Millis | None = None


@dataclass(frozen=True, slots=True)
class JobState:
    """What runs change about a job. Counters and times are as Chronos shows them; the rest is ours.

    `next_index` counts due times from the schedule's own start, so that nothing drifts; `remaining` are the runs that
    are left (None: no end). `anchor` is the start of a schedule that was sent without one. `advanced` tells that a run
    was made, from when on the schedule is shown rewritten. `last_scheduled_id` and `last_other_id` are the highest
    times used in task ids for due times and for other runs: no id is made twice. `taken_over` is when the job came to
    us from someone else, whose ids go up to then and are unknown to us; 0: never.
    """

    sequence: int = 0  # order of creation
    version: int = 0  # names the schedule that `next_index` counts in; never used twice
    success_count: int = 0
    error_count: int = 0
    errors_since_last_success: int = 0
    last_success: str = ""
    last_error: str = ""
    anchor: Millis = 0
    next_index: int = 0
    remaining: int | None = None
    advanced: bool = False
    last_scheduled_id: Millis = 0
    last_other_id: Millis = 0
    edges: tuple[Edge, ...] = ()
    elements_processed: int = 0
    taken_over: Millis = 0


replace_state = replacer(JobState)


@dataclass(frozen=True, slots=True)
class Counters:
    """What a document says of a job's past: Chronos stores it as sent (job-model 5)."""

    success_count: int = 0
    error_count: int = 0
    errors_since_last_success: int = 0
    last_success: str = ""
    last_error: str = ""
