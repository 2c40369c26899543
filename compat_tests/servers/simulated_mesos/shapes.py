"""What a call has to look like: Mesos converts JSON to messages and refuses what does not fit, with these words."""

from __future__ import annotations

from typing import Any

KINDS = frozenset(
    [
        "SUBSCRIBE",
        "TEARDOWN",
        "ACCEPT",
        "DECLINE",
        "ACCEPT_INVERSE_OFFERS",
        "DECLINE_INVERSE_OFFERS",
        "REVIVE",
        "KILL",
        "SHUTDOWN",
        "ACKNOWLEDGE",
        "ACKNOWLEDGE_OPERATION_STATUS",
        "RECONCILE",
        "RECONCILE_OPERATIONS",
        "MESSAGE",
        "REQUEST",
        "SUPPRESS",
        "UPDATE_FRAMEWORK",
    ]
)
WITHOUT_PART = frozenset(("TEARDOWN", "REVIVE", "SUPPRESS"))


class Malformed(ValueError):
    """A body that is no call; the text is the answer."""


_NAMES = {str: "string", int: "number", float: "number", bool: "boolean", list: "array", dict: "object"}


def _object(value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        kind = _NAMES.get(type(value), "null")
        raise Malformed(f"Failed to convert JSON into Call protobuf: Not expecting a JSON {kind} for field '{field}'")
    return value


def _objects(value: Any, field: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        value = [value]  # Mesos' words are those for a single value
    return [_object(entry, field) for entry in value]


def _id(parent: dict[str, Any], field: str, path: str, required: bool = True) -> None:
    if field not in parent:
        if required:
            raise Malformed(f"Failed to convert JSON into Call protobuf: Missing required fields: {path}.{field}")
        return
    value = _object(parent[field], field).get("value")
    if value is None:
        raise Malformed(f"Failed to convert JSON into Call protobuf: Missing required fields: {path}.{field}.value")
    if not isinstance(value, str):
        kind = _NAMES.get(type(value), "null")
        raise Malformed(f"Failed to convert JSON into Call protobuf: Not expecting a JSON {kind} for field 'value'")


def _ids(part: dict[str, Any], field: str, path: str) -> None:
    for entry in _objects(part.get(field, []), field):
        _id({field: entry}, field, path)


def _filters(part: dict[str, Any]) -> None:
    seconds = _object(part.get("filters", {}), "filters").get("refuse_seconds", 0)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        kind = _NAMES.get(type(seconds), "null")
        raise Malformed(
            f"Failed to convert JSON into Call protobuf: Not expecting a JSON {kind} for field 'refuse_seconds'"
        )


def _tasks(part: dict[str, Any]) -> None:
    for operation in _objects(part.get("operations", []), "operations"):
        for task in _objects(_object(operation.get("launch", {}), "launch").get("task_infos", []), "task_infos"):
            _id(task, "task_id", "accept.operations.launch.task_infos")
            _id(task, "agent_id", "accept.operations.launch.task_infos")
            if not isinstance(task.get("name"), str):
                raise Malformed(
                    "Failed to convert JSON into Call protobuf: Missing required fields: "
                    "accept.operations.launch.task_infos.name"
                )
            for resource in _objects(task.get("resources", []), "resources"):
                value = resource.get("scalar", {"value": 0})
                if not isinstance(value, dict) or not isinstance(value.get("value"), int | float):
                    raise Malformed("Failed to convert JSON into Call protobuf: a scalar without a value")


def check_part(kind: str, call: dict[str, Any]) -> dict[str, Any]:
    """Return the call's part of its kind. Raises Malformed."""
    name = kind.lower()
    if name not in call:
        if kind in WITHOUT_PART:
            return {}
        raise Malformed(f"Failed to validate scheduler::Call: Expecting '{name}' to be present")
    part = _object(call[name], name)
    if kind in ("ACCEPT", "DECLINE"):
        _ids(part, "offer_ids", name)
        _filters(part)
        _tasks(part)
    elif kind in ("ACCEPT_INVERSE_OFFERS", "DECLINE_INVERSE_OFFERS"):
        _ids(part, "inverse_offer_ids", name)
        _filters(part)
    elif kind == "KILL":
        _id(part, "task_id", name)
        _id(part, "agent_id", name, required=False)
    elif kind == "ACKNOWLEDGE":
        _id(part, "task_id", name)
        _id(part, "agent_id", name)
    elif kind == "RECONCILE":
        for task in _objects(part.get("tasks", []), "tasks"):
            _id(task, "task_id", f"{name}.tasks")
            _id(task, "agent_id", f"{name}.tasks", required=False)
    elif kind == "SUBSCRIBE":
        info = _object(part.get("framework_info", {}), "framework_info")
        for field in ("user", "name"):
            if not isinstance(info.get(field), str):
                raise Malformed(
                    "Failed to convert JSON into Call protobuf: Missing required fields: "
                    f"subscribe.framework_info.{field}"
                )
        _id(info, "id", "subscribe.framework_info", required=False)
    return part


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
