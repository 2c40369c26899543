"""How values are shown: harmless text, instants, durations, amounts. Escaping for HTML is left to the templates."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, tzinfo

from chronos_py.clock import Millis
from chronos_py.ui.i18n import gettext

A_YEAR = 31_557_600  # seconds
LONGEST_TEXT = 4000  # characters of a user's text in a page
_UNUSUAL = re.compile(r"[^ -~]")
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # controls, bidi marks, halves of pairs, unknown ones


def _visible(match: re.Match[str]) -> str:
    char = match[0]
    if unicodedata.category(char) not in _INVISIBLE:
        return char
    code = ord(char)
    if code < 0x100:
        return {9: "\\t", 10: "\\n", 13: "\\r"}.get(code, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shown(text: object, limit: int = LONGEST_TEXT, *, lines: bool = False) -> str:
    """Return a user's text so that a page can show it: what would be invisible, or move its surroundings, as a code.

    With `lines`, line ends and tabs stay. Longer than `limit` characters is cut, and ends in an ellipsis.
    """
    whole = str(text)
    cut = whole if len(whole) <= limit else f"{whole[:limit]}…"
    if lines:
        return "\n".join("\t".join(map(_harmless, line.split("\t"))) for line in cut.split("\n"))
    return _harmless(cut)


def _harmless(text: str) -> str:
    return _UNUSUAL.sub(_visible, text)


def duration(millis: float | None) -> str:
    """Return a length of time for people, in its two largest units: `340 ms`, `2.5 s`, `3 min 20 s`, `2 d 4 h`."""
    if millis is None:
        return "–"
    if millis < 0:
        return f"−{duration(-millis)}"
    if millis < 1000:
        return f"{millis:.0f} ms"
    if millis < 10_000:
        return f"{millis / 1000:.1f} s".replace(".0 s", " s")
    seconds = round(millis / 1000)
    if seconds < 60:
        return f"{seconds} s"
    for unit, name, part, small in ((60, "min", 1, "s"), (3600, "h", 60, "min"), (86_400, "d", 3600, "h")):
        if seconds < unit * (60 if unit == 60 else 24) or unit == 86_400:
            whole, rest = divmod(seconds, unit)
            return f"{whole} {name} {rest // part} {small}" if rest // part else f"{whole} {name}"
    return f"{seconds} s"


def ago(instant: Millis | None, now: Millis) -> str:
    """Return how long ago an instant was, or how far ahead it is."""
    if instant is None:
        return "–"
    if abs(now - instant) < 1000:
        return gettext("now")
    if instant > now:
        return gettext("in {time}", time=coarse(instant - now))
    return gettext("{time} ago", time=coarse(now - instant))


def coarse(millis: float) -> str:
    """Return a length of time in one unit."""
    seconds = abs(millis) / 1000
    if seconds >= 2 * A_YEAR:
        return f"{seconds / A_YEAR:.0f} y"
    for length, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.0f} {name}"
    return f"{seconds:.0f} s"


def when(instant: Millis | None, zone: tzinfo = UTC, *, seconds: bool = True) -> str:
    """Return an instant on a zone's clock, `2026-11-24 15:28:07`; beyond any date, in milliseconds."""
    if instant is None:
        return "–"
    try:
        moment = datetime.fromtimestamp(instant / 1000, UTC).astimezone(zone)
    except (OverflowError, ValueError, OSError):
        return f"{instant} ms"
    return moment.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def machine_time(instant: Millis | None) -> str:
    """Return an instant for `<time datetime>`, empty where there is none."""
    if instant is None:
        return ""
    try:
        return datetime.fromtimestamp(instant // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return ""


def number(value: float) -> str:
    """Return a number with thin spaces between thousands and no useless zeros."""
    if value != int(value):
        return f"{value:,.2f}".rstrip("0").rstrip(".").replace(",", "\u2009")
    return f"{int(value):,}".replace(",", "\u2009")


def mebibytes(value: float) -> str:
    """Return an amount given in MiB."""
    for limit, unit, size in ((1024, "MiB", 1), (1024**2, "GiB", 1024), (float("inf"), "TiB", 1024**2)):
        if abs(value) < limit:
            return f"{value / size:.1f} {unit}".replace(".0 ", " ")
    return f"{value} MiB"
