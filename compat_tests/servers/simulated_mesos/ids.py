"""Random identifiers, cheaply."""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from binascii import Error


def uuid_bytes() -> bytes:
    """Return a random UUID (version 4)."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)


def uuid_base64() -> str:
    return b64encode(uuid_bytes()).decode()


def uuid_text() -> str:
    raw = uuid_bytes().hex()
    return f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:]}"


def is_uuid(text: object) -> bool:
    """Return whether it is a UUID as updates carry it: 16 bytes of a known version, in base 64."""
    if not isinstance(text, str):
        return False
    try:
        raw = b64decode(text, validate=True)
    except (Error, ValueError):
        return False
    return len(raw) == 16 and raw[8] & 0xC0 == 0x80 and raw[6] >> 4 in range(1, 6)
