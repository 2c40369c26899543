"""What a call has to look like: Mesos converts JSON to messages and refuses what does not fit, with these words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class Malformed(ValueError):
    """A body that is no call; the text is the answer."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A message: the fields that are looked at, and which of them must be there. Others are let through.

    A field is a type of JSON value, another shape, or a list of one of these for a repeated field.
    """

    fields: dict[str, Any]
    required: tuple[str, ...] = field(default=())


TEXT, NUMBER, FLAG = str, (int, float), bool
ID = Shape({"value": TEXT}, ("value",))
RESOURCE = Shape(
    {
        "name": TEXT,
        "type": TEXT,
        "role": TEXT,
        "scalar": Shape({"value": NUMBER}, ("value",)),
        "ranges": Shape({"range": [Shape({"begin": NUMBER, "end": NUMBER}, ("begin", "end"))]}),
        "allocation_info": Shape({"role": TEXT}),
        "reservation": Shape({"principal": TEXT}),
        "reservations": [Shape({"type": TEXT, "role": TEXT, "principal": TEXT})],
    },
    ("name", "type"),
)
TASK = Shape(
    {
        "name": TEXT,
        "task_id": ID,
        "agent_id": ID,
        "resources": [RESOURCE],
        "command": Shape({"value": TEXT, "shell": FLAG, "arguments": [TEXT]}),
        "executor": Shape({"executor_id": ID}, ("executor_id",)),
    },
    ("name", "task_id", "agent_id"),
)
FILTERS = Shape({"refuse_seconds": NUMBER})
ROLES = Shape({"roles": [TEXT]})
INVERSE = Shape({"inverse_offer_ids": [ID], "filters": FILTERS})
FRAMEWORK = Shape(
    {
        "user": TEXT,
        "name": TEXT,
        "id": ID,
        "role": TEXT,
        "roles": [TEXT],
        "failover_timeout": NUMBER,
        "capabilities": [Shape({"type": TEXT})],
    },
    ("user", "name"),
)
OPERATION = Shape({"type": TEXT, "launch": Shape({"task_infos": [TASK]})}, ("type",))
ANYTHING = Shape({})

PARTS = {
    "SUBSCRIBE": Shape({"framework_info": FRAMEWORK, "suppressed_roles": [TEXT]}, ("framework_info",)),
    "TEARDOWN": ANYTHING,
    "ACCEPT": Shape({"offer_ids": [ID], "operations": [OPERATION], "filters": FILTERS}),
    "DECLINE": Shape({"offer_ids": [ID], "filters": FILTERS}),
    "ACCEPT_INVERSE_OFFERS": INVERSE,
    "DECLINE_INVERSE_OFFERS": INVERSE,
    "REVIVE": ROLES,
    "SUPPRESS": ROLES,
    "KILL": Shape({"task_id": ID, "agent_id": ID}, ("task_id",)),
    "SHUTDOWN": ANYTHING,
    "ACKNOWLEDGE": Shape({"agent_id": ID, "task_id": ID, "uuid": TEXT}, ("agent_id", "task_id", "uuid")),
    "ACKNOWLEDGE_OPERATION_STATUS": ANYTHING,
    "RECONCILE": Shape({"tasks": [Shape({"task_id": ID, "agent_id": ID}, ("task_id",))]}),
    "RECONCILE_OPERATIONS": ANYTHING,
    "MESSAGE": ANYTHING,
    "REQUEST": ANYTHING,
    "UPDATE_FRAMEWORK": ANYTHING,
}
WITHOUT_PART = frozenset(("TEARDOWN", "REVIVE", "SUPPRESS"))
_NAMES = {str: "string", int: "number", float: "number", bool: "boolean", list: "array", dict: "object"}


def _refuse(value: Any, name: str) -> Malformed:
    kind = _NAMES[type(value)]
    return Malformed(f"Failed to convert JSON into Call protobuf: Not expecting a JSON {kind} for field '{name}'")


def _check(value: Any, kind: Any, name: str, path: str) -> None:
    if isinstance(kind, Shape):
        if not isinstance(value, dict):
            raise _refuse(value, name)
        conform(value, kind, path)
    elif not isinstance(value, kind) or (isinstance(value, bool) and kind is not FLAG):
        raise _refuse(value, name)


def conform(message: dict[str, Any], shape: Shape, path: str) -> None:
    """Check a message. Null counts as absent, a single value of a repeated field as a list of it: both are put right.

    Raises Malformed.
    """
    for name, kind in shape.fields.items():
        value = message.get(name)
        if value is None:
            message.pop(name, None)
        elif isinstance(kind, list):
            if not isinstance(value, list):
                value = message[name] = [value]
            for number, entry in enumerate(value):
                if entry is None:
                    raise Malformed(f"Failed to convert JSON into Call protobuf: a null in field '{name}'")
                _check(entry, kind[0], name, f"{path}.{name}[{number}]")
        else:
            _check(value, kind, name, f"{path}.{name}")
    for name in shape.required:
        if name not in message:
            raise Malformed(f"Failed to convert JSON into Call protobuf: Missing required fields: {path}.{name}")


def check_part(kind: str, call: dict[str, Any]) -> dict[str, Any]:
    """Return the call's part of its kind. Raises Malformed."""
    name = kind.lower()
    part = call.get(name)
    if part is None:
        if kind in WITHOUT_PART:
            return {}
        raise Malformed(f"Failed to validate scheduler::Call: Expecting '{name}' to be present")
    _check(part, PARTS[kind], name, name)
    checked: dict[str, Any] = part
    return checked


def framework_of(call: dict[str, Any]) -> str | None:
    """Return the id of the framework that calls. Raises Malformed."""
    given = call.get("framework_id")
    if given is None:
        return None
    _check(given, ID, "framework_id", "framework_id")
    return str(given["value"])


def roles_error(info: dict[str, Any]) -> str | None:
    """Return what Mesos says against the roles of a FrameworkInfo, in an ERROR event."""
    multi = any(part.get("type") == "MULTI_ROLE" for part in info.get("capabilities", []))
    if multi and "role" in info:
        return "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable"
    if not multi and info.get("roles"):
        return "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable"
    roles = info.get("roles", []) if multi else [info.get("role", "*")]
    if len(set(roles)) < len(roles):
        duplicates = ", ".join(sorted({role for role in roles if roles.count(role) > 1}))
        return f"'FrameworkInfo.roles' contains duplicate items: {{ {duplicates} }}"
    field = "roles" if multi else "role"
    for role in roles:
        for part in role.split("/"):
            if any(sign.isspace() or sign == "\b" for sign in part):
                words = "contains invalid role" if multi else "is not a valid role"
                return (
                    f"'FrameworkInfo.{field}' {words}: Role component '{part}' is invalid because it contains "
                    "backspace or whitespace"
                )
    return None
