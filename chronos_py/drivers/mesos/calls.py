"""What the master is told, other than launches: who we are, what to stop, what was heard, what is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chronos_py.model.messages import Kill, Reconcile, StatusUpdate

_LONGEST = 100 * 365 * 86_400  # seconds; Mesos counts nanoseconds from 1970 in 63 bits, which end in 2262
_CAPABILITIES = ("PARTITION_AWARE", "TASK_KILLING_STATE", "MULTI_ROLE", "RESERVATION_REFINEMENT")


def duration(seconds: float) -> dict[str, int]:
    """Return a DurationInfo, from nothing to a hundred years."""
    return {"nanoseconds": round(min(max(seconds, 0), _LONGEST) * 1_000_000_000)}


def framework(
    *,
    name: str,
    user: str,
    roles: Sequence[str] = ("*",),
    failover_timeout: float,
    checkpoint: bool = True,
    hostname: str = "",
    webui_url: str = "",
    principal: str = "",
    gpus: bool = False,
    framework_id: str = "",
) -> dict[str, Any]:
    """Return the FrameworkInfo. `failover_timeout` in seconds; `gpus`: agents with GPUs are wanted, too."""
    capabilities = (*_CAPABILITIES, "GPU_RESOURCES") if gpus else _CAPABILITIES
    info: dict[str, Any] = {
        "name": name,
        "user": user,
        "roles": list(dict.fromkeys(roles)) or ["*"],
        "failover_timeout": float(failover_timeout),
        "checkpoint": checkpoint,
        "capabilities": [{"type": capability} for capability in capabilities],
    }
    info |= {
        key: text for key, text in (("hostname", hostname), ("webui_url", webui_url), ("principal", principal)) if text
    }
    return info | {"id": {"value": framework_id}} if framework_id else info


def acknowledgement(update: StatusUpdate) -> dict[str, Any]:
    """Return what an ACKNOWLEDGE call holds. Raises ValueError for an update that cannot be acknowledged."""
    if not update.uuid or not update.agent_id:
        raise ValueError(f"news of {update.task_id} has no uuid or no agent: it needs no acknowledgement")
    return {**_task(update.task_id, update.agent_id), "uuid": update.uuid}


def kill(effect: Kill) -> dict[str, Any]:
    """Return what a KILL call holds."""
    return {**_task(effect.task_id, effect.agent_id), "kill_policy": {"grace_period": duration(effect.grace)}}


def reconciliation(effect: Reconcile) -> dict[str, Any]:
    """Return what a RECONCILE call holds; an empty list asks for all tasks."""
    return {"tasks": [_task(task_id, agent_id) for task_id, agent_id in effect.tasks]}


def _task(task_id: str, agent_id: str) -> dict[str, Any]:
    named: dict[str, Any] = {"task_id": {"value": task_id}}
    return named | {"agent_id": {"value": agent_id}} if agent_id else named
