"""Faults of the calls themselves: what happens to the next few of a kind instead of an answer."""

from __future__ import annotations

from dataclasses import dataclass

from compat_tests.servers.simulated_mesos.http import Connection, answer

ACTIONS = ("503", "500", "hang", "cut")


@dataclass(slots=True)
class CallFault:
    """For the next `count` calls of the kind (None: any): the action, before or after the call takes effect.

    `hang` never answers and keeps the connection; `cut` resets it. With `after` only calls that have an answer count.
    """

    kind: str | None
    action: str
    count: int
    after: bool

    def apply(self, connection: Connection) -> bytes | None:
        """Return the answer, or None for none."""
        if self.action == "cut":
            connection.cut()
            return None
        if self.action == "hang":
            return None
        return answer(int(self.action), "a fault of the simulator")


class Faults:
    """What is planned."""

    def __init__(self) -> None:
        self.redirect_to: str | None = None
        self.unavailable = False
        self.planned: list[CallFault] = []

    def plan(self, fault: CallFault) -> None:
        if fault.action not in ACTIONS:
            raise ValueError(f"action: {fault.action!r} is none of {', '.join(ACTIONS)}")
        self.planned.append(fault)

    def next(self, kind: str) -> tuple[CallFault | None, CallFault | None]:
        """Return the fault to play before this call and the one after; each such use is counted."""
        for fault in self.planned:
            if fault.kind in (None, kind):
                fault.count -= 1
                if fault.count <= 0:
                    self.planned.remove(fault)
                return (None, fault) if fault.after else (fault, None)
        return None, None
