"""As much of ELF64 as tells which symbols a library wants from others."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

DYNSYM, VERNEED, VERSYM = 11, 0x6FFFFFFE, 0x6FFFFFFF  # section types
WEAK = 2
SECTION = struct.Struct("<IIQQQQIIQQ")  # name, type, flags, address, offset, size, link, ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """An undefined symbol; `library` and `version` are empty when the reference is not versioned."""

    name: str
    library: str
    version: str
    weak: bool


@dataclass(frozen=True, slots=True)
class _Section:
    type: int
    offset: int
    size: int
    link: int


def undefined_symbols(path: Path) -> list[Wanted]:
    """Return the undefined dynamic symbols of a little-endian ELF64 library, in their order."""
    data = path.read_bytes()
    sections = _sections(data)
    by_type = {section.type: section for section in reversed(sections)}
    symbols = by_type[DYNSYM]
    strings = sections[symbols.link].offset
    versions = _versions(data, by_type[VERNEED].offset, strings)
    indices = by_type[VERSYM].offset
    found = []
    table = data[symbols.offset : symbols.offset + symbols.size]
    for number, (name, info, _, section, _, _) in enumerate(struct.iter_unpack("<IBBHQQ", table)):
        if section == 0 and name:
            (index,) = struct.unpack_from("<H", data, indices + 2 * number)
            library, version = versions.get(index & 0x7FFF, ("", ""))
            found.append(Wanted(_text(data, strings + name), library, version, info >> 4 == WEAK))
    return found


def _sections(data: bytes) -> list[_Section]:
    (start,) = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    headers = (SECTION.unpack_from(data, start + number * size) for number in range(count))
    return [_Section(header[1], header[4], header[5], header[6]) for header in headers]


def _versions(data: bytes, at: int, strings: int) -> dict[int, tuple[str, str]]:
    """Return (library, version) by the index that the symbols refer to."""
    versions = {}
    while True:
        _, count, file, first, following = struct.unpack_from("<HHIII", data, at)
        entry = at + first
        for _ in range(count):
            _, _, index, name, to_next = struct.unpack_from("<IHHII", data, entry)
            versions[index] = (_text(data, strings + file), _text(data, strings + name))
            entry += to_next
        if not following:
            return versions
        at += following


def _text(data: bytes, start: int) -> str:
    return data[start : data.index(b"\0", start)].decode()
