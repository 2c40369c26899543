"""Java's regular expressions (java.util.regex of Java 9 and later) in the language of the `regex` package.

Nothing is left to the package's own idea of a letter, a line or a case: classes, `.`, `^`, `$`, `\\b` and ignored case
are written out as sets of characters, as Java defines them; groups are numbered, never named.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal

MAX_WEIGHT = (
    10_000  # characters, classes and anchors, each as often as {n,m} repeats it: the package writes them all out
)
UNICODE_CASES = 10  # times the weight where all of Unicode's cases count, for the time that compiling takes
MAX_DEPTH = 50  # groups or classes within each other

_LINE_ENDS = r"\x0a\x0d\x85\u2028\u2029"
_VERTICAL = r"\x0a-\x0d\x85\u2028\u2029"
_HORIZONTAL = r"\x20\x09\xa0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000"
_LAST_LINE_END = r"(?:\Z|(?=\x0d\x0a\Z)|(?=[\x0d\x85\u2028\u2029]\Z)|(?<!\x0d)(?=\x0a\Z))"
_WORD = r"[\p{L}\p{Nd}_]"  # of \b alone: \w is ASCII
_SHORT = {"d": "0-9", "w": "0-9A-Z_a-z", "s": r"\x20\x09-\x0d", "h": _HORIZONTAL, "v": _VERTICAL}
_ASCII = {
    "Lower": "a-z", "Upper": "A-Z", "ASCII": r"\x00-\x7f", "Alpha": "a-zA-Z", "Digit": "0-9", "Alnum": "a-zA-Z0-9",
    "Punct": r"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e", "Graph": r"\x21-\x7e", "Print": r"\x20-\x7e",
    "Blank": r"\x20\x09", "Cntrl": r"\x00-\x1f\x7f", "XDigit": "0-9a-fA-F", "Space": r"\x20\x09-\x0d",
}  # fmt: skip
_CATEGORIES = set(
    re.findall(
        r"\w+",
        "Cn Lu Ll Lt Lm Lo Mn Me Mc Nd Nl No Zs Zl Zp Cc Cf Co Cs Pd Ps Pe Pc Po Sm Sc Sk So Pi Pf L M N Z C P S",
    )
)
_GROUPED = {"LC": r"\p{Lu}\p{Ll}\p{Lt}", "LD": r"\p{L}\p{Nd}", "L1": r"\x00-\xff", "all": r"\u0000-\U0010ffff"}
_BINARY = {  # after Is, in any case
    "alphabetic": r"\p{Alphabetic}", "ideographic": r"\p{Ideographic}", "letter": r"\p{L}",
    "lowercase": r"\p{Lowercase}", "uppercase": r"\p{Uppercase}", "titlecase": r"\p{Lt}", "punctuation": r"\p{P}",
    "control": r"\p{Cc}", "white_space": r"\p{White_Space}", "whitespace": r"\p{White_Space}", "digit": r"\p{Nd}",
    "hex_digit": r"\p{Nd}\p{Hex_Digit}", "hexdigit": r"\p{Nd}\p{Hex_Digit}", "join_control": r"\u200c\u200d",
    "joincontrol": r"\u200c\u200d", "assigned": r"\P{Cn}",
}  # fmt: skip
_ANY_CASE = {  # what a class of one case means when case is ignored
    **dict.fromkeys(("Lower", "Upper"), "a-zA-Z"),
    **dict.fromkeys(("Lu", "Ll", "Lt"), _GROUPED["LC"]),
    **dict.fromkeys(("lowercase", "uppercase", "titlecase"), r"\p{Lowercase}\p{Uppercase}\p{Lt}"),
}
_CHARACTERS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "a": "\a", "e": "\x1b"}
_QUOTED = re.compile(r"\\Q(.*?)(?:\\E|\Z)|\\.", re.DOTALL)
_PAIR = re.compile(r"u([dD][89abAB][0-9A-Fa-f]{2})\\u([dD][c-fC-F][0-9A-Fa-f]{2})")
_CODE = re.compile(r"x\{([0-9A-Fa-f]{1,8})\}|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|0([0-3][0-7]{2}|[0-7]{1,2})")
_PROPERTY = re.compile(r"[pP](?:\{([^}]*)\}|([^{]))", re.DOTALL)
_NAME = re.compile(r"<([A-Za-z][A-Za-z0-9]*)>")
_FLAGS = re.compile(r"\(\?([A-Za-z]*)(?:-([A-Za-z]*))?([:)])")
_REPEAT = re.compile(r"(?:([*+?])|\{(\d+)(,?)(\d*)\})([?+]?)", re.ASCII)
_OPENINGS = ("(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!")


class NotARegex(ValueError):
    """What Java would not compile, either."""


class UnsupportedRegex(ValueError):
    """What Java would compile and we do not."""


@dataclass(frozen=True, slots=True)
class _Flags:
    """Java's `i`, `u`, `s`, `m` and `d`."""

    ignore_case: bool = False
    unicode_case: bool = False
    dot_all: bool = False
    lines: bool = False
    unix: bool = False

    def changed(self, letters: str, to: bool) -> _Flags:
        names = {"i": "ignore_case", "u": "unicode_case", "s": "dot_all", "m": "lines", "d": "unix"}
        for letter in letters:
            if letter in "xUc":
                raise UnsupportedRegex(f"the flag {letter} is not supported")
            if letter not in names:
                raise NotARegex(f"there is no flag {letter}")
        return replace(self, **{names[letter]: to for letter in letters})


