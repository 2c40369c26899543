"""A job's demands on an agent's attributes: by the rules of Chronos, and beyond its operators by Marathon's.

Marathon's CLUSTER, GROUP_BY, UNIQUE and MAX_PER compare an agent's value of the attribute with those of the agents on
which other runs of the job are:

| operator | an agent is fit when |
|---|---|
| UNIQUE | no other run has its value |
| MAX_PER n | fewer than n other runs have its value |
| CLUSTER v | all other runs have its value, and it is v when v is given |
| GROUP_BY n | no other run has its value; or no value has fewer runs, and at least n values (1) have some |

Source: `mesosphere.mesos.Constraints` of Marathon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from operator import ge, gt, le, lt
from typing import Any

from chronos_py.model.job import Constraint
from chronos_py.model.operators import NUMERIC, PATTERNS, RELATIVE, decimal
from chronos_py.model.patterns import matches

HOST = frozenset({"hostname", "@hostname"})  # names of the agent's host, unless it has such an attribute
AGENT = "@agent"  # the agent's id, likewise

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}


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


def value_of(attribute: str, attributes: Mapping[str, Any], host: str, agent: str = "") -> Any:
    """Return an agent's value of an attribute, or of a pseudo attribute; None when it has none."""
    value = attributes.get(attribute)
    if value is None and attribute in HOST:
        return host
    if value is None and attribute == AGENT:
        return agent or None
    return value


def spot(attribute: str, attributes: Mapping[str, Any], host: str, agent: str) -> str:
    """Return the text by which an agent's value is told from others'; empty when it has none."""
    value = value_of(attribute, attributes, host, agent)
    if value is None:
        return ""
    texts = _texts(value)
    return str(value) if texts is None else ",".join(sorted(texts))


def _number(value: object) -> float | None:
    if isinstance(value, str):
        return decimal(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _is(value: object, wanted: str) -> bool:
    """Tell whether a value is the one that a text stands for: the same text, number, or set (`{a,b}`)."""
    if isinstance(value, list | tuple | set | frozenset):
        if not (wanted.startswith("{") and wanted.endswith("}")):
            return False
        return {str(item) for item in value} == {part.strip() for part in wanted[1:-1].split(",") if part.strip()}
    if isinstance(value, str):
        return value == wanted
    number, other = _number(value), decimal(wanted)
    return number is not None and number == other


def holds(constraint: Constraint, attributes: Mapping[str, Any], host: str, agent: str = "") -> bool:
    """Tell whether an agent meets one constraint as far as the agent itself goes.

    EQUALS compares text attributes only. LIKE must match the whole text. UNLIKE is its negation, but an agent without
    the attribute does not meet it. A pattern that takes too long to tell meets neither. IS compares values. Numbers
    are compared with numbers, and with texts that are numbers.
    """
    operator, value = constraint.operator, value_of(constraint.attribute, attributes, host, agent)
    if value is None:
        return False
    if operator == "EQUALS":
        return isinstance(value, str) and value == constraint.value
    if operator not in PATTERNS:
        return _holds_otherwise(operator, value, constraint.value)
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


def _holds_otherwise(operator: str, value: Any, wanted: str) -> bool:
    """Judge all operators but Chronos's own."""
    if operator in NUMERIC:
        number, bound = _number(value), decimal(wanted)
        return number is not None and bound is not None and _COMPARE[operator](number, bound)
    if operator == "IS" or (operator == "CLUSTER" and wanted):
        return _is(value, wanted)
    return operator in RELATIVE


def suits(constraint: Constraint, value: str, others: Mapping[str, int]) -> bool:
    """Tell whether a run may go where the attribute has a value, given how many `others` are at which value."""
    here = others.get(value, 0)
    match constraint.operator:
        case "UNIQUE":
            return not here
        case "MAX_PER":
            return constraint.value.isdecimal() and here < int(constraint.value)
        case "CLUSTER":
            return not others or set(others) == {value}
        case "GROUP_BY":
            least = int(constraint.value) if constraint.value.isdecimal() else 1
            return not here or (len(others) >= least and here == min(others.values()))
    return True


def relative(constraints: Iterable[Constraint]) -> tuple[Constraint, ...]:
    """Return the constraints that look at where the job's other runs are."""
    return tuple(constraint for constraint in constraints if constraint.operator in RELATIVE)


def _explained(constraint: Constraint, attributes: Mapping[str, Any], host: str) -> Constraint:
    """Return an unmet constraint, its value followed by the reason when no agent is to blame for it."""
    if constraint.operator not in PATTERNS:
        return constraint
    value = value_of(constraint.attribute, attributes, host)
    try:
        slow = any(matches(constraint.value, text) is None for text in _texts(value) or ())
    except ValueError as error:
        return replace(constraint, value=f"{constraint.value} (the pattern cannot be used: {error})")
    return replace(constraint, value=f"{constraint.value} (the pattern takes too long)") if slow else constraint


def first_unmet(
    constraints: Iterable[Constraint], attributes: Mapping[str, Any], host: str, agent: str = ""
) -> Constraint | None:
    """Return the first constraint that an agent does not meet, or None when it meets them all.

    Its value is followed by a reason, in brackets, when the pattern itself is unusable or takes too long.
    """
    for constraint in constraints:
        if not holds(constraint, attributes, host, agent):
            return _explained(constraint, attributes, host)
    return None
