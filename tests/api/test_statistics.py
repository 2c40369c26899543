"""Percentiles as Dropwizard counts them, durations as the original prints them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronos_py.api.statistics import QUANTILES, attempt_json, duration_text, histogram, quantile
from chronos_py.model.history import AttemptRecord
from chronos_py.model.run import Outcome
from tests.fakes import NEW_YEAR

samples = st.lists(st.integers(0, 10**9), max_size=50)


@pytest.mark.parametrize(
    ("values", "share", "result"),
    [
        ([], 0.5, 0.0), ([7], 0.5, 7.0), ([7], 0.99, 7.0), ([1, 2], 0.5, 1.5), ([1, 2, 3, 4, 5], 0.5, 3.0),
        ([1, 2, 3, 4, 5], 0.75, 4.5), ([1, 2, 3, 4, 5], 0.95, 5.0), ([1, 2, 3, 4, 5], 0.0, 1.0),
    ],
)  # fmt: skip
def test_quantiles(values, share, result):
    assert quantile(values, share) == result


@given(samples)
def test_percentiles_grow_and_stay_within_the_samples(values):
    figures = list(histogram(values).values())
    assert figures[:4] == sorted(figures[:4])
    assert all(min(values, default=0) <= figure <= max(values, default=0) for figure in figures[:6])
    assert figures[4] == figures[5]
    assert figures[6] == len(values)
    assert list(histogram(values)) == [*QUANTILES, "median", "mean", "count"]


@pytest.mark.parametrize(
    ("millis", "text"),
    [(0, "0s"), (999, "0s"), (5000, "5s"), (60_000, "1m0s"), (3_723_000, "1h2m3s"), (3_600_000, "1h0s"), (-5, "0s"),
     (90_000_000, "25h0s")],
)  # fmt: skip
def test_durations(millis, text):
    assert duration_text(millis) == text


def test_an_attempt_that_never_started_counts_from_its_launch():
    attempt = AttemptRecord(
        1, 0, 'ct:1:0:a"b:', 'a"b', "", "", NEW_YEAR, None, NEW_YEAR + 2000, Outcome.LOST, "TASK_LOST"
    )
    text = attempt_json(attempt, 5)
    assert r'"taskId":"ct:1:0:a\"b:"' in text
    assert text.endswith('"duration":"2s","status":"Fail","numElementsProcessed":5}')
