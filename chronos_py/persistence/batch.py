"""What remains of a turn's changes when each key's last word counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from chronos_py.model.messages import Change, Kind, Put

KINDS: tuple[Kind, ...] = ("job", "state", "run", "meta", "outbox")


def _per_kind() -> dict[Kind, Any]:
    return {kind: {} for kind in KINDS}


@dataclass(slots=True)
class Batch:
    """To be made durable together: first the deletes, then the puts. No key is in both.

    Outbox records up to number `outbox_up_to` go, but for those in `puts`; so do the tasks `pending` of a Chronos 2.
    """

    puts: dict[Kind, dict[str | int, Any]] = field(default_factory=_per_kind)
    deletes: dict[Kind, dict[str | int, None]] = field(default_factory=_per_kind)
    outbox_up_to: int | None = None
    pending: list[str] = field(default_factory=list)


def settle(changes: Iterable[Change]) -> Batch:
    """Return the changes without those that a later one of the same key undoes."""
    batch = Batch()
    for change in changes:
        kind, key = change.kind, change.key
        if kind == "pending":
            batch.pending.append(str(key))
            continue
        puts = batch.puts[kind]
        if isinstance(change, Put):
            puts[key] = change.value
            batch.deletes[kind].pop(key, None)
        elif kind == "outbox":
            up_to = int(key)
            batch.outbox_up_to = max(up_to, batch.outbox_up_to or up_to)
            for number in [number for number in puts if int(number) <= up_to]:
                del puts[number]
        else:
            puts.pop(key, None)
            batch.deletes[kind][key] = None
    return batch
