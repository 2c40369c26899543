"""What ZooKeeper really did, and for which session: read from the transaction logs of its servers.

A file is a header (magic, version, database) and transactions, each a checksum, a length, bytes and an end mark; zeros
fill it up. Of a transaction we read who asked for it and which nodes it changed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"ZKLG"
HEADER, RECORD, END = struct.Struct(">4siq"), struct.Struct(">qi"), b"B"
TRANSACTION, NUMBER = struct.Struct(">qiqqi"), struct.Struct(">i")
CREATE, DELETE, SET_DATA, CHECK, MULTI, CREATE_2 = 1, 2, 5, 13, 14, 15
KINDS = {CREATE: "create", CREATE_2: "create", DELETE: "delete", SET_DATA: "set"}


@dataclass(frozen=True, slots=True, order=True)
class Write:
    """A node that a session made, changed or deleted; `at` is ZooKeeper's time in milliseconds.

    `version` is the node's after a change of its data. `checked` are nodes with the versions that the request wanted
    them to have.
    """

    zxid: int
    at: int
    session: int
    kind: str
    path: str
    ephemeral: bool
    version: int = -1
    checked: tuple[tuple[str, int], ...] = ()


def writes_of(folders: Iterable[Path]) -> list[Write]:
    """Return what the logs of servers tell, in ZooKeeper's order, everything once. What was refused is not among it."""
    found = {write for folder in folders for file in folder.glob("version-2/log.*") for write in _read(file)}
    return sorted(found)


def _read(file: Path) -> Iterator[Write]:
    data = file.read_bytes()
    if len(data) < HEADER.size or HEADER.unpack_from(data)[0] != MAGIC:
        return
    at = HEADER.size
    while at + RECORD.size <= len(data):
        _, length = RECORD.unpack_from(data, at)
        at += RECORD.size
        if length <= 0 or data[at + length : at + length + 1] != END:
            return  # the rest is not written yet
        yield from _transaction(data[at : at + length])
        at += length + 1


def _transaction(data: bytes) -> Iterator[Write]:
    session, _, zxid, moment, kind = TRANSACTION.unpack_from(data)
    body = data[TRANSACTION.size :]
    parts = _parts(body) if kind == MULTI else [(kind, body)]
    parts = list(parts)
    checked = tuple((path, NUMBER.unpack_from(rest)[0]) for kind, body in parts if kind == CHECK
                    for path, rest in [_text(body)])  # fmt: skip
    for part, content in parts:
        if part in KINDS:
            path, rest = _text(content)
            ephemeral = part in (CREATE, CREATE_2) and _is_ephemeral(rest)
            version = _version(rest) if part == SET_DATA else -1
            yield Write(zxid, moment, session, KINDS[part], path, ephemeral, version, checked)


def _parts(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kind and content of the parts of a request that is done as a whole; a refused one has errors only."""
    (count,), at = NUMBER.unpack_from(body), NUMBER.size
    for _ in range(count):
        (kind,) = NUMBER.unpack_from(body, at)
        (length,) = NUMBER.unpack_from(body, at + NUMBER.size)
        at += 2 * NUMBER.size
        yield kind, body[at : at + max(0, length)]
        at += max(0, length)


def _text(data: bytes) -> tuple[str, bytes]:
    (length,) = NUMBER.unpack_from(data)
    end = NUMBER.size + max(0, length)
    return data[NUMBER.size : end].decode(), data[end:]


def _version(data: bytes) -> int:
    """Read on after the path of a node whose data was set: the data, and then this."""
    (length,) = NUMBER.unpack_from(data)
    return int(NUMBER.unpack_from(data, NUMBER.size + max(0, length))[0])


def _is_ephemeral(data: bytes) -> bool:
    """Read on after a new node's path: its content, who may do what with it, and then this."""
    (length,) = NUMBER.unpack_from(data)
    at = NUMBER.size + max(0, length)
    (rules,) = NUMBER.unpack_from(data, at)
    rest = data[at + NUMBER.size :]
    for _ in range(max(0, rules)):
        _, rest = _text(rest[NUMBER.size :])  # after the permissions, the scheme
        _, rest = _text(rest)
    return rest[:1] == b"\x01"
