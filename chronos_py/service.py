"""The service thread: the only writer. Inbox -> engine -> store -> effects -> view, one turn after the other.

Any thread may post (`front`). All that arrived since the last turn is handled in one, and stored with one durable
commit; only then are effects carried out and callers answered.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from chronos_py.clock import Clock, Millis
from chronos_py.drivers.base import Driver
from chronos_py.edits import Revisions, TurnEdits, job_of
from chronos_py.election import Leadership
from chronos_py.errors import OUTCOME_UNKNOWN, ChronosError, NotLeader, StaleLeader, StoreUnavailable
from chronos_py.front import Front
from chronos_py.inbox import Posted, answer
from chronos_py.loading import no_collection
from chronos_py.model.history import AttemptRecord, HistoryRecord, RunRecord
from chronos_py.model.job import Job
from chronos_py.model.messages import (
    Decline,
    DriverReady,
    Effect,
    Notify,
    OffersReceived,
    Put,
    Revive,
)
from chronos_py.outlets import Gauges, NoGauges, Notifier, Outbox
from chronos_py.persistence.base import JobStore
from chronos_py.scheduler.book import Turn
from chronos_py.scheduler.engine import Engine
from chronos_py.scheduler.offers import OfferLoop
from chronos_py.scheduler.policy import Policy

log = structlog.get_logger(__name__)

LONGEST_SLEEP_S = 1.0  # the clock may be set while we sleep
PACE_S = 0.02  # news of tasks that comes faster than this is taken together: each commit is a sync of the disk
LONGEST_BACK_OFF_S = 10.0
HAND_OVER_S = 0.25  # for the turn under way, when told to stop, before others may lead
GIVE_WAY_S = 3.0


Results = list[tuple[Posted, Any, BaseException | None]]


class Service(Front):
    """Owns all state while this node leads. `start` and `stop` once; everything else from any thread."""

    def __init__(
        self,
        *,
        store: JobStore,
        driver: Driver,
        leadership: Leadership | None = None,
        outbox: Outbox,
        history: Any,
        clock: Clock,
        policy: Policy | None = None,
        notifier: Notifier | None = None,
        gauges: Gauges | None = None,
        revisions: Revisions | None = None,
        inbox_limit: int = 10_000,
        durations: Callable[[], Any] | None = None,
        history_state: Callable[[], Mapping[str, Any]] | None = None,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(
            driver=driver,
            leadership=leadership,
            outbox=outbox,
            history=history,
            clock=clock,
            policy=policy,
            notifier=notifier,
            revisions=revisions,
            inbox_limit=inbox_limit,
            durations=durations,
            history_state=history_state,
            monotonic=monotonic,
        )
        self._store = store
        self._gauges = gauges or NoGauges()
        self._elections = 0
        self._placing = 0.0  # seconds that the turn's due times and placement took
        self._edits = TurnEdits()
        self._loop = self._engine.loop  # the offers as they were before the turn
        self._stale: tuple[str, ...] = ()  # offers that came in a turn that did not count
        self._alarms: dict[str, bool] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    # --- life

    def start(self) -> None:
        """Start the thread. It leads as soon as this node is elected and the store can be read."""
        self._leadership.start(self._on_elected, self._on_resigned)
        self._thread = threading.Thread(target=self._run, name="service", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Finish the turn under way, hand over, and stop; tasks run on."""
        self._stopping.set()
        self._inbox.poke()
        if self._thread is not None:
            self._thread.join(min(timeout, HAND_OVER_S))  # a turn that takes longer is the store's to refuse
        self._mandate = 0  # what such a turn would still set in motion is the next leader's
        self._leadership.stop()
        if self._thread is not None:
            self._thread.join(timeout)
        self._stop_driver()
        for item in self._inbox.swap(0):
            if item.answer is not None:
                item.answer.set_exception(NotLeader("the server is stopping"))

    def _on_elected(self) -> None:
        self._elections += 1
        self._mandate = self._elections
        self._inbox.poke()

    def _on_resigned(self, reason: str) -> None:
        log.warning("leadership lost", reason=reason)
        self._mandate = 0
        self._inbox.poke()

    # --- the thread

    def _run(self) -> None:
        back_off, mandate = 0.1, 0
        while not self._stopping.is_set():
            try:
                before, mandate = mandate, self._mandate
                if mandate != before:
                    back_off = 0.1
                if not mandate:
                    self._stand_by()
                    continue
                if self._leading and self._held != mandate:  # others may have led between two of our turns
                    self._resign("elected again")
                    self._publisher.forget()
                if not self._leading:
                    self._held = mandate
                    self._take_over()
                    back_off = 0.1
                self._inbox.wait(self._pause())
                self._inbox.gather(min(PACE_S - (self._monotonic() - self._last_turn), self._pause()))
                if self._mandate == mandate:
                    self.step()
            except StaleLeader as error:
                self._resign(f"deposed: {error}")
                self._leadership.resign("the store saw a newer leader")
                if self._mandate == mandate:  # there is no other node, and yet another server writes
                    self._stop_driver()
                    self._refuse_until_stopped()
            except StoreUnavailable as error:
                self._resign(f"store unavailable: {error}")
                self._give_way(back_off)
                self._wait(back_off, mandate)
                back_off = min(back_off * 2, LONGEST_BACK_OFF_S)
            except Exception:
                log.exception("the service's turn failed; reading everything again")
                self._resign("a bug: see the log")
                self._give_way(back_off)
                self._wait(back_off, mandate)
                back_off = min(back_off * 2, LONGEST_BACK_OFF_S)

    def _give_way(self, back_off: float) -> None:
        """Let another node try, when this one has tried for some seconds and cannot."""
        if back_off > GIVE_WAY_S:
            self._leadership.resign(self._problem)

    def _stand_by(self) -> None:
        """Take no part until elected; what runs goes on without us. What was known is forgotten: others change it."""
        if self._leading:
            self._resign("this node does not lead any more")
        elif self._problem == "starting":
            self._problem = "this node has not been elected"
        self._refuse(self._inbox.swap(0))
        self._stop_driver()
        if self.view.loaded:
            self._engine = Engine(self._policy)
            self._loop, self._stale = self._engine.loop, ()  # offers ended with the driver
            self._publisher.forget()
            self._durations.begin()
            self._publisher.resigned(self.leader())
        self._refuse(self._inbox.swap(LONGEST_SLEEP_S))

    def _stop_driver(self) -> None:
        if self._driver_started:
            self.driver.stop()
            self._driver_started = False
        self._connected = False

    def _wait(self, seconds: float, mandate: int) -> None:
        """Do nothing for a while, or until the election has another outcome."""
        deadline = time.monotonic() + seconds
        while not self._stopping.is_set() and self._mandate == mandate:
            left = max(0.0, deadline - time.monotonic())
            self._refuse(self._inbox.swap(left))
            if not left:
                return

    def _refuse(self, items: list[Posted]) -> None:
        """Answer callers that this node does not lead. A driver's news is not acknowledged, so it comes again; its
        offers are handed back."""
        for item in items:
            if isinstance(item.event, OffersReceived) and self._driver_started:
                ids = tuple(offer.id for offer in item.event.offers)
                self._perform(Decline(ids, self._policy.offers.refuse))
            if item.answer is not None and not item.answer.cancelled():
                item.answer.set_exception(NotLeader(f"this node does not lead: {self._problem}"))

    def _refuse_until_stopped(self) -> None:
        """Be of no more use, and in nobody's way: the cluster's subscription belongs to whoever leads now."""
        self._stop_driver()
        while not self._stopping.is_set():
            self._refuse(self._inbox.swap(LONGEST_SLEEP_S))

    def _resign(self, problem: str) -> None:
        problem = problem.replace(f"; {OUTCOME_UNKNOWN}", "")  # told to those alone whose change it was
        if self._leading or self._problem != problem:
            log.error("not leading", reason=problem)
        if self._leading:
            self._notifier.pause()
        self._leading = False
        self._problem = problem
        self.view.leader = False

    def _take_over(self) -> None:
        """Become the writer, read everything, and tell the driver what to ask after."""
        self._epoch = self._store.open_epoch()
        self._loader.begin()
        stale = {**dict.fromkeys(self._stale), **self._loop.held, **self._engine.loop.held}
        self._stale = tuple(stale)
        self._engine = Engine(self._policy)  # the old one goes before the new one comes: there is room for one
        with no_collection():
            snapshot = self._store.load()
            self._engine = engine = self._loader.engine(snapshot)
            self._publisher.begin(engine, snapshot.quarantined)
        framework_id = str(snapshot.meta.get("framework_id", ""))
        if self._driver_started and self.driver.status().live:  # else it posts DriverReady itself once it is
            engine.handle(DriverReady(), self._clock.now())
            if stale:  # they went with a turn that did not count
                engine.book.effect(Decline(tuple(stale), 0.0))
            engine.book.effect(Revive())
            engine.loop.revived()
        turn = engine.flush()
        self._store.commit(self._epoch, turn.changes)
        self._publisher.turn(self._engine, turn)
        self._outbox.submit(sorted(snapshot.outbox.items()))
        self._after_commit(turn)
        self._notifier.begin(list(engine.book.notices.pending.values()))
        self._stale = ()
        self._leading, self._problem, self.view.leader = True, "", True
        log.info("leading", epoch=self._epoch, jobs=len(snapshot.jobs), runs=len(engine.book.runs))
        if not self._driver_started:
            self._driver_started = True
            self.driver.start(self.post, framework_id)
        self._durations.begin()

    def _pause(self) -> float:
        """Return how many seconds to wait for events."""
        wake = self._engine.next_wake
        if wake is None:
            return LONGEST_SLEEP_S
        return min(max(0.0, (wake - self._clock.now()) / 1000), LONGEST_SLEEP_S)

    def step(self, timeout: float = 0.0) -> int:
        """Do one turn; return how many events it took. Raises StoreUnavailable when it could not be stored."""
        posted = self._inbox.swap(timeout)
        self._stale = tuple(
            offer.id for item in posted if isinstance(item.event, OffersReceived) for offer in item.event.offers
        )
        began = self._monotonic()
        self._last_turn = began
        try:
            results = self._handle(posted)
        except Exception as error:
            for item in posted:  # nothing of this turn counts, whoever waits must not wait for his time-out
                answer(item, None, StoreUnavailable(f"the turn failed, nothing was changed: {error}"))
            raise
        handled = self._monotonic()
        turn = self._engine.flush()
        self._log_alarms()
        try:
            if turn.changes:
                self._store.commit(self._epoch, turn.changes)
        except Exception as error:  # whatever it is, nothing of this turn counts
            for item, _, _ in results:
                answer(item, None, error)
            raise
        committed = self._monotonic()
        self._stale = ()
        edits = self._edits.finish(turn.jobs, self.view.jobs, self._definition, self._clock.now())
        self._publisher.turn(self._engine, turn)
        if edits:
            self.revisions.submit(edits)
        self._after_commit(turn)
        for item, value, problem in results:
            answer(item, value, problem)
        if turn.changes or posted:
            self._gauges.turn(len(posted), len(turn.changes), handled - began, committed - handled)
            self._gauges.traffic((item.event for item in posted), turn.effects, self._placing)
        return len(posted)

    def _log_alarms(self) -> None:
        """Tell of each watchdog once when it gives alarm, and once when that is over."""
        for name, watch in self._engine.watchdogs.states.items():
            if watch.alarm != self._alarms.get(name, False):
                self._alarms[name] = watch.alarm
                if watch.alarm:
                    log.warning("watchdog", name=name, reason=watch.reason)
                else:
                    log.info("watchdog is quiet again", name=name)

    def _handle(self, posted: list[Posted]) -> Results:
        """Let the engine take all events and what is due. An event that it cannot digest is set aside, and the turn
        begun again from the store without it: one bad event must not stop the others."""
        self._loader.begin()
        while True:
            results, item = list[tuple[Posted, Any, BaseException | None]](), None
            self._loop = self._engine.loop.copy()
            self._edits = TurnEdits()
            try:
                for item in posted:
                    now = self._clock.now()
                    try:
                        results.append((item, self._engine.handle(item.event, now), None))
                        self._note(item, now)
                    except ChronosError as error:
                        results.append((item, None, error))
                item = None
                before = self._monotonic()
                self._engine.advance(self._clock.now())
                self._placing = self._monotonic() - before
                return results
            except Exception as error:
                if item is None:
                    self._loader.set_aside(self._engine, None, error)
                else:
                    log.exception("an event could not be handled and is left out", event_type=type(item.event).__name__)
                    answer(item, None, error)
                    posted = [other for other in posted if other is not item]
                self._reload(self._loop)

    def _note(self, item: Posted, now: Millis) -> None:
        """Take note of who changed a job."""
        name = job_of(item.event)
        if name is not None:
            self._edits.note(item.event, item.author, self.view.jobs, self._definition(name), now)

    def _definition(self, name: str) -> Job | None:
        entry = self._engine.book.jobs.get(name)
        return entry.job if entry is not None else None

    def _reload(self, loop: OfferLoop) -> None:
        """Forget what the turn has done so far: read the engine's state again."""
        before = self._engine
        with no_collection():
            self._engine = engine = self._loader.engine(self._store.load())
        engine.loop, engine.watchdogs, engine.driver_ready = loop, before.watchdogs, before.driver_ready
        engine.book.health = before.book.health
        engine.preemption.resume(before.preemption)
        if engine.driver_ready:
            engine.reconciler.resume(before.reconciler)

    # --- after the commit

    def _after_commit(self, turn: Turn) -> None:
        self._connected = self._engine.driver_ready  # and what the driver said of itself is stored
        records: list[tuple[int, HistoryRecord]] = [
            (int(change.key), change.value)
            for change in turn.changes
            if isinstance(change, Put) and isinstance(change.value, RunRecord | AttemptRecord)
        ]
        if records:
            self._outbox.submit(records)
            for _, record in records:
                self._durations.note(record)
        for effect in turn.effects:
            if self._mandate == self._held:  # else it is the next leader's to do, which finds it stored
                self._perform(effect)
        self._publisher.tell(turn, records)

    def _perform(self, effect: Effect) -> None:
        try:
            if isinstance(effect, Notify):
                self._notifier.take(effect.notice)
            else:
                self.driver.perform(effect)
        except Exception:
            log.exception("an effect failed", effect=type(effect).__name__)
