from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from chronos_py.simulation.chance import Chance, draws


@given(st.integers(0, 2**53), st.text())
def test_draws_are_shares_and_depend_on_nothing_else(seed, key):
    first, second = draws(seed, key)
    assert 0 <= first < 1
    assert 0 <= second < 1
    assert draws(seed, key) == (first, second)


def test_draws_are_even_and_independent():
    found = [draws(3, f"task {number}") for number in range(4000)]
    quarters = Counter((int(2 * first), int(2 * second)) for first, second in found)
    assert len(quarters) == 4
    assert all(850 < count < 1150 for count in quarters.values())


def test_run_times_and_failures_are_a_jobs_own():
    chance = Chance(1, {"a": (10, 20, 30)}, usual=(7,), failing=1.0, failing_by_job={"a": 0.0})
    assert {chance.of("a", f"t{n}") for n in range(100)} == {(10, False), (20, False), (30, False)}
    assert chance.of("b", "t") == (7, True)


def test_what_is_left_of_a_task_that_runs():
    chance = Chance(1, {"a": (10_000, 20_000)})
    assert chance.rest("a", "t", 15_000) == (5000, False)
    assert chance.rest("a", "t", 50_000) == (5000, False)  # longer than any before: a tenth more
    assert chance.rest("b", "t", 0) == (60_000, False)
