"""A job's demands on an agent's attributes, by the rules of Chronos."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from chronos_py.model.job import Constraint
from chronos_py.model.patterns import matches

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
    the attribute does not meet it. A pattern that takes too long to tell meets neither.
    """
    value = attributes.get(constraint.attribute)
    if value is None and constraint.attribute == "hostname":
        value = host
    if value is None:
        return False
    if constraint.operator == "EQUALS":
        return isinstance(value, str) and value == constraint.value
    like: bool | None = False
    try:
        if isinstance(value, str):  # nearly always
            like = matches(constraint.value, value)
        else:
            texts = _texts(value)
            if texts is None:
                return False
            for text in texts:
                like = matches(constraint.value, text)
                if like is not False:
                    break
    except ValueError:
        return False  # of a job that came into the store unchecked: no agent will do
    if like is None:
        return False  # neither is known to hold
    return like if constraint.operator == "LIKE" else not like


def _explained(constraint: Constraint, attributes: Mapping[str, Any], host: str) -> Constraint:
    """Return an unmet constraint, its value followed by the reason when no agent is to blame for it."""
    if constraint.operator == "EQUALS":
        return constraint
    value = attributes.get(constraint.attribute, host if constraint.attribute == "hostname" else None)
    try:
        slow = any(matches(constraint.value, text) is None for text in _texts(value) or ())
    except ValueError as error:
        return replace(constraint, value=f"{constraint.value} (the pattern cannot be used: {error})")
    return replace(constraint, value=f"{constraint.value} (the pattern takes too long)") if slow else constraint


def first_unmet(constraints: Iterable[Constraint], attributes: Mapping[str, Any], host: str) -> Constraint | None:
    """Return the first constraint that an agent does not meet, or None when it meets them all.

    Its value is followed by a reason, in brackets, when the pattern itself is unusable or takes too long.
    """
    for constraint in constraints:
        if not holds(constraint, attributes, host):
            return _explained(constraint, attributes, host)
    return None
