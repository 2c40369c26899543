"""The job graph: who depends on whom, and which changes would break it.

A change is checked before anything is stored; only the new edges are followed, so the cost does not grow with the
number of jobs that have nothing to do with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx

from chronos_py.errors import DependencyCycle, MissingParents, NoParents


class JobGraph:
    """Names as vertices, an edge from each parent to each child, both in order of insertion."""

    def __init__(self) -> None:
        self._graph: nx.DiGraph[str] = nx.DiGraph()

    def check(self, name: str, parents: Sequence[str], *, new: bool) -> None:
        """Raise NoParents, MissingParents or DependencyCycle when `name` may not have these parents."""
        if not parents:
            raise NoParents(name, new=new)
        missing = [parent for parent in parents if parent not in self._graph]
        if missing:
            raise MissingParents(name, missing, new=new)
        if name not in self._graph:
            return
        for parent in parents:
            if nx.has_path(self._graph, name, parent):
                raise DependencyCycle(name, [*nx.shortest_path(self._graph, name, parent), name])

    def put(self, name: str, parents: Sequence[str] = ()) -> None:
        """Add `name`, or give it these parents instead of those it had. Not checked: stored graphs may have gaps."""
        if name not in self._graph and not parents:
            self._graph.add_node(name)
            return
        self._graph.add_node(name)
        old = set(self._graph.predecessors(name))
        self._graph.remove_edges_from([(parent, name) for parent in old.difference(parents)])
        self._graph.add_edges_from([(parent, name) for parent in parents if parent not in old])

    def remove(self, name: str) -> None:
        """Forget `name` and its edges; an absent one is no error."""
        if name in self._graph:
            self._graph.remove_node(name)

    def children(self, name: str) -> list[str]:
        """Return the jobs that name `name` as a parent, in order of insertion."""
        return list(self._graph.successors(name)) if name in self._graph else []
