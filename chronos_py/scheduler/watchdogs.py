"""What ought not to happen, watched for: that tasks wait and nothing comes or goes.

Each watchdog has a name, and is quiet or gives alarm with a reason. `offers` also acts: it asks for offers again, then
for a new connection, then again with growing pauses. The driver watches its connection itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chronos_py.clock import Millis
from chronos_py.model.messages import Resubscribe, Revive
from chronos_py.scheduler.book import Book
from chronos_py.scheduler.offers import OfferLoop
from chronos_py.scheduler.queue import Shape

AWAY: Millis = 5000  # without a connection, before that is worth an alarm
LOOK: Millis = 5000  # from one look at the queue to the next
SHAPES = 50  # shapes of waiting runs that are looked at
LONGEST: Millis = 1_200_000


@dataclass(frozen=True, slots=True)
class Watch:
    """`since` is when the present state began, None for never another."""

    alarm: bool = False
    since: Millis | None = None
    reason: str = ""


class Watchdogs:
    """`states` by name. Works on the book and the held offers alone."""

    def __init__(self) -> None:
        names = ("connection", "offers", "placement", "jobs")
        self.states: dict[str, Watch] = {name: Watch() for name in names}
        self.lost = "not connected yet"  # why the cluster cannot be reached, while it cannot
        self._away_from: Millis | None = None
        self._alarm_at: Millis | None = None
        self._wait_from: Millis | None = None
        self._act_at: Millis | None = None
        self._pause: Millis = 0
        self._acts = 0
        self._suspect: tuple[int, Millis] | None = None  # a run that fits and is not launched, since when
        self._look_at: Millis | None = None

    @property
    def wake(self) -> Millis | None:
        return min((at for at in (self._alarm_at, self._act_at, self._look_at) if at is not None), default=None)

    def watch(self, book: Book, loop: OfferLoop, waiting: Sequence[Shape], now: Millis, *, ready: bool) -> None:
        """Look at everything once; `waiting` are the shapes that wait for room, `ready`: the cluster can be reached."""
        self._watch_jobs(book, now)
        self._watch_connection(now, ready=ready)
        self._watch_offers(book, loop, waiting, now, ready=ready)
        self._watch_placement(book, loop, waiting, now, ready=ready)

    def _set(self, name: str, reason: str, now: Millis) -> None:
        """Give alarm for a reason, or none when it is empty."""
        before = self.states[name]
        if before.alarm != bool(reason):
            self.states[name] = Watch(bool(reason), now, reason)
        elif before.reason != reason:
            self.states[name] = Watch(before.alarm, before.since, reason)

    def _watch_connection(self, now: Millis, *, ready: bool) -> None:
        self._alarm_at = None
        if ready:
            self._away_from = None
            self._set("connection", "", now)
            return
        if self._away_from is None or self._away_from > now:
            self._away_from = now
        if now - self._away_from >= AWAY:
            self._set("connection", f"the cluster cannot be reached: {self.lost}", now)
        else:
            self._alarm_at = self._away_from + AWAY

    def _watch_jobs(self, book: Book, now: Millis) -> None:
        if book.aside or self.states["jobs"].alarm:
            first = next(iter(book.aside.items()), None)
            text = f"{len(book.aside)} set aside, the first: {first[0]} ({first[1].reason})" if first else ""
            self._set("jobs", text, now)

    # --- tasks wait and no offer comes

    def _watch_offers(self, book: Book, loop: OfferLoop, waiting: Sequence[Shape], now: Millis, *, ready: bool) -> None:
        satisfied = loop.policy.keep and bool(loop.held)
        if not ready or not waiting or satisfied:
            self._wait_from = self._act_at = None
            self._set("offers", "", now)
            return
        last = loop.last_offer
        if self._wait_from is None or (last is not None and last > self._wait_from):
            self._wait_from = now if self._wait_from is None or last is None else last
            self._pause, self._acts = book.policy.offer_patience, 0
            self._act_at = self._wait_from + self._pause
            self._set("offers", "", now)
        if self._act_at is None or now < self._act_at:
            return
        reason = f"tasks wait and no offer came for {(now - self._wait_from) // 1000} s"
        if self._acts == 0:
            loop.revived()
            book.effect(Revive())
        else:
            book.effect(Resubscribe(reason))
            self._pause = min(2 * self._pause, max(LONGEST, book.policy.offer_patience))
        self._acts += 1
        self._act_at = now + self._pause
        self._set("offers", reason, now)

    # --- a run fits and is not launched

    def _watch_placement(
        self, book: Book, loop: OfferLoop, waiting: Sequence[Shape], now: Millis, *, ready: bool
    ) -> None:
        if not ready or not waiting or not loop.held:
            self._suspect = self._look_at = None
            self._set("placement", "", now)
            return
        if self._look_at is not None and now < self._look_at:
            return
        self._look_at = now + LOOK
        heads = [book.queue.head(shape) for shape in waiting[:SHAPES] if loop.usable(shape, now)]
        if self._suspect is None or self._suspect[0] not in heads:
            self._suspect = (heads[0], now) if heads else None
        if self._suspect is None or now - self._suspect[1] < book.policy.launch_lag:
            self._set("placement", "", now)
            return
        number, since = self._suspect
        job, seconds = book.runs[number].job, (now - since) // 1000
        self._set("placement", f"run {number} of {job} fits on an offer and was not launched for {seconds} s", now)
