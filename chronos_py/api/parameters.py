"""What the query of an address says, checked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from flask import request

from chronos_py.clock import Millis
from chronos_py.errors import InvalidInput
from chronos_py.model.job import Pair

EARLIEST: Millis = -2_208_988_800_000  # 1900
LATEST: Millis = 253_086_940_800_000  # 9990: what is days later still has a date


def _plain(text: str) -> str:
    """Return a number's text. Raises ValueError for what only Python takes for a number: `1_000`, other digits."""
    if "_" in text or not text.isascii():
        raise ValueError(text)
    return text


def number(name: str, default: int, low: int, high: int) -> int:
    """Return a whole number from the query. Raises InvalidInput."""
    text = request.args.get(name, "")
    if not text:
        return default
    try:
        value = int(_plain(text))
    except ValueError:
        raise InvalidInput(name, text, "must be a whole number") from None
    if not low <= value <= high:
        raise InvalidInput(name, text, f"must be from {low} to {high}")
    return value


def choice(name: str, choices: Any, default: str | None = None) -> str | None:
    """Return one of some words. Raises InvalidInput."""
    text = request.args.get(name) or default
    if text is not None and text not in tuple(choices):
        raise InvalidInput(name, text, f"must be one of {', '.join(choices)}")
    return text


def instant(name: str) -> Millis | None:
    """Return an instant, by ISO 8601; without a zone it is UTC. What is before 1900 or after 9990 is taken for that
    year's beginning: nothing is beyond. Raises InvalidInput."""
    text = request.args.get(name, "")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return min(max(int(moment.timestamp() * 1000), EARLIEST), LATEST)
    except (ValueError, OverflowError):
        raise InvalidInput(name, text, "must be an ISO 8601 date and time") from None


def amount(name: str, default: float, low: float, high: float) -> float:
    """Return a number. Raises InvalidInput."""
    text = request.args.get(name, "")
    try:
        value = float(_plain(text)) if text else default
    except ValueError:
        raise InvalidInput(name, text, "must be a number") from None
    if not low <= value <= high:
        raise InvalidInput(name, text, f"must be from {low:g} to {high:g}")
    return value


def words(name: str, choices: Sequence[str]) -> tuple[str, ...]:
    """Return some of some words, separated by commas, each once. Raises InvalidInput."""
    found = tuple(dict.fromkeys(word for word in request.args.get(name, "").split(",") if word))
    for word in found:
        if word not in choices:
            raise InvalidInput(name, word, f"must be of {', '.join(choices)}")
    return found


def labels(name: str) -> tuple[Pair, ...]:
    """Return labels, each `name=value`; the parameter may be there several times. Raises InvalidInput."""
    pairs = []
    for text in request.args.getlist(name):
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise InvalidInput(name, text, "must be name=value")
        pairs.append(Pair(key, value))
    return tuple(pairs)


def wants_csv() -> bool:
    """Tell whether the answer is to be CSV: `format=csv`, or what the caller accepts. Raises InvalidInput."""
    chosen = choice("format", ("json", "csv"))
    if chosen is not None:
        return chosen == "csv"
    return request.accept_mimetypes.best_match(("application/json", "text/csv")) == "text/csv"
