"""Nothing lost, nothing doubled: random histories with crashes at every point of a turn."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulator import simulate

SEEDS = range(60)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_run_is_accounted_for_exactly_once(seed: int) -> None:
    world = simulate(seed)
    assert world.verdict() == []
    assert world.driver.launched


def test_the_same_seed_gives_the_same_history() -> None:
    assert simulate(7).log == simulate(7).log


def test_the_histories_have_crashes_at_every_point() -> None:
    points: Counter[str] = Counter()
    for seed in range(100, 130):
        points.update(simulate(seed, trouble=0.02).crashes)
    expected = {"before commit", "after commit", "store unavailable"}
    expected |= {f"before {effect}" for effect in ("Launch", "Acknowledge", "Kill", "Reconcile")}
    assert expected <= set(points)
