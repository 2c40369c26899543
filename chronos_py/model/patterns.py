"""Java's regular expressions, as users of LIKE and UNLIKE write them, for Python's `re`.

Both speak nearly the same language. Translated is what Java has and Python lacks: ASCII classes by name (`\\p{Alpha}`),
`\\h`, `\\R`, `\\z`, `\\Q...\\E`, `\\x{...}`, named groups as `(?<name>...)`, and character classes within classes, with
union and intersection (`[a-z&&[^m]]`). `\\w`, `\\d` and `\\s` are ASCII only, as in Java.
"""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from typing import Literal

_VERTICAL = r"\n-\r\x85\u2028\u2029"
_NAMED_CLASSES = {  # as they stand between brackets
    "Lower": "a-z", "Upper": "A-Z", "ASCII": r"\x00-\x7f", "Alpha": "a-zA-Z", "Digit": "0-9", "Alnum": "a-zA-Z0-9",
    "Punct": r"!-/:-@\[-`{-~", "Graph": "!-~", "Print": " -~", "Blank": r" \t", "Cntrl": r"\x00-\x1f\x7f",
    "XDigit": "0-9a-fA-F", "Space": r" \t-\r", "h": r" \t\xa0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000",
    "v": _VERTICAL,
}  # fmt: skip
_CHARACTERS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "a": "\a", "e": "\x1b"}
_ZERO_WIDTH = {"A": r"\A", "b": r"\b", "B": r"\B", "z": r"\Z", "Z": rf"(?=[{_VERTICAL}]?\Z)"}
_CODE = re.compile(r"x\{([0-9A-Fa-f]{1,6})\}|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|0([0-3]?[0-7]{1,2})")
_PROPERTY = re.compile(r"[pP]\{(\w+)\}")
_QUOTED = re.compile(r"Q(.*?)(?:\\E|\Z)", re.DOTALL)
_NAME = r"<([A-Za-z][A-Za-z0-9]*)>"
_FLAGS = re.compile(r"\(\?([a-zA-Z]*)\)")

# A piece of a pattern: one character, the inside of a class, of its complement, literal text, anything else.
Kind = Literal["character", "inside", "complement", "text", "other"]


@lru_cache(maxsize=10_000)
def java_pattern(text: str) -> re.Pattern[str]:
    """Return a Java pattern, compiled. Raises ValueError, with a sentence, for what is none or is not translated."""
    flags = _FLAGS.match(text)
    letters = "".join(sorted(set(flags[1]) - set("duU"))) if flags else ""  # our classes and cases are ASCII's
    if set(letters) - set("ims"):
        raise ValueError(f"the flags {letters} are not supported")
    translated = _Translation(text, flags.end() if flags else 0).whole()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)  # Python's own doubts about what a class will mean
            return re.compile(f"(?{letters}){translated}" if letters else translated, re.ASCII)
    except (re.error, FutureWarning, OverflowError, RecursionError) as error:
        raise ValueError(f"is no regular expression: {error}") from None


