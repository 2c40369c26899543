"""Time, as an argument: whoever needs the present moment is given a Clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

Millis = int  # milliseconds since 1970-01-01T00:00:00Z: what every instant is in the engine and in the stores


class Clock(Protocol):
    def now(self) -> Millis:
        """Return the present instant. May step backwards when the machine's clock is set."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> Millis:
        return time.time_ns() // 1_000_000


def iso_utc(instant: Millis) -> str:
    """Return `instant` as Chronos prints it: `2016-11-15T09:51:39.560Z`."""
    seconds, millis = divmod(instant, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{millis:03d}Z"
