"""Waiting for what another thread or process brings about."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 20.0


def until(done: Callable[[], object], seconds: float = PATIENCE_S) -> None:
    """Return once done() is true; an assertion fails when that takes too long."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"it did not come to that within {seconds:g} seconds"
        time.sleep(0.002)
