"""Resources: what agents have, offers carry and tasks take.

Scalars are whole thousandths, as Mesos compares them. A `Key` is the name and the stack of reservations; resources
with different keys never mix.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Reservation = tuple[str, str, str]  # STATIC or DYNAMIC, role, principal or ""
Key = tuple[str, tuple[Reservation, ...]]
Ranges = tuple[tuple[int, int], ...]

LARGEST = 1e15  # more than any agent has, and exact in thousandths
SHARED: tuple[Reservation, ...] = ()
_SPEC = re.compile(r"(?P<name>\w+)(\((?P<role>[^,)]+)(,(?P<principal>[^)]*))?\))?:(?P<value>.+)")


class InvalidResource(ValueError):
    """A resource that no agent can have; the text is what Mesos says."""


class Bag:
    """Amounts by key; never holds an empty amount."""

    __slots__ = ("ranges", "scalars")

    def __init__(self, scalars: dict[Key, int] | None = None, ranges: dict[Key, Ranges] | None = None) -> None:
        self.scalars = scalars or {}
        self.ranges = ranges or {}

    def __bool__(self) -> bool:
        return bool(self.scalars or self.ranges)

    def copy(self) -> Bag:
        return Bag(dict(self.scalars), dict(self.ranges))

    def contains(self, other: Bag) -> bool:
        mine = self.scalars
        for key, amount in other.scalars.items():
            if mine.get(key, 0) < amount:
                return False
        return all(not _without(ranges, self.ranges.get(key, ())) for key, ranges in other.ranges.items())

    def add(self, other: Bag) -> None:
        mine = self.scalars
        for key, amount in other.scalars.items():
            mine[key] = mine.get(key, 0) + amount
        for key, ranges in other.ranges.items():
            self.ranges[key] = _merged(self.ranges.get(key, ()) + ranges)

    def subtract(self, other: Bag) -> None:
        """Take away what the bag contains."""
        mine = self.scalars
        for key, amount in other.scalars.items():
            left = mine.get(key, 0) - amount
            assert left >= 0, f"{key} would be {left}"
            if left:
                mine[key] = left
            else:
                mine.pop(key, None)
        for key, ranges in other.ranges.items():
            rest = _without(self.ranges.get(key, ()), ranges)
            if rest:
                self.ranges[key] = rest
            else:
                self.ranges.pop(key, None)

    def allocatable_to(self, role: str, refined: bool) -> Bag:
        """Return what a framework may get for the role: the unreserved, and what is reserved for it or a parent.

        Resources with a stack of reservations go only to frameworks that know reservation refinement.
        """

        def may(reservations: tuple[Reservation, ...]) -> bool:
            if not reservations:
                return True
            owner = reservations[-1][1]
            return (owner == role or role.startswith(owner + "/")) and (refined or len(reservations) == 1)

        return Bag(
            {key: amount for key, amount in self.scalars.items() if may(key[1])},
            {key: ranges for key, ranges in self.ranges.items() if may(key[1])},
        )

    def unreserved(self) -> Bag:
        """Return the same amounts without their reservations."""
        bag = Bag()
        for key, amount in self.scalars.items():
            bag.add(Bag({(key[0], SHARED): amount}))
        for key, ranges in self.ranges.items():
            bag.add(Bag(ranges={(key[0], SHARED): ranges}))
        return bag

    def total(self, name: str) -> int:
        return sum(amount for key, amount in self.scalars.items() if key[0] == name)

    def is_allocatable(self) -> bool:
        """Return whether it is worth an offer, by Mesos' default: 0.01 cpus or 32 MB of memory."""
        return self.total("cpus") >= 10 or self.total("mem") >= 32_000

    def to_json(self, refined: bool, role: str | None) -> list[dict[str, Any]]:
        """Return it as Mesos sends it, in the format after or before reservation refinement.

        `role` is told as the allocation; None leaves it out, as for frameworks without MULTI_ROLE.
        """
        found = []
        for key, ranges in self.ranges.items():
            shown = [{"begin": begin, "end": end} for begin, end in ranges]
            found.append(_entry(key, {"type": "RANGES", "ranges": {"range": shown}}, refined, role))
        for key, amount in self.scalars.items():
            found.append(_entry(key, {"type": "SCALAR", "scalar": {"value": amount / 1000}}, refined, role))
        return found

    def text(self, role: str) -> str:
        """Return it as Mesos' messages show it."""
        shown = [
            f"{_label(key, role)}:[{', '.join(f'{begin}-{end}' for begin, end in ranges)}]"
            for key, ranges in self.ranges.items()
        ]
        shown += [f"{_label(key, role)}:{amount / 1000:g}" for key, amount in self.scalars.items()]
        return "; ".join(shown)


def _label(key: Key, role: str) -> str:
    name, reservations = key
    stack = ",".join(f"({','.join(part for part in reservation if part)})" for reservation in reservations)
    return f"{name}(allocated: {role})" + (f"(reservations: [{stack}])" if stack else "")


def _entry(key: Key, value: dict[str, Any], refined: bool, role: str | None) -> dict[str, Any]:
    name, reservations = key
    entry = {"name": name, **value}
    if role is not None:
        entry["allocation_info"] = {"role": role}
    if refined:
        if reservations:
            entry["reservations"] = [_reservation(*reservation) for reservation in reservations]
    else:
        entry["role"] = reservations[-1][1] if reservations else "*"
        if reservations and reservations[-1][0] == "DYNAMIC":
            principal = reservations[-1][2]
            entry["reservation"] = {"principal": principal} if principal else {}
    return entry