class _Translation:
    """One pass over a pattern, from position `at` on."""

    def __init__(self, text: str, at: int) -> None:
        self.text = text
        self.at = at

    def whole(self) -> str:
        try:
            return "".join(self._pieces())
        except RecursionError:
            raise ValueError("its classes are nested too deeply") from None

    def _pieces(self) -> list[str]:
        pieces = []
        while self.at < len(self.text):
            if self._sees("\\"):
                pieces.append(_outside(*self._escape()))
            elif self._sees("["):
                pieces.append(self._class())
            elif self._sees("(?"):
                pieces.append(self._group())
            else:
                pieces.append(self._take(1))
        return pieces

    def _sees(self, text: str) -> bool:
        return self.text.startswith(text, self.at)

    def _take(self, count: int) -> str:
        taken = self.text[self.at : self.at + count]
        self.at += count
        return taken

    def _match(self, pattern: str | re.Pattern[str]) -> re.Match[str] | None:
        """Take what a pattern matches here."""
        found = re.compile(pattern).match(self.text, self.at)
        if found:
            self.at = found.end()
        return found

    def _group(self) -> str:
        if named := self._match(rf"\(\?{_NAME}"):
            return f"(?P<{named[1]}>"
        for strange in ("(?P", "(?(", "(?#"):
            if self._sees(strange):
                raise ValueError(f"Java knows no group that begins with {strange}")
        if _FLAGS.match(self.text, self.at):
            raise ValueError("flags such as (?i) belong at the beginning")
        return self._take(2)

    def _escape(self) -> tuple[Kind, str]:
        self.at += 1
        if code := self._match(_CODE):
            digits = code[1] or code[2] or code[3]
            number = int(digits, 16) if digits else int(code[4], 8)
            if number > 0x10FFFF:
                raise ValueError(f"there is no character {digits}")
            return "character", chr(number)
        if quoted := self._match(_QUOTED):
            return "text", quoted[1]
        if named := self._match(_PROPERTY):
            if named[1] not in _NAMED_CLASSES or len(named[1]) == 1:
                raise ValueError(f"the class {named[0]} is not supported; its ASCII ones such as Alpha are")
            return "inside" if named[0][0] == "p" else "complement", _NAMED_CLASSES[named[1]]
        if back := self._match(rf"k{_NAME}"):
            return "other", f"(?P={back[1]})"
        return self._simple_escape(self._take(1))

    def _simple_escape(self, letter: str) -> tuple[Kind, str]:
        if letter == "c" and self.at < len(self.text):
            return "character", chr(ord(self._take(1)) ^ 64)
        if letter in _CHARACTERS:
            return "character", _CHARACTERS[letter]
        if letter in ("d", "D", "w", "W", "s", "S"):
            return "inside", f"\\{letter}"
        if letter.lower() in ("h", "v"):
            return "inside" if letter.islower() else "complement", _NAMED_CLASSES[letter.lower()]
        if letter in _ZERO_WIDTH:
            return "other", _ZERO_WIDTH[letter]
        if letter == "R":
            return "other", rf"(?:\r\n|[{_VERTICAL}])"
        if letter == "E":
            return "text", ""
        if letter in tuple("123456789"):
            return "other", f"(?:\\{letter})"
        if not letter or (letter.isascii() and letter.isalnum()):
            raise ValueError(f"\\{letter} is not supported")
        return "character", letter

    def _class(self) -> str:
        """Translate a class into a pattern that matches exactly one character."""
        self.at += 1
        negated = bool(self._match(r"\^"))
        operands: list[tuple[str, list[str]]] = [("", [])]
        first = True
        while first or not self._sees("]"):
            if self.at >= len(self.text):
                raise ValueError("a class is not closed with ]")
            if self._match("&&"):
                operands.append(("", []))
            else:
                inside, others = operands[-1]
                more, other = self._item()
                operands[-1] = (inside + more, others + other)
            first = False
        self.at += 1
        return _one_character([operand for operand in operands if operand != ("", [])], negated)

    def _item(self) -> tuple[str, list[str]]:
        """Take one item of a class: what stands between brackets, or patterns of one character each."""
        if self._sees("["):
            return "", [self._class()]
        kind, value = self._escape() if self._sees("\\") else ("character", self._take(1))
        if kind == "inside":
            return value, []
        if kind == "complement":
            return "", [f"[^{value}]"]
        if kind == "other":
            raise ValueError("stands for no character, so it cannot be in a class")
        inside = "".join(map(_bracketed, value))
        if kind == "character" and re.compile(r"-(?![\[\]]|&&|\Z)").match(self.text, self.at):
            self.at += 1
            end, last = self._escape() if self._sees("\\") else ("character", self._take(1))
            if end != "character":
                raise ValueError(f"a range cannot end with {last}")
            inside += f"-{_bracketed(last)}"
        return inside, []


def _bracketed(character: str) -> str:
    return f"\\{character}" if character in "\\]^-[&~|" else character


def _outside(kind: Kind, value: str) -> str:
    """Return a piece as it stands outside of classes."""
    match kind:
        case "character" | "text":
            return re.escape(value)
        case "inside" if value[0] == "\\" and len(value) == 2:
            return value
        case "inside":
            return f"[{value}]"
        case "complement":
            return f"[^{value}]"
        case _:
            return value


def _one_character(operands: list[tuple[str, list[str]]], negated: bool) -> str:
    """Return the intersection of unions of characters."""
    if len(operands) == 1 and not operands[0][1]:
        return f"[{'^' if negated else ''}{operands[0][0]}]"
    unions = [[*([f"[{inside}]"] if inside else []), *others] for inside, others in operands]
    if not unions:
        raise ValueError("a class is empty")
    joined = [union[0] if len(union) == 1 else f"(?:{'|'.join(union)})" for union in unions]
    both = "".join(f"(?={one})" for one in joined[1:]) + joined[0]
    return rf"(?:(?!{both})[\s\S])" if negated else f"(?:{both})"
