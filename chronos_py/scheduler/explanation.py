"""Why an attempt was placed where it was: one short text (JSON), kept with the run and then with its attempt's record.

candidates   places that met the hard rules but for room
rank         what decided between the chosen one and the next in order: one of `Rank`
share        the chosen one's dominant share in use before
next         the next in order: its agent, and its share
avoided      agents that the run avoids, and how strongly (`retry.weights`), when there are any
taken        what the task took, by the role that it is reserved for; `*` is for what is anybody's
waited       milliseconds since the run was due, or had made room for another
held_up      what stood in its way last: a cause, and a sentence
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from chronos_py.clock import Millis
from chronos_py.model.resources import Resources

LONGEST = 2000  # bytes of a text
SENTENCE = 300  # characters of what stood in the way
FEW = 10  # agents that are named


class Rank(StrEnum):
    """What decided: the whole list, in the order in which it is asked."""

    ONLY = "only"  # there was no other
    ROOM = "room"  # the next in order has no room for it
    AVOIDANCE = "avoidance"  # an attempt of the run failed on the other
    LAST_RESORT = "last_resort"  # nothing else had room: the least avoided of those that the run avoids
    HEALTH = "health"  # many attempts in a row failed on the other
    MAINTENANCE = "maintenance"  # the other is soon to go down
    SCARCITY = "scarcity"  # the other has GPUs, which the task does not need
    BALANCE = "balance"  # more of the other is in use
    ORDER = "order"  # both are alike


class Choice(NamedTuple):
    """What a placement was chosen from; shares are without the ranks' steps."""

    rank: Rank
    candidates: int
    share: float
    other: str = ""  # the next in order
    other_share: float = 0.0


@lru_cache(maxsize=10_000)
def _shown(amount: Resources) -> str:
    return str(amount)


def explain(
    choice: Choice,
    taken: Mapping[str, Resources],
    avoided: Mapping[str, float],
    waited: Millis,
    held_up: tuple[str, str] | None = None,
) -> str:
    """Return the text; what would make it too long is left out."""
    form: dict[str, Any] = {
        "candidates": choice.candidates,
        "rank": choice.rank.value,
        "share": round(choice.share, 4),
        "taken": {role: _shown(amount) for role, amount in list(taken.items())[:FEW]},
        "waited": max(0, waited),
    }
    if choice.other:
        form["next"] = {"agent": choice.other, "share": round(choice.other_share, 4)}
    if avoided:
        form["avoided"] = {agent: round(weight, 4) for agent, weight in list(avoided.items())[:FEW]}
    if held_up is not None:
        form["held_up"] = {"code": held_up[0], "sentence": held_up[1][:SENTENCE]}
    data = orjson.dumps(form)
    if len(data) > LONGEST:  # agents' ids may be of any length
        few = ("candidates", "rank", "share", "waited")
        data = orjson.dumps({name: form[name] for name in few})
    return data.decode()


def read(text: str) -> dict[str, Any] | None:
    """Return what a text says, None for none, or for one that nobody can read."""
    try:
        form = orjson.loads(text) if text else None
    except ValueError:
        return None
    return form if isinstance(form, dict) else None


def sentence(form: Mapping[str, Any]) -> str:
    """Say it for people."""
    other = form.get("next") or {}
    mine, theirs = f"{form.get('share', 0):.0%}", f"{other.get('share', 0):.0%}"
    name = other.get("agent", "the next")
    said: dict[str, str] = {
        Rank.ONLY: "no other agent was fit for it",
        Rank.ROOM: f"the next in order, {name}, had no room for it",
        Rank.AVOIDANCE: f"an attempt of the run failed on {name}",
        Rank.LAST_RESORT: "no agent had room but those on which an attempt failed; of them the least avoided",
        Rank.HEALTH: f"many attempts in a row failed on {name}",
        Rank.MAINTENANCE: f"{name} is soon to go down for maintenance",
        Rank.SCARCITY: f"{name} has GPUs, which it does not need",
        Rank.BALANCE: f"{mine} of it was in use, and {theirs} of the next, {name}",
        Rank.ORDER: f"{mine} of it was in use, as of {name}",
    }
    text = said.get(str(form.get("rank")), "")
    held = form.get("held_up")
    return f"{text}; before, {held.get('sentence')}" if isinstance(held, dict) else text
