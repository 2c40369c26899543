"""What an agent has, in pools: one for each role that something is reserved for, and `*` for what is anybody's.

Which pool a task uses first is the server's rule (`--resource_order`), that of the role, or the job's own wish.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chronos_py.model.resources import Resources

SHARED = "*"  # the role of what is reserved for nobody
SHARED_FIRST, RESERVED_FIRST = "shared", "reserved"
ORDERS = (SHARED_FIRST, RESERVED_FIRST)
_KINDS = ("cpus", "mem", "disk", "gpus", "ports")


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """One agent of this machine. `resources` is all that it has, of which `reserved` says what is for which role.

    The only agent of a machine needs no name. An empty `host` means the machine's own.
    """

    resources: Resources
    name: str = ""
    host: str = ""
    reserved: Mapping[str, Resources] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ResourceOrder:
    """Whether what is shared is used before what is reserved for a role, or after: by role, else `default`."""

    default: str = SHARED_FIRST
    by_role: Mapping[str, str] = field(default_factory=dict)

    def reserved_first(self, role: str, wish: str = "") -> bool:
        """Tell whether a role's reservation goes before what is shared; a job's `wish` wins, empty: it has none."""
        return (wish or self.by_role.get(role, self.default)) == RESERVED_FIRST

    def of(self, roles: Iterable[str], wish: str = "") -> list[str]:
        """Return pools in the order in which they are used; `*` is one of them, whether it is given or not."""
        first, last = list[str](), list[str]()
        for role in roles:
            if role != SHARED:
                (first if self.reserved_first(role, wish) else last).append(role)
        return [*first, SHARED, *last]


def split(need: Resources, pools: Mapping[str, Resources], order: Sequence[str]) -> dict[str, Resources]:
    """Return what a task takes from which pool: of each kind as much as there is, pool after pool.

    What they do not have together is taken from none of them.
    """
    taken: dict[str, dict[str, int]] = {}
    for kind in _KINDS:
        rest = getattr(need, kind)
        for role in order:
            if rest <= 0:
                break
            part = min(rest, max(0, getattr(pools.get(role, _NOTHING), kind)))
            if part:
                taken.setdefault(role, {})[kind] = part
                rest -= part
    return {role: Resources(**amounts) for role, amounts in taken.items()}


_NOTHING = Resources()
