"""GET /api/resources: what the cluster has, what is used and free, what would fit, and what waits.

Cheap enough to be asked every second: it is made from memory, in one pass over agents and one over active runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson
from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from chronos_py.api.backend import Backend
from chronos_py.api.forms import iso
from chronos_py.api.parameters import amount, choice
from chronos_py.api.transport import answer
from chronos_py.clock import Millis
from chronos_py.errors import InvalidInput
from chronos_py.model.capacity import SHARED, AgentCapacity, Room, Sum, largest, rooms
from chronos_py.model.resources import LARGEST, Resources
from chronos_py.model.run import Phase, Run

SHAPE = ("cpus", "mem", "disk", "gpus")


def _form(parts: Sequence[int]) -> dict[str, float]:
    return {"cpus": parts[0] / 1000, "mem": parts[1] / 1000, "disk": parts[2] / 1000, "gpus": parts[3] / 1000}


def _amounts(amounts: Resources) -> dict[str, float]:
    return _form((amounts.cpus, amounts.mem, amounts.disk, amounts.gpus))


def _sum_form(found: Sum, need: Resources | None) -> dict[str, Any]:
    return {
        "agents": found.agents,
        "total": _form(found.total),
        "used": _form(found.used),
        "usedByUs": _form(found.by_us),
        "offered": _form(found.offered),
        "free": _form(found.free),
        "slots": found.slots if need else None,
    }


def _agent_form(room: Room, need: Resources | None) -> dict[str, Any]:
    agent = room.agent
    return {
        "agent": agent.id,
        "host": agent.host,
        "active": agent.active,
        "attributes": {name: shown(value) for name, value in agent.attributes.items()},
        "total": _amounts(agent.total),
        "used": _amounts(room.used),
        "usedByUs": _amounts(room.by_us),
        "offered": _amounts(room.offered),
        "free": _amounts(room.free),
        "reserved": {role: _amounts(part) for role, part in agent.reserved.items()},
        "slots": room.slots if need else None,
    }


def shown(value: Any) -> str:
    """Return an attribute's value as a text by which agents can be grouped."""
    if isinstance(value, float):
        return f"{value:g}"
    return ",".join(sorted(map(str, value))) if isinstance(value, tuple | list | set | frozenset) else str(value)


def by_role(agents: Iterable[AgentCapacity]) -> dict[str, dict[str, float]]:
    """Return what is reserved for each role, and under `*` what is reserved for nobody."""
    sums: dict[str, list[int]] = {SHARED: [0, 0, 0, 0]}
    for agent in agents:
        shared = sums[SHARED]
        for place, part in enumerate((agent.total.cpus, agent.total.mem, agent.total.disk, agent.total.gpus)):
            shared[place] += part
        for role, amounts in agent.reserved.items():
            own = sums.setdefault(role, [0, 0, 0, 0])
            for place, part in enumerate((amounts.cpus, amounts.mem, amounts.disk, amounts.gpus)):
                own[place] += part
                shared[place] -= part
    return {role: _form(parts) for role, parts in sorted(sums.items())}


class Waits:
    """What waits: how many runs by priority, and since when the oldest of them is due."""

    def __init__(self) -> None:
        self.count: dict[int, int] = {}
        self.oldest: dict[int, tuple[Millis, int]] = {}

    def add(self, run: Run) -> None:
        level, key = run.priority, (run.due, run.id)
        self.count[level] = self.count.get(level, 0) + 1
        if key < self.oldest.get(level, (2**63, 0)):
            self.oldest[level] = key

    def form(self, now: Millis) -> dict[str, Any]:
        levels = [
            {
                "priority": level,
                "waiting": self.count[level],
                "oldestRun": self.oldest[level][1],
                "oldestDue": iso(self.oldest[level][0]),
                "oldestWait": max(0, now - self.oldest[level][0]) / 1000,
            }
            for level in sorted(self.count, reverse=True)
        ]
        return {"waiting": sum(self.count.values()), "byPriority": levels}


class ResourcesApi:
    """The view of /api/resources."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def resources(self) -> ResponseReturnValue:
        need, attribute = self._shape(), request.args.get("attribute") or None
        listed = choice("agents", ("true", "false"), "false") == "true"
        agents = self.backend.capacity()
        by_us, running, waits = self._runs()
        found = rooms(agents, by_us, self._offered(), need)
        total, groups = Sum(), dict[str, Sum]()
        for room in found:
            total.add(room)
            if attribute:
                value = room.agent.attributes.get(attribute)
                groups.setdefault("" if value is None else shown(value), Sum()).add(room)
        form: dict[str, Any] = {
            "at": iso(self.backend.now()),
            "age": round(max((agent.age for agent in agents), default=0.0), 3),
            **_sum_form(total, need),
            "largestFree": _amounts(largest(room.free for room in found)),
            "shape": _amounts(need) if need else None,
            "reserved": by_role(agents),
            "running": running,
            "queue": waits.form(self.backend.now()),
        }
        if attribute:
            form["byAttribute"] = [
                {"value": value, **_sum_form(group, need)} for value, group in sorted(groups.items())
            ]
        if listed:
            form["byAgent"] = [_agent_form(room, need) for room in found]
        return answer(orjson.dumps(form))

    def _shape(self) -> Resources | None:
        """Return the shape that is asked about. Raises InvalidInput."""
        if not any(name in request.args for name in SHAPE):
            return None
        cpus, mem, disk, gpus = (amount(name, 0.0, 0.0, LARGEST) for name in SHAPE)
        need = Resources.of(cpus, mem, disk, gpus)
        if need == Resources():
            raise InvalidInput("cpus", request.args.get("cpus"), "a shape must need something")
        return need

    def _offered(self) -> dict[str, Resources]:
        held: dict[str, Resources] = {}
        for offer in self.backend.held_offers():
            known = held.get(offer.agent_id)
            held[offer.agent_id] = offer.resources if known is None else known + offer.resources
        return held

    def _runs(self) -> tuple[Mapping[str, Resources], int, Waits]:
        """Return what our tasks have of each agent, how many there are, and what waits."""
        sums: dict[str, Resources] = {}
        waits, running, need = Waits(), 0, self._needs()
        for run in list(self.backend.view.runs.values()):
            if run.phase is Phase.RUNNING or run.phase is Phase.LAUNCHING:
                running += 1
                known = sums.get(run.agent_id)
                sums[run.agent_id] = need(run.job) if known is None else known + need(run.job)
            elif run.phase is not Phase.REPORTING:
                waits.add(run)
        return sums, running, waits

    def _needs(self) -> Callable[[str], Resources]:
        """Return a function that tells what a job's runs need. A job that was changed tells what they need from now on,
        one that is gone nothing."""
        known: dict[str, Resources] = {}

        def need(name: str) -> Resources:
            found = known.get(name)
            if found is None:
                view = self.backend.view.jobs.get(name)
                found = known[name] = self.backend.need(view.job) if view else Resources()
            return found

        return need


def resources_blueprint(backend: Backend) -> Blueprint:
    """Return /api/resources."""
    blueprint = Blueprint("resources", __name__, url_prefix="/api")
    blueprint.add_url_rule("/resources", view_func=ResourcesApi(backend).resources)
    return blueprint
