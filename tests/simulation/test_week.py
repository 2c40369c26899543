"""The week of benchmarks/week.py, scaled down: two hours, of which the second is a tenfold peak."""

from __future__ import annotations

import os

import pytest

from benchmarks.week import Scale, play, problems
from chronos_py.model.statistics import percentile

SMALL = Scale(hours=2, peak=1, jobs=500, agents=5)
WHOLE = os.environ.get("CHRONOS_PY_WHOLE_WEEK")  # takes from twenty minutes to an hour


@pytest.mark.timeout(7200)
def test_nothing_is_lost_the_urgent_start_at_once_and_the_cluster_is_full_and_balanced():
    scale = Scale() if WHOLE else SMALL
    world, seen, wanted, _ = play(scale)
    assert problems(seen, wanted) == []
    assert sum(seen.due_times.values()) == sum(wanted.values()) > (3_500_000 if WHOLE else 10_000)
    assert not world.engine.book.runs
    assert seen.most_running >= 40 * scale.agents
    assert seen.failed > 0.04 * (seen.attempts - seen.preempted)
    assert seen.retries > 300
    assert seen.preempted > 50
    assert (percentile(seen.urgent_waits["peak"], 0.99) or 0) < 1000
    assert seen.used_in_peak > 0.9 * seen.had_in_peak
    assert len(seen.balance) > 100
    assert min(seen.balance) >= 0.95
