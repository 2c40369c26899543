"""Durations of successful runs: those of this process, and before them those of history."""

from __future__ import annotations

import threading
from dataclasses import replace

from chronos_py.durations import SAMPLES, Durations
from chronos_py.model.history import RunRecord
from chronos_py.model.run import Outcome
from tests.api.test_runs import a_row


def ended(after: int, outcome: Outcome = Outcome.SUCCESS) -> RunRecord:
    row: RunRecord = a_row(1)
    return replace(row, job="a", due=1000, ended=1000 + after, outcome=outcome, attempts=1)


def test_the_newest_successes_are_kept():
    durations = Durations()
    for number in range(SAMPLES + 10):
        durations.note(ended(number))
    durations.note(ended(5, Outcome.FAILED))
    assert durations.of("a") == list(range(10, SAMPLES + 10))
    assert durations.of("b") == []


def test_history_comes_before_and_is_read_once_until_it_is_forgotten():
    read, reads = threading.Event(), []

    def earlier() -> dict[str, list[int]]:
        reads.append(1)
        read.set()
        return {"a": [1, 2]}

    durations = Durations(earlier)
    durations.note(ended(3))
    for count in (1, 2):
        read.clear()
        durations.begin()
        durations.begin()
        assert read.wait(20)
        for thread in threading.enumerate():
            if thread.name == "durations":
                thread.join(20)
        assert durations.of("a") == ([1, 2, 3] if count == 1 else [1, 2])
        assert len(reads) == count
        durations.forget()
        assert durations.of("a") == []


def test_a_history_that_cannot_be_read_is_done_without():
    def earlier() -> dict[str, list[int]]:
        raise OSError("it is away")

    durations = Durations(earlier)
    durations.begin()
    durations.note(ended(3))
    for thread in threading.enumerate():
        if thread.name == "durations":
            thread.join(20)
    assert durations.of("a") == [3]
