"""GET /api/resources: what the cluster has, what is used and free, what would fit, and what waits.

Cheap enough to be asked every second: it is made from memory, in one pass over agents.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import add, sub
from typing import Any, NamedTuple

import orjson
from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from chronos_py.api.backend import Backend
from chronos_py.api.forms import iso
from chronos_py.api.parameters import amount, choice
from chronos_py.api.transport import answer
from chronos_py.clock import Millis
from chronos_py.errors import InvalidInput
from chronos_py.model.capacity import ZERO, Parts, Room, parts, rooms, total
from chronos_py.model.pools import SHARED
from chronos_py.model.resources import LARGEST, Resources

SHAPE = ("cpus", "mem", "disk", "gpus")


def _form(amounts: Parts) -> dict[str, float]:
    cpus, mem, disk, gpus = amounts[:4]
    return {"cpus": cpus / 1000, "mem": mem / 1000, "disk": disk / 1000, "gpus": gpus / 1000}


class Sums(NamedTuple):
    """What some agents have together."""

    agents: int
    total: Parts
    used: Parts
    by_us: Parts
    offered: Parts
    free: Parts
    slots: int

    @classmethod
    def of(cls, found: Sequence[Room]) -> Sums:
        if not found:
            return cls(0, ZERO, ZERO, ZERO, ZERO, ZERO, 0)
        _, totals, used, by_us, offered, free, counts = zip(*found, strict=True)
        return cls(len(found), total(totals), total(used), total(by_us), total(offered), total(free), sum(counts))

    @classmethod
    def together(cls, sums: Collection[Sums]) -> Sums:
        """Return the sum of sums, of one at least."""
        agents, totals, used, by_us, offered, free, counts = zip(*sums, strict=True)
        return cls(sum(agents), total(totals), total(used), total(by_us), total(offered), total(free), sum(counts))

    def form(self, need: Parts | None) -> dict[str, Any]:
        return {
            "agents": self.agents,
            "total": _form(self.total),
            "used": _form(self.used),
            "usedByUs": _form(self.by_us),
            "offered": _form(self.offered),
            "free": _form(self.free),
            "slots": self.slots if need else None,
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
        "usedOf": {role: _form(parts(amounts)) for role, amounts in agent.used_of.items()},
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


def used_of(found: Iterable[Room]) -> dict[str, dict[str, float]]:
    """Return what is used of each role's part, `*` of nobody's, as far as drivers know it."""
    roles: dict[str, list[Parts]] = {}
    for room in found:
        for role, amounts in room.agent.used_of.items():
            roles.setdefault(role, []).append(parts(amounts))
    return {role: _form(total(amounts)) for role, amounts in sorted(roles.items())}


def queue_form(waiting: Mapping[int, tuple[int, Millis, int]], now: Millis) -> dict[str, Any]:
    """Return what waits: how many runs by priority, and since when the oldest of them is due."""
    levels = [
        {
            "priority": level,
            "waiting": count,
            "oldestRun": run,
            "oldestDue": iso(due),
            "oldestWait": max(0, now - due) / 1000,
        }
        for level, (count, due, run) in waiting.items()
    ]
    return {"waiting": sum(count for count, _, _ in waiting.values()), "byPriority": levels}


class ResourcesApi:
    """The view of /api/resources."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def resources(self) -> ResponseReturnValue:
        need, attribute = self._shape(), request.args.get("attribute") or None
        listed = choice("agents", ("true", "false"), "false") == "true"
        agents = self.backend.capacity()
        tally = self.backend.tally()
        found = rooms(agents, tally.by_agent.copy(), self._offered(), need)
        groups = self._groups(found, attribute)
        sums = {value: Sums.of(group) for value, group in groups.items()}
        form: dict[str, Any] = {
            "at": iso(self.backend.now()),
            "age": round(max((agent.age for agent in agents), default=0.0), 3),
            **Sums.together(sums.values()).form(need),
            "largestFree": _form(max((room.free for room in found), default=ZERO)),
            "shape": _form(need) if need else None,
            "reserved": by_role(found),
            "usedOfReserved": used_of(found),
            "running": tally.running,
            "queue": queue_form(tally.waiting(), self.backend.now()),
        }
        if attribute and found:
            form["byAttribute"] = [{"value": value, **sums[value].form(need)} for value in sorted(sums)]
        elif attribute:
            form["byAttribute"] = []
        if listed:
            form["byAgent"] = [_agent_form(room, need) for room in found]
        return answer(orjson.dumps(form))

    @staticmethod
    def _groups(found: list[Room], attribute: str | None) -> dict[str, list[Room]]:
        """Return the agents by the value of an attribute; all as one group when none is asked about."""
        if not attribute or not found:
            return {"": found}
        groups: dict[str, list[Room]] = {}
        for room in found:
            value = room.agent.attributes.get(attribute)
            groups.setdefault("" if value is None else shown(value), []).append(room)
        return groups

    def _shape(self) -> Parts | None:
        """Return the shape that is asked about. Raises InvalidInput."""
        if not any(name in request.args for name in SHAPE):
            return None
        cpus, mem, disk, gpus = (amount(name, 0.0, 0.0, LARGEST) for name in SHAPE)
        need = parts(Resources.of(cpus, mem, disk, gpus))
        if need == ZERO:
            given = next(name for name in SHAPE if name in request.args)
            raise InvalidInput(given, request.args[given], "a shape must need something")
        return need

    def _offered(self) -> dict[str, Parts]:
        held: dict[str, Parts] = {}
        for offer in self.backend.held_offers():
            held[offer.agent_id] = tuple(map(add, held.get(offer.agent_id, ZERO), parts(offer.resources)))
        return held


def resources_blueprint(backend: Backend) -> Blueprint:
    """Return /api/resources."""
    blueprint = Blueprint("resources", __name__, url_prefix="/api")
    blueprint.add_url_rule("/resources", view_func=ResourcesApi(backend).resources)
    return blueprint
