"""One agent's room, offered as a whole: at most one offer is out at a time."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence

from chronos_py.drivers.base import Post
from chronos_py.model.capacity import AgentCapacity
from chronos_py.model.messages import Decline, Launch, OfferRescinded, OffersReceived
from chronos_py.model.offer import Offer
from chronos_py.model.pools import SHARED, AgentSpec, ResourceOrder, split
from chronos_py.model.resources import Resources

_REMEMBERED = 1000


class Offers:
    """Keeps account of what is free. An offer is replaced when that has changed: at most once a turn, by `refresh`.

    `roles` are those whose reservations tasks may use; what is reserved for others is never offered.
    """

    def __init__(
        self,
        agent_id: str,
        host: str,
        spec: AgentSpec,
        roles: Sequence[str],
        order: ResourceOrder,
        post: Post,
        *,
        retired: bool = False,
    ) -> None:
        self.agent_id = agent_id
        self.host = host
        self.total = spec.resources
        self.used = Resources()
        self.retired = retired  # no longer configured: it takes no tasks
        self._spec = spec
        self._roles = tuple(role for role in roles if role in spec.reserved)
        shared = spec.resources
        for amount in spec.reserved.values():
            shared = shared - amount
        self._pools = {SHARED: shared, **{role: spec.reserved[role] for role in self._roles}}
        self._usable = total_of(self._pools.values())
        self._used_of: Mapping[str, Resources] = {}
        self._order = order
        self._post = post
        self._out: Offer | None = None
        self._valid: dict[str, None] = {}  # ids that were not used or declined, rescinded ones included
        self._declined: Resources | None = None
        self._held_until = 0.0
        self._suppressed = False

    @property
    def free(self) -> Resources:
        return total_of(self._left().values())

    def _left(self) -> dict[str, Resources]:
        """Return what nobody uses of each pool."""
        left = {}
        for role, amount in self._pools.items():
            rest = amount - self._used_of.get(role, Resources())
            left[role] = Resources(max(0, rest.cpus), max(0, rest.mem), max(0, rest.disk))
        return left

    def use(self, launch: Launch) -> bool:
        """Use a launch's offers up; False when one of them is not ours or was used before.

        One that was rescinded a moment ago will do: it was replaced because there is more room now, and what a task
        gets is measured against the room that there is.
        """
        known = bool(launch.offers) and all(offer.id in self._valid for offer in launch.offers)
        for offer in launch.offers:
            self._drop(offer.id)
        return known

    def take(self, need: Resources, wish: str = "") -> dict[str, Resources] | None:
        """Take room for a task, by the order that its job wishes; return from whose part, None for too little."""
        left = self._left()
        if self.retired or not total_of(left.values()).covers(need):
            return None
        taken = split(need, left, self._order.of(self._roles, wish))
        self.take_anyway(taken)
        return taken

    def take_anyway(self, taken: Mapping[str, Resources]) -> None:
        """Take room for a task that runs already, though less may have been configured since."""
        used_of = dict(self._used_of)
        for role, amount in taken.items():
            used_of[role] = used_of.get(role, Resources()) + amount
        self._settle(used_of)

    def give_back(self, taken: Mapping[str, Resources]) -> None:
        used_of = dict(self._used_of)
        for role, amount in taken.items():
            used_of[role] = used_of.get(role, Resources()) - amount
        self._settle(used_of)

    def _settle(self, used_of: dict[str, Resources]) -> None:
        self._used_of = {role: amount for role, amount in used_of.items() if amount != Resources()}
        self.used = total_of(self._used_of.values())

    def capacity(self) -> AgentCapacity:
        """Return what is known of the agent. Safe to call from any thread."""
        used_of = self._used_of
        return AgentCapacity(
            self.agent_id,
            self.host,
            self.total,
            total_of(used_of.values()),
            self._spec.reserved,
            self._spec.attributes,
            active=not self.retired,
            ours=frozenset((SHARED, *self._roles)),
            used_of=used_of,
        )

    def decline(self, decline: Decline, now: float) -> None:
        if self._out is not None and self._out.id in decline.offer_ids:
            self._declined, self._held_until = self._out.resources, now + decline.seconds
        for offer_id in decline.offer_ids:
            self._drop(offer_id)

    def suppress(self) -> None:
        self._suppressed = True

    def revive(self) -> None:
        """Offer again what is free, even if that is on offer: whoever asks may have lost sight of it."""
        self._suppressed, self._declined = False, None
        if self._out is not None:
            self._post(OfferRescinded(self._out.id))
            self._out = None

    def refresh(self, now: float) -> None:
        """Offer what is free, unless it is on offer already or nobody wants it."""
        if self.retired:
            return
        left = self._left()
        free = total_of(left.values())
        if self._out is not None:
            if self._out.resources == free:
                return
            self._post(OfferRescinded(self._out.id))
            self._out = None
        if self._suppressed or (free == self._declined and now < self._held_until):
            return
        self._declined = None
        self._out = Offer(
            uuid.uuid4().hex,
            self.agent_id,
            self.host,
            free,
            total=self._usable,
            attributes=self._spec.attributes,
            reserved={role: left[role] for role in self._roles},
        )
        self._valid[self._out.id] = None
        if len(self._valid) > _REMEMBERED:
            del self._valid[next(iter(self._valid))]
        self._post(OffersReceived([self._out]))

    def pause(self, now: float) -> float | None:
        """Return the seconds until `refresh` is needed though nothing has happened."""
        return max(0.0, self._held_until - now) if self._declined is not None and not self._suppressed else None

    def _drop(self, offer_id: str) -> None:
        self._valid.pop(offer_id, None)
        if self._out is not None and self._out.id == offer_id:
            self._out = None


def total_of(amounts: Iterable[Resources]) -> Resources:
    total = Resources()
    for amount in amounts:
        total = total + amount
    return total
