"""Where a graph's nodes are drawn."""

from __future__ import annotations

import random
import time
from itertools import pairwise

from chronos_py.ui.layout import COLUMN, LINE, PIECE, lay_out


def test_nothing():
    assert lay_out([], []).nodes == {}


def test_parents_stand_left_of_their_children_and_nothing_overlaps():
    source = random.Random(7)
    names = [f"n{i}" for i in range(120)]
    edges = [(names[source.randrange(i)], names[i]) for i in range(1, 120) for _ in range(2)]
    layout = lay_out(names, edges)
    assert set(layout.nodes) == set(names)
    for parent, child in set(edges):
        points = layout.edges[parent, child]
        assert points[0] == layout.nodes[parent]
        assert points[-1] == layout.nodes[child]
        assert all(b[0] - a[0] == COLUMN for a, b in pairwise(points))
    columns: dict[float, list[float]] = {}
    for x, y in layout.nodes.values():
        columns.setdefault(x, []).append(y)
    for heights in columns.values():
        heights.sort()
        assert all(b - a > LINE - 0.01 for a, b in pairwise(heights))
    assert PIECE < LINE


def test_two_chains_do_not_cross():
    layout = lay_out(["a1", "b1", "b2", "a2"], [("a1", "a2"), ("b1", "b2")])
    above = layout.nodes["a1"][1] < layout.nodes["b1"][1]
    assert above == (layout.nodes["a2"][1] < layout.nodes["b2"][1])


def test_circles_and_strangers_are_left_out():
    layout = lay_out(["a", "b"], [("a", "b"), ("b", "a"), ("nobody", "a")])
    assert len(layout.nodes) == 2
    assert len(layout.edges) == 1


def test_a_deep_graph_of_five_hundred():
    names = [f"n{i}" for i in range(500)]
    edges = [(names[p], names[n]) for n in range(1, 500) for p in {n // 3, max(0, n - 1 - n % 7)} - {n}]
    began = time.process_time()
    lay_out(names, edges)
    assert time.process_time() - began < 2
