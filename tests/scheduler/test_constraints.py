"""An agent's attributes against a job's constraints."""

from __future__ import annotations

import pytest

from chronos_py.model.job import Constraint
from chronos_py.scheduler.constraints import first_unmet, holds, spot, suits


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


@pytest.mark.parametrize(
    ("operator", "wanted", "value", "met"),
    [
        ("IS", "a", "a", True), ("IS", "a", "b", False), ("IS", "4", 4.0, True), ("IS", "4.0", 4, True),
        ("IS", "4", 5, False), ("IS", "{b, a}", ["a", "b"], True), ("IS", "{a}", ["a", "b"], False),
        ("IS", "a", ["a"], False), ("IS", "true", True, False), ("<", "5", 4, True), ("<", "4", 4, False),
        ("<=", "4", "4.0", True), (">", "3", "4", True), (">=", "4", "x", False), (">=", "x", 4, False),
        (">=", "4", [4], False), (">", "0", True, False), ("CLUSTER", "a", "a", True), ("CLUSTER", "a", "b", False),
        ("CLUSTER", "", "b", True), ("UNIQUE", "", "b", True), ("GROUP_BY", "", 4, True), ("MAX_PER", "1", "b", True),
    ],
)  # fmt: skip
def test_more_operators(operator, wanted, value, met):
    assert holds(Constraint("a", operator, wanted), {"a": value}, "h", "agent-1") is met
    assert not holds(Constraint("b", operator, wanted), {"a": value}, "h", "agent-1")


def test_pseudo_attributes():
    assert holds(Constraint("@agent", "IS", "agent-1"), {}, "h", "agent-1")
    assert holds(Constraint("@hostname", "LIKE", "h"), {}, "h", "agent-1")
    assert not holds(Constraint("@agent", "UNLIKE", "a"), {}, "h")
    assert not holds(Constraint("hostname", "EQUALS", "h"), {"hostname": "other"}, "h")


@pytest.mark.parametrize(
    ("operator", "value", "others", "fit"),
    [
        ("UNIQUE", "", {}, "abc"), ("UNIQUE", "", {"a": 1}, "bc"), ("MAX_PER", "2", {"a": 1, "b": 2}, "ac"),
        ("CLUSTER", "", {}, "abc"), ("CLUSTER", "", {"b": 3}, "b"), ("CLUSTER", "", {"a": 1, "b": 1}, ""),
        ("GROUP_BY", "", {}, "abc"), ("GROUP_BY", "", {"a": 1}, "abc"), ("GROUP_BY", "2", {"a": 1}, "bc"),
        ("GROUP_BY", "", {"a": 2, "b": 1}, "bc"), ("GROUP_BY", "3", {"a": 1, "b": 1}, "c"),
        ("GROUP_BY", "3", {"a": 2, "b": 2, "c": 1}, "c"), ("MAX_PER", "x", {}, ""),
    ],
)  # fmt: skip
def test_where_a_run_may_go_beside_others(operator, value, others, fit):
    constraint = Constraint("rack", operator, value)
    assert "".join(rack for rack in "abc" if suits(constraint, rack, others)) == fit


def test_what_tells_agents_apart():
    assert spot("rack", {"rack": 4}, "h", "a") == "4.0"
    assert spot("rack", {"rack": ("b", "a")}, "h", "a") == "a,b"
    assert (spot("hostname", {}, "h", "a"), spot("@agent", {}, "h", "a"), spot("x", {}, "h", "a")) == ("h", "a", "")


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
