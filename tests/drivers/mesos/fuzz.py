"""Messages that are almost right: one place of a good one holds something else, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

from tests.strategies import json_values

Path = tuple[str | int, ...]
_odd = json_values | st.sampled_from(
    [float("nan"), float("inf"), -1, 2**64, 10**400, "", "*", [None], [[]], {"value": None}]
)


def _places(value: Any, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from _places(item, (*path, key))


@st.composite
def damaged(draw: st.DrawFn, good: Any) -> Any:
    """Return a strategy for copies of `good` with one place changed or taken out."""
    copy = deepcopy(good)
    path = draw(st.sampled_from(list(_places(good))))
    holder = copy
    for key in path[:-1]:
        holder = holder[key]
    if draw(st.booleans()):
        holder[path[-1]] = draw(_odd)
    else:
        del holder[path[-1]]
    return copy
