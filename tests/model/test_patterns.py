"""Java's patterns in Python: what both know, what only Java knows, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from time import thread_time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chronos_py.model.java_regex import MAX_WEIGHT, NotARegex, UnsupportedRegex
from chronos_py.model.patterns import ALLOWANCE, JavaPattern, java_pattern, matches

VECTORS = Path(__file__).parents[1] / "vectors" / "java-patterns.jsonl"
# Where Java 17 itself is odd: a class that ends in && or mixes it with bare characters, \R in a repetition, possessive
# repetition of groups that can match in several ways, the capital sharp s.
DIFFERENT = {
    "(?iu)\xdf", r"\R{2}", r"[\p{L}.\W&&]*", r"[\s[a-m]&&[^m]|]++[&&\w-[def]\]][&&[^m][^a]&|]*?",
    r"(?<n>(?s-i:a|b\p{Upper}+a|b++a|b{1,2}?){1,2}?)*?(?=\b++(?=,\s??){0,}\012{1,2})?"
    r"(?i:(?<![^__]?+)[bA\x41-\x45A]??)\p{XDigit}?+",
}  # fmt: skip


def matched(pattern, texts):
    """Return those of the texts, parted by blanks, that a pattern matches as a whole."""
    return " ".join(text for text in texts.split(" ") if matches(pattern, text))


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
    assert java_pattern(r"a\R").matches("a\r\n")
    assert java_pattern(r"a\R").matches("a\u2028")
    assert java_pattern(r"a\Z\n").matches("a\n")


@pytest.mark.parametrize(
    "pattern",
    [
        "(", "[", "[a", "a)", "*", "a**", r"\p{Nope}", r"\p{h}", r"\j", "\\", "[z-a]", "(?P<n>a)", "(?#no)",
        "a{,3}", "(?x)a",
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
        compiled = JavaPattern(pattern)
    except (NotARegex, UnsupportedRegex) as error:
        assert str(error)
    else:
        assert compiled.matches("ab-1") in (True, False)


@given(st.text(max_size=20))
def test_quoted_text_matches_itself_alone(text):
    assume("\\E" not in text)
    assert java_pattern(f"\\Q{text}\\E").matches(text)
    assert not java_pattern(f"\\Q{text}\\E").matches(f"{text}x")


def test_real_javas_answers():
    unsupported = 0
    rows = [json.loads(line) for line in VECTORS.read_text().splitlines()]
    for row in rows:
        text = row["pattern"]
        try:
            pattern = JavaPattern(text)
        except UnsupportedRegex:
            unsupported += 1
            continue
        except NotARegex:
            assert not row["ok"], text
            continue
        if row["ok"] and text not in DIFFERENT:
            assert [one for one in row["matches"] if pattern.matches(one) is not True] == [], text
            assert [one for one in row["not"] if pattern.matches(one) is not False] == [], text
        assert row["ok"] or "(?<" in text, text  # looking behind without a bound is all that we take beyond Java
    assert unsupported < 0.06 * len(rows)


SLOW = ["(a|aa)+c", "(?:(?:a|aa)+)+c", r"(?=((?:a|aa)+)+c)a*", "(a?){60}(a|aa)+b"]


@pytest.mark.parametrize("text", SLOW)
def test_a_slow_pattern_takes_its_allowance_once_and_no_more(text):
    pattern = JavaPattern(text)
    begin = thread_time()
    assert [pattern.matches("a" * 200 + str(number)) for number in range(1000)][-1] is None
    assert thread_time() - begin < 20 * ALLOWANCE


def test_many_slow_patterns_take_less_and_less(monkeypatch):
    monkeypatch.setattr(JavaPattern, "slow", 0)
    for number in range(50):
        assert JavaPattern(f"(a|aa)+{number}b").matches("a" * 100) is None
    assert JavaPattern.slow == 50
    assert JavaPattern("a").allowance < ALLOWANCE / 40


@pytest.mark.parametrize(
    "text", ["(a+)+$", "(.*a){20}", "(x+x+)+y", "a" * MAX_WEIGHT, "|".join(f"host-{one}" for one in range(1000))]
)
def test_common_traps_are_answered(text):
    assert JavaPattern(text).matches("a" * 59 + "!") in (False, None)


@pytest.mark.parametrize(
    "text",
    ["((a{1000}){1000}){1000}", "a{3000000000}", "a{2000000000}", r"(?:\b){1000000000}a", "(?:|a){1000000000}",
     "a" * (MAX_WEIGHT + 1), "(" * 100 + ")" * 100],
    ids=range(7),
)  # fmt: skip
def test_what_would_be_huge_is_refused(text):
    with pytest.raises(ValueError, match=r"large|longer|deep|range"):
        JavaPattern(text)
