"""What is taken from whose part of an agent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chronos_py.model.pools import ResourceOrder, split
from chronos_py.model.resources import Resources

amounts = st.builds(Resources, *[st.integers(0, 50)] * 5)
pools = st.dictionaries(st.sampled_from(["*", "a", "b"]), amounts)


def test_orders() -> None:
    order = ResourceOrder("shared", {"film": "reserved"})
    assert order.of(["news", "film"]) == ["film", "*", "news"]
    assert order.of(["news", "film"], "reserved") == ["news", "film", "*"]
    assert order.of(["*", "news", "film"], "shared") == ["*", "news", "film"]


@given(amounts, pools, st.permutations(["*", "a", "b"]))
def test_what_there_is_is_taken_in_order_and_nothing_else(
    need: Resources, there: dict[str, Resources], order: list[str]
) -> None:
    taken = split(need, there, order)
    for kind in ("cpus", "mem", "disk", "gpus", "ports"):
        parts = {role: getattr(taken.get(role, Resources()), kind) for role in order}
        have = {role: getattr(there.get(role, Resources()), kind) for role in order}
        assert sum(parts.values()) == min(getattr(need, kind), sum(have.values()))
        assert all(parts[role] <= have[role] for role in order)
        used = [role for role in order if parts[role]]
        assert all(parts[role] == have[role] for role in order[: order.index(used[-1])] if used) if used else True
