"""Roll-ups of history: sums by minute, hour and day, in the same database and transaction as the rows they count.

A batch of records is first compared with what the tables hold: what a record counted for when it was written before is
taken back, so that writing it again, changed or not, counts once. Rows that were pruned stay counted.

`model/statistics.py` says which roll-ups there are. A row's bins are one JSON text, read, added to and written back: so
writers must come one after the other, see `SqlHistoryStore`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import orjson
import sqlalchemy as sa

from chronos_py.clock import Millis
from chronos_py.model.history import HistoryRecord
from chronos_py.model.statistics import (
    COUNTS,
    LEVELS,
    ROLLUPS,
    SPREADS,
    Cell,
    Figures,
    Group,
    StatisticsQuery,
    add_bin,
    in_order,
    kept_for,
    levels_of,
    plan,
    tally,
)

AT_ONCE = 200  # cells looked up by one statement: 6 parameters each, and databases take some thousands

Upsert = Callable[[sa.Connection, sa.Table, list[tuple[Any, ...]]], None]

_Int = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def table_in(metadata: sa.MetaData) -> sa.Table:
    """Describe the table. Its key serves questions after one job, the index those after all."""
    return sa.Table(
        "rollups",
        metadata,
        sa.Column("grain", sa.Text, primary_key=True),
        sa.Column("job", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("host", sa.Text, primary_key=True),
        sa.Column("exit", sa.Text, primary_key=True),
        sa.Column("bucket", _Int, primary_key=True, autoincrement=False),
        *(sa.Column(name, _Int, nullable=False) for name in COUNTS),
        sa.Column("spreads", sa.Text, nullable=False),
        sa.Index("rollups_bucket", "grain", "bucket"),
        sqlite_with_rowid=False,
    )


class Rollups:
    """Writes and reads the table. Works in the caller's transaction, under its lock."""

    def __init__(self, table: sa.Table, upsert: Upsert) -> None:
        self.table = table
        self._upsert = upsert
        self._key = [table.c[name] for name in Cell._fields]

    def add(self, db: sa.Connection, new: Iterable[HistoryRecord], old: Iterable[HistoryRecord]) -> None:
        """Count `new` records, and no longer what `old` ones counted for."""
        changes: dict[Cell, Figures] = {}
        tally(old, -1, changes)
        tally(new, 1, changes)
        cells = list(changes)
        for start in range(0, len(cells), AT_ONCE):
            for cell, figures in self._stored(db, cells[start : start + AT_ONCE]):
                changes[cell].add(figures)
        kept = {cell: figures for cell, figures in changes.items() if any(figures.counts)}
        self._upsert(
            db, self.table, [(*cell, *figures.counts, _text(figures.spreads)) for cell, figures in kept.items()]
        )
        for cell in changes.keys() - kept.keys():
            db.execute(sa.delete(self.table).where(*(c == v for c, v in zip(self._key, cell, strict=True))))

    def _stored(self, db: sa.Connection, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Figures]]:
        for row in db.execute(sa.select(self.table).where(sa.tuple_(*self._key).in_(cells))):
            cell, counts = Cell(*row[: len(Cell._fields)]), list(row[len(Cell._fields) : -1])
            yield cell, Figures(counts, _spreads(row[-1]))

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


def _text(spreads: Sequence[dict[int, int]]) -> str:
    """Return bins as JSON: for each of SPREADS a list of bin, count, bin, count, ..."""
    return orjson.dumps([[part for pair in sorted(spread.items()) for part in pair] for spread in spreads]).decode()


def _spreads(text: str) -> list[dict[int, int]]:
    spreads: list[dict[int, int]] = [{} for _ in SPREADS]
    _merge(spreads, text)
    return spreads


def _merge(into: Sequence[dict[int, int]], text: str) -> None:
    for spread, flat in zip(into, orjson.loads(text), strict=True):
        for place in range(0, len(flat), 2):
            add_bin(spread, flat[place], flat[place + 1])
