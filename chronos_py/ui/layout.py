"""Where the jobs of a dependency graph are drawn: in columns, parents left of their children, few crossing lines.

The layered method of Sugiyama: every edge goes to the right; long edges are cut into pieces, one for each column; the
order within columns comes from barycentres; heights are as near to the neighbours' as the distances allow.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import networkx as nx

COLUMN, LINE = 230, 46  # distances of nodes
PIECE = 16  # the height that a line takes between nodes
SWEEPS, FEWEST_SWEEPS = 12, 4
WORK = 25_000  # vertices times sweeps, in all: some tenths of a second
MOST_PIECES = 3000  # the longest edges that find no room in that are drawn in one curve
Vertex = str | tuple[str, str, int]  # a job, or a piece of the edge between two


@dataclass(frozen=True, slots=True)
class Layout:
    """Centres of nodes, and for each edge the points it goes through, its ends included; all from 0 on."""

    nodes: Mapping[str, tuple[float, float]]
    edges: Mapping[tuple[str, str], Sequence[tuple[float, float]]]
    width: float
    height: float


def lay_out(names: Sequence[str], edges: Iterable[tuple[str, str]]) -> Layout:
    """Lay out a graph; some are remembered. Edges that close a circle, or lead to unknown names, are left out."""
    return _laid_out(tuple(names), tuple(edges))


@lru_cache(maxsize=16)
def _laid_out(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> Layout:
    graph = _acyclic(names, edges)
    if not graph:
        return Layout({}, {}, 0, 0)
    layer = _layers(graph)
    columns, links, pieces = _cut(graph, layer)
    sweeps = max(FEWEST_SWEEPS, min(SWEEPS, WORK // sum(map(len, columns))))
    _order(columns, links, sweeps)
    height = _heights(columns, links, sweeps)
    nodes = {name: (layer[name] * COLUMN, height[name]) for name in graph}
    lines = {}
    for parent, child in graph.edges:
        middle = [((layer[parent] + 1 + n) * COLUMN, height[v]) for n, v in enumerate(pieces.get((parent, child), ()))]
        lines[parent, child] = [nodes[parent], *middle, nodes[child]]
    return Layout(nodes, lines, max(x for x, _ in nodes.values()), max(height.values()))


def _acyclic(names: Sequence[str], edges: Iterable[tuple[str, str]]) -> nx.DiGraph[str]:
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from((parent, child) for parent, child in edges if parent in graph and child in graph)
    while not nx.is_directed_acyclic_graph(graph):
        graph.remove_edge(*nx.find_cycle(graph)[-1][:2])
    return graph


def _layers(graph: nx.DiGraph[str]) -> dict[str, int]:
    """Return each node's column: right of all its parents; one without parents just left of its first child."""
    order = list(nx.topological_sort(graph))
    layer = dict.fromkeys(order, 0)
    for name in order:
        for child in graph.successors(name):
            layer[child] = max(layer[child], layer[name] + 1)
    for name in reversed(order):
        children = [layer[child] for child in graph.successors(name)]
        if children and not graph.in_degree(name):
            layer[name] = min(children) - 1
    return layer


def _cut(
    graph: nx.DiGraph[str], layer: Mapping[str, int]
) -> tuple[list[list[Vertex]], dict[Vertex, tuple[list[Vertex], list[Vertex]]], dict[tuple[str, str], list[Vertex]]]:
    """Return columns, each vertex's neighbours to the left and right, and the pieces of long edges."""
    columns: list[list[Vertex]] = [[] for _ in range(max(layer.values()) + 1)]
    links: dict[Vertex, tuple[list[Vertex], list[Vertex]]] = defaultdict(lambda: ([], []))
    pieces: dict[tuple[str, str], list[Vertex]] = {}
    for name in _depth_first(graph, layer):
        columns[layer[name]].append(name)
        links[name] = ([], [])
    room = MOST_PIECES
    for parent, child in sorted(graph.edges, key=lambda edge: layer[edge[1]] - layer[edge[0]]):
        between = range(layer[parent] + 1, layer[child])
        if len(between) > room:
            continue
        room -= len(between)
        path: list[Vertex] = [(parent, child, at) for at in between]
        for at, piece in zip(between, path, strict=True):
            columns[at].append(piece)
        pieces[parent, child] = path
        whole: list[Vertex] = [parent, *path, child]
        for left, right in pairwise(whole):
            links[left][1].append(right)
            links[right][0].append(left)
    return columns, links, pieces


