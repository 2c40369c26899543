"""Output of programs as HTML: colours of ANSI terminals as classes, everything else harmless text."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from markupsafe import Markup, escape

from chronos_py.ui.text import shown

# ECMA-48: CSI sequences, OSC strings up to their end, other escapes of two characters.
_ESCAPE = re.compile(r"\x1b\[([0-?]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\^_=>()#78c]?")
_STATE = re.compile(r"([01])([01])([01])(\d{1,2}|-)\.(\d{1,2}|-)")
COLOURS = 16


@dataclass(frozen=True, slots=True)
class Look:
    """How text looks from here on; colours are 0 to 15, None the page's own."""

    bold: bool = False
    italic: bool = False
    underlined: bool = False
    front: int | None = None
    back: int | None = None

    @classmethod
    def parse(cls, text: str) -> Look:
        """Read what `str` made; anything else is the plain look."""
        match = _STATE.fullmatch(text)
        if match is None:
            return cls()
        front, back = (None if part == "-" else min(int(part), COLOURS - 1) for part in (match[4], match[5]))
        return cls(match[1] == "1", match[2] == "1", match[3] == "1", front, back)

    def __str__(self) -> str:
        front, back = ("-" if colour is None else colour for colour in (self.front, self.back))
        return f"{self.bold:d}{self.italic:d}{self.underlined:d}{front}.{back}"

    @property
    def classes(self) -> str:
        """Return the names for the style sheet."""
        names = [name for name, on in (("b", self.bold), ("i", self.italic), ("u", self.underlined)) if on]
        names += [f"f{self.front}"] if self.front is not None else []
        names += [f"g{self.back}"] if self.back is not None else []
        return " ".join(names)


def changed(look: Look, parameters: str) -> Look:
    """Return a look after a sequence that selects how text looks (SGR)."""
    codes = [int(part) if part.isdigit() and len(part) < 5 else 0 for part in re.split("[;:]", parameters)]
    at = 0
    while at < len(codes):
        code = codes[at]
        if code in (38, 48):
            colour, at = _extended(codes, at)
            look = replace(look, **{"front" if code == 38 else "back": colour})  # type: ignore[arg-type]
        else:
            look = _one(look, code)
        at += 1
    return look


def _extended(codes: list[int], at: int) -> tuple[int | None, int]:
    """Return a colour of 256, the first 16 as they are and others left out, and where its codes end."""
    kind = codes[at + 1] if at + 1 < len(codes) else 0
    if kind == 5:
        number = codes[at + 2] if at + 2 < len(codes) else 0
        return (number if number < COLOURS else None), at + 2
    return None, at + (4 if kind == 2 else 0)


def _one(look: Look, code: int) -> Look:
    match code:
        case 0:
            return Look()
        case 1 | 22:
            return replace(look, bold=code == 1)
        case 3 | 23:
            return replace(look, italic=code == 3)
        case 4 | 24:
            return replace(look, underlined=code == 4)
        case 39:
            return replace(look, front=None)
        case 49:
            return replace(look, back=None)
    for first, bright in ((30, 0), (90, 8)):
        if first <= code < first + 8:
            return replace(look, front=code - first + bright)
        if first + 10 <= code < first + 18:
            return replace(look, back=code - first - 10 + bright)
    return look


def as_html(text: str, look: Look | None = None) -> tuple[Markup, Look]:
    """Return output as HTML, and how text looks at its end. Escape sequences other than colours go."""
    look = look or Look()
    parts, at = [], 0
    for match in _ESCAPE.finditer(text):
        parts.append(_piece(text[at : match.start()], look))
        if match[2] == "m":
            look = changed(look, match[1])
        at = match.end()
    parts.append(_piece(text[at:], look))
    return Markup("").join(parts), look


def _piece(text: str, look: Look) -> Markup:
    if not text:
        return Markup("")
    plain = shown(text.replace("\r\n", "\n").replace("\r", "\n"), len(text), lines=True)
    return Markup('<span class="{}">{}</span>').format(look.classes, plain) if look.classes else escape(plain)
