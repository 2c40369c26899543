"""What the service asks of an election, and the election of a node that is alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from chronos_py.clock import Millis, iso_utc

Role = Literal["leader", "follower", "none"]
Session = Literal["none", "connecting", "connected", "suspended", "lost", "refused"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How this node stands in the election. `since`: when `role` or `leader` last changed, 0 before the first start.

    `session` is ZooKeeper's as this node sees it, `none` when there is no ZooKeeper; `candidates` counts the nodes that
    stood for election when this one last looked.
    """

    address: str
    leader: str
    role: Role
    since: Millis
    session: Session
    candidates: int = 1
    node: str = ""

    def shown(self) -> dict[str, Any]:
        """Return this for `/health`."""
        return {
            "address": self.address,
            "leader": self.leader,
            "role": self.role,
            "since": iso_utc(self.since) if self.since else None,
            "session": self.session,
            "candidates": self.candidates,
            "node": self.node,
        }

    @property
    def able(self) -> bool:
        """Tell whether this node is of use to a client: it leads, or it knows who does and is in touch."""
        return self.role == "leader" or (
            self.session == "connected" and self.leader != "" and self.leader != self.address
        )


class Leadership(Protocol):
    """Tells this node when it leads, and everybody who does.

    `on_elected` and `on_resigned` are called from the leadership's own threads, in the order of what happened, and must
    not block. After `on_resigned` nothing may be launched or written; the store's epoch refuses what comes late all the
    same.
    """

    def start(self, on_elected: Callable[[], None], on_resigned: Callable[[str], None]) -> None:
        """Take part from now on. `on_resigned` is told why."""

    def leader(self) -> str:
        """Return the leader's `host:port`, empty when nobody leads. Never waits."""

    def is_leader(self) -> bool:
        """Tell whether this node leads, and no other can have been elected meanwhile. Never waits."""

    def lease(self) -> float:
        """Return for how many seconds from now no other node can be elected, though we may not lead any more; 0: one
        may have been. Never waits."""

    def standing(self) -> Standing:
        """Return all of it at one instant. Never waits."""

    def resign(self, reason: str) -> None:
        """Step down, if this node leads, and stand for election again."""

    def stop(self) -> None:
        """Take part no longer; a leader hands over at once."""


class SoleLeader:
    """The only node there is: leads from the start. The lock on the data folder keeps a second server out."""

    def __init__(self, address: str, now: Callable[[], Millis] | None = None) -> None:
        self._address = address
        self._now = now or (lambda: 0)
        self._since = 0
        self._leads = False

    def start(self, on_elected: Callable[[], None], on_resigned: Callable[[str], None]) -> None:
        self._leads, self._since = True, self._now()
        on_elected()

    def leader(self) -> str:
        return self._address

    def is_leader(self) -> bool:
        return self._leads

    def lease(self) -> float:
        return math.inf

    def standing(self) -> Standing:
        return Standing(self._address, self._address, "leader" if self._leads else "none", self._since, "none")

    def resign(self, reason: str) -> None:
        """Nobody else is there: it would be elected again at once."""

    def stop(self) -> None:
        self._leads = False
