"""Who leads. A node writes and launches only while it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Leadership(Protocol):
    """Tells this node when it leads, and everybody who does.

    `on_elected` and `on_resigned` are called from the leadership's own threads and must not block. After `on_resigned`
    nothing may be launched or written; the store's epoch refuses what comes late all the same.
    """

    def start(self, on_elected: Callable[[], None], on_resigned: Callable[[str], None]) -> None:
        """Take part from now on. `on_resigned` is told why."""

    def leader(self) -> str:
        """Return the leader's `host:port`, empty when nobody leads."""

    def is_leader(self) -> bool: ...

    def resign(self, reason: str) -> None:
        """Step down, if this node leads, and stand for election again."""

    def stop(self) -> None:
        """Take part no longer; a leader hands over at once."""


class SoleLeader:
    """The only node there is: leads from the start. The lock on the data folder keeps a second server out."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._leads = False

    def start(self, on_elected: Callable[[], None], on_resigned: Callable[[str], None]) -> None:
        self._leads = True
        on_elected()

    def leader(self) -> str:
        return self._address

    def is_leader(self) -> bool:
        return self._leads

    def resign(self, reason: str) -> None:
        """Nobody else is there: it would be elected again at once."""

    def stop(self) -> None:
        self._leads = False