# An escape: a character's code, the inside of a set, or a pattern of another kind (an anchor, a back reference).
Escape = tuple[Literal["character"], int] | tuple[Literal["set", "other"], str]


def translated(text: str) -> str:
    """Return a Java pattern in the language of `regex.V1`. Raises NotARegex or UnsupportedRegex with a sentence."""
    if len(text) > MAX_WEIGHT:
        raise UnsupportedRegex(f"is longer than {MAX_WEIGHT} characters")
    text = _QUOTED.sub(_unquoted, text)
    first = _Translation(text)
    result = first.whole()
    if first.highest <= first.groups:
        return result
    return _Translation(text, known=first.groups).whole()  # a reference to a group that never comes matches nothing


def _unquoted(found: re.Match[str]) -> str:
    if found[1] is None:
        return found[0]
    return "".join(
        f"\\x{ord(char):02x}" if char.isascii() and not char.isalpha() else char for char in found[1]
    )  # letters stand for themselves


@dataclass(slots=True)
class _Translation:
    """One pass over a pattern, from `at` on. `known`: how many groups there are, once that is known."""

    text: str
    known: int | None = None
    at: int = 0
    groups: int = 0
    highest: int = 0
    depth: int = 0
    in_class: int = 0
    flags: _Flags = _Flags()
    names: dict[str, int] = field(default_factory=dict)

    def whole(self) -> str:
        result, _ = self._alternatives()
        if self.at < len(self.text):
            raise NotARegex("a ) closes nothing")
        return result

    def _sees(self, text: str) -> bool:
        return self.text.startswith(text, self.at)

    def _take(self, count: int = 1) -> str:
        taken = self.text[self.at : self.at + count]
        self.at += count
        return taken

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Take what a pattern matches here."""
        found = pattern.match(self.text, self.at)
        if found:
            self.at = found.end()
        return found

    def _alternatives(self) -> tuple[str, int]:
        """Return what stands up to the next `)` that closes no group begun here, and its weight."""
        pieces: list[str] = []
        weight = 0
        while self.at < len(self.text) and not self._sees(")"):
            if self._sees("|"):
                pieces.append(self._take())
                continue
            piece, more = self._piece()
            weight += more
            if weight > MAX_WEIGHT:
                raise UnsupportedRegex(f"is too large: more than {MAX_WEIGHT} characters, repetitions counted")
            pieces.append(piece)
        return "".join(pieces), weight

    def _piece(self) -> tuple[str, int]:
        """Take an atom with its quantifier, or flags."""
        if (found := _FLAGS.match(self.text, self.at)) and found[3] == ")":
            self.at = found.end()
            self.flags = self._changed(found)
            return "", 0
        atom, weight = self._atom()
        if self.flags.ignore_case and self.flags.unicode_case:
            weight *= UNICODE_CASES  # each may have become a long set
        if not (found := self._match(_REPEAT)):
            if self._sees("{"):
                raise NotARegex("{ begins no repetition such as {2,3}")
            return atom, weight
        if self._sees("{"):
            raise UnsupportedRegex("a repetition of a repetition needs a group")
        if not found[1]:
            low, high = int(found[2]), int(found[4] or found[2])
            if found[4] and not found[3]:
                raise NotARegex(f"{found[0]} is no repetition")
            if high < low or high >= 2**31:
                raise NotARegex(f"{found[0]} is no range")
            weight *= max(1, high)
        return atom + found[0], weight

    def _changed(self, found: re.Match[str]) -> _Flags:
        return self.flags.changed(found[1], True).changed(found[2] or "", False)

    def _atom(self) -> tuple[str, int]:
        if self._sees("\\"):
            kind, value = self._escape()
            if isinstance(value, int):
                return self._character(value)
            return (f"[{value}]" if kind == "set" else f"(?:{value})"), 3
        if self._sees("["):
            begin = self.at
            self.at += 1
            return f"[{self._class(closed=True)}]", self.at - begin
        if self._sees("("):
            return self._group()
        char = self._take()
        match char:
            case "*" | "+" | "?":
                raise NotARegex(f"{char} repeats nothing")
            case "{":
                raise NotARegex("{ repeats nothing")
            case ".":
                ends = "" if self.flags.dot_all else r"\x0a" if self.flags.unix else _LINE_ENDS
                return (f"[^{ends}]" if ends else r"[\u0000-\U0010ffff]"), 3
            case "^":
                return self._line_begin(), 3
            case "$":
                return self._line_end(), 3
        return self._character(ord(char))

    def _character(self, code: int) -> tuple[str, int]:
        cases = self._cases(code, code)
        return (f"[{_written(code)}{cases}]" if cases else _written(code)), 1

    def _line_begin(self) -> str:
        if not self.flags.lines:
            return r"(?:\A)"
        if self.flags.unix:
            return r"(?:(?:\A|(?<=\x0a))(?!\Z))"
        return r"(?:(?:\A|(?<=[\x0a\x85\u2028\u2029])|(?<=\x0d)(?!\x0a))(?!\Z))"

    def _line_end(self) -> str:
        if self.flags.unix:
            return r"(?:(?=\x0a)|\Z)" if self.flags.lines else r"(?:(?=\x0a?\Z))"
        if self.flags.lines:
            return r"(?:\Z|(?=[\x0d\x85\u2028\u2029])|(?<!\x0d)(?=\x0a))"
        return _LAST_LINE_END

    def _group(self) -> tuple[str, int]:
        before = self.flags
        opening = next((one for one in _OPENINGS if self._sees(one)), None)
        if opening:
            self.at += len(opening)
        elif found := self._match(_FLAGS):
            opening, self.flags = "(?:", self._changed(found)
        elif not self._sees("(?"):
            opening = self._take()
            self.groups += 1
        else:
            opening = self._named()
        self._enter()
        inside, weight = self._alternatives()
        self.depth -= 1
        if self._take() != ")":
            raise NotARegex("a group is not closed with )")
        self.flags = before
        return f"{opening}{inside})", weight + 1

    def _named(self) -> str:
        begin = self._take(2)
        if not (found := self._match(_NAME)):
            raise NotARegex(f"no group begins with {begin}{self._take()}")
        if found[1] in self.names:
            raise NotARegex(f"two groups are named {found[1]}")
        self.groups += 1
        self.names[found[1]] = self.groups
        return "("

    def _enter(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise UnsupportedRegex(f"nests more than {MAX_DEPTH} deep")

    def _escape(self) -> Escape:
        self.at += 1
        if found := self._match(_PAIR):
            return "character", 0x10000 + ((int(found[1], 16) - 0xD800) << 10) + int(found[2], 16) - 0xDC00
        if found := self._match(_CODE):
            digits = found[1] or found[2] or found[3]
            code = int(digits, 16) if digits else int(found[4], 8)
            if code > 0x10FFFF:
                raise NotARegex(f"there is no character {digits}")
            return "character", code
        if found := self._match(_PROPERTY):
            name = found[2] if found[1] is None else found[1]
            inside = self._property(name)
            return "set", inside if found[0][0] == "p" else f"[^{inside}]"
        letter = self._take()
        if letter == "c" and self.at < len(self.text):
            return "character", ord(self._take()) ^ 64
        if letter in _CHARACTERS:
            return "character", ord(_CHARACTERS[letter])
        if letter == "v" and self.in_class and self._sees("-"):
            return "character", 0x0B  # as the beginning of a range it is Java's old meaning, the vertical tab
        if letter.lower() in _SHORT:
            inside = _SHORT[letter.lower()]
            return "set", inside if letter.islower() else f"[^{inside}]"
        if letter and letter in "123456789":
            return "other", self._numbered(int(letter))
        if letter and not (letter.isascii() and letter.isalnum()):
            return "character", ord(letter)
        return "other", self._zero_width(letter)

    def _zero_width(self, letter: str) -> str:
        """Return what stands for more or less than one character."""
        if (letter == "b" and self._sees("{")) or letter == "N":
            raise UnsupportedRegex(f"\\{letter}{{...}} is not supported")
        match letter:
            case "A" | "G":
                return r"\A"
            case "b":
                return f"(?<={_WORD})(?!{_WORD})|(?<!{_WORD})(?={_WORD})"
            case "B":
                return f"(?<={_WORD})(?={_WORD})|(?<!{_WORD})(?!{_WORD})"
            case "z":
                return r"\Z"
            case "Z":
                return r"(?=\x0a?\Z)" if self.flags.unix else _LAST_LINE_END
            case "R":
                return rf"\x0d\x0a|[{_VERTICAL}]"
            case "X":
                return r"\X"
            case "k" if found := self._match(_NAME):
                if found[1] not in self.names:
                    raise NotARegex(f"no group before is named {found[1]}")
                return self._reference(self.names[found[1]])
        raise NotARegex(f"\\{letter} has no meaning")

    def _numbered(self, number: int) -> str:
        """Take more digits as long as there is a group of that number already, as Java does."""
        while (digit := self.text[self.at : self.at + 1]) and digit in "0123456789":
            if number * 10 + int(digit) > self.groups:
                break
            number = number * 10 + int(self._take())
        return self._reference(number)

    def _reference(self, number: int) -> str:
        self.highest = max(self.highest, number)
        if self.known is not None and number > self.known:
            return "(?!)"
        return rf"(?i:\{number})" if self.flags.ignore_case else rf"\{number}"

    def _property(self, name: str) -> str:
        """Return the inside of the set that `\\p{name}` stands for."""
        key, _, value = name.partition("=")
        if "=" in name:
            return self._keyed(key.lower(), value)
        if name in _ASCII or name in _GROUPED or name in _CATEGORIES:
            return self._one_case(name, _ASCII.get(name) or _GROUPED.get(name) or rf"\p{{gc={name}}}")
        if name.startswith("In") and len(name) > 2:
            return self._keyed("blk", name[2:])
        if name.startswith("Is"):
            value = name[2:]
            if value.lower() in _BINARY:
                return self._one_case(value.lower(), _BINARY[value.lower()])
            if value in _CATEGORIES or value in _GROUPED:
                return self._property(value)
            return self._keyed("sc", value)
        if name.startswith("java"):
            raise UnsupportedRegex(f"\\p{{{name}}} is not supported")
        raise NotARegex(f"there is no class \\p{{{name}}}")

    def _keyed(self, key: str, value: str) -> str:
        if key in ("gc", "general_category") and (value in _CATEGORIES or value in _GROUPED):
            return self._property(value)
        key = {"script": "sc", "block": "blk"}.get(key, key)
        if key not in ("sc", "blk") or not re.fullmatch(r"[A-Za-z0-9_ -]+", value):
            raise NotARegex(f"there is no class {key}={value}")
        return rf"\p{{{key}={value}}}"  # names that do not exist are the package's to refuse

    def _one_case(self, name: str, inside: str) -> str:
        return _ANY_CASE.get(name, inside) if self.flags.ignore_case else inside

    def _class(self, *, closed: bool) -> str:
        """Return the inside of the set for what follows a `[`, up to `]`, which is taken if `closed`.

        `&&` takes all that follows as its right side, so this is called for that, too.
        """
        self._enter()
        self.in_class += 1
        negated = closed and self._sees("^")
        self.at += negated
        members: list[str] = []
        while not (members and self._sees("]")):
            if self.at >= len(self.text):
                raise NotARegex("a class is not closed with ]")
            if self._sees("["):
                self.at += 1
                members.append(f"[{self._class(closed=True)}]")
            elif self._sees("&&"):
                self.at += 2
                right = self._right_side()
                if not members and not right:
                    raise NotARegex("&& has nothing on either side")
                if members and right:
                    members = [f"[[{''.join(members)}]&&[{''.join(right)}]]"]
                members = members or right
            else:
                members.append(self._item())
        self.at += closed
        self.in_class -= 1
        self.depth -= 1
        inside = "".join(members)
        return f"[^{inside}]" if negated else inside

    def _right_side(self) -> list[str]:
        right: list[str] = []
        while self.at < len(self.text) and not self._sees("]") and not self._sees("&"):
            if self._sees("["):
                self.at += 1
                right.append(f"[{self._class(closed=True)}]")
            else:
                right.append(self._class(closed=False))
        return right

    def _item(self) -> str:
        """Take a character, a range or an escape of a class."""
        first = self._one()
        if isinstance(first, str):
            return first
        last = first
        if self._sees("-") and self.text[self.at + 1 : self.at + 2] not in ("[", "]", ""):
            self.at += 1
            end = self._one()
            if isinstance(end, str) or end < first:
                raise NotARegex("a range of characters has no proper end")
            last = end
        written = _written(first) if first == last else f"{_written(first)}-{_written(last)}"
        return written + self._cases(first, last)

    def _one(self) -> int | str:
        """Take one item: a character's code, or the inside of a set."""
        if not self._sees("\\"):
            return ord(self._take())
        kind, value = self._escape()
        if kind == "other":
            raise NotARegex("an escape in a class stands for no character")
        return value

    def _cases(self, first: int, last: int) -> str:
        """Return the other cases of a range of characters, as the inside of a set; empty unless case is ignored."""
        if not self.flags.ignore_case:
            return ""
        if self.flags.unicode_case:
            known, cases = _unicode_cases()
            between = known[bisect_left(known, first) : bisect_right(known, last)]
            others = {code for one in between for code in cases[one]}
        else:
            others = {code ^ 32 for code in range(max(first, 65), min(last, 122) + 1) if chr(code).isalpha()}
        return "".join(_written(code) for code in sorted(others) if not first <= code <= last)


@cache
def _unicode_cases() -> tuple[list[int], dict[int, list[int]]]:
    """Return the characters that share the lower case of their upper case with others, in order; and all of those."""
    groups: dict[str, list[int]] = {}
    for code in range(0x1E944):  # there are no cases beyond
        upper = chr(code).upper() if len(chr(code).upper()) == 1 else chr(code)
        lower = upper.lower()
        groups.setdefault(lower if len(lower) == 1 else {"\u0130": "i"}.get(upper, upper), []).append(code)
    cases = {code: codes for codes in groups.values() if len(codes) > 1 for code in codes}
    return sorted(cases), cases


def _written(code: int) -> str:
    if code < 128 and chr(code).isalnum():
        return chr(code)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
