"""GET /api/resources: what the cluster has, what is used and free, what would fit, and what waits.

Cheap enough to be asked every second: it is made from memory, in one pass over agents and one over active runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import add, sub
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
from chronos_py.model.capacity import SHARED, ZERO, Parts, Room, parts, rooms, total
from chronos_py.model.resources import LARGEST, Resources
from chronos_py.model.run import Phase, Run

SHAPE = ("cpus", "mem", "disk", "gpus")


def _form(amounts: Parts) -> dict[str, float]:
    cpus, mem, disk, gpus = amounts[:4]
    return {"cpus": cpus / 1000, "mem": mem / 1000, "disk": disk / 1000, "gpus": gpus / 1000}


def _sum_form(found: Sequence[Room], need: Parts | None) -> dict[str, Any]:
    return {
        "agents": len(found),
        "total": _form(total(room.total for room in found)),
        "used": _form(total(room.used for room in found)),
        "usedByUs": _form(total(room.by_us for room in found)),
        "offered": _form(total(room.offered for room in found)),
        "free": _form(total(room.free for room in found)),
        "slots": sum(room.slots for room in found) if need else None,
    }


def _agent_form(room: Room, need: Parts | None) -> dict[str, Any]:
    agent = room.agent
    return {
        "agent": agent.id,
        "host": agent.host,
        "active": agent.active,
        "attributes": {name: shown(value) for name, value in agent.attributes.items()},
        "total": _form(room.total),
        "used": _form(room.used),
        "usedByUs": _form(room.by_us),
        "offered": _form(room.offered),
        "free": _form(room.free),
        "reserved": {role: _form(parts(amounts)) for role, amounts in agent.reserved.items()},
        "slots": room.slots if need else None,
    }


def shown(value: Any) -> str:
    """Return an attribute's value as a text by which agents can be grouped."""
    if isinstance(value, float):
        return f"{value:g}"
    return ",".join(sorted(map(str, value))) if isinstance(value, tuple | list | set | frozenset) else str(value)


def by_role(found: Iterable[Room]) -> dict[str, dict[str, float]]:
    """Return what is reserved for each role, and under `*` what is reserved for nobody."""
    roles: dict[str, list[Parts]] = {}
    everything = []
    for room in found:
        everything.append(room.total)
        for role, amounts in room.agent.reserved.items():
            roles.setdefault(role, []).append(parts(amounts))
    sums = {role: total(amounts) for role, amounts in roles.items()}
    rest = tuple(map(sub, total(everything), total(sums.values())))
    return {role: _form(amounts) for role, amounts in sorted({**sums, SHARED: rest}.items())}


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
        form: dict[str, Any] = {
            "at": iso(self.backend.now()),
            "age": round(max((agent.age for agent in agents), default=0.0), 3),
            **_sum_form(found, need),
            "largestFree": _form(max((room.free for room in found), default=ZERO)),
            "shape": _form(need) if need else None,
            "reserved": by_role(found),
            "running": running,
            "queue": waits.form(self.backend.now()),
        }
        if attribute:
            groups: dict[str, list[Room]] = {}
            for room in found:
                value = room.agent.attributes.get(attribute)
                groups.setdefault("" if value is None else shown(value), []).append(room)
            form["byAttribute"] = [
                {"value": value, **_sum_form(group, need)} for value, group in sorted(groups.items())
            ]
        if listed:
            form["byAgent"] = [_agent_form(room, need) for room in found]
        return answer(orjson.dumps(form))

    def _shape(self) -> Parts | None:
        """Return the shape that is asked about. Raises InvalidInput."""
        if not any(name in request.args for name in SHAPE):
            return None
        cpus, mem, disk, gpus = (amount(name, 0.0, 0.0, LARGEST) for name in SHAPE)
        need = parts(Resources.of(cpus, mem, disk, gpus))
        if need == ZERO:
            raise InvalidInput("cpus", request.args.get("cpus"), "a shape must need something")
        return need

    def _offered(self) -> dict[str, Parts]:
        held: dict[str, Parts] = {}
        for offer in self.backend.held_offers():
            held[offer.agent_id] = tuple(map(add, held.get(offer.agent_id, ZERO), parts(offer.resources)))
        return held

    def _runs(self) -> tuple[Mapping[str, Parts], int, Waits]:
        """Return what our tasks have of each agent, how many there are, and what waits.

        A job that was changed tells what its runs need from now on, one that is gone nothing.
        """
        sums: dict[str, Parts] = {}
        needs: dict[str, Parts] = {}
        waits, running = Waits(), 0
        for run in list(self.backend.view.runs.values()):
            phase = run.phase
            if phase is Phase.RUNNING or phase is Phase.LAUNCHING:
                running += 1
                need = needs.get(run.job) if run.immediate is None else parts(self.backend.need(run.immediate.job))
                if need is None:
                    need = needs[run.job] = self._need(run.job)
                known = sums.get(run.agent_id)
                sums[run.agent_id] = need if known is None else tuple(map(add, known, need))
            elif phase is not Phase.REPORTING:
                waits.add(run)
        return sums, running, waits

    def _need(self, job: str) -> Parts:
        view = self.backend.view.jobs.get(job)
        return parts(self.backend.need(view.job)) if view else ZERO


def resources_blueprint(backend: Backend) -> Blueprint:
    """Return /api/resources."""
    blueprint = Blueprint("resources", __name__, url_prefix="/api")
    blueprint.add_url_rule("/resources", view_func=ResourcesApi(backend).resources)
    return blueprint
