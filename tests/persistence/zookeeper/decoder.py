"""Reads a variable of Chronos's state store, from the description of its bytes alone: shares no code with the store."""

from __future__ import annotations

import json
import uuid
from typing import Any


def entry(data: bytes) -> tuple[str, bytes, bytes]:
    """Return name, uuid and value. The bytes must be exactly what libmesos writes: three fields, in this order."""
    name, rest = _field(data, 0x0A)
    identity, rest = _field(rest, 0x12)
    value, rest = _field(rest, 0x1A)
    assert rest == b"", f"{len(rest)} bytes too many"
    assert len(identity) == 16
    assert uuid.UUID(bytes=identity).version == 4
    return name.decode("utf-8"), identity, value


def job(node: str, data: bytes) -> dict[str, Any]:
    """Return the job's document in the node of this name."""
    name, _, value = entry(data)
    assert name == node
    text = value.decode("utf-8")
    document: dict[str, Any] = json.loads(text)
    assert node == f"J_{document['name']}"
    assert json.dumps(document, ensure_ascii=False, separators=(",", ":")) == text, "not compact"
    return document


def framework_id(data: bytes) -> str:
    name, _, value = entry(data)
    assert name == "frameworkId"
    text, rest = _field(value, 0x0A)
    assert rest == b""
    return text.decode("utf-8")


def _field(data: bytes, tag: int) -> tuple[bytes, bytes]:
    assert data[:1] == bytes([tag]), f"tag {data[:1].hex()} instead of {tag:02x}"
    length = shift = 0
    at = 1
    while True:
        length |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            break
    assert at + length <= len(data), "cut off"
    return data[at : at + length], data[at + length :]
