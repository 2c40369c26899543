"""Counters and histograms, and the two forms they are shown in."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry
from werkzeug.test import Client

from chronos_py.metrics import CountingOutbox, Histogram, Metrics, counting
from chronos_py.model.history import AttemptRecord, HistoryRecord, RunRecord
from chronos_py.model.run import Outcome, Trigger

RUN = RunRecord(1, "a", Trigger.SCHEDULE, 1000, 1000, 9000, Outcome.SUCCESS, attempts=1, started=1250, index=0)
ATTEMPT = AttemptRecord(1, 0, "t", "a", "agent", "host", 1000, 1250, 9000, Outcome.SUCCESS, "TASK_FINISHED")


def samples(metrics: Metrics) -> dict[str, float]:
    """Return all samples as a scraper sees them: name and labels -> value."""
    registry = CollectorRegistry()
    registry.register(metrics)
    text = generate_latest(registry).decode()
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {" ".join([sample.name, *(f"{k}={v}" for k, v in sample.labels.items())]): sample.value for sample in found}


def test_each_outcome_is_counted():
    metrics = Metrics()
    metrics.ended([RUN, replace(RUN, outcome=Outcome.FAILED), ATTEMPT, replace(ATTEMPT, outcome=Outcome.LOST)])
    found = samples(metrics)
    assert found["chronos_runs_ended_total outcome=success"] == 1
    assert found["chronos_runs_ended_total outcome=failed"] == 1
    assert found["chronos_runs_ended_total outcome=lost"] == 0
    assert found["chronos_attempts_ended_total outcome=lost"] == 1


def test_a_row_for_many_due_times_counts_as_many():
    metrics = Metrics()
    metrics.ended([replace(RUN, outcome=Outcome.SKIPPED, attempts=0, started=None, index=3, last_index=12)])
    assert metrics.runs[Outcome.SKIPPED].value == 10
    assert metrics.start_delay.count == 0


def test_delays_are_those_of_runs_that_needed_one_attempt():
    metrics = Metrics()
    metrics.ended([RUN, replace(RUN, attempts=2, started=99_000)])
    assert (metrics.start_delay.count, metrics.start_delay.total) == (1, 0.25)


def test_a_clock_that_was_set_back_gives_no_negative_times():
    metrics = Metrics()
    metrics.ended([replace(RUN, started=0), replace(ATTEMPT, started=0, ended=-5)])
    assert metrics.start_delay.total == metrics.launch.total == metrics.duration.total == 0


def test_turns_of_the_service_are_timed():
    metrics = Metrics()
    metrics.turn(3, 5, 0.001, 0.004)
    found = samples(metrics)
    assert (found["chronos_events_total"], found["chronos_changes_total"]) == (3, 5)
    assert found["chronos_turn_seconds_sum"] == pytest.approx(0.005)
    assert found["chronos_commit_seconds_bucket le=0.005"] == 1
    assert found["chronos_commit_seconds_bucket le=0.0025"] == 0


@given(st.lists(st.floats(0, 20)), st.floats(0, 1))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], share: float):
    histogram = Histogram([0.5, 1, 2, 5, 10])
    for value in values:
        histogram.observe(value)
    if not values:
        assert histogram.quantile(share) == 0
        return
    true = sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
    bounds = [0, *histogram.bounds, math.inf]
    low, high = next((low, high) for low, high in pairwise(bounds) if true <= high)
    assert low <= histogram.quantile(share) <= high or share * len(values) < 1
    assert histogram.quantile(share) <= max(values)


@given(st.lists(st.floats(0, 20)))
def test_every_value_is_in_one_bucket(values: list[float]):
    histogram = Histogram([0.5, 1, 2, 5, 10])
    for value in values:
        histogram.observe(value)
    expected = [sum(value <= bound for value in values) for bound in histogram.bounds]
    assert histogram.cumulated() == [*expected, len(values)]


def test_threads_do_not_lose_counts():
    metrics = Metrics()

    def answer_often() -> None:
        for _ in range(2000):
            metrics.answered(200, 0.01)

    threads = [threading.Thread(target=answer_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert metrics.requests["2xx"].value == metrics.answer.count == 16_000


def test_the_original_s_form_has_milliseconds():
    metrics = Metrics()
    metrics.ended([RUN])
    figures = metrics.dropwizard()
    assert figures["counters"]["chronos.runs.success"] == {"count": 1}
    assert figures["histograms"]["chronos.start_delay"]["mean"] == 250
    assert figures["histograms"]["chronos.start_delay"]["max"] == 250
    assert figures["gauges"]["jvm.memory.total.used"]["value"] > 0


class Kept:
    def __init__(self) -> None:
        self.items: list[tuple[int, HistoryRecord]] = []

    def submit(self, items: Sequence[tuple[int, HistoryRecord]]) -> None:
        self.items += items

    def lag(self) -> int:
        return len(self.items)


def test_what_is_handed_in_again_counts_once():
    metrics, kept = Metrics(), Kept()
    outbox = CountingOutbox(kept, metrics)
    outbox.submit([(1, RUN), (2, RUN)])
    outbox.submit([])
    outbox.submit([(2, RUN), (3, RUN)])
    assert metrics.runs[Outcome.SUCCESS].value == 3
    assert outbox.lag() == 4


def test_answers_are_counted_by_class():
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("404 NOT FOUND", [])
        return [b""]

    metrics = Metrics()
    assert Client(counting(app, metrics)).get("/").status_code == 404
    assert metrics.requests["4xx"].value == 1
    assert metrics.answer.count == 1
