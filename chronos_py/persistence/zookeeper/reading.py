"""Reading all that lies below x: the newest page of each shard, and over it the turns of the log."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from kazoo.exceptions import NoNodeError

from chronos_py.errors import StoreUnavailable
from chronos_py.persistence.base import Quarantined
from chronos_py.persistence.codec import BadRecord, load
from chronos_py.persistence.zookeeper.image import Image
from chronos_py.persistence.zookeeper.keeper import Found, Keeper, Refused
from chronos_py.persistence.zookeeper.layout import RECORD_KINDS, Layout, RecordKind
from chronos_py.persistence.zookeeper.texts import Line, lines_of, parts_of, read_log_line, read_page_line, split_head

log = structlog.get_logger(__name__)

TRIES = 5  # a leader that writes meanwhile moves pages; without an epoch of our own that is no error
PAGE_WINDOW = 32  # pages are large
_PAGE = re.compile(r"([0-9a-f]{2})\.(\d{10})\.(\d+)")
_TURN = re.compile(r"(\d{10})(?:-([0-9a-f]{8})-(\d+))?")


@dataclass(slots=True)
class Holdings:
    """What was read. `turns` are the log's nodes by turn, with their bytes; `pages` the nodes of each shard's page.

    `garbage` are nodes that no longer count. `behind` has, for variables that the last turn may not have written any
    more, the uuid that they had before it, empty when there was none.
    """

    image: Image = field(default_factory=Image)
    turn: int = 0
    turns: dict[int, tuple[list[str], int]] = field(default_factory=dict)
    pages: dict[tuple[RecordKind, int], list[str]] = field(default_factory=dict)
    garbage: list[str] = field(default_factory=list)
    behind: dict[str, str] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)  # nodes that stay, whatever else is cut
    children: int | None = None  # as the last turn left it, see Known
    quarantined: list[Quarantined] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)

    def report(self, kind: str, key: object, reason: str) -> None:
        self.quarantined.append(Quarantined(kind, str(key), reason))
        log.error("a stored record cannot be read and is left as it is", kind=kind, key=str(key), reason=reason)


class _Moved(Exception):
    """A node went between listing and reading."""


def read_holdings(keeper: Keeper, layout: Layout) -> Holdings:
    """Raises StoreUnavailable."""
    for _ in range(TRIES):
        try:
            return _read(keeper, layout)
        except _Moved:
            continue
        except Refused as refused:
            if isinstance(refused.reason, NoNodeError) and _is_new(keeper, layout):
                return Holdings()
            raise StoreUnavailable(f"{layout.own} cannot be read, it is damaged: {refused}") from refused
    raise StoreUnavailable(f"{layout.own}: another leader writes faster than it can be read")


def read_log_only(keeper: Keeper, layout: Layout) -> None:
    """Read the log, and keep nothing. Raises StoreUnavailable."""
    held = Holdings()
    with suppress(Refused, _Moved, ValueError):  # there is no log yet, or it is cut at this very moment
        first = int(keeper.one(layout.log).data or b"1")
        _read_log(keeper, layout, held, first, keeper.children(layout.log))


def _is_new(keeper: Keeper, layout: Layout) -> bool:
    """Tell whether nobody has led yet: the format is made last."""
    try:
        keeper.one(layout.format)
    except Refused as refused:
        return isinstance(refused.reason, NoNodeError)
    return False


def _read(keeper: Keeper, layout: Layout) -> Holdings:
    held = Holdings()
    first = _first_turn(keeper, layout, held)
    names = keeper.children(layout.log)  # before the pages: what is trimmed from now on is in pages
    held.turn = first - 1
    _read_pages(keeper, layout, held)
    _read_log(keeper, layout, held, first, names)
    held.garbage = [path for path, answer in keeper.read(held.garbage, PAGE_WINDOW) if _whole(answer)]
    return held


def _whole(answer: Found | Exception) -> bool:
    """Tell whether a node that no longer counts is as it was written; a damaged one is left for somebody to look at."""
    return isinstance(answer, Found) and (not answer.data.startswith(b"{") or not split_head(answer.data)[2])


def _first_turn(keeper: Keeper, layout: Layout, held: Holdings) -> int:
    data = keeper.one(layout.log).data
    try:
        return int(data or b"1")
    except ValueError:
        held.report("log", "first", f"is no number: {data[:60]!r}")
        return 1


# --- pages


def _read_pages(keeper: Keeper, layout: Layout, held: Holdings) -> None:
    paths: dict[str, tuple[RecordKind, int]] = {}
    for kind in RECORD_KINDS:
        found: dict[int, dict[int, dict[int, str]]] = defaultdict(lambda: defaultdict(dict))
        for name in keeper.children(layout.pages(kind)):
            match = _PAGE.fullmatch(name)
            if match:
                found[int(match[1], 16)][int(match[2])][int(match[3])] = f"{layout.pages(kind)}/{name}"
                held.turn = max(held.turn, int(match[2]))
        for shard, generations in found.items():
            newest = _newest_whole(keeper, generations, held)
            held.pages[kind, shard] = newest
            paths.update((path, (kind, shard)) for path in newest)
            held.garbage += [p for parts in generations.values() for p in parts.values() if p not in newest]
    datas = {path: _there(path, answer, held) for path, answer in keeper.read(paths, PAGE_WINDOW)}
    for (kind, shard), names in held.pages.items():
        if any(datas[name] is None for name in names):
            continue
        _, body, wrong = split_head(b"".join(datas.pop(name) or b"" for name in names))
        if wrong:
            held.report("page", names[0], wrong)
            held.damaged.update(names)
        for line in lines_of(body):
            try:
                read = read_page_line(kind, line)
            except BadRecord as error:
                held.image.lost.setdefault((kind, shard), []).append(line)
                held.report(kind, line[:60], str(error))
            else:
                _apply(held, read, 0)


def _newest_whole(keeper: Keeper, generations: dict[int, dict[int, str]], held: Holdings) -> list[str]:
    """Return the nodes of the newest page that was written to its end. Its first part says how many there are."""
    for _, parts in sorted(generations.items(), reverse=True):
        names = [parts[number] for number in sorted(parts)]
        if len(generations) == 1 and list(parts) == [0]:
            return names  # the usual case needs no look inside
        if 0 not in parts:
            continue
        ((_, answer),) = keeper.read([parts[0]])
        data = _there(parts[0], answer, held)
        if data is None or parts_of(data) < len(parts):
            return names
    return []


# --- the log


def _read_log(keeper: Keeper, layout: Layout, held: Holdings, first: int, names: Iterable[str]) -> None:
    ends: dict[int, str] = {}
    parts: dict[tuple[int, str], dict[int, str]] = defaultdict(dict)
    for name in names:
        match = _TURN.fullmatch(name)
        if not match:
            continue
        path, turn = f"{layout.log}/{name}", int(match[1])
        if turn < first:
            held.garbage.append(path)
        elif match[2]:
            parts[turn, match[2]][int(match[3])] = path
        else:
            ends[turn] = path
    small = [path for _, path in sorted(ends.items())]  # the log is kept short
    large = [path for each in parts.values() for path in each.values()]
    datas = {path: _there(path, answer, held) for path, answer in keeper.read(small)}
    datas.update((path, _there(path, answer, held)) for path, answer in keeper.read(large, PAGE_WINDOW))
    for turn in range(first, max(ends, default=first - 1) + 1):
        if turn not in ends:
            held.report("log", turn, "is missing")
            continue
        data = datas[ends[turn]]
        held.turn = max(held.turn, turn)
        held.turns[turn] = ([ends[turn]], 0)
        if data is None:
            continue
        count = parts_of(data)
        mine = parts.pop((turn, str(split_head(data)[0].get("id", ""))), {}) if count else {}
        data += b"".join(datas.get(mine.get(number, "")) or b"" for number in range(count))
        head, body, wrong = split_head(data)
        children = head.get("children")
        held.children = children if type(children) is int and not wrong else None
        held.turns[turn] = ([ends[turn], *mine.values()], len(body))
        if wrong:
            held.report("log", turn, wrong)
            held.damaged.update(held.turns[turn][0])
        held.behind = _apply_turn(held, turn, body)
    held.garbage += [path for each in parts.values() for path in each.values()]


def _apply_turn(held: Holdings, turn: int, body: bytes) -> dict[str, str]:
    """Return what a turn says of variables that it may not have written."""
    behind: dict[str, str] = {}
    for line in lines_of(body):
        try:
            if line[:1] == b"=":
                name, was = load(line[1:])
                behind[str(name)] = str(was)
            else:
                _apply(held, read_log_line(line), turn)
        except (BadRecord, ValueError, TypeError) as error:
            held.report("log", f"{turn}: {line[:60]!r}", str(error))
    return behind


def _apply(held: Holdings, line: Line, turn: int) -> None:
    reason = held.image.apply(line, turn, held.unknown)
    if reason:
        held.report(line.kind, line.key, reason)


def _there(path: str, answer: Found | Exception, held: Holdings) -> bytes | None:
    """Return the data; None for a node that cannot be read."""
    if isinstance(answer, Found):
        return answer.data
    if isinstance(answer, NoNodeError):
        raise _Moved from answer
    held.report("node", path, repr(answer))
    held.damaged.add(path)
    return None
