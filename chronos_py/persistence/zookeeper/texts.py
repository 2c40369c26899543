"""The text forms of turns and pages: a head of JSON on the first line, a record on every other.

    +<kind> TAB <key> TAB <value>      put (a page leaves the kind out, and has nothing but puts)
    -<kind> TAB <key>                  delete; of the outbox: all numbers up to this one

Keys and values are JSON, in which neither tabs nor line breaks occur. The head has the checksum of what follows it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from chronos_py.persistence.codec import BadRecord, dump, load
from chronos_py.persistence.zookeeper.layout import RECORD_KINDS, Key, RecordKind

_KINDS = {kind: kind.encode() for kind in RECORD_KINDS}


@dataclass(frozen=True, slots=True)
class Line:
    """One record of a text; `value` None is a delete."""

    kind: RecordKind
    key: Key
    value: bytes | None


def put_line(kind: RecordKind, key: Key, value: bytes) -> bytes:
    return b"+%b\t%b\t%b" % (_KINDS[kind], dump(key), value)


def delete_line(kind: RecordKind, key: Key) -> bytes:
    return b"-%b\t%b" % (kind.encode(), dump(key))


def page_line(key: Key, value: bytes) -> bytes:
    return dump(key) + b"\t" + value


def pieces(head: dict[str, Any], body: bytes, room: int) -> list[bytes]:
    """Return the data of the nodes that hold a text: the first begins with the head, which counts the others."""
    cuts = range(room, len(body), room)
    first = head | {"parts": len(cuts), "bytes": len(body), "crc": zlib.crc32(body)}
    return [dump(first) + b"\n" + body[:room], *(body[at : at + room] for at in cuts)]


def parts_of(data: bytes) -> int:
    """Return how many further nodes the first one of a text counts; 0 when its head cannot be read."""
    count = split_head(data)[0].get("parts", 0)
    return count if type(count) is int and count > 0 else 0


def split_head(data: bytes) -> tuple[dict[str, Any], bytes, str]:
    """Return head and body of a whole text, and what is wrong with them, if anything: what can be read still is."""
    first, _, body = data.partition(b"\n")
    try:
        head = load(first)
    except BadRecord as error:
        return {}, body, f"head: {error}"
    if type(head) is not dict:
        return {}, body, "head: is no object"
    if head.get("bytes") != len(body) or head.get("crc") != zlib.crc32(body):
        return head, body, f"body: has {len(body)} bytes that are not those which were written"
    return head, body, ""


def lines_of(body: bytes) -> Iterator[bytes]:
    return (line for line in body.split(b"\n") if line)


def join(lines: Iterable[bytes]) -> bytes:
    return b"\n".join(lines)


def read_log_line(line: bytes) -> Line:
    """Raises BadRecord."""
    sign, kind, rest = line[:1], *_halves(line[1:])
    if sign not in (b"+", b"-") or kind.decode("ascii", "replace") not in RECORD_KINDS:
        raise BadRecord("", f"is no record of a turn: {line[:60]!r}")
    key, value = _halves(rest) if sign == b"+" else (rest, None)
    return Line(cast(RecordKind, kind.decode()), read_key(cast(RecordKind, kind.decode()), key), value)


def read_page_line(kind: RecordKind, line: bytes) -> Line:
    """Raises BadRecord."""
    key, value = _halves(line)
    return Line(kind, read_key(kind, key), value)


def read_key(kind: RecordKind, text: bytes) -> Key:
    """Raises BadRecord for a key of another type than the kind has."""
    key: Key = load(text)
    wanted = int if kind in ("run", "outbox") else str
    if type(key) is not wanted:
        raise BadRecord("", f"has a key that is no {wanted.__name__}: {text[:60]!r}")
    return key


def _halves(text: bytes) -> tuple[bytes, bytes]:
    first, tab, rest = text.partition(b"\t")
    if not tab:
        raise BadRecord("", f"is cut off: {text[:60]!r}")
    return first, rest
