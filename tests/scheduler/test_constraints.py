"""An agent's attributes against a job's constraints."""

from __future__ import annotations

import pytest

from chronos_py.model.job import Constraint
from chronos_py.scheduler.constraints import first_unmet, holds


@pytest.mark.parametrize(
    ("operator", "pattern", "value", "met"),
    [
        ("LIKE", r"r\p{Digit}", "r1", True), ("LIKE", r"r\p{Digit}", "xr1", False),
        ("UNLIKE", r"r\p{Digit}", "r1", False), ("UNLIKE", r"r\p{Digit}", "x", True),
        ("LIKE", r"4\.0", 4, True), ("LIKE", "b", ["a", "b"], True), ("UNLIKE", "b", ["a", "b"], False),
        ("LIKE", ".*", [{"begin": 1}], False), ("UNLIKE", ".*", [{"begin": 1}], False), ("UNLIKE", "a", [], True),
        ("LIKE", "true", True, True), ("EQUALS", "a", "a", True), ("EQUALS", "1", 1, False),
    ],
)  # fmt: skip
def test_operators(operator, pattern, value, met):
    constraint = Constraint("a", operator, pattern)
    assert holds(constraint, {"a": value}, "h") is met
    assert first_unmet([constraint], {"a": value}, "h") == (None if met else constraint)


def test_the_host_and_missing_attributes():
    assert holds(Constraint("hostname", "LIKE", "h[0-9]"), {}, "h1")
    assert not holds(Constraint("rack", "UNLIKE", "a"), {}, "h1")


@pytest.mark.parametrize("operator", ["LIKE", "UNLIKE"])
def test_a_pattern_that_takes_too_long_is_not_met_and_says_so(operator):
    unmet = first_unmet([Constraint("rack", operator, "(a|aa)+[b]")], {"rack": "a" * 100}, "h")
    assert unmet == Constraint("rack", operator, "(a|aa)+[b] (the pattern takes too long)")


@pytest.mark.parametrize("operator", ["LIKE", "UNLIKE"])
def test_a_stored_pattern_that_cannot_be_used_is_not_met_and_says_so(operator):
    unmet = first_unmet([Constraint("rack", operator, "(?x)a")], {"rack": "a"}, "h")
    assert unmet
    assert unmet.value == "(?x)a (the pattern cannot be used: the flag x is not supported)"
