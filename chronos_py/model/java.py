"""How the original's JSON library turns whatever a client sent into texts, numbers and truth values, and prints them.

Rules of the contract's deserializer table; where we differ (null for a text) docs/compatibility.md says why.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any

_NUMBER = re.compile(r"\s*([+-]?\d+)(?:\.\d*)?\s*", re.ASCII)
_ESCAPED = re.compile(r"\\u00[0-9a-f]{2}")
INT = 2**31 - 1
LONG = 2**63 - 1


def double_text(value: float) -> str:
    """Print as Java does: 0.1, 128.0, 1.0E7, 1.0E-4."""
    if value == 0 or not math.isfinite(value) or 1e-3 <= abs(value) < 1e7:
        return repr(float(value))
    sign, digits, exponent = Decimal(repr(float(value))).as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits)).rstrip("0") or "0"
    power = exponent + len(digits) - 1
    return f"{'-' if sign else ''}{text[0]}.{text[1:] or '0'}E{power}"


def string_json(value: str) -> str:
    """Return a JSON string: raw UTF-8, control characters with capital hexadecimal digits."""
    text = encode_basestring(value)  # what json.dumps comes to, at a tenth of the time
    if "\\u00" in text:
        text = _ESCAPED.sub(lambda match: "\\u" + match[0][2:].upper(), text)
    return text


def clean(value: str) -> str:
    """Return a text that can be written as UTF-8: a half of a surrogate pair becomes a question mark."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def text(value: Any) -> str:
    """A number or truth value is its own literal; an object or array is nothing."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return double_text(value)
    if isinstance(value, int):
        return str(value) if abs(value) <= LONG else double_text(float(10**308 if value > 0 else -(10**308)))
    return ""


def integer(value: Any, largest: int = LONG) -> int:
    """Text is read, a fraction cut; what cannot be read is 0. Beyond what Java holds: the nearest that it does."""
    if isinstance(value, bool | int):
        number = int(value)
    elif isinstance(value, float):
        number = int(value) if math.isfinite(value) else 0
    elif isinstance(value, str):
        match = _NUMBER.fullmatch(value) if len(value) < 400 else None
        number = int(match[1]) if match else 0
    else:
        number = 0
    return max(-largest - 1, min(largest, number))


def double(value: Any, default: float) -> float:
    """Text is read; what cannot be read, and 0, is the default."""
    try:
        number = float(value) if isinstance(value, bool | int | float | str) else 0.0
    except (ValueError, OverflowError):
        return default
    return number if math.isfinite(number) and number != 0 else default


def truth(value: Any) -> bool:
    """The text true, or a whole number other than 0."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.strip() == "true"
    return isinstance(value, int) and value != 0


def items(value: Any) -> list[Any]:
    """A scalar or null in place of a list is an empty one; an object's values count as its items."""
    if isinstance(value, list):
        return value
    return list(value.values()) if isinstance(value, dict) else []
