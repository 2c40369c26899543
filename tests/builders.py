"""Nouns with sensible contents, changed where a test cares."""

from __future__ import annotations

from typing import Any

from chronos_py.model.job import Job


def a_job(name: str = "a", **changes: Any) -> Job:
    """Return a job that runs every minute from 2026-01-01, unless parents or another schedule are given."""
    if "parents" not in changes:
        changes.setdefault("schedule", "R/2026-01-01T00:00:00Z/PT1M")
    else:
        changes["parents"] = tuple(changes["parents"])
    changes.setdefault("command", "true")
    return Job(name=name, **changes)
