"""What the query of an address says, checked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from flask import request

from chronos_py.clock import Millis
from chronos_py.errors import InvalidInput


def number(name: str, default: int, low: int, high: int) -> int:
    """Return a whole number from the query. Raises InvalidInput."""
    text = request.args.get(name, "")
    if not text:
        return default
    try:
        value = int(text)
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
    """Return an instant, by ISO 8601; without a zone it is UTC. Raises InvalidInput."""
    text = request.args.get(name, "")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise InvalidInput(name, text, "must be an ISO 8601 date and time") from None


def amount(name: str, default: float, low: float, high: float) -> float:
    """Return a number. Raises InvalidInput."""
    text = request.args.get(name, "")
    try:
        value = float(text) if text else default
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


def wants_csv() -> bool:
    """Tell whether the answer is to be CSV: `format=csv`, or what the caller accepts. Raises InvalidInput."""
    chosen = choice("format", ("json", "csv"))
    if chosen is not None:
        return chosen == "csv"
    return request.accept_mimetypes.best_match(("application/json", "text/csv")) == "text/csv"
