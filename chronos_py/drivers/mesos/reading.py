"""Careful reading of Mesos' JSON messages: whatever is not of its form is a ValueError that says what and where."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

Message = Mapping[str, Any]


def shown(value: object) -> str:
    """Return a value for an error's sentence, shortened."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def message(value: Any, what: str) -> Message:
    """Return `value`, which must be an object."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{what}: must be an object, is {shown(value)}")
    return value


def part(whole: Message, name: str, what: str) -> Message:
    """Return the object in a field; an empty one where the field is absent."""
    value = whole.get(name)
    return {} if value is None else message(value, f"{what}.{name}")


def parts(whole: Message, name: str, what: str) -> list[Message]:
    """Return the objects in a list; an empty one where the field is absent."""
    value = whole.get(name)
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise ValueError(f"{what}.{name}: must be a list, is {shown(value)}")
    return [message(item, f"{what}.{name}[{position}]") for position, item in enumerate(value)]


def text(whole: Message, name: str, what: str, default: str | None = None) -> str:
    """Return the text in a field, or `default` where it is absent; without one it must be there."""
    value = whole.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise ValueError(f"{what}.{name}: must be a text, is {shown(value)}")
    return value


def identity(whole: Message, name: str, what: str, default: str | None = None) -> str:
    """Return the text in an id, `{"value": "..."}`; without a default it must be there and not be empty."""
    if whole.get(name) is None and default is not None:
        return default
    value = text(part(whole, name, what), "value", f"{what}.{name}")
    if not value:
        raise ValueError(f"{what}.{name}: is empty")
    return value


def number(whole: Message, name: str, what: str) -> float:
    """Return the finite number in a field, which must be there."""
    value = whole.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{what}.{name}: must be a number, is {shown(value)}")
    try:
        read = float(value)
    except OverflowError:
        read = float("inf")
    if not isfinite(read):
        raise ValueError(f"{what}.{name}: must be a finite number, is {shown(value)}")
    return read


def integer(whole: Message, name: str, what: str) -> int:
    """Return the whole number of at most 64 bits in a field, which must be there; protobuf may write it as text."""
    value = whole.get(name)
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit() and len(value) <= 20:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**64:
        raise ValueError(f"{what}.{name}: must be a whole number of 64 bits, is {shown(value)}")
    return value


def spans(whole: Message, name: str, what: str) -> list[tuple[int, int]]:
    """Return (first, last) of each range in a Ranges field."""
    found = []
    for item in parts(part(whole, name, what), "range", f"{what}.{name}"):
        first, last = integer(item, "begin", f"{what}.{name}"), integer(item, "end", f"{what}.{name}")
        if not 0 <= first <= last:
            raise ValueError(f"{what}.{name}: {first} to {last} is no range")
        found.append((first, last))
    return found
