"""Small values: durations, environment variables, exit statuses; the log."""

from __future__ import annotations

import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ENV = os.environ
TERMINAL = ("TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR")
UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "ms": 1e-3,
    "secs": 1.0,
    "mins": 60.0,
    "hrs": 3600.0,
    "days": 86400.0,
    "weeks": 604800.0,
}


def log(text: str) -> None:
    """Write a line to the sandbox's stderr."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def duration(text: str | None, default: float) -> float:
    """Return the seconds of a flag such as "5secs"."""
    number = (text or "").rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = (text or "")[len(number) :]
    try:
        return float(number) * UNITS[unit]
    except (KeyError, ValueError):
        return default


def seconds(info: Any, default: float) -> float:
    """Return the seconds of a DurationInfo or of a plain number."""
    if isinstance(info, dict):
        return int(info.get("nanoseconds", 0)) / 1e9
    return default if info is None else float(info)


def grace_period(default: float, *policies: dict[str, Any] | None) -> float:
    """Return the seconds that the first KillPolicy with a grace period gives."""
    for policy in policies:
        if policy and "grace_period" in policy:
            return seconds(policy["grace_period"], default)
    return default


def variables(environment: dict[str, Any] | None) -> dict[str, str]:
    """Return the plain variables of an Environment."""
    listed = (environment or {}).get("variables", [])
    return {item["name"]: item.get("value", "") for item in listed if item.get("type", "VALUE") != "SECRET"}


def allocation_role(task: dict[str, Any]) -> str | None:
    """Return the role that a task's resources were offered to."""
    resources = task.get("resources") or [{}]
    role: str | None = resources[0].get("allocation_info", {}).get("role")
    return role


def describe(status: int, what: str = "Command") -> str:
    """Say in Mesos' words how a process with this wait status ended."""
    if os.WIFEXITED(status):
        return f"{what} exited with status {os.WEXITSTATUS(status)}"
    number = os.WTERMSIG(status)
    return f"{what} terminated with signal {signal.strsignal(number) or number}"


def random_uuid() -> bytes:
    """Return a version 4 UUID."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)
