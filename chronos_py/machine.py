"""What `--resources` says: one agent that is this machine, or several that share it.

    cpus:4;mem:8192;disk:50000                                       the machine is one agent
    name:a;cpus:2;cpus(news):2;mem:4096;disk:9000;attributes:rack:r1,dc:x | name:b;host:b.example;cpus:4;...

Amounts are in cores and MiB, and written as Mesos' agents have them: `cpus(news):2` is reserved for the role `news`,
beside what `cpus:2` leaves to everybody. A text that begins with `/` or `./` names a file with an agent in each line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SHARED = "*"  # the role of what is reserved for nobody
ORDERS = ("shared", "reserved")
KINDS = ("cpus", "mem", "disk")
MOST = 1000  # agents of one machine
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,252}")
_AMOUNT = re.compile(r"(\w+)(?:\(([^()]*)\))?")
_ROLE = re.compile(r"(?!-)(?!\.{1,2}(?:/|$))[^\s*,:\x00-\x1f\\]+")


@dataclass(slots=True)
class Said:
    """What was said of one agent; `amounts` by (kind, role), in cores and MiB."""

    name: str = ""
    host: str = ""
    amounts: dict[tuple[str, str], float] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)


def read_machine(text: str) -> list[Said]:
    """Return the agents, at least one. Raises ValueError, which names the agent and the part that is wrong."""
    text = text.strip()
    if text.startswith(("/", "./")):
        try:
            lines = Path(text).read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"is a file that cannot be read: {error}") from None
        pieces = [line for line in (line.strip() for line in lines) if line and not line.startswith("#")]
    else:
        pieces = [piece.strip() for piece in text.split("|")] if text else [""]
    if len(pieces) > MOST:
        raise ValueError(f"there are {len(pieces)} agents; {MOST} are the most")
    agents = [_read_agent(piece, number, len(pieces) > 1) for number, piece in enumerate(pieces or [""], 1)]
    names = [agent.name for agent in agents]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"agent {name}: the name is given twice")
    return agents


def _read_agent(text: str, number: int, several: bool) -> Said:
    said = Said()

    def wrong(reason: str) -> ValueError:
        return ValueError(f"agent {said.name or number}: {reason}" if several else reason)

    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, _, value = (piece.strip() for piece in part.partition(":"))
        amount = _AMOUNT.fullmatch(name)
        if name == "name":
            if said.name or not _NAME.fullmatch(value):
                raise wrong(f"{part!r}: a name is given once, of letters, digits, _ and -")
            said.name = value
        elif name == "host":
            if said.host or not _HOST.fullmatch(value):
                raise wrong(f"{part!r}: a host is given once, of letters, digits, dots, _ and -")
            said.host = value
        elif name == "attributes":
            for pair in filter(None, (pair.strip() for pair in value.split(","))):
                key, colon, content = (piece.strip() for piece in pair.partition(":"))
                if not key or not colon:
                    raise wrong(f"attributes: {pair!r} is not of the form name:value")
                if key in said.attributes:
                    raise wrong(f"attributes: {key} is given twice")
                said.attributes[key] = content
        elif amount and amount[1] in KINDS:
            role = SHARED if amount[2] is None else amount[2].strip()
            if role != SHARED and not _ROLE.fullmatch(role):
                raise wrong(f"{part!r}: {role!r} is no role")
            if (amount[1], role) in said.amounts:
                raise wrong(f"{name} is given twice")
            said.amounts[amount[1], role] = _number(value, wrong)
        else:
            known = f"{', '.join(KINDS)}, which may have a (role), name, host, attributes"
            raise wrong(f"{name!r} is not one of {known}")
    if several and not said.name:
        raise wrong("has no name")
    if said.name:
        missing = [kind for kind in KINDS if not any(one == kind for one, _ in said.amounts)]
        if missing:
            raise wrong(f"{' and '.join(missing)} must be given of an agent with a name")
    return said


def _number(text: str, wrong: Callable[[str], ValueError]) -> float:
    try:
        number = float(text)
    except ValueError:
        raise wrong(f"{text!r} is no number") from None
    if not 0 < number < 1e12:
        raise wrong(f"{text} is out of range")
    return number


def read_order(text: str) -> dict[str, str]:
    """Read `shared`, `reserved`, or either with exceptions, `shared,news:reserved`: by role, "" for all others.

    Raises ValueError.
    """
    orders: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        role, colon, order = part.rpartition(":")
        if order not in ORDERS or (colon and not _ROLE.fullmatch(role)):
            raise ValueError(f"{part!r} is none of shared, reserved, role:shared, role:reserved")
        if role in orders:
            raise ValueError(f"{f'role {role}' if role else 'the order of all roles'} is given twice")
        orders[role] = order
    return orders
