"""What of a job's document is its definition, and whether a file and a server mean the same by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import networkx as nx

from chronos_py.errors import ChronosError, InvalidSchedule
from chronos_py.scheduler.schedule import Schedule, parse_schedule

Document = dict[str, Any]

# What runs change, not people. contract: chronos-sync leaves these out of its files, and out of comparisons.
COUNTERS = ("successCount", "errorCount", "lastSuccess", "lastError", "errorsSinceLastSuccess")
UNORDERED = frozenset({"uris", "parents"})
# Fields of ours that a server shows only when they are set.
OWN = frozenset({"priority", "retryDelay", "retryBackoff", "retryMaxDelay", "killGrace", "catchUp", "onUncertain"})
OWN |= {"gpus", "ports", "avoidFailedAgents", "labels", "preemptible", "startWithin", "finishWithin", "resourceOrder"}
OWN |= {"container"}


class BadDefinition(ChronosError):
    """Definitions cannot be used. The text names the job or the file, the field and the value."""


def name_of(document: Mapping[str, Any]) -> str:
    """Return the job's name. Raises BadDefinition."""
    name = document.get("name")
    if not isinstance(name, str) or not name:
        raise BadDefinition(f"name {name!r}: a definition needs a name")
    return name


def is_dependent(document: Mapping[str, Any]) -> bool:
    """Tell the kind as Chronos's own tool does: by whether there is a schedule."""
    return "schedule" not in document


def unmirrored(document: Mapping[str, Any]) -> Document:
    """Return a server's document as it may be sent: a list shows `uris` and `fetch` filled from each other."""
    found = dict(document)
    fetch, uris = found.get("fetch"), found.get("uris")
    if isinstance(fetch, list) and uris and [part.get("uri") for part in fetch if isinstance(part, Mapping)] == uris:
        found["uris"] = []
    return found


def without_counters(document: Mapping[str, Any]) -> Document:
    return {key: value for key, value in document.items() if key not in COUNTERS}


def differing(local: Mapping[str, Any], remote: Mapping[str, Any]) -> list[str]:
    """Return the fields that the file gives and the server has otherwise, in the file's order.

    A field that this kind of server does not keep (`epsilon` on 3.x) is no difference; counters never are. A schedule
    is the same when the server's is what the file's becomes as runs go by.
    """
    return [
        key for key, value in local.items() if key not in (*COUNTERS, "name") and _differs(key, value, local, remote)
    ]


def _differs(key: str, value: Any, local: Mapping[str, Any], remote: Mapping[str, Any]) -> bool:
    if key not in remote:
        return key in OWN and value not in (None, "", 0, False, [], {})
    other = remote[key]
    if key in UNORDERED and isinstance(value, list) and isinstance(other, list):
        if key == "uris" and value and not other:
            other = [entry.get("uri") for entry in remote.get("fetch") or () if _is_plain(entry)]
        return sorted(map(str, value)) != sorted(map(str, other))
    if key == "fetch" and isinstance(value, list) and not value:
        return bool(other) and not local.get("uris")
    if key == "schedule":
        return not same_schedule(str(value), str(other), str(remote.get("scheduleTimeZone") or ""))
    if key == "container":
        value, other = _container(value), _container(other)
    return not _equal(value, other)


def _container(value: Any) -> Any:
    """Return a container as all servers mean it: 2.x writes its type in small letters, 3.x in capitals."""
    if isinstance(value, Mapping) and isinstance(value.get("type"), str):
        return {**value, "type": value["type"].upper()}
    return value


def _is_plain(entry: Mapping[str, Any]) -> bool:
    """Tell whether an entry of `fetch` says no more than its address in `uris` would."""
    return (entry.get("extract", True), entry.get("executable", False), entry.get("cache", False)) == (
        True,
        False,
        False,
    )


def _equal(one: Any, other: Any) -> bool:
    """Compare as a person would: 256 is 256.0, and parts that the server adds to a nested object do not count."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(key in other and _equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def same_schedule(local: str, remote: str, zone: str = "") -> bool:
    """Tell whether `remote` is what is left of `local` after some runs, in the texts that Chronos shows."""
    if local == remote:
        return True
    try:
        ours, theirs = parse_schedule(local, zone, strict_zone=False), parse_schedule(remote, zone, strict_zone=False)
    except InvalidSchedule:
        return False
    if str(ours.period) != str(theirs.period) or not _count_may_follow(ours, theirs):
        return False
    if ours.start is None or theirs.start is None:
        return ours.start is None
    start = theirs.start_millis(0)
    due = ours.anchored(0)
    index = due.last_due(start)
    return index >= 0 and due.at(index) == start


def _count_may_follow(ours: Schedule, theirs: Schedule) -> bool:
    if ours.count is None or theirs.count is None:
        return ours.count is theirs.count
    return theirs.count <= ours.count


def ordered(definitions: Iterable[Document]) -> list[Document]:
    """Return parents before their children, otherwise as given. Raises BadDefinition for a circle or a name twice."""
    by_name: dict[str, Document] = {}
    for document in definitions:
        if name_of(document) in by_name:
            raise BadDefinition(f"name {document['name']!r} is given twice")
        by_name[document["name"]] = document
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(by_name)
    for name, document in by_name.items():
        graph.add_edges_from((parent, name) for parent in parents_of(document) if parent in by_name)
    places = {name: place for place, name in enumerate(by_name)}
    try:
        return [by_name[name] for name in nx.lexicographical_topological_sort(graph, key=places.__getitem__)]
    except nx.NetworkXUnfeasible:
        circle = [edge[0] for edge in nx.find_cycle(graph)]
        raise BadDefinition(f"parents: {' -> '.join([*circle, circle[0]])} depend on each other") from None


def parents_of(document: Mapping[str, Any]) -> Sequence[str]:
    parents = document.get("parents") or []
    if not isinstance(parents, list) or not all(isinstance(parent, str) for parent in parents):
        raise BadDefinition(f"{document.get('name')}: parents {parents!r} is no list of names")
    return parents
