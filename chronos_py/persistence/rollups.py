"""Roll-ups of history: sums by minute, hour and day, in the same database and transaction as the rows they count.

A batch of records is first compared with what the tables hold: what a record counted for when it was written before is
taken back, so that writing it again, changed or not, counts once. Rows that were pruned stay counted.

`model/statistics.py` says which roll-ups there are. A row's bins are one JSON text, read, added to and written back: so
writers must come one after the other, see `SqlHistoryStore`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from operator import add
from typing import Any

import orjson
import sqlalchemy as sa

from chronos_py.clock import Millis
from chronos_py.model.history import HistoryRecord
from chronos_py.model.statistics import (
    COUNTS,
    LEVELS,
    ROLLUPS,
    Cell,
    Figures,
    Group,
    StatisticsQuery,
    in_order,
    kept_for,
    levels_of,
    plan,
    tally,
)

LONGEST_NAME = 1000  # bytes; longer ones are named by a digest
AT_ONCE = 500  # cells looked up by one statement

Upsert = Callable[[sa.Connection, sa.Table, list[tuple[Any, ...]]], None]

_Int = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def table_in(metadata: sa.MetaData) -> sa.Table:
    """Describe the table. `cell` is all of a Cell in one text: databases look many of those up in one statement,
    where of several columns together SQLite reads the whole table."""
    return sa.Table(
        "rollups",
        metadata,
        sa.Column("cell", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in Cell._fields[:-1]),
        sa.Column("bucket", _Int, nullable=False),
        *(sa.Column(name, _Int, nullable=False) for name in COUNTS),
        sa.Column("spreads", sa.Text, nullable=False),
        sa.Index("rollups_job", "grain", "job", "bucket"),  # and of rollups without jobs, all
        sa.Index("rollups_bucket", "grain", "bucket"),
    )


class Rollups:
    """Writes and reads the table. Works in the caller's transaction, under its lock."""

    def __init__(self, table: sa.Table, upsert: Upsert) -> None:
        self.table = table
        self._upsert = upsert
        wanted: sa.BindParameter[Any] = sa.bindparam("cells", expanding=True)
        self._lookup = sa.select(table.c.cell, *(table.c[name] for name in (*COUNTS, "spreads"))).where(
            table.c.cell.in_(wanted)
        )

    def add(self, db: sa.Connection, new: Iterable[HistoryRecord], old: Iterable[HistoryRecord]) -> None:
        """Count `new` records, and no longer what `old` ones counted for."""
        found: dict[Cell, Figures] = {}
        tally(old, -1, found)
        tally(new, 1, found)
        changes = {_name(cell): (cell, figures) for cell, figures in found.items()}
        names = list(changes)
        for start in range(0, len(names), AT_ONCE):
            for name, *counts, spreads in db.execute(self._lookup, {"cells": names[start : start + AT_ONCE]}):
                _add_stored(changes[name][1], counts, spreads)
        kept = [
            (name, *cell, *figures.counts, _text(figures.spreads))
            for name, (cell, figures) in changes.items()
            if any(figures.counts)
        ]
        self._upsert(db, self.table, kept)
        if len(kept) < len(changes):
            gone = changes.keys() - {row[0] for row in kept}
            db.execute(sa.delete(self.table).where(self.table.c.cell.in_(gone)))

    def prune(self, db: sa.Connection, now: Millis) -> int:
        """Remove buckets that are older than they are kept: what is left of them is the coarser ones."""
        gone = 0
        for rollup in ROLLUPS:
            for level in levels_of(rollup):
                old = self.table.c.bucket <= now - kept_for(rollup, level) - LEVELS[level]
                gone += db.execute(sa.delete(self.table).where(self.table.c.grain == f"{rollup}/{level}", old)).rowcount
        return gone

    def read(self, db: sa.Connection, query: StatisticsQuery, now: Millis) -> Sequence[Group]:
        """Answer a question. Raises InvalidInput when what it asks is not kept."""
        chosen, c = plan(query, now), self.table.c
        where = [c.grain == chosen.grain, c.bucket >= chosen.start, c.bucket < chosen.end]
        where += [c[name] == value for name, value in query.where]
        by = [c.bucket] * (query.per is not None) + [c[name] for name in query.by]
        sums = [sa.func.sum(c[name]) for name in COUNTS]
        found: dict[tuple[Any, ...], Figures] = {}
        for row in db.execute(sa.select(*by, *sums).where(*where).group_by(*by)):
            if row[len(by)] is not None:  # the sum of nothing
                found[tuple(row[: len(by)])] = Figures([int(count) for count in row[len(by) :]])
        groups = in_order(
            (
                Group(key[0] if query.per else None, key[1:] if query.per else key, figures)
                for key, figures in found.items()
            ),
            query.limit,
        )
        wanted = {(*((g.bucket,) if query.per else ()), *g.values): g.figures.spreads for g in groups}
        if len(query.by) == 1 and not query.per and len(wanted) < len(found):  # else all rows are asked for anyway
            where.append(by[0].in_([key[0] for key in wanted]))
        for row in db.execute(sa.select(*by, c.spreads).where(*where)):
            into = wanted.get(tuple(row[:-1]))
            if into is not None:
                _merge(into, row[-1])
        return groups


def _name(cell: Cell) -> str:
    """Return a cell as one text, which an index of PostgreSQL takes however long its parts are. Raises ValueError for
    halves of characters, as databases do."""
    try:
        name = orjson.dumps(tuple(cell))
    except TypeError as error:
        raise ValueError(str(error)) from None
    return name.decode() if len(name) <= LONGEST_NAME else hashlib.blake2b(name, digest_size=20).hexdigest()


def _text(spreads: Sequence[dict[int, int]]) -> str:
    """Return bins as JSON: for each of SPREADS a list of bin, count, bin, count, ..."""
    return orjson.dumps([[part for pair in sorted(spread.items()) for part in pair] for spread in spreads]).decode()


def _add_stored(figures: Figures, counts: Sequence[int], text: str) -> None:
    """Add a row's sums; bins that come to nothing are not kept."""
    figures.counts = list(map(add, figures.counts, counts))
    for spread, flat in zip(figures.spreads, orjson.loads(text), strict=True):
        known, numbers = spread.get, iter(flat)
        for number, count in zip(numbers, numbers, strict=True):
            total = known(number, 0) + count
            if total:
                spread[number] = total
            else:
                spread.pop(number, None)


def _merge(into: Sequence[dict[int, int]], text: str) -> None:
    """Add bins to others: by far the most of the work of an answer."""
    for spread, flat in zip(into, orjson.loads(text), strict=True):
        known, numbers = spread.get, iter(flat)
        for number, count in zip(numbers, numbers, strict=True):
            spread[number] = known(number, 0) + count
