"""Virtual agents: what they have, when they come and go."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chronos_py.clock import Millis
from chronos_py.errors import InvalidInput
from chronos_py.model.resources import LARGEST, Resources
from chronos_py.simulation.chance import draws

KINDS = ("cpus", "mem", "disk", "gpus")
PLENTY = 1e9  # of what a description does not name: cores would be told, disks seldom are
MOST = 10_000  # agents
DAY: Millis = 86_400_000
_COUNT = re.compile(r"\s*(\d{1,6})\s*\*\s*(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class VirtualAgent:
    """A machine that does not exist. `total` is what it has for us."""

    id: str
    total: Resources
    attributes: Mapping[str, Any] = field(default_factory=dict)
    host: str = ""

    @property
    def name(self) -> str:
        return self.host or self.id


@dataclass(frozen=True, slots=True)
class Move:
    """An agent comes at an instant, or goes (`agent` None)."""

    at: Millis
    id: str
    agent: VirtualAgent | None = None


def parse_agents(text: str, prefix: str = "agent", first: int = 1) -> list[VirtualAgent]:
    """Read `cpus:4;mem:8192`, with other parts as attributes (`rack:r1`) and a number ahead for several of a kind
    (`10*cpus:4;mem:8192`). cpus and mem are needed. Raises InvalidInput."""
    match = _COUNT.fullmatch(text)
    count, rest = (int(match[1]), match[2]) if match else (1, text)
    if not 1 <= count <= MOST:
        raise InvalidInput("agents", text, f"must be from 1 to {MOST} of a kind")
    amounts: dict[str, float] = {}
    attributes: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in rest.split(";"))):
        name, colon, value = (piece.strip() for piece in part.partition(":"))
        if not (name and colon and value):
            raise InvalidInput("agents", text, f"{part!r} is not of the form name:value")
        if name in amounts or name in attributes:
            raise InvalidInput("agents", text, f"{name} is given twice")
        if name in KINDS:
            amounts[name] = _amount(text, value)
        else:
            attributes[name] = value
    total = total_of(amounts, text)
    return [VirtualAgent(f"{prefix}-{first + number}", total, attributes) for number in range(count)]


def total_of(amounts: Mapping[str, float], shown: object) -> Resources:
    """Return what an agent has, from cores and MiB; a disk that is not told of is large. Raises InvalidInput."""
    for name in ("cpus", "mem"):
        if not amounts.get(name):
            raise InvalidInput("agents", shown, f"needs {name}", "for example cpus:4;mem:8192")
    return Resources.of(
        amounts["cpus"], amounts["mem"], amounts.get("disk", PLENTY), amounts.get("gpus", 0.0), ports=30_000
    )


def _amount(text: str, value: str) -> float:
    try:
        amount = float(value)
    except ValueError:
        raise InvalidInput("agents", text, f"{value!r} is no number") from None
    if not 0 <= amount < LARGEST:
        raise InvalidInput("agents", text, f"{value} is out of range")
    return amount


def several(texts: Iterable[str]) -> list[VirtualAgent]:
    """Read several descriptions; agents are numbered through. Raises InvalidInput."""
    found: list[VirtualAgent] = []
    for text in texts:
        found.extend(parse_agents(text, first=len(found) + 1))
    if len(found) > MOST:
        raise InvalidInput("agents", len(found), f"there may be {MOST} at most")
    return found


def outages(
    agents: Sequence[VirtualAgent], seed: int, start: Millis, end: Millis, per_day: float, length: Millis
) -> list[Move]:
    """Return when agents go and come back: each on average `per_day` times a day, for `length` ms."""
    moves: list[Move] = []
    if per_day <= 0:
        return moves
    pause = 2 * DAY / per_day  # the time until the next one is anything up to twice the mean
    for agent in agents:
        at, number = start, 0
        while True:
            first, _ = draws(seed, f"outage {number} of {agent.id}")
            at, number = at + max(1, int(first * pause)), number + 1
            if at > end:
                break
            moves += [Move(at, agent.id), Move(at + length, agent.id, agent)]
            at += length
    return sorted(moves, key=lambda move: move.at)


def renamed(agents: Iterable[VirtualAgent], taken: Iterable[str]) -> list[VirtualAgent]:
    """Return agents under ids that nobody has."""
    known, found = set(taken), []
    for agent in agents:
        name, number = agent.id, 1
        while name in known:
            number += 1
            name = f"{agent.id}-{number}"
        known.add(name)
        found.append(replace(agent, id=name))
    return found
