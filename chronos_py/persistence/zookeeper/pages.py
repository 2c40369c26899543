"""Pages are written behind the log: the shards that are behind longest first, a little after each turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from chronos_py.persistence.zookeeper.keeper import PACKET, PART, Create, Operation, Remove, Write, size_of
from chronos_py.persistence.zookeeper.layout import Layout, RecordKind
from chronos_py.persistence.zookeeper.reading import Holdings
from chronos_py.persistence.zookeeper.texts import join, pieces

LOG_TURNS = 512  # so many turns may lie in the log, in so many bytes: the next leader reads them all
LOG_BYTES = 8_000_000
BUDGET = 250_000  # bytes of pages that a turn writes
MOST = 4  # times the limits: from there on pages are written whatever it takes

Send = Callable[[Sequence[Operation]], None]


def tidy(send: Send, layout: Layout, held: Holdings, *, turns: int = LOG_TURNS, size: int = LOG_BYTES) -> None:
    """Write pages, and cut the log after them, when it has grown beyond `turns` or `size` bytes."""
    length, total = len(held.turns), sum(size for _, size in held.turns.values())
    if length <= turns and total <= size and not held.garbage:
        return
    budget = BUDGET if length <= MOST * turns and total <= MOST * size else length * BUDGET
    keep_from = _keep_from(held, turns, size)
    creates: list[Operation] = []
    removes: list[Operation] = []
    written: dict[tuple[RecordKind, int], list[str]] = {}
    for (kind, shard), since in held.image.dirty.items():
        if since >= keep_from or (written and budget <= 0):
            break
        lines = held.image.page(kind, shard)
        texts = pieces({"turn": held.turn}, join(lines), PART) if lines else []
        paths = [f"{layout.pages(kind)}/{shard:02x}.{held.turn:010}.{part}" for part in range(len(texts))]
        creates += map(Create, paths, texts)
        removes += [Remove(path) for path in held.pages.get((kind, shard), ()) if path not in held.damaged]
        written[kind, shard] = paths
        budget -= sum(map(len, texts))
    behind = (since for key, since in held.image.dirty.items() if key not in written)
    first = min(next(behind, held.turn + 1), keep_from)
    cut = [turn for turn in held.turns if turn < first]
    removes += [Remove(path) for turn in cut for path in held.turns[turn][0] if path not in held.damaged]
    removes += [Remove(path) for path in held.garbage]
    for request in _requests([*creates, Write(layout.log, str(first).encode()), *removes]):
        send(request)
    for key, paths in written.items():
        del held.image.dirty[key]
        held.pages[key] = paths
    for turn in cut:
        del held.turns[turn]
    held.garbage = []


def _keep_from(held: Holdings, turns: int, size: int) -> int:
    """Return the first turn of those that stay in the log: half of what it may hold, the newest, but not beyond."""
    left, first = size // 2, held.turn + 1
    for turn in sorted(held.turns, reverse=True)[: turns // 2]:
        left -= held.turns[turn][1]
        if left < 0:
            break
        first = turn
    return first


def _requests(operations: Sequence[Operation]) -> Iterator[list[Operation]]:
    """Yield the operations in order, in requests that ZooKeeper takes."""
    request: list[Operation] = []
    room = PACKET
    for operation in operations:
        size = size_of(operation)
        if request and size > room:
            yield request
            request, room = [], PACKET
        request.append(operation)
        room -= size
    if request:
        yield request
