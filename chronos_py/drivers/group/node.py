"""This machine's side: a local driver that runs as long as the server does, whoever leads, and does what the leader
says.

One leader at a time has a session. Effects of an older epoch or session are refused, so that a deposed leader cannot
do anything any more. A session begins with all that there is to know: a fresh offer, and the state of every task.
Events wait here until the leader has them; whatever is lost all the same (ends of tasks) the local driver repeats.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from itertools import islice
from pathlib import Path

import structlog

from chronos_py.drivers.base import DriverStatus, OutputChunk
from chronos_py.drivers.group.wire import EVENTS, Ask, Told
from chronos_py.drivers.local import LocalDriver
from chronos_py.drivers.local.sandbox import replace
from chronos_py.errors import ChronosError
from chronos_py.model.messages import DriverEvent, DriverReady, OfferRescinded, OffersReceived, Reconcile, Revive

log = structlog.get_logger(__name__)

HELD = 100_000  # events that wait for a leader; one that does not fetch them loses its session
LOOK_S = 0.25  # a request that waits looks this often whether the server is to stop


class Refused(ChronosError):
    """The request is not, or no longer, this node's leader's; nothing was done."""


class Node:
    """Any thread may ask. `folder` keeps the highest epoch that was seen; `stopping` ends requests that wait."""

    def __init__(self, local: LocalDriver, folder: Path, stopping: threading.Event | None = None) -> None:
        self.local = local
        self._file = folder / "leader_epoch"
        self._stopping = stopping or threading.Event()
        self._changed = threading.Condition()
        self._epoch = 0
        self._session = (0, 0)  # the newest: its epoch, and its number
        self._led = False  # whether it goes on
        self._number = 0  # of the last request with effects
        self._events: deque[DriverEvent] = deque()
        self._first = 0  # how many events of the session are no longer in the queue
        self._offered: dict[str, str] = {}  # what the leader was offered last, by agent
        self._asker = 0  # the newest request that waits; an older one gives way

    def start(self) -> None:
        """Raises OSError when the data folder cannot be used."""
        with suppress(FileNotFoundError, ValueError):
            self._epoch = int(self._file.read_text())
        self.local.start(self._take, "")

    def stop(self) -> None:
        """Stop; tasks run on."""
        with self._changed:
            self._led = False
            self._changed.notify_all()
        self.local.stop()

    @property
    def agent_id(self) -> str:
        return self.local.agent_id

    def status(self) -> DriverStatus:
        return self.local.status()

    def output(self, task_id: str, stream: str, offset: int, length: int) -> OutputChunk:
        """Raises UnknownTask."""
        return self.local.output(task_id, stream, offset, length)

    def see_epoch(self, epoch: int) -> None:
        """Note that a leader has opened this epoch: effects of earlier ones are refused from now on."""
        with self._changed:
            if epoch <= self._epoch:
                return
            self._epoch = epoch
            try:
                replace(str(self._file), b"%d" % epoch)
            except OSError as error:  # it will be learnt again from the leader, or from ZooKeeper
                log.warning("the leader's epoch could not be kept", reason=str(error))

    def exchange(self, ask: Ask, *, remote: bool = False) -> Told:
        """Do what the leader says, and tell it what is new. A `remote` leader does not wait while the server stops.

        Raises Refused.
        """
        if ask.epoch > self._epoch:
            self.see_epoch(ask.epoch)
        with self._changed:
            self._admit(ask)
            if ask.effects:
                if ask.number <= self._number:
                    raise Refused(f"request {ask.number} of this session was carried out before")
                self._number = ask.number
                for effect in ask.effects:
                    self.local.perform(effect)
                return Told(self.agent_id, (), self._first)
            while self._events and self._first < ask.after:
                self._events.popleft()
                self._first += 1
            if ask.wait > 0:
                self._wait(ask, remote)
            events = tuple(islice(self._events, EVENTS))
            return Told(self.agent_id, events, self._first + len(events))

    def _admit(self, ask: Ask) -> None:
        if ask.epoch < self._epoch:
            raise Refused(f"epoch {ask.epoch} is over, the present one is {self._epoch}")
        if ask.begin and (ask.epoch, ask.session) > self._session:
            self._number, self._first, self._offered, self._led = 0, 0, {}, True
            self._events.clear()
            self._changed.notify_all()
            self.local.perform(Revive())
            self.local.perform(Reconcile(()))
        elif ask.begin or not self._led or ask.session != self._session[1]:
            raise Refused("this session is over, or never began")
        self._session = (ask.epoch, ask.session)  # the epoch of a leader that was elected again is another

    def _wait(self, ask: Ask, remote: bool) -> None:
        """Wait for events. Raises Refused when the session ends meanwhile."""
        self._asker += 1
        mine, deadline = self._asker, time.monotonic() + ask.wait
        while not self._events and mine == self._asker and not (remote and self._stopping.is_set()):
            rest = deadline - time.monotonic()
            if rest <= 0:
                break
            self._changed.wait(min(rest, LOOK_S))
            if not self._led or self._session[1] != ask.session:
                raise Refused("this session is over")

    def wake(self) -> None:
        """Let a request that waits return at once."""
        with self._changed:
            self._asker += 1
            self._changed.notify_all()

    def _take(self, event: DriverEvent) -> None:
        """Keep an event for the leader; without one nobody needs it, for a session begins with all there is."""
        with self._changed:
            if not self._led or isinstance(event, DriverReady):
                return
            if isinstance(event, OffersReceived):
                self._offered.update((offer.agent_id, offer.id) for offer in event.offers)
            elif isinstance(event, OfferRescinded) and event.offer_id not in self._offered.values():
                return  # an earlier leader had it
            if len(self._events) >= HELD:
                log.error("the leader does not fetch what is told; its session ends", events=len(self._events))
                self._led = False
                self._events.clear()
            else:
                self._events.append(event)
            self._changed.notify_all()
