"""What the simulated master knows: agents, tasks, offers, frameworks."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import orjson

from compat_tests.servers.simulated_mesos.http import Connection
from compat_tests.servers.simulated_mesos.ids import uuid_text
from compat_tests.servers.simulated_mesos.resources import Bag

Message = dict[str, Any]

TERMINAL = frozenset(
    ("TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR", "TASK_LOST", "TASK_DROPPED", "TASK_GONE")
)


@dataclass(slots=True, eq=False)
class Agent:
    """A machine. `state` is registered, unreachable, or recovered (a new master has not heard from it yet)."""

    id: str
    hostname: str
    total: Bag
    attributes: list[Message]
    free: Bag
    state: str = "registered"
    tasks: dict[tuple[str, str], Task] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)
    unavailability: Message | None = None
    unreachable_time: int = 0  # nanoseconds since 1970
    has_gpus: bool = False
    changes: int = 0  # of what is free


@dataclass(slots=True, eq=False)
class Task:
    """A task that an agent has. `pending` are its unacknowledged updates; the first has been told to the master."""

    id: str
    framework_id: str
    agent: Agent
    bag: Bag
    role: str
    command: str
    container: Message
    latest: str = "TASK_STAGING"  # what the agent knows
    told: str = "TASK_STAGING"  # what the master was told last
    pending: deque[Message] = field(default_factory=deque)
    retry_at: float = 0.0
    backoff: float = 0.0
    timer: asyncio.TimerHandle | None = None
    holds: bool = True  # its resources


@dataclass(slots=True, eq=False)
class Offer:
    id: str
    framework: Framework
    agent: Agent
    role: str
    bag: Bag
    since: float


@dataclass(slots=True, eq=False)
class InverseOffer:
    id: str
    framework: Framework
    agent: Agent


@dataclass(slots=True)
class Filter:
    """A declined offer: resources that it contains are not offered again before `until`."""

    until: float
    bag: Bag


class Framework:
    """A framework, connected or not. Built anew from its FrameworkInfo at each SUBSCRIBE."""

    def __init__(self, framework_id: str) -> None:
        self.id = framework_id
        self.connection: Connection | None = None
        self.stream_id = ""
        self.tasks: dict[str, Task] = {}
        self.unreachable: dict[str, Task] = {}
        self.offers: dict[str, Offer] = {}
        self.inverse_offers: dict[str, InverseOffer] = {}
        self.filters: dict[tuple[str, str], list[Filter]] = {}  # by agent id and role
        self.filtered: dict[tuple[str, str], tuple[int, float]] = {}  # changes of the agent seen, and until when
        self.suppressed: set[str] = set()
        self.allocated: dict[str, Bag] = {}  # by role; offered and in use
        self.failover_timer: asyncio.TimerHandle | None = None
        self.mute_heartbeats = False
        self.update({})

    def update(self, info: Message) -> None:
        self.info = info
        capabilities = {part.get("type") for part in info.get("capabilities", [])}
        self.is_multi_role = "MULTI_ROLE" in capabilities
        self.is_partition_aware = "PARTITION_AWARE" in capabilities
        self.is_refined = "RESERVATION_REFINEMENT" in capabilities
        self.knows_killing = "TASK_KILLING_STATE" in capabilities
        self.knows_gpus = "GPU_RESOURCES" in capabilities
        self.roles: list[str] = list(info.get("roles", [])) if self.is_multi_role else [info.get("role", "*")]

    @property
    def connected(self) -> bool:
        return self.connection is not None

    def send(self, event: Message) -> None:
        """Send an event, if there is a stream."""
        self.send_record(orjson.dumps(event))

    def send_record(self, data: bytes) -> None:
        """Send bytes as one record of the stream, whatever they are."""
        if self.connection is not None:
            record = b"%d\n%b" % (len(data), data)
            self.connection.send(b"%x\r\n%b\r\n" % (len(record), record))

    def open_stream(self, connection: Connection) -> str:
        """Make a connection the framework's stream, and return its id."""
        self.connection = connection
        self.stream_id = uuid_text()
        connection.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n"
            b"Mesos-Stream-Id: " + self.stream_id.encode() + b"\r\n\r\n"
        )
        return self.stream_id

    def close_stream(self, message: str | None = None) -> None:
        """End the stream, after an ERROR event if there is a message. The connection's end is then nobody's news."""
        if self.connection is None:
            return
        if message is not None:
            self.send({"type": "ERROR", "error": {"message": message}})
        connection, self.connection = self.connection, None
        connection.on_lost = None
        connection.send(b"0\r\n\r\n")
        connection.end()

    def take(self, role: str, bag: Bag) -> None:
        self.allocated.setdefault(role, Bag()).add(bag)

    def give_back(self, role: str, bag: Bag) -> None:
        held = self.allocated[role]
        held.subtract(bag)
