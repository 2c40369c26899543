"""The queue gives runs in order, whatever was taken out of its middle."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chronos_py.model.resources import Resources
from chronos_py.scheduler.queue import RunQueue, Shape

SHAPES = [Shape(Resources.of(cpus)) for cpus in (1, 2, 3)]
entries = st.lists(st.tuples(st.integers(0, 30), st.sampled_from(SHAPES), st.integers(-2, 2), st.integers(0, 5)))


@given(entries, st.sets(st.integers(0, 30)))
def test_order_is_priority_then_due_then_number(pushed: list[tuple[int, Shape, int, int]], removed: set[int]) -> None:
    queue, model = RunQueue(), {}
    for run, shape, priority, due in pushed:
        queue.push(run, shape, priority, due)
        model[run] = (-priority, due, run, shape)
    for run in removed:
        queue.remove(run)
        model.pop(run, None)
    assert list(queue.in_order(set())) == [(run, shape) for _, _, run, shape in sorted(model.values())]
    assert len(queue) == len(model)
    assert sum(queue.levels.values()) == len(model)


@given(entries)
def test_a_stuck_shape_is_left_out(pushed: list[tuple[int, Shape, int, int]]) -> None:
    queue = RunQueue()
    for run, shape, priority, due in pushed:
        queue.push(run, shape, priority, due)
    stuck: set[Shape] = set()
    seen = []
    for _, shape in queue.in_order(stuck):
        seen.append(shape)
        stuck.add(shape)
    assert len(seen) == len(set(seen))
    assert set(seen) == set(queue.shapes)
