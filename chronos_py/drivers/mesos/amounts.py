"""Offered resources as a bag of Mesos' resource objects, from which tasks take exactly what they need.

A resource object says more than how much: for whom it is reserved (a stack of reservations, the last one counts), to
which role it was allocated, which provider it comes from. A task must name all of that again, so what is taken from the
bag are full copies with smaller amounts. Both forms are read: `reservations`, and the older `role` and `reservation`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from chronos_py.drivers.mesos.reading import Message, message, number, part, parts, spans, text
from chronos_py.errors import ChronosError
from chronos_py.model.resources import Resources, thousandths

SCALARS = ("cpus", "mem", "disk", "gpus")  # in the order in which they are written into a task
SHARED = "*"  # the role of what is reserved for nobody
_AMOUNTS = ("scalar", "ranges", "set")
_HIGHEST_PORT = 65535


class NotEnough(ChronosError):
    """The bag does not hold what was asked for: nothing was taken."""


def owner(resource: Message) -> str:
    """Return the role for which a resource is reserved, `*` for nobody."""
    stack = parts(resource, "reservations", "resource")
    return text(stack[-1] if stack else resource, "role", "resource", SHARED)


def usable(resource: Message) -> bool:
    """Tell whether a task of ours may use a resource: for good, without a volume, allocated to its role or below it."""
    message(resource, "resource")
    if "revocable" in resource or "shared" in resource:
        return False
    if any(key in part(resource, "disk", "resource") for key in ("persistence", "volume", "source")):
        return False
    role = owner(resource)
    allocated = text(part(resource, "allocation_info", "resource"), "role", "resource.allocation_info", "")
    return not allocated or role == SHARED or allocated == role or allocated.startswith(f"{role}/")


def room(resources: Iterable[Message]) -> Resources:
    """Return the sum of what is usable. Raises ValueError for what is no resource."""
    return Bag(resources).room


def port_numbers(resources: Iterable[Message]) -> tuple[int, ...]:
    """Return the numbers of all ports among resources that were taken, lowest first."""
    found = [
        range(first, last + 1)
        for resource in resources
        if resource.get("name") == "ports"
        for first, last in spans(resource, "ranges", "ports")
    ]
    return tuple(sorted(port for ports in found for port in ports))


@dataclass(slots=True)
class _Pile:
    """What is left of one scalar resource object, in thousandths."""

    like: dict[str, Any]  # the object without its amount
    reserved: bool
    left: int


@dataclass(slots=True)
class _Span:
    """Ports that are left, `first` to `last`, of one resource object."""

    first: int
    last: int
    like: dict[str, Any]
    reserved: bool


class Bag:
    """The usable resources of one agent's offers, all made to one role."""

    def __init__(self, resources: Iterable[Message]) -> None:
        """Raises ValueError for what is no resource."""
        self._piles: dict[str, list[_Pile]] = {name: [] for name in SCALARS}
        self._spans: list[_Span] = []
        for resource in resources:
            if not usable(resource):
                continue
            name = text(resource, "name", "resource")
            if name in SCALARS:
                self._add_scalar(name, resource)
            elif name == "ports":
                self._add_ports(resource)
        self._spans = _apart(self._spans)

    def _add_scalar(self, name: str, resource: Message) -> None:
        value = number(part(resource, "scalar", name), "value", f"{name}.scalar")
        if value < 0:
            raise ValueError(f"{name}.scalar.value: is negative: {value}")
        like = {key: item for key, item in resource.items() if key not in _AMOUNTS}
        for pile in self._piles[name]:
            if pile.like == like:
                pile.left += thousandths(value)
                return
        self._piles[name].append(_Pile(like, owner(resource) != SHARED, thousandths(value)))

    def _add_ports(self, resource: Message) -> None:
        like = {key: item for key, item in resource.items() if key not in _AMOUNTS}
        reserved = owner(resource) != SHARED
        for first, last in spans(resource, "ranges", "ports"):
            if first <= _HIGHEST_PORT:
                self._spans.append(_Span(first, min(last, _HIGHEST_PORT), like, reserved))

    @property
    def room(self) -> Resources:
        """Return what is left."""
        amounts = {name: sum(pile.left for pile in piles) for name, piles in self._piles.items()}
        return Resources(**amounts, ports=sum(span.last - span.first + 1 for span in self._spans))

    def take(self, need: Resources, *, reserved_first: bool = False, ports: Sequence[int] = ()) -> list[dict[str, Any]]:
        """Take exactly `need` out and return it as resource objects; what is shared goes first, or what is reserved.

        They are to be read only: parts of them belong to the offer.

        `ports` are numbers that must be among the ports; the others are the lowest that are left. Raises NotEnough.
        """
        wanted = frozenset(ports)
        self._check(need, wanted)
        taken = []
        for name in SCALARS:
            amount, piles = getattr(need, name), self._piles[name]
            if len(piles) > 1:
                piles = sorted(piles, key=lambda pile: pile.reserved is not reserved_first)
            for pile in piles:
                part_of_it = min(pile.left, amount)
                if part_of_it:
                    pile.left -= part_of_it
                    amount -= part_of_it
                    taken.append({**pile.like, "scalar": {"value": part_of_it / 1000}})
        return taken + self._take_ports(need.ports, wanted, reserved_first) if need.ports else taken

    def _check(self, need: Resources, wanted: frozenset[int]) -> None:
        free = self.room
        for name in (*SCALARS, "ports"):
            if getattr(need, name) < 0:
                raise ValueError(f"{name}: a need cannot be negative")
        if not free.covers(need):
            raise NotEnough(f"the offer has {free}, the task needs {need}")
        if len(wanted) > need.ports:
            raise ValueError(f"{len(wanted)} ports are asked for by number, {need.ports} in all")
        missing = [
            str(port) for port in sorted(wanted) if not any(span.first <= port <= span.last for span in self._spans)
        ]
        if missing:
            raise NotEnough(f"the offer does not have port {', '.join(missing)}")

    def _take_ports(self, count: int, wanted: frozenset[int], reserved_first: bool) -> list[dict[str, Any]]:
        cut = [
            self._cut(next(span for span in self._spans if span.first <= port <= span.last), port, 1) for port in wanted
        ]
        count -= len(wanted)
        for span in sorted(self._spans, key=lambda span: (span.reserved is not reserved_first, span.first)):
            size = min(count, span.last - span.first + 1)
            if size:
                cut.append(self._cut(span, span.first, size))
                count -= size
        groups: list[tuple[dict[str, Any], list[_Span]]] = []
        for span in sorted(cut, key=lambda span: span.first):
            group = next((spans for like, spans in groups if like == span.like), None)
            if group is None:
                groups.append((span.like, [span]))
            elif group[-1].last + 1 == span.first:
                group[-1].last = span.last
            else:
                group.append(span)
        return [
            {**like, "ranges": {"range": [{"begin": span.first, "end": span.last} for span in group]}}
            for like, group in groups
        ]

    def _cut(self, span: _Span, first: int, size: int) -> _Span:
        """Take `size` ports from `first` on out of a span of ours."""
        last = first + size - 1
        rest = [(span.first, first - 1), (last + 1, span.last)]
        position = self._spans.index(span)
        self._spans[position : position + 1] = [
            _Span(begin, end, span.like, span.reserved) for begin, end in rest if begin <= end
        ]
        return _Span(first, last, span.like, span.reserved)


def _apart(given: list[_Span]) -> list[_Span]:
    """Return spans in which no port is twice; of two that claim one, the one that begins first has it."""
    apart: list[_Span] = []
    top = -1
    for span in sorted(given, key=lambda span: (span.first, span.last)):
        if span.last > top:
            apart.append(_Span(max(span.first, top + 1), span.last, span.like, span.reserved))
            top = span.last
    return apart
