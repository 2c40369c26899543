"""What frameworks did, to be asked for by tests and benchmarks. Everything is bounded."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

KEPT = 100_000
MOST_IDS = 5_000_000


@dataclass(slots=True)
class Trace:
    """Times are seconds since 1970. Lists keep the last 100,000; counters count all."""

    calls: Counter[str] = field(default_factory=Counter)
    call_log: deque[tuple[float, str, str]] = field(default_factory=lambda: deque(maxlen=KEPT))
    refused: Counter[str] = field(default_factory=Counter)  # answers other than 200 and 202, by status
    events: Counter[str] = field(default_factory=Counter)
    updates: Counter[str] = field(default_factory=Counter)  # statuses sent, by state
    declines: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT))
    holds: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT))
    launched: set[str] = field(default_factory=set)
    launched_twice: Counter[str] = field(default_factory=Counter)
    launches: int = 0
    ended: Counter[str] = field(default_factory=Counter)  # tasks, by their last state

    def launch(self, framework_id: str, task_id: str) -> None:
        """Count a task that really started."""
        self.launches += 1
        key = f"{framework_id}/{task_id}"
        if key in self.launched:
            self.launched_twice[task_id] += 1
        elif len(self.launched) < MOST_IDS:
            self.launched.add(key)

    def summary(self) -> dict[str, Any]:
        return {
            "calls": dict(self.calls),
            "refused": dict(self.refused),
            "events": dict(self.events),
            "updates": dict(self.updates),
            "launches": self.launches,
            "launched_twice": dict(self.launched_twice),
            "launch_ids_complete": len(self.launched) < MOST_IDS,
            "ended": dict(self.ended),
        }
