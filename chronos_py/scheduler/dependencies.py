"""When a child is released by its parents: by their runs, never by counters that a restart could lose.

Each success of a parent is a token on the edge to each child. A child is released when every edge holds one, and uses
up the oldest of each: so it runs as often as its slowest parent succeeds (scheduling.md 14.1). Two things keep the
cycles together where Chronos lost its way:

* tokens that go back to the same root job are paired by the root's run: one of an older cycle is dropped when another
  parent has none of that cycle left to give;
* a parent's run that did not succeed marks the edge. A rerun that succeeds repairs the cycle. The parent's next cycle
  closes it instead: then every other edge gives up the tokens whose due time is nearer to the failed run's than to the
  new one's, so that no child runs with one parent of this cycle and another of the last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from chronos_py.clock import Millis
from chronos_py.model.job import Edge, Token

Edges = tuple[Edge, ...]
Roots = tuple[tuple[str, int], ...]

LONGEST_LINE = 1000  # tokens on one edge: a parent that is so far ahead of the others loses the oldest
MOST_ROOTS = 64  # a run that goes back to more root jobs than this is paired by order alone


def merged_roots(tokens: Iterable[Token]) -> Roots:
    """Return the roots of a run that these tokens release; the newest run counts for each root job."""
    roots: dict[str, int] = {}
    for token in tokens:
        for job, run in token.roots:
            roots[job] = max(run, roots.get(job, run))
    return tuple(roots.items()) if len(roots) <= MOST_ROOTS else ()


def reparented(edges: Edges, parents: Iterable[str]) -> Edges:
    """Return the edges for a new list of parents; a parent that stays keeps its tokens."""
    known = {edge.parent: edge for edge in edges}
    return tuple(known.get(parent, Edge(parent)) for parent in dict.fromkeys(parents))


def succeeded(edges: Edges, parent: str, token: Token, *, rerun: bool) -> Edges:
    """Add a parent's success. `rerun` tells that it repeats its last cycle rather than begins another."""
    own = next((edge for edge in edges if edge.parent == parent), None)
    if own is None:
        return edges
    failed = None if rerun else own.broken
    return tuple(
        replace(edge, broken=None, tokens=(*edge.tokens, token)[-LONGEST_LINE:])
        if edge.parent == parent
        else edge
        if failed is None
        else _without_cycle(edge, failed, token.due)
        for edge in edges
    )


def _without_cycle(edge: Edge, failed: Millis, begun: Millis) -> Edge:
    kept = tuple(token for token in edge.tokens if abs(token.due - failed) > abs(begun - token.due))
    return edge if len(kept) == len(edge.tokens) else replace(edge, tokens=kept)


def unsuccessful(edges: Edges, parent: str, due: Millis) -> Edges:
    """Mark that a parent's run ended without success, or was left out."""
    return tuple(replace(edge, broken=due) if edge.parent == parent else edge for edge in edges)


def released(edges: Edges) -> tuple[Edges, tuple[Token, ...]]:
    """Return (edges after the next release, the tokens that it uses); no tokens when the child must wait on."""
    while edges and all(edge.tokens for edge in edges):
        heads = tuple(edge.tokens[0] for edge in edges)
        newest = dict(merged_roots(heads))
        stale = {
            position
            for position, head in enumerate(heads)
            if any(run < newest.get(job, run) for job, run in head.roots)
        }
        edges = tuple(
            replace(edge, tokens=edge.tokens[1:]) if not stale or position in stale else edge
            for position, edge in enumerate(edges)
        )
        if not stale:
            return edges, heads
    return edges, ()
