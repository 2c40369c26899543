"""From whose part of an agent each task of a turn is taken (the driver does the same with the same rule), and with that
why it is placed where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chronos_py.clock import Millis
from chronos_py.model.offer import Offer
from chronos_py.model.pools import SHARED, ResourceOrder, split
from chronos_py.model.resources import Resources
from chronos_py.scheduler.board import Refusal
from chronos_py.scheduler.book import Book
from chronos_py.scheduler.explanation import Choice, explain
from chronos_py.scheduler.queue import Shape
from chronos_py.scheduler.retry import weights


class Accounts:
    """What is left of one place's offers, in pools."""

    def __init__(self, offers: Sequence[Offer], order: ResourceOrder) -> None:
        pools: dict[str, Resources] = {}
        for offer in offers:
            rest = offer.resources
            for role, amount in offer.reserved.items():
                pools[role] = pools.get(role, Resources()) + amount
                rest = rest - amount
            pools[SHARED] = pools.get(SHARED, Resources()) + rest
        self._pools = pools
        self._roles = [role for role in pools if role != SHARED]
        self._order = order

    def take(self, need: Resources, wish: str) -> dict[str, Resources]:
        """Take what a task needs; return it by role."""
        if not self._roles:
            return {SHARED: need}
        taken = split(need, self._pools, self._order.of(self._roles, wish))
        for role, amount in taken.items():
            self._pools[role] = self._pools[role] - amount
        return taken


def why_here(
    book: Book, number: int, choice: Choice, accounts: Accounts, before: Mapping[Shape, Refusal], now: Millis
) -> str:
    """Say why a run is placed where it is, while it is still in the queue; `before` is what stood in its way so far."""
    run = book.runs[number]
    entry, shape = book.owner(run), book.queue.shape_of(number)
    order = entry.job.resource_order if entry else None
    taken = accounts.take(shape.need, order.value if order else "")
    refusal = before.get(shape)
    held_up = (refusal.cause.value, refusal.sentence) if refusal is not None else None
    avoided = weights(run, now, book.policy.forgiveness) if run.avoid else {}
    return explain(choice, taken, avoided, now - run.waits_from, held_up)
