"""Rounds of placing: which waiting runs are launched in this turn, what stood in the way of the others, and what is
known of work to come."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from chronos_py.clock import Millis
from chronos_py.model.messages import Launch
from chronos_py.model.offer import Offer
from chronos_py.model.run import Phase, Run, Task
from chronos_py.model.view import Cause
from chronos_py.scheduler.accounts import Accounts, why_here
from chronos_py.scheduler.board import Place, Refusal, Request
from chronos_py.scheduler.book import Book
from chronos_py.scheduler.constraints import relative, spot
from chronos_py.scheduler.entry import Entry
from chronos_py.scheduler.offers import Demand, OfferLoop, Pick
from chronos_py.scheduler.placement import Lending, place
from chronos_py.scheduler.preemption import Preemption
from chronos_py.scheduler.queue import Shape
from chronos_py.scheduler.quotas import Gate
from chronos_py.scheduler.release import Releaser
from chronos_py.scheduler.tasks import build_task

PLACED_PER_TURN = 5000
LAUNCHES_PER_TURN = 500  # a bigger crowd is launched over several turns, so that requests are answered between them
SHARED_PER_TURN = 350  # the same where others wait for the offers that we hold meanwhile
CROWD = 1000  # waiting runs on a shared cluster from which on each offer is used as far as it goes
IN_SIGHT = 200  # timers that are looked at for work to come


class Rounds:
    """Places what waits in the book's queue on the offers that are held."""

    def __init__(self, book: Book, releaser: Releaser, preemption: Preemption) -> None:
        self.book = book
        self.releaser = releaser
        self.preemption = preemption
        self.refusals: dict[Shape, Refusal] = {}
        self.picky: dict[int, Millis] = {}  # retries that wait for another agent, until when
        self.crowd = False  # more wait than one turn's launches can take
        self.per_turn = LAUNCHES_PER_TURN if book.policy.offers.keep else SHARED_PER_TURN
        self.at_work: int | None = None  # the run that is being launched

    # --- what waits, and what is to come

    def in_sight(self, now: Millis) -> tuple[list[tuple[Millis, Shape]], list[tuple[Millis, Pick]], Millis | None]:
        """Return when work will come, as far as the offers' loop wants to know, which of it wants another agent, and
        when to look again."""
        policy = self.book.policy.offers
        if policy.keep:
            return [], [], None
        picks = []
        timers, look_again = self.book.timers.look(now + policy.sight, IN_SIGHT)
        coming = {}
        for at, key in timers:
            if isinstance(key, int):
                run = self.book.runs.get(key)
                entry = self.book.owner(run) if run and run.phase is Phase.RETRYING and run.not_before == at else None
                if entry and run and run.avoid:
                    picks.append((at, (entry.shape, run.avoid)))
            else:
                entry = self.book.jobs.get(key)
                if entry and (entry.due != at or entry.job.disabled or self.releaser.blocked(entry)):
                    entry = None
            if entry is not None:
                coming[key] = (at, entry.shape)
        return list(coming.values()), picks, look_again

    def picks_waiting(self, now: Millis) -> list[tuple[Millis, Pick]]:
        """Return what those want that could be placed but for the agents they avoid."""
        queue, runs = self.book.queue, self.book.runs
        return [(now, (queue.shape_of(number), runs[number].avoid)) for number in self.picky if number in queue]

    def _strict(self, run: Run, now: Millis) -> bool:
        """Tell whether a retry still waits for another agent rather than use one that it avoids."""
        offers = self.book.policy.offers
        return bool(run.avoid) and not offers.keep and now < run.not_before + offers.hold

    def waiting_shapes(self) -> list[Shape]:
        return [] if self.book.policy.offers.keep else self.placeable()

    def placeable(self) -> list[Shape]:
        """Return the shapes that wait for room, and not for a quota."""
        shapes = self.book.queue.shapes
        if not self.book.policy.quotas:
            return shapes
        return [
            shape
            for shape in shapes
            if (refusal := self.refusals.get(shape)) is None or refusal.cause is not Cause.QUOTA
        ]

    # --- a round

    def place(self, loop: OfferLoop, now: Millis, coming: list[tuple[Millis, Shape]]) -> set[str]:
        """Launch what has a place; return the agents of which nobody knows, for that, what they have free now."""
        book = self.book
        book.unplaced = False
        if not len(book.queue):
            self.refusals, self.picky = {}, {}
            return set()
        stuck: set[Shape] = set()
        down, leaving = loop.maintenance(now)
        self.crowd = not loop.policy.keep and len(book.queue) > (self.per_turn if self.crowd else CROWD)
        limit = PLACED_PER_TURN if self.crowd else self.per_turn

        def requests(stuck: set[Shape], among: Collection[Shape] | None = None) -> Iterator[Request]:
            found = (
                self._request(book.runs[number], shape, now)
                for number, shape in self._order(stuck, among)
                if not (book.aside and book.is_aside(number))
            )
            return _first(found, limit, book)

        placement = place(
            requests(stuck),
            list(loop.held.values()),
            stuck,
            down=down,
            leaving=leaving,
            suspect=self.book.health.suspects(now),
            holdings=book.holdings,
            lending=self._lending(requests),
        )
        before = self.refusals
        self._note_refusals(placement.refusals, bool(loop.held))
        hold = loop.policy.hold
        self.picky = {request.run: book.runs[request.run].not_before + hold for request in placement.picky[:IN_SIGHT]}
        offers = loop.places() if placement.launches else {}
        by_place: dict[Place, list[Task]] = {}
        for where, runs in self._this_turns(placement.launches):
            tasks = by_place[where] = []
            accounts = Accounts(offers[where], book.policy.order)
            for number in runs:
                self.at_work = number
                text = why_here(book, number, placement.choices[number], accounts, before, now)
                tasks.append(self._launch(number, offers[where][0], now, text))
        self.at_work = None
        demand = Demand(self.waiting_shapes(), coming, book.unplaced)
        seconds = loop.rest_filter(demand, now)
        for where, tasks in by_place.items():
            loop.use(offers[where])
            book.effect(Launch(tuple(offers[where]), tuple(tasks), seconds))
        return {where.agent for where in by_place}

    def _request(self, run: Run, shape: Shape, now: Millis) -> Request:
        if shape.banned:  # what it avoids it may not have at all
            return Request(run.id, shape)
        return Request(run.id, shape, run.avoid, self._strict(run, now))

    def _order(self, stuck: set[Shape], among: Collection[Shape] | None) -> Iterator[tuple[int, Shape]]:
        """Yield what waits: first those for which room was made."""
        first, queue = self.preemption.first(), self.book.queue
        for number in first:
            shape = queue.shape_of(number)
            if shape not in stuck and (among is None or shape in among):
                yield number, shape
        yield from (item for item in queue.in_order(stuck, among) if not first or item[0] not in first)

    def _lending(self, requests: Callable[[set[Shape], Collection[Shape]], Iterator[Request]]) -> Lending | None:
        book = self.book
        if not book.policy.quotas:
            return None
        return Lending(
            Gate(book.policy.quotas, book.holdings),
            requests,
            lambda placed: [shape for shape in book.queue.shapes if book.queue.waiting(shape) > placed.get(shape, 0)],
            lambda: book.unplaced,
        )

    def _note_refusals(self, refusals: dict[Shape, Refusal], held: bool) -> None:
        """Keep what stood in the way: the last offers say more than that there are none now."""
        kept = {}
        for shape, refusal in refusals.items():
            old = self.refusals.get(shape) if refusal.cause is Cause.NO_OFFERS and not held else None
            kept[shape] = old if old is not None and old.cause is Cause.NO_FIT else refusal
        self.refusals = kept

    def _this_turns(self, launches: list[tuple[Request, Place]]) -> list[tuple[Place, list[int]]]:
        """Return which runs go where now: whole places until there are enough, for what a launch leaves of its offers
        is gone for a while. The rest is placed again in the next turn, on what is left."""
        by_place: dict[Place, list[int]] = {}
        for request, where in launches:
            by_place.setdefault(where, []).append(request.run)
        chosen, count = [], 0
        for where, runs in by_place.items():
            if count >= self.per_turn:
                self.book.unplaced = True
                break
            if len(runs) > self.per_turn:
                self.book.unplaced = True
            chosen.append((where, runs[: self.per_turn]))
            count += len(chosen[-1][1])
        return chosen

    def _launch(self, number: int, offer: Offer, now: Millis, why: str) -> Task:
        """Store the intent to launch a run's present attempt; return the task."""
        book = self.book
        run = book.runs[number]
        entry = book.owner(run)
        assert entry is not None  # what waits has a job
        book.queue.remove(number)
        run = book.update_run(
            run,
            phase=Phase.LAUNCHING,
            agent_id=offer.agent_id,
            host=offer.host,
            launched=now,
            deadline=now + book.policy.launch_patience,
            spots=self._spots(entry, offer),
            placement=why,
        )
        self.releaser.absorb(entry, run, now)
        if entry.job.concurrent:
            self.releaser.settle(entry, now)
        return build_task(entry.job, run, offer.host, book.policy.tasks)

    @staticmethod
    def _spots(entry: Entry, offer: Offer) -> tuple[tuple[str, str], ...]:
        """Return the values of an agent's attributes that matter to where the job's other runs may go."""
        if not entry.shape.among:
            return ()
        names = dict.fromkeys(one.attribute for one in relative(entry.job.constraints))
        return tuple((name, spot(name, offer.attributes, offer.host, offer.agent_id)) for name in names)


def _first(requests: Iterator[Request], limit: int, book: Book) -> Iterator[Request]:
    """Yield at most `limit` requests; note on the book that the rest must be looked at again."""
    for count, request in enumerate(requests, 1):
        yield request
        if count >= limit:
            book.unplaced = True
            return
