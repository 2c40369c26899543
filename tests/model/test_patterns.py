"""Java's patterns in Python: what both know, what only Java knows, what is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chronos_py.model.patterns import java_pattern


def matched(pattern, texts):
    """Return those of the texts, parted by blanks, that a pattern matches as a whole."""
    return " ".join(text for text in texts.split(" ") if java_pattern(pattern).fullmatch(text))


@pytest.mark.parametrize(
    ("pattern", "texts", "those"),
    [
        ("r[1-3]", "r1 r3 r4 xr1", "r1 r3"), ("", "a", ""), ("rack-(a|b)", "rack-a rack-c", "rack-a"),
        (r"\p{Alpha}+", "aZ a1 ä", "aZ"), (r"\P{Digit}+", "ab a1", "ab"), (r"[\p{Upper}\d]+", "A1 a1", "A1"),
        (r"[\P{Digit}x]+", "ax 1", "ax"), (r"\w+", "a_1 ä", "a_1"), (r"\d+", "12 ٣", "12"),
        (r"\p{Punct}", "] [ ` a", "] [ `"),
        (r"\Qa.b\E+", "a.b a.bb axb", "a.b a.bb"), (r"\Qa.b", "a.b axb", "a.b"), (r"(?<n>a)\k<n>", "aa ab", "aa"),
        (r"a\z", "a b", "a"), (r"\x{41}\x42\u0043\0104", "ABCD", "ABCD"), (r"(a)\1", "aa a1", "aa"),
        ("[a-z&&[^m]]+", "abc am", "abc"), ("[a-z&&[def]]", "d a", "d"), ("[a-d[m-p]]", "a n e", "a n"),
        ("[^a-d[m-p]]", "a n e", "e"), ("[^a-z&&[def]]", "d a 1", "a 1"), ("[a-z&&[def]&&[^e]]", "d e f", "d f"),
        ("[]a]", "] a b", "] a"), ("[^]a]", "] a b", "b"), (r"[\]\-\[]", "] - [ a", "] - ["), ("[a-]", "a - b", "a -"),
        ("[a&b]", "a & b c", "a & b"), ("[|~^]", "| ~ ^ a", "| ~ ^"), (r"[\Q-]\E]", "- ] a", "- ]"),
        (r"[a-\x63]", "b d", "b"),
        ("(?i)RACK", "rack Rack rock", "rack Rack"), ("(?iu)a", "A b", "A"), ("(?:a|b)c", "ac bc c", "ac bc"),
        ("a++", "aa ab", "aa"), ("(?>a|ab)c", "ac abc", "ac"), ("(?!b)[a-c]", "a b c", "a c"),
        ("a{2,3}?", "a aa aaa", "aa aaa"),
        (r"[\h]+", "\t\u3000 a", "\t\u3000"), (r"\.", ". a", "."), ("x(?=y)y", "xy x", "xy"),
    ],
)  # fmt: skip
def test_patterns(pattern, texts, those):
    assert matched(pattern, texts) == those


def test_line_ends():
    assert java_pattern(r"a\R").fullmatch("a\r\n")
    assert java_pattern(r"a\R").fullmatch("a\u2028")
    assert java_pattern(r"a\Z\n").fullmatch("a\n")


@pytest.mark.parametrize(
    "pattern",
    [
        "(", "[", "[a", "a)", "*", r"\p{L}", r"\p{Nope}", r"\p{h}", r"\j", "\\", "[z-a]", "(?P<n>a)", "(?#no)",
        "a(?i)b", "(?x)a",
        r"[\b]", r"[a-\d]", "[&&]", r"\x{ffffff}", "a{99999999999}",
        "[" * 5000, "(" * 5000, r"(?<1>a)", r"\k<n>", "(?q)a",
    ],
    ids=range(25),
)  # fmt: skip
def test_what_is_refused(pattern):
    with pytest.raises(ValueError, match=r"\w"):
        java_pattern(pattern)


@given(st.text(alphabet=r"ab-&|~^[](){}\\?*+.pPQE<>1dx:=!,$", max_size=20))
def test_any_text_is_a_pattern_or_refused(pattern):
    try:
        compiled = java_pattern(pattern)
    except ValueError as error:
        assert str(error)
    else:
        assert isinstance(compiled, re.Pattern)


@given(st.text(max_size=20))
def test_quoted_text_matches_itself_alone(text):
    assume("\\E" not in text)
    assert java_pattern(f"\\Q{text}\\E").fullmatch(text)
    assert not java_pattern(f"\\Q{text}\\E").fullmatch(f"{text}x")
