"""Who leads. A node writes and launches only while it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Leadership(Protocol):
    """Tells this node when it leads, and everybody who does.

    `on_elected` and `on_resigned` are called from the leadership's own threads and must not block. After `on_resigned`
    nothing may be launched or written; the store's epoch refuses what comes late all the same.
    """

    def start(self, on_elected: Callable[[], None], on_resigned: Callable[[str], None]) -> None: ...

    def leader(self) -> str:
        """Return the leader's `host:port`, empty when nobody leads."""

    def stop(self) -> None: ...


class SoleLeader:
    """The only node there is: leads from the start. The store's lock file keeps a second server out."""

    def __init__(self, address: str) -> None:
        self._address = address

    def start(self, on_elected: Callable[[], None], on_resigned: Callable[[str], None]) -> None:
        on_elected()

    def leader(self) -> str:
        return self._address

    def stop(self) -> None:
        """Nobody is there to hand over to."""
