"""What a task is told to run: TaskInfo.data. Written by the server, read by the executor."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any

FORM = 1


class BadOrder(Exception):
    """The data cannot be what our server wrote; the sentence says where."""


@dataclass(frozen=True)
class Order:
    """`program` is an argument vector; a shell's text is `("/bin/sh", "-c", text)` already. No `slots`: Python 3.9."""

    program: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()


def encode(order: Order) -> str:
    """Return TaskInfo.data, in base64 as Mesos's JSON has it."""
    plain = {"form": FORM, "program": order.program, "environment": order.environment}
    return b64encode(json.dumps(plain, separators=(",", ":")).encode()).decode()


def decode(data: object) -> Order:
    """Read what `encode` wrote. Raises BadOrder."""
    if not isinstance(data, str) or not data:
        raise BadOrder("TaskInfo.data is missing: there is nothing to run")
    try:
        plain: Any = json.loads(b64decode(data, validate=True))
    except ValueError as error:  # binascii.Error, UnicodeDecodeError and JSONDecodeError are of this kind
        raise BadOrder(f"TaskInfo.data is not base64 of JSON: {error}") from None
    if not isinstance(plain, dict) or plain.get("form") != FORM:
        raise BadOrder(f"TaskInfo.data is not of form {FORM}: server and executor are of different versions")
    program, environment = plain.get("program"), plain.get("environment", [])
    if not isinstance(program, list) or not program or not all(isinstance(word, str) for word in program):
        raise BadOrder("TaskInfo.data.program is not a list of texts")
    if not program[0]:
        raise BadOrder("TaskInfo.data.program: there is no command")
    if not isinstance(environment, list) or not all(_is_pair(item) for item in environment):
        raise BadOrder("TaskInfo.data.environment is not a list of pairs of texts")
    return Order(tuple(program), tuple((name, value) for name, value in environment))


def _is_pair(item: object) -> bool:
    return isinstance(item, list) and len(item) == 2 and all(isinstance(text, str) for text in item)
