"""One task in the executor."""

from __future__ import annotations

import uuid
from typing import Any

from chronos_py.executor.runtime.loop import Timer
from chronos_py.executor.runtime.surroundings import nanoseconds

DEFAULT_GRACE = 3.0  # seconds from TERM to KILL, as in Mesos's command executor


class Task:
    """A task from its start to its end. `pid` leads its session."""

    __slots__ = (
        "escalation",
        "folder",
        "grace",
        "id",
        "key",
        "killed",
        "limit",
        "out_of_time",
        "pid",
        "role",
        "status",
    )

    def __init__(self, info: dict[str, Any]) -> None:
        self.id: str = info["task_id"]["value"]
        self.key = uuid.uuid4().hex
        self.folder = ""
        self.pid = 0
        self.killed = self.out_of_time = False
        self.grace = grace(info.get("kill_policy"), DEFAULT_GRACE)
        self.role = _role(info)
        self.status: int | None = None  # of the leader, when it has ended before the rest of its session
        self.escalation: Timer | None = None
        self.limit: Timer | None = None

    def outcome(self, status: int) -> tuple[str, str]:
        """Return state and reason for a status in the form of os.waitpid, as Mesos's command executor decides."""
        if self.out_of_time:
            return "TASK_FAILED", "REASON_MAX_COMPLETION_TIME_REACHED"
        if self.killed:
            return "TASK_KILLED", ""
        return ("TASK_FAILED" if status else "TASK_FINISHED"), ""

    def forget_timers(self) -> None:
        for timer in (self.escalation, self.limit):
            if timer is not None:
                timer.cancel()
        self.escalation = self.limit = None


def grace(policy: Any, default: float) -> float:
    """Return a kill policy's grace period in seconds."""
    return nanoseconds(policy.get("grace_period"), default) if isinstance(policy, dict) else default


def _role(info: dict[str, Any]) -> str:
    for resource in info.get("resources", []):
        role = resource.get("allocation_info", {}).get("role", "status")
        if role:
            return str(role)
    return ""
