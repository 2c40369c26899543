"""Timers: popped in order, and looked at without being popped."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chronos_py.persistence import codec
from chronos_py.scheduler.timers import Timers

times = st.lists(st.integers(0, 30), max_size=40)


@given(times, st.integers(0, 30), st.integers(1, 40))
def test_a_look_ahead_finds_what_would_be_popped(at: list[int], until: int, limit: int) -> None:
    timers = Timers()
    for key, time in enumerate(at):
        timers.set(time, key)
    found, after = timers.look(until, limit)
    due = sorted((time, key) for key, time in enumerate(at))
    assert [time for time, _ in found] == [time for time, _ in due if time <= until][:limit]
    assert len({key for _, key in found}) == len(found)
    assert all(at[int(key)] == time for time, key in found)
    rest = [time for time, _ in due][len(found) :]
    assert after == (rest[0] if rest else None)
    assert len(timers) == len(at)


def test_a_run_as_it_was_stored_before_still_loads() -> None:
    stored = b'{"id":7,"job":"a","trigger":"schedule","due":1,"stamp":1,"created":1,"attempt":2,"faults":1}'
    run = codec.RUN.decode(stored)
    assert (run.faulted, run.kills, run.foreign_id, run.task_id) == ((), 0, "", "ct:1:2:a:")
