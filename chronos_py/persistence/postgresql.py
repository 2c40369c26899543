"""What history in PostgreSQL needs beyond SQL: limits on every wait, and one node at a time that makes tables.

A node that stands still in the midst of a transaction must not hold up the others: the server ends it. A server that is
cut off without a word must not hold up a reader or the writer.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

CONNECT_S = 10
SILENCE_MS = 20_000  # of a server that takes nothing that was sent
LOCK_S = 30  # how long to wait for another node
IDLE_S = 30  # after so long in a transaction without a word the server ends the session
MAKING_TABLES = 0x6368726F6E6F73  # the number of an advisory lock: "chronos"

TOO_LONG = "54000"  # SQLSTATE program_limit_exceeded: a text is too long for an index, which takes 2,704 bytes
LONGEST_TEXT = 600  # characters of a text that an index holds, where it has to be cut: 4 bytes each at most


def make_engine(address: sa.URL) -> sa.Engine:
    """Return an engine whose waits all end. What the address says itself counts."""
    options: dict[str, Any] = {}
    if address.get_driver_name() in ("psycopg", "psycopg2"):
        options = {"connect_timeout": CONNECT_S, "tcp_user_timeout": SILENCE_MS, "keepalives_idle": 20,
                   "keepalives_interval": 5, "keepalives_count": 4}  # fmt: skip
    engine = sa.create_engine(
        address,
        pool_pre_ping=True,
        connect_args={name: value for name, value in options.items() if name not in address.query},
    )
    sa.event.listen(engine, "connect", _set_up)
    return engine


def _set_up(connection: Any, record: Any) -> None:
    del record
    cursor = connection.cursor()
    cursor.execute(f"SET lock_timeout = '{LOCK_S}s'")
    cursor.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_S}s'")
    cursor.close()
    connection.commit()


def be_the_only_maker(db: sa.Connection) -> None:
    """Wait until no other node makes tables; until the end of the transaction."""
    db.execute(sa.text("SELECT pg_advisory_xact_lock(:number)"), {"number": MAKING_TABLES})


def is_too_long(error: Exception) -> bool:
    """Tell whether an index has no room for a text."""
    return getattr(getattr(error, "orig", None), "sqlstate", "") == TOO_LONG