def _depth_first(graph: nx.DiGraph[str], layer: Mapping[str, int]) -> list[str]:
    roots = sorted((name for name in graph if not graph.in_degree(name)), key=lambda name: layer[name])
    seen: dict[str, None] = {}
    for root in roots:
        seen.update(dict.fromkeys(nx.dfs_preorder_nodes(graph, root)))
    return list(seen)


def _order(columns: list[list[Vertex]], links: Mapping[Vertex, tuple[list[Vertex], list[Vertex]]], sweeps: int) -> None:
    """Order each column by the means of its neighbours' places, from both sides by turns; the best order is kept."""
    best, fewest = [list(column) for column in columns], _crossings(columns, links)
    for sweep in range(sweeps):
        if not fewest:
            break
        side = sweep % 2
        for column in columns if side == 0 else reversed(columns):
            _by_barycentre(columns, column, links, side)
        found = _crossings(columns, links)
        if found < fewest:
            best, fewest = [list(column) for column in columns], found
    for column, order in zip(columns, best, strict=True):
        column[:] = order


def _by_barycentre(
    columns: list[list[Vertex]],
    column: list[Vertex],
    links: Mapping[Vertex, tuple[list[Vertex], list[Vertex]]],
    side: int,
) -> None:
    at = columns.index(column) if len(columns) < 3 else next(n for n, c in enumerate(columns) if c is column)
    other = at - 1 if side == 0 else at + 1
    if not 0 <= other < len(columns):
        return
    place = {vertex: n for n, vertex in enumerate(columns[other])}
    scale = max(1, len(columns[other])) / max(1, len(column))
    keys: dict[Vertex, float] = {}
    for n, vertex in enumerate(column):
        near = links[vertex][side]
        keys[vertex] = sum(place[v] for v in near) / len(near) if near else n * scale
    column.sort(key=keys.__getitem__)


def _crossings(columns: list[list[Vertex]], links: Mapping[Vertex, tuple[list[Vertex], list[Vertex]]]) -> int:
    """Count crossing lines between neighbouring columns, with a tree of sums."""
    total = 0
    for left, right in pairwise(columns):
        place = {vertex: n for n, vertex in enumerate(right)}
        size = len(right)
        tree, entered = [0] * (size + 1), 0
        for vertex in left:
            ends = sorted(place[v] for v in links[vertex][1])
            for end in ends:
                at, below = end + 1, 0
                while at:
                    below += tree[at]
                    at -= at & -at
                total += entered - below
            for end in ends:
                at = end + 1
                while at <= size:
                    tree[at] += 1
                    at += at & -at
                entered += 1
    return total


def _heights(
    columns: list[list[Vertex]], links: Mapping[Vertex, tuple[list[Vertex], list[Vertex]]], sweeps: int
) -> dict[Vertex, float]:
    height: dict[Vertex, float] = {}
    for column in columns:
        at = 0.0
        for above, vertex in zip([None, *column], column, strict=False):
            at += _distance(above, vertex)
            height[vertex] = at
    for sweep in range(sweeps):
        sides = (0, 1) if sweep >= sweeps - 2 else (sweep % 2,)
        for column in columns if sweep % 2 == 0 else reversed(columns):
            wanted = []
            for vertex in column:
                near = [height[v] for side in sides for v in links[vertex][side]]
                wanted.append(sum(near) / len(near) if near else height[vertex])
            height.update(zip(column, _spread(column, wanted), strict=True))
    lowest = min(height.values())
    return {vertex: at - lowest for vertex, at in height.items()}


def _distance(above: Vertex | None, below: Vertex) -> float:
    if above is None:
        return 0.0
    sizes = [LINE if isinstance(vertex, str) else PIECE for vertex in (above, below)]
    return sum(sizes) / 2


def _spread(column: Sequence[Vertex], wanted: Sequence[float]) -> list[float]:
    """Return heights that keep order and distances, and differ from those wanted by the least squares: neighbours that
    would overlap are pooled."""
    offsets, total = [], 0.0
    for above, vertex in zip([None, *column], column, strict=False):
        total += _distance(above, vertex)
        offsets.append(total)
    pools: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=True):
        mean, size = want - offset, 1
        while pools and pools[-1][0] > mean:
            other, count = pools.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        pools.append((mean, size))
    means = [mean for mean, size in pools for _ in range(size)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
