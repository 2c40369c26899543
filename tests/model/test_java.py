"""Coercions and number forms of the original's JSON library."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronos_py.model import java
from tests.strategies import json_values


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.1, "0.1"), (1.0, "1.0"), (128.0, "128.0"), (1024.0, "1024.0"), (0.0, "0.0"), (-0.5, "-0.5"),
        (9999999.0, "9999999.0"), (1e7, "1.0E7"), (12345678.0, "1.2345678E7"), (-1e7, "-1.0E7"), (1e21, "1.0E21"),
        (0.001, "0.001"), (0.0001, "1.0E-4"), (0.00012, "1.2E-4"), (1e-300, "1.0E-300"), (1.5e300, "1.5E300"),
    ],
)  # fmt: skip
def test_doubles_print_as_in_java(number, text):
    assert java.double_text(number) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_printed_double_reads_back_as_the_same_number(number):
    text = java.double_text(number)
    assert json.loads(text) == number
    assert "." in text
    assert "+" not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), (5, "5"), (-0.5, "-0.5"), (1e7, "1.0E7"), (True, "true"), (False, "false"), ([1], ""), ({"a": 1}, "")],
)
def test_texts(value, text):
    assert java.text(value) == text


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("5", 5), (" 5 ", 5), ("-3.9", -3), ("+7", 7), ("", 0), ("x", 0), ("1e3", 0), ("٣", 0), (2.9, 2), (-2.9, -2),
        (True, 1), (None, 0), ([], 0), (10**30, java.LONG), (-(10**30), -java.LONG - 1), ("9" * 5000, 0),
        (float("inf"), 0),
    ],
)  # fmt: skip
def test_whole_numbers(value, number):
    assert java.integer(value) == number


def test_whole_numbers_stay_within_what_java_holds():
    assert java.integer(2**40, java.INT) == 2**31 - 1
    assert java.integer("-9999999999", java.INT) == -(2**31)


@pytest.mark.parametrize(
    ("value", "number"),
    [("0.5", 0.5), (2, 2.0), (0, 7.0), ("0", 7.0), ("x", 7.0), (None, 7.0), ([], 7.0), ("nan", 7.0), ("1e999", 7.0),
     (10**400, 7.0), (-1, -1.0)],
)  # fmt: skip
def test_doubles_of_zero_or_nonsense_are_the_default(value, number):
    assert java.double(value, 7.0) == number


@pytest.mark.parametrize(
    ("value", "truth"),
    [(True, True), ("true", True), (" true\n", True), ("TRUE", False), ("yes", False), (1, True), (-1, True),
     (0, False), (1.0, False), ([], False), ({}, False)],
)  # fmt: skip
def test_truth_values(value, truth):
    assert java.truth(value) is truth


@pytest.mark.parametrize(
    ("value", "json_text"),
    [
        ('a"b\\c', r'"a\"b\\c"'), ("\n\t\r\b\f", r'"\n\t\r\b\f"'), ("\x01\x1f", r'"\u0001\u001F"'),
        ("a/b", '"a/b"'), ("äß\U0001f600\x7f", '"äß\U0001f600\x7f"'),
    ],
)  # fmt: skip
def test_strings_are_raw_except_for_control_characters(value, json_text):
    assert java.string_json(value) == json_text


@given(st.text())
def test_a_printed_string_reads_back_the_same(text):
    assert json.loads(java.string_json(text)) == text


@given(json_values)
def test_no_value_makes_a_coercion_fail(value):
    java.text(value).encode("utf-8")
    assert -(2**63) <= java.integer(value) < 2**63
    assert java.double(value, 1.0) not in (0.0, float("inf"), float("-inf"))
    assert java.truth(value) in (True, False)
    assert isinstance(java.items(value), list)


def test_half_a_surrogate_pair_becomes_a_question_mark():
    assert java.text("a\ud800b") == "a?b"
