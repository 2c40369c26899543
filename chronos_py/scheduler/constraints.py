"""A job's demands on an agent's attributes, by the rules of Chronos."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chronos_py.model.job import Constraint
from chronos_py.model.patterns import java_pattern

OPERATORS = ("EQUALS", "LIKE", "UNLIKE")


def _texts(value: object) -> list[str] | None:
    """Return what LIKE compares with: a text, a scalar printed as decimal, or a set's items; None for ranges."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, bool):
        return [str(value).lower()]
    if isinstance(value, int | float):
        return [repr(float(value))]
    if isinstance(value, list | tuple | set | frozenset) and all(isinstance(item, str) for item in value):
        return list(value)
    return None


def holds(constraint: Constraint, attributes: Mapping[str, Any], host: str) -> bool:
    """Tell whether an agent meets one constraint. `hostname` means the agent's host unless it has such an attribute.

    EQUALS compares text attributes only. LIKE must match the whole text. UNLIKE is its negation, but an agent without
    the attribute does not meet it.
    """
    value = attributes.get(constraint.attribute)
    if value is None and constraint.attribute == "hostname":
        value = host
    if value is None:
        return False
    if constraint.operator == "EQUALS":
        return isinstance(value, str) and value == constraint.value
    texts = _texts(value)
    if texts is None:
        return False
    try:
        pattern = java_pattern(constraint.value)
    except ValueError:
        return False  # of a job that came into the store unchecked: no agent will do
    like = any(pattern.fullmatch(text) for text in texts)
    return like if constraint.operator == "LIKE" else not like


def first_unmet(constraints: Iterable[Constraint], attributes: Mapping[str, Any], host: str) -> Constraint | None:
    """Return the first constraint that an agent does not meet, or None when it meets them all."""
    return next((constraint for constraint in constraints if not holds(constraint, attributes, host)), None)
