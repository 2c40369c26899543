"""What is known of agents beyond their offers: host, address, and all that each of them has.

Offers tell only what is free. To balance, placement must know how much that is of the whole, so the master's list of
agents is read when an unknown one appears, and now and then.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from chronos_py.drivers.mesos.stream import Endpoint
from chronos_py.model.resources import Resources, thousandths

log = structlog.get_logger(__name__)

LARGEST = 50_000  # agents remembered
REFRESH_S = 60.0
SOONEST_S = 1.0  # between two readings
FRESH_S = 2.0  # an older reading is repeated when somebody wants to know
FIRST_READING_S = 0.5  # how long the first offers may wait for it


UNKNOWN = Resources()


@dataclass(frozen=True, slots=True)
class KnownAgent:
    """`url` is http(s)://host:port of its own HTTP, empty when it is not known."""

    id: str
    host: str = ""
    url: str = ""
    total: Resources = UNKNOWN
    used: Resources = UNKNOWN
    reserved: Mapping[str, Resources] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    active: bool = True


def read_agents(answer: Any) -> dict[str, KnownAgent]:
    """Take agents from what a master says at /slaves; those that make no sense are left out."""
    found: dict[str, KnownAgent] = {}
    entries = answer.get("slaves") if isinstance(answer, dict) else None
    for entry in entries if isinstance(entries, list) else []:
        try:
            pid = str(entry.get("pid", ""))
            known = KnownAgent(
                id=str(entry["id"]),
                host=str(entry.get("hostname", "")),
                url=f"http://{pid.partition('@')[2]}" if "@" in pid else "",
                total=_total(entry.get("resources") or {}),
                used=_total(entry.get("used_resources") or {}),
                reserved={
                    str(role): _total(amounts) for role, amounts in (entry.get("reserved_resources") or {}).items()
                },
                attributes=dict(entry.get("attributes") or {}),
                active=entry.get("active") is not False and not entry.get("deactivated"),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
        found[known.id] = known
    return found


def _total(amounts: Mapping[str, Any]) -> Resources:
    cpus, mem, disk, gpus = (thousandths(float(amounts.get(name) or 0)) for name in ("cpus", "mem", "disk", "gpus"))
    return Resources(cpus, mem, disk, gpus, _ports(str(amounts.get("ports") or "")))


def _ports(text: str) -> int:
    """Count the ports of `[31000-32000, 40000-40000]`, as masters write them. Raises ValueError."""
    count = 0
    for span in filter(None, text.strip("[] ").split(",")):
        first, _, last = span.strip().partition("-")
        count += int(last or first) - int(first) + 1
    return count


class AgentDirectory:
    """Agents by id. Asked from any thread; reads with one of its own."""

    def __init__(self, read: Callable[[Endpoint, str], Any], monotonic: Callable[[], float] = time.monotonic) -> None:
        """`read` gets a JSON document of a master by its path; it may raise anything."""
        self._read = read
        self._monotonic = monotonic
        self._agents: OrderedDict[str, KnownAgent] = OrderedDict()
        self._lock = threading.Lock()
        self._totals: Mapping[str, Resources] = {}
        self._endpoint: Endpoint | None = None
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._read_once = threading.Event()
        self._listed: Sequence[KnownAgent] = ()  # as the last reading had them: agents that are gone are not in it
        self._read_at: float | None = None
        self._thread: threading.Thread | None = None
        self._failing = False

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="mesos-agents", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._wanted.set()

    def connected(self, endpoint: Endpoint) -> None:
        """Read the list of this master."""
        self._endpoint = endpoint
        self._read_once.clear()
        self._wanted.set()

    def first_reading(self) -> None:
        """Give the first reading a moment: without totals, agents that are full look like small ones."""
        self._read_once.wait(FIRST_READING_S)

    def get(self, agent_id: str) -> KnownAgent:
        with self._lock:
            return self._agents.get(agent_id) or KnownAgent(agent_id)

    def totals(self) -> Mapping[str, Resources]:
        """Return what agents have, as far as that is known."""
        return self._totals

    def listed(self) -> tuple[Sequence[KnownAgent], float]:
        """Return the agents of the last reading and its age in seconds; a reading that is not new is repeated soon."""
        if self._read_at is None:
            return (), 0.0
        age = self._monotonic() - self._read_at
        if age > FRESH_S:
            self._wanted.set()
        return self._listed, age

    def note(self, agent_id: str, host: str, url: str) -> None:
        """Take note of what an offer says."""
        with self._lock:
            known = self._agents.get(agent_id)
            if known is None:
                self._put(KnownAgent(agent_id, host, url))
        if known is None or known.total == UNKNOWN:
            self._wanted.set()

    def _put(self, agent: KnownAgent) -> None:
        self._agents[agent.id] = agent
        self._agents.move_to_end(agent.id)
        while len(self._agents) > LARGEST:
            self._agents.popitem(last=False)

    def __len__(self) -> int:
        return len(self._agents)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wanted.wait(REFRESH_S)
            self._wanted.clear()
            endpoint = self._endpoint
            if endpoint is None or self._stopping.is_set():
                continue
            try:
                found = read_agents(self._read(endpoint, "/slaves"))
                with self._lock:
                    for agent in found.values():
                        self._put(agent)
                    self._totals = {agent.id: agent.total for agent in self._agents.values()}
                self._listed, self._read_at = tuple(found.values()), self._monotonic()
                self._failing = False
            except Exception as error:
                if not self._failing:
                    log.warning("the master does not list its agents", reason=str(error))
                self._failing = True
            self._read_once.set()
            self._stopping.wait(SOONEST_S)
