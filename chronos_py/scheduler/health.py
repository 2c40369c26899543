"""Agents on which many attempts in a row failed, whatever jobs they were of: used last for a while.

Kept in memory alone, of the REMEMBERED agents that were heard of last. A success ends a row of failures; attempts that
somebody stopped say nothing about an agent. After `pause` an agent is tried again, and one more failure puts it back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from chronos_py.clock import Millis
from chronos_py.model.run import Outcome

REMEMBERED = 10_000
BAD = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.LOST})


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """After `failures` in a row an agent is used last for `pause` ms; 0 failures: never."""

    failures: int = 5
    pause: Millis = 600_000


@dataclass(frozen=True, slots=True)
class Row:
    """An agent's failures since its last success; avoided until `until` once they are too many."""

    host: str
    failures: int
    until: Millis = 0


class Health:
    """What is known of agents on which attempts failed."""

    def __init__(self, policy: HealthPolicy) -> None:
        self.policy = policy
        self._rows: dict[str, Row] = {}

    def note(self, agent: str, host: str, outcome: Outcome, now: Millis) -> None:
        """Take in how an attempt on an agent ended."""
        if not agent or not self.policy.failures:
            return
        if outcome is Outcome.SUCCESS:
            self._rows.pop(agent, None)
        elif outcome in BAD:
            row = self._rows.pop(agent, Row(host, 0))
            row = replace(row, host=host or row.host, failures=row.failures + 1)
            if row.failures >= self.policy.failures:
                row = replace(row, until=now + self.policy.pause)
            self._rows[agent] = row
            if len(self._rows) > REMEMBERED:
                del self._rows[next(iter(self._rows))]

    def suspects(self, now: Millis) -> set[str]:
        """Return the agents to use last."""
        return {agent for agent, row in self._rows.items() if row.until > now}

    def forms(self, now: Millis) -> list[dict[str, Any]]:
        """Return the agents that are avoided, and why. Safe to call from any thread."""
        return [
            {
                "agent": agent,
                "host": row.host,
                "until": row.until,
                "reason": f"the last {row.failures} attempts on it failed",
            }
            for agent, row in list(self._rows.items())
            if row.until > now
        ]
