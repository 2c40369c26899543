"""What a channel is, and how it says that it could not deliver."""

from __future__ import annotations

from typing import Protocol

from chronos_py.model.notice import Notice


class Failed(Exception):
    """The notice was not delivered; trying again may help, not before `after` seconds when the receiver says so."""

    def __init__(self, sentence: str, after: float = 0.0) -> None:
        super().__init__(sentence)
        self.after = after


class Refused(Exception):
    """The notice was not delivered, and never will be."""


class Channel(Protocol):
    """Delivers one notice to one owner; used by one thread at a time."""

    @property
    def name(self) -> str:
        """Return the name under which health, metrics and the store know it; never changes, has no secret."""

    def send(self, notice: Notice, owner: str) -> bool:
        """Deliver; False: there was nothing to deliver to this owner. Raises Failed, Refused."""
