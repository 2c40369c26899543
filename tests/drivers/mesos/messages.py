"""Mesos' JSON messages, as a master sends them, for tests to change where they care."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

Json = dict[str, Any]


def reserved_for(*roles: str, **more: Any) -> list[Json]:
    """Return a stack of reservations, the last of which counts."""
    return [{"type": "STATIC", "role": role, **more} for role in roles]


def scalar(name: str, value: float, *roles: str, allocated: str = "prod", **more: Any) -> Json:
    """Return a resource of some amount, reserved for `roles` one below the other."""
    resource: Json = {
        "name": name,
        "type": "SCALAR",
        "scalar": {"value": value},
        "allocation_info": {"role": allocated},
    }
    if roles:
        resource["reservations"] = reserved_for(*roles)
    return resource | more


def ports(*spans: tuple[int, int], reserved: str = "", allocated: str = "prod", **more: Any) -> Json:
    ranges = {"range": [{"begin": first, "end": last} for first, last in spans]}
    resource: Json = {"name": "ports", "type": "RANGES", "ranges": ranges, "allocation_info": {"role": allocated}}
    if reserved:
        resource["reservations"] = reserved_for(reserved)
    return resource | more


def an_offer(**changes: Any) -> Json:
    """Return an offer of an agent with everything; None leaves a field out."""
    offer: Json = {
        "id": {"value": "o-1"},
        "framework_id": {"value": "f-1"},
        "agent_id": {"value": "s-1"},
        "hostname": "one.example.org",
        "url": {
            "scheme": "http",
            "address": {"hostname": "one.example.org", "ip": "10.0.0.1", "port": 5051},
            "path": "/slave(1)",
        },
        "resources": [
            scalar("cpus", 2.0, "prod"),
            scalar("cpus", 8.0),
            scalar("mem", 6000.0),
            scalar("disk", 10000.0),
            scalar("gpus", 2.0),
            ports((31000, 31009), (31020, 31029)),
        ],
        "attributes": [
            {"name": "rack", "type": "TEXT", "text": {"value": "r1"}},
            {"name": "cores", "type": "SCALAR", "scalar": {"value": 16.0}},
            {"name": "open", "type": "RANGES", "ranges": {"range": [{"begin": 80, "end": 90}]}},
            {"name": "zones", "type": "SET", "set": {"item": ["a", "b"]}},
        ],
        "allocation_info": {"role": "prod"},
        "unavailability": {
            "start": {"nanoseconds": 1_700_000_000_123_456_789},
            "duration": {"nanoseconds": 3_600_000_000_000},
        },
    }
    offer |= changes
    return {key: deepcopy(value) for key, value in offer.items() if value is not None}


def a_status(**changes: Any) -> Json:
    """Return an agent's word of a task that failed; None leaves a field out."""
    status: Json = {
        "task_id": {"value": "ct:1:0:a:"},
        "state": "TASK_FAILED",
        "message": "Command exited with status 3",
        "source": "SOURCE_EXECUTOR",
        "agent_id": {"value": "s-1"},
        "executor_id": {"value": "ct:1:0:a:"},
        "timestamp": 1_700_000_000.1234,
        "uuid": "d29yZA==",
    }
    status |= changes
    return {key: deepcopy(value) for key, value in status.items() if value is not None}
