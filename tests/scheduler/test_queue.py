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


@given(entries, st.integers(1, 3))
def test_with_ageing_nothing_waits_behind_what_came_much_later(
    pushed: list[tuple[int, Shape, int, int]], ageing: int
) -> None:
    queue, model = RunQueue(ageing), {}
    for run, shape, priority, due in pushed:
        queue.push(run, shape, priority, due)
        model[run] = (priority, due)
    order = [run for run, _ in queue.in_order(set())]
    assert sorted(order) == sorted(model)
    for position, first in enumerate(order):
        for second in order[position + 1 :]:
            (level, due), (other_level, other_due) = model[first], model[second]
            assert due <= other_due + (level - other_level) * ageing
            if level == other_level:
                assert (due, first) <= (other_due, second)


@given(entries)
def test_lines_can_be_looked_at_by_themselves(pushed: list[tuple[int, Shape, int, int]]) -> None:
    queue = RunQueue(2)
    for run, shape, priority, due in pushed:
        queue.push(run, shape, priority, due)
    some = [entry for entry in queue.in_order(set()) if entry[1] in SHAPES[:1]]
    assert list(queue.in_order(set(), SHAPES[:1])) == some
    assert all(queue.waiting(shape) == sum(entry[1] == shape for entry in queue.in_order(set())) for shape in SHAPES)


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
