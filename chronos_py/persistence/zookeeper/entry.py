"""The bytes in which libmesos's "state" library keeps a variable: one serialized `mesos.internal.state.Entry`.

1 name   string   equals the node's name
2 uuid   bytes    16 of them, random, new at every store
3 value  bytes    the payload
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from chronos_py.persistence.codec import BadRecord

LIMIT = 1024 * 1024  # bytes of a whole entry: libmesos refuses to write more
UUID_BYTES = 16

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # protobuf's wire types
_SHORT = [bytes([number]) for number in range(0x80)]
_NAMES = {1: "name", 2: "uuid", 3: "value"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One variable as it is stored."""

    name: str
    uuid: bytes
    value: bytes


def encode_entry(entry: Entry) -> bytes:
    """Return the node's data. Raises BadRecord for a uuid of another length, and for more than LIMIT bytes."""
    if len(entry.uuid) != UUID_BYTES:  # libmesos aborts when it reads another one
        raise BadRecord("uuid", f"has {len(entry.uuid)} bytes instead of {UUID_BYTES}")
    data = b"%b%b\x1a%b%b" % (_before_uuid(entry.name), entry.uuid, _varint(len(entry.value)), entry.value)
    if len(data) > LIMIT:
        raise BadRecord("value", f"makes an entry of {len(data)} bytes; {LIMIT} is the most")
    return data


@lru_cache(maxsize=32_768)
def _before_uuid(text: str) -> bytes:
    """Return the name's field, and how the uuid's begins."""
    try:
        name = text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadRecord("name", f"cannot be written as UTF-8: {text!r}") from None
    return _field(1, name) + b"\x12%c" % UUID_BYTES


def decode_entry(data: bytes) -> Entry:
    """Read a node's data as protobuf does: unknown fields are skipped, the last of several counts. Raises BadRecord."""
    if len(data) > LIMIT:
        raise BadRecord("", f"has {len(data)} bytes; {LIMIT} is the most")
    found = _read_fields(data)
    for number, label in _NAMES.items():
        if number not in found:
            raise BadRecord(label, "is missing" if data else "is missing: the node is empty")
    if len(found[2]) != UUID_BYTES:
        raise BadRecord("uuid", f"has {len(found[2])} bytes instead of {UUID_BYTES}")
    try:
        name = found[1].decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRecord("name", f"is not UTF-8: {error.reason}") from None
    return Entry(name, found[2], found[3])


def encode_framework_id(text: str) -> bytes:
    """Return a serialized mesos FrameworkID message: the value of the variable `frameworkId`."""
    return _field(1, text.encode("utf-8"))


def decode_framework_id(data: bytes) -> str:
    """Return the id of a serialized FrameworkID message. Raises BadRecord."""
    found = _read_fields(data)
    if 1 not in found:
        raise BadRecord("value", "is missing")
    try:
        return found[1].decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRecord("value", f"is not UTF-8: {error.reason}") from None


def _field(number: int, data: bytes) -> bytes:
    return b"%c%b%b" % (number << 3 | _BYTES, _varint(len(data)), data)


def _varint(number: int) -> bytes:
    if number < 0x80:
        return _SHORT[number]
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_fields(data: bytes) -> dict[int, bytes]:
    """Return the length-delimited fields of a message by number."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise BadRecord("", f"is no protobuf message: field number 0 at byte {at - 1}")
        if wire == _VARINT:
            _, at = _read_varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        elif wire == _BYTES:
            length, at = _read_varint(data, at)
            found[number] = data[at : at + length]
            at += length
        else:
            raise BadRecord("", f"is no protobuf message: wire type {wire} at byte {at - 1}")
        if at > len(data):
            raise BadRecord(_NAMES.get(number, f"field {number}"), f"is cut off: ends {at - len(data)} bytes too early")
        if number in _NAMES and wire != _BYTES:
            raise BadRecord(_NAMES[number], f"has wire type {wire} instead of {_BYTES}")
    return found


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a base-128 number and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise BadRecord("", "is cut off within a number")
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise BadRecord("", f"is no protobuf message: a number of more than 10 bytes ends at byte {at}")