def _reservation(kind: str, role: str, principal: str) -> dict[str, str]:
    return {"type": kind, "role": role} | ({"principal": principal} if principal else {})


def _merged(ranges: Ranges) -> Ranges:
    found: list[tuple[int, int]] = []
    for begin, end in sorted(ranges):
        if found and begin <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return tuple(found)


def _without(ranges: Ranges, taken: Ranges) -> Ranges:
    left = list(ranges)
    for begin, end in taken:
        rest = []
        for first, last in left:
            if end < first or begin > last:
                rest.append((first, last))
                continue
            if first < begin:
                rest.append((first, begin - 1))
            if last > end:
                rest.append((end + 1, last))
        left = rest
    return tuple(left)


def ranges_from_text(text: str) -> Iterator[tuple[int, int]]:
    """Read `[1-5, 7-9]`; `[]` is none. Raises ValueError."""
    for pair in filter(None, (pair.strip() for pair in text.strip("[]").split(","))):
        begin, _, end = pair.partition("-")
        yield int(begin), int(end)


def from_text(spec: str) -> Bag:
    """Read resources in the form of the agent's flag, `cpus:8;mem(prod):512;ports:[1000-2000]`.

    A principal, `cpus(prod,alice):2`, makes it a dynamic reservation (an empty one too). Raises ValueError.
    """
    bag = Bag()
    for part in filter(None, (part.strip() for part in spec.split(";"))):
        match = _SPEC.fullmatch(part)
        if match is None:
            raise ValueError(f"resources: cannot read {part!r}")
        role, principal = match["role"], match["principal"]
        reservations = SHARED
        if role and role != "*":
            reservations = (("STATIC" if principal is None else "DYNAMIC", role, principal or ""),)
        key = (match["name"], reservations)
        value = match["value"]
        if value.startswith("["):
            if ranges := _merged(tuple(ranges_from_text(value))):
                bag.add(Bag(ranges={key: ranges}))
        elif amount := round(float(value) * 1000):
            bag.add(Bag({key: amount}))
    return bag


def from_json(entries: list[dict[str, Any]], role: str) -> Bag:
    """Read a task's resources, in either format. An allocation to another role makes it match no offer.

    Raises InvalidResource with Mesos' words.
    """
    bag = Bag()
    scalars = bag.scalars
    for entry in entries:
        name = entry["name"]
        reservations = _reservations(entry)
        allocated = entry.get("allocation_info")
        if allocated is not None and allocated.get("role") != role:
            reservations = (*reservations, ("ALLOCATED", str(allocated.get("role")), ""))
        key = (name, reservations)
        kind = entry.get("type")
        if kind == "SCALAR":
            value = entry.get("scalar", {}).get("value", 0.0)
            if not abs(value) < LARGEST:
                raise InvalidResource(f"Resource '{name}:{value:g}' is invalid: Invalid scalar resource: {value}")
            amount = round(value * 1000)
            if value < 0 or (value > 0 and not amount):
                shown = f"{value if amount else 0:g}"
                raise InvalidResource(f"Resource '{name}:{shown}' is invalid: Invalid scalar resource: value <= 0")
            if amount:
                scalars[key] = scalars.get(key, 0) + amount
        elif kind == "RANGES":
            given = entry.get("ranges", {}).get("range", ())
            ranges = tuple((int(part["begin"]), int(part["end"])) for part in given)
            if any(begin > end for begin, end in ranges):
                raise InvalidResource(f"Resource '{name}' is invalid: Invalid ranges resource: begin > end")
            bag.add(Bag(ranges={key: _merged(ranges)}))
        else:
            raise InvalidResource(f"Resource '{name}' is invalid: the simulator knows SCALAR and RANGES, not {kind}")
    return bag


def _reservations(entry: dict[str, Any]) -> tuple[Reservation, ...]:
    if "reservations" in entry:
        return tuple(
            (str(part.get("type")), str(part.get("role")), str(part.get("principal", "")))
            for part in entry["reservations"]
        )
    role = entry.get("role", "*")
    if role == "*":
        return SHARED
    if "reservation" in entry:
        return (("DYNAMIC", role, entry["reservation"].get("principal", "")),)
    return (("STATIC", role, ""),)


def attributes_from_text(spec: str) -> list[dict[str, Any]]:
    """Read attributes in the form of the agent's flag, `rack:a;disks:2;ports:[1-5]`; numbers are scalars."""
    found: list[dict[str, Any]] = []
    for part in filter(None, (part.strip() for part in spec.split(";"))):
        name, colon, value = part.partition(":")
        if not colon:
            raise ValueError(f"attributes: cannot read {part!r}")
        if value.startswith("["):
            shown = [{"begin": begin, "end": end} for begin, end in ranges_from_text(value)]
            found.append({"name": name, "type": "RANGES", "ranges": {"range": shown}})
            continue
        try:
            found.append({"name": name, "type": "SCALAR", "scalar": {"value": float(value)}})
        except ValueError:
            found.append({"name": name, "type": "TEXT", "text": {"value": value}})
    return found
