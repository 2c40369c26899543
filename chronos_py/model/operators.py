"""The operators of constraints: Chronos's three, Marathon's, and comparisons of numbers.

EQUALS, LIKE and UNLIKE are as in Chronos. IS is Marathon's: equal as values, numbers included. CLUSTER, GROUP_BY,
UNIQUE and MAX_PER are Marathon's, too, and look at where the job's other runs are. The rest compare numbers.
"""

from __future__ import annotations

import math
import re

PATTERNS = frozenset({"LIKE", "UNLIKE"})
NUMERIC = frozenset({"<", "<=", ">", ">="})
RELATIVE = frozenset({"CLUSTER", "GROUP_BY", "UNIQUE", "MAX_PER"})  # to where the job's other runs are
WITHOUT_VALUE = frozenset({"CLUSTER", "GROUP_BY", "UNIQUE"})  # may stand without a value
OPERATORS = ("EQUALS", "LIKE", "UNLIKE", "IS", "CLUSTER", "GROUP_BY", "UNIQUE", "MAX_PER", "<", "<=", ">", ">=")

_DECIMAL = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_COUNT = re.compile(r"[1-9]\d{0,8}", re.ASCII)


def decimal(text: str) -> float | None:
    """Return the number that a text is, None when it is none."""
    if len(text) > 400 or not _DECIMAL.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def wrong_value(operator: str, value: str) -> str:
    """Say what is wrong with an operator's value, nothing when it is right; patterns are not looked at."""
    if operator in NUMERIC and decimal(value) is None:
        return f"{operator} needs a number"
    if operator == "MAX_PER" and not _COUNT.fullmatch(value):
        return "MAX_PER needs a whole number from 1 to 999999999"
    if operator == "GROUP_BY" and value and not _COUNT.fullmatch(value):
        return "GROUP_BY takes a whole number from 1 to 999999999, or nothing"
    if operator == "UNIQUE" and value:
        return "UNIQUE takes no value"
    return ""
