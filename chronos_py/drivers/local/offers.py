"""This machine's room, offered as a whole: at most one offer is out at a time."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from chronos_py.drivers.base import Post
from chronos_py.model.messages import Decline, Launch, OfferRescinded, OffersReceived
from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources

_REMEMBERED = 1000


class Offers:
    """Keeps account of what is free. An offer is replaced when that has changed: at most once a turn, by `refresh`."""

    def __init__(self, total: Resources, agent_id: str, host: str, attributes: Mapping[str, str], post: Post) -> None:
        self.total = total
        self.used = Resources()
        self._agent_id = agent_id
        self._host = host
        self._attributes = dict(attributes)
        self._post = post
        self._out: Offer | None = None
        self._valid: dict[str, None] = {}  # ids that were not used or declined, rescinded ones included
        self._declined: Resources | None = None
        self._held_until = 0.0
        self._suppressed = False

    @property
    def free(self) -> Resources:
        rest = self.total - self.used
        return Resources(max(0, rest.cpus), max(0, rest.mem), max(0, rest.disk))

    def use(self, launch: Launch) -> bool:
        """Use a launch's offers up; False when one of them is not ours or was used before.

        One that was rescinded a moment ago will do: it was replaced because there is more room now, and what a task
        gets is measured against the room that there is.
        """
        known = bool(launch.offers) and all(offer.id in self._valid for offer in launch.offers)
        for offer in launch.offers:
            self._drop(offer.id)
        return known

    def take(self, need: Resources) -> bool:
        """Take room for a task; False when there is too little."""
        if not (self.total - self.used).covers(need):
            return False
        self.used = self.used + need
        return True

    def take_anyway(self, need: Resources) -> None:
        """Take room for a task that runs already, though less may have been configured since."""
        self.used = self.used + need

    def give_back(self, need: Resources) -> None:
        self.used = self.used - need

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
        free = self.free
        if self._out is not None:
            if self._out.resources == free:
                return
            self._post(OfferRescinded(self._out.id))
            self._out = None
        if self._suppressed or (free == self._declined and now < self._held_until):
            return
        self._declined = None
        self._out = Offer(
            uuid.uuid4().hex, self._agent_id, self._host, free, total=self.total, attributes=self._attributes
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
