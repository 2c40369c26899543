"""What the store holds, in memory, by shard: to write pages without reading them, and to know what to replace.

Nouns are immutable and shared with whoever committed them, so that this costs no more than a few pointers a record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from chronos_py.persistence.codec import BadRecord, decode_value, encode_value
from chronos_py.persistence.zookeeper.layout import RECORD_KINDS, SHARDS, Key, RecordKind, shard_of
from chronos_py.persistence.zookeeper.texts import Line, page_line


@dataclass(frozen=True, slots=True)
class Mark:
    """How a variable of Chronos was left: its uuid in 32 hexadecimal digits, its node's version, and whether the
    document's form is not ours; that is an asterisk behind the uuid where it is stored."""

    uuid: str
    version: int
    foreign: bool = False


class Unread(bytes):
    """The bytes of a value that could not be read: kept as they are."""


_MARK = re.compile(rb'\["([0-9a-f]{32})(\*?)",(\d{1,10})\]')


class Image:
    """Values by kind and key: nouns, for `meta` the JSON, for `node` a Mark.

    `dirty` has the shards whose pages are behind, with the first turn that the page lacks, oldest first. `lost` are
    lines of pages of which not even the key could be read.
    """

    def __init__(self) -> None:
        self._shards: dict[RecordKind, list[dict[Key, Any]]] = {
            kind: [{} for _ in range(SHARDS)] for kind in RECORD_KINDS
        }
        self.dirty: dict[tuple[RecordKind, int], int] = {}
        self.lost: dict[tuple[RecordKind, int], list[bytes]] = {}

    def get(self, kind: RecordKind, key: Key) -> Any:
        return self._shards[kind][shard_of(key)].get(key)

    def mark(self, name: str) -> Mark | None:
        """Return how we left a variable, None when there is none of ours."""
        value = self._shards["node"][shard_of(name)].get(name)
        return value if isinstance(value, Mark) else None

    def uuid(self, name: str) -> str:
        """Return the uuid with which we left a variable; empty: none."""
        mark = self.mark(name)
        return mark.uuid if mark else ""

    def is_foreign(self, name: str) -> bool:
        """Tell whether a variable has the form of someone else."""
        mark = self.mark(name)
        return mark is not None and mark.foreign

    def items(self, kind: RecordKind) -> Iterator[tuple[Any, Any]]:
        for shard in self._shards[kind]:
            yield from shard.items()

    def put(self, kind: RecordKind, key: Key, value: Any, turn: int) -> None:
        shard = shard_of(key)
        self._shards[kind][shard][key] = value
        self.dirty.setdefault((kind, shard), turn)

    def delete(self, kind: RecordKind, key: Key, turn: int) -> None:
        shard = shard_of(key)
        if self._shards[kind][shard].pop(key, None) is not None:
            self.dirty.setdefault((kind, shard), turn)

    def outbox_up_to(self, last: int) -> list[int]:
        """Return the numbers of outbox records up to this one."""
        return [
            number for shard in self._shards["outbox"] for number in shard if isinstance(number, int) and number <= last
        ]

    def apply(self, line: Line, turn: int, unknown: set[str]) -> str:
        """Take over a record of a turn, or of a page (`turn` 0); return why its value cannot be read, if so."""
        kind, key, value = line.kind, line.key, line.value
        reason = ""
        if value is None:
            numbers = self.outbox_up_to(int(key)) if kind == "outbox" else [key]
            for number in numbers:
                self.delete(kind, number, turn)
            return reason
        try:
            noun = read_value(kind, key, value, unknown)
        except BadRecord as error:
            noun, reason = Unread(value), str(error)
        if turn:
            self.put(kind, key, noun, turn)
        else:
            self._shards[kind][shard_of(key)][key] = noun
        return reason

    def page(self, kind: RecordKind, shard: int) -> list[bytes]:
        """Return the lines of a shard's page."""
        lines = [page_line(key, write_value(kind, key, value)) for key, value in self._shards[kind][shard].items()]
        return lines + self.lost.get((kind, shard), [])


def read_value(kind: RecordKind, key: Key, value: bytes, unknown: set[str]) -> Any:
    """Raises BadRecord."""
    if kind == "node":
        match = _MARK.fullmatch(value)
        if match is None:
            raise BadRecord("", f"is no uuid and version: {value[:60]!r}")
        return Mark(match[1].decode(), int(match[3]), bool(match[2]))
    noun = decode_value(kind, key, value, unknown)
    return value if kind == "meta" else noun


def write_value(kind: RecordKind, key: Key, value: Any) -> bytes:
    """Raises BadRecord."""
    if isinstance(value, bytes):  # of meta, or unread
        return bytes(value)
    if kind == "node":
        return f'["{value.uuid}{"*" if value.foreign else ""}",{value.version}]'.encode()
    return encode_value(kind, key, value)
