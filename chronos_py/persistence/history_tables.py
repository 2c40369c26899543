"""The tables of history, and how rows become records; see `history.py`.

Statements are written for no database in particular; upserts alone differ by dialect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog

from chronos_py.model.history import AttemptRecord, RunRecord
from chronos_py.model.run import Outcome, Trigger
from chronos_py.persistence.rollups import table_in

log = structlog.get_logger(__name__)
Noun = TypeVar("Noun")

_Int = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # in SQLite, INTEGER is 64 bits, and the row's own number

metadata = sa.MetaData()
layout = sa.Table("layout", metadata, sa.Column("version", sa.Integer, nullable=False))
runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run", _Int, primary_key=True, autoincrement=False),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("triggered_by", sa.Text, nullable=False),
    sa.Column("due", _Int, nullable=False),
    sa.Column("created", _Int, nullable=False),
    sa.Column("ended", _Int, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("attempts", _Int, nullable=False),
    sa.Column("started", _Int),
    sa.Column("first_index", _Int),
    sa.Column("last_index", _Int),
    sa.Column("last_due", _Int),
    sa.Column("version", _Int, nullable=False),
    sa.Column("into_run", _Int),
    sa.Column("arguments", sa.Text),
    sa.Column("causes", sa.Text, nullable=False),  # run numbers, a space between
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("elements_processed", _Int, nullable=False),
    sa.Column("task_id", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("first_started", _Int),
    sa.Column("exit_reason", sa.Text, nullable=False, server_default=""),
    # A job's runs newest first; with all that `durations` needs, so that it reads no rows and sorts nothing.
    sa.Index("runs_of_job", "job", sa.text("run DESC"), "due", "ended", "outcome", "attempts"),
    sa.Index("runs_ended", "ended", "run"),
    sa.Index("runs_outcome", "outcome", "run"),
    sa.Index("runs_owner", "owner", "run"),
)
attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("run", _Int, primary_key=True, autoincrement=False),
    sa.Column("attempt", _Int, primary_key=True, autoincrement=False),
    sa.Column("task_id", sa.Text, nullable=False),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("agent_id", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("launched", _Int, nullable=False),
    sa.Column("started", _Int),
    sa.Column("ended", _Int, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("exit_code", _Int),
    sa.Column("signal", _Int),
    sa.Column("owner", sa.Text, nullable=False, server_default=""),
    sa.Column("placement", sa.Text, nullable=False, server_default=""),
    sa.Index("attempts_of_job", "job", "launched"),
    sqlite_with_rowid=False,
)
rollups = table_in(metadata)


def run_row(r: RunRecord) -> tuple[Any, ...]:
    causes = " ".join(map(str, r.causes))
    return (r.run, r.job, r.trigger.value, r.due, r.created, r.ended, r.outcome.value, r.reason, r.attempts, r.started,
            r.index, r.last_index, r.last_due, r.version, r.into, r.arguments, causes, r.owner, r.elements_processed,
            r.task_id, r.host, r.first_started, r.exit_reason)  # fmt: skip


def run_of(row: Sequence[Any]) -> RunRecord:
    run, job, trigger, due, created, ended, outcome, reason, tries, started, first, last, last_due, version, into, \
        arguments, causes, owner, elements, task_id, host, first_started, exit_reason = row  # fmt: skip
    return RunRecord(run, job, Trigger(trigger), due, created, ended, Outcome(outcome), reason, tries, started, first,
                     last, last_due, version, into, arguments, tuple(map(int, causes.split())), owner, elements,
                     task_id, host, first_started, exit_reason)  # fmt: skip


def attempt_row(a: AttemptRecord) -> tuple[Any, ...]:
    return (a.run, a.attempt, a.task_id, a.job, a.agent_id, a.host, a.launched, a.started, a.ended, a.outcome.value,
            a.state, a.reason, a.message, a.exit_code, a.signal, a.owner, a.placement)  # fmt: skip


def attempt_of(row: Sequence[Any]) -> AttemptRecord:
    run, attempt, task_id, job, agent, host, launched, started, ended, outcome, state, reason, message, code, signal, \
        owner, placement = row  # fmt: skip
    return AttemptRecord(run, attempt, task_id, job, agent, host, launched, started, ended, Outcome(outcome), state,
                         reason, message, code, signal, owner, placement)  # fmt: skip


def read_rows(rows: Iterable[Sequence[Any]], build: Callable[[Sequence[Any]], Noun]) -> list[Noun]:
    found = []
    for row in rows:
        try:
            found.append(build(row))
        except (ValueError, TypeError, AttributeError) as error:
            log.error("a row of history cannot be read and is left out", run=row[0], reason=str(error))
    return found
