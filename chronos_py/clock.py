"""Time, as an argument: whoever needs the present moment is given a Clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

from chronos_py.errors import InvalidInput

Millis = int  # milliseconds since 1970-01-01T00:00:00Z: what every instant is in the engine and in the stores


class Clock(Protocol):
    def now(self) -> Millis:
        """Return the present instant. May step backwards when the machine's clock is set."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> Millis:
        return time.time_ns() // 1_000_000


def read_instant(field: str, text: str) -> Millis:
    """Return an instant, by ISO 8601; without a zone it is UTC. Raises InvalidInput, which names the field."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise InvalidInput(field, text, "must be an ISO 8601 date and time") from None


def iso_utc(instant: Millis) -> str:
    """Return `instant` as Chronos prints it: `2016-11-15T09:51:39.560Z`."""
    seconds, millis = divmod(instant, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{millis:03d}Z"
