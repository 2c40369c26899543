"""A leader's connection to one node: one thread fetches events, another gives effects.

Anything that goes wrong ends the session, and a new one begins with all there is to know; so nothing has to be repeated
or put in order. Of effects that never went out it is certain that they never will: their tasks are told as dropped. The
fate of those that may have arrived is asked for when the node is back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from chronos_py.drivers.group.node import Refused
from chronos_py.drivers.group.transport import NoAnswer, NotSent, Transport
from chronos_py.drivers.group.wire import TOGETHER, Ask, Malformed
from chronos_py.model.messages import Acknowledge, DriverEffect, DriverEvent, Launch, Reconcile, StatusUpdate
from chronos_py.model.run import TaskState

log = structlog.get_logger(__name__)

POLL_S = 10.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 3.0
BATCH = 200  # effects in one request
FAILED = (NotSent, NoAnswer, Refused, Malformed)


@dataclass(frozen=True, slots=True)
class Owner:
    """What a link asks of the driver: numbers for sessions, what to ask after when a session begins, and whom to tell.

    `gone` is told once for each session that ends.
    """

    epoch: Callable[[], int]
    session: Callable[[], int]
    asked: Callable[[str], Iterable[Reconcile]]
    post: Callable[[str, DriverEvent], None]
    gone: Callable[[str], None]


class Link:
    """`give` from any thread; `stop` once."""

    def __init__(self, agent_id: str, transport: Transport, owner: Owner) -> None:
        self.agent_id = agent_id
        self.transport = transport
        self.problem = "never reached so far"
        self._owner = owner
        self._changed = threading.Condition()
        self._live = False
        self._stopped = False
        self._session = 0
        self._number = 0
        self._effects: deque[tuple[int, DriverEffect]] = deque()
        self._soon = threading.Event()
        self._speaker: threading.Thread | None = None

    def start(self) -> None:
        name = f"node-{self.agent_id[:30]}"
        threading.Thread(target=self._listen, name=name, daemon=True).start()
        self._speaker = threading.Thread(target=self._speak, name=name, daemon=True)
        self._speaker.start()

    def stop(self) -> None:
        """End without a word, but for acknowledgements; both threads end soon."""
        with self._changed:
            self._stopped = True
            self._effects = deque(entry for entry in self._effects if isinstance(entry[1], Acknowledge))
            self._changed.notify_all()
        self._soon.set()
        self.transport.wake()

    def join(self, seconds: float) -> None:
        """Wait until all that was to be given is given."""
        if self._speaker is not None:
            self._speaker.join(max(0.0, seconds))

    def ended(self) -> bool:
        return self._stopped

    @property
    def live(self) -> bool:
        return self._live and not self._stopped

    def renew(self, reason: str) -> None:
        """Begin a new session."""
        self._fail(self._session, reason)

    def hurry(self) -> None:
        """Try again now: the node has been seen."""
        self._soon.set()

    def give(self, epoch: int, effect: DriverEffect) -> bool:
        """Have an effect carried out; False when the node is away. A new epoch voids effects of earlier ones."""
        with self._changed:
            if not self._live or self._stopped:
                return False
            while self._effects and self._effects[0][0] < epoch:
                self._effects.popleft()
            self._effects.append((epoch, effect))
            self._changed.notify_all()
            return True

    # --- events

    def _listen(self) -> None:
        pause = FIRST_PAUSE_S
        while not self.ended():
            begun = False
            self._soon.clear()
            try:
                session = self._begin()
                begun, pause = True, FIRST_PAUSE_S
                self._fetch(session)
            except FAILED as error:
                if str(error) != self.problem and not self.ended():
                    log.warning("a node is away", agent=self.agent_id, reason=str(error))
                self.problem = str(error)
            except Exception as error:
                log.exception("the connection to a node failed", agent=self.agent_id)
                self.problem = repr(error)
            if begun:
                self._end()
            if not self.ended() and not self._soon.wait(pause):
                pause = min(2 * pause, LONGEST_PAUSE_S)

    def _begin(self) -> int:
        session = self._owner.session()
        told = self.transport.exchange(Ask(self._owner.epoch(), session, begin=True))
        if told.agent_id != self.agent_id:
            raise Refused(f"it is the agent {told.agent_id[:100]}")
        with self._changed:
            if not self._stopped:
                self._session, self._number, self._live = session, 0, True
                self._effects.clear()
                self._effects.extend((self._owner.epoch(), question) for question in self._owner.asked(self.agent_id))
                self._changed.notify_all()
        self.problem = ""
        log.info("a node is there", agent=self.agent_id)
        return session

    def _fetch(self, session: int) -> None:
        """Pass events on until the session ends."""
        after = 0
        while self.live:
            told = self.transport.exchange(Ask(self._owner.epoch(), session, after=after, wait=POLL_S))
            for event in told.events:
                if self._stopped:
                    return
                self._owner.post(self.agent_id, event)
            after = told.upto

    def _end(self) -> None:
        if self.ended():
            return  # what is left the other thread does
        with self._changed:
            self._live = False
            left = [effect for _, effect in self._effects]
            self._effects.clear()
            self._changed.notify_all()
        self._drop(left)
        self._owner.gone(self.agent_id)

    def _drop(self, effects: Iterable[DriverEffect]) -> None:
        """Tell of tasks whose launch never went out."""
        for effect in effects:
            if isinstance(effect, Launch):
                for event in dropped(effect, "The node of these offers is away"):
                    self._owner.post(self.agent_id, event)

    # --- effects

    def _speak(self) -> None:
        while True:
            with self._changed:
                while not (self._live and self._effects):
                    if self._stopped:
                        return
                    self._changed.wait()
                epoch, effects = self._batch()
                self._number += 1
                session, number = self._session, self._number
            try:
                self.transport.exchange(Ask(epoch, session, number=number, effects=effects))
            except Exception as error:
                log.warning("effects did not reach a node", agent=self.agent_id, reason=str(error))
                if isinstance(error, NotSent | Malformed) and not self.ended():
                    self._drop(effects)
                self._fail(session, str(error))

    def _fail(self, session: int, problem: str) -> None:
        """End a session that is no good any more, unless a later one has begun."""
        with self._changed:
            if not self._live or self._session != session:
                return
            self._live, self.problem = False, problem
        self.transport.wake()

    def _batch(self) -> tuple[int, tuple[DriverEffect, ...]]:
        """Take effects of one epoch, as many as go well together; there is one at least. Under the lock."""
        epoch, first = self._effects.popleft()
        taken, size = [first], _size(first)
        while self._effects and len(taken) < BATCH and self._effects[0][0] == epoch:
            size += _size(self._effects[0][1])
            if size > TOGETHER:
                break
            taken.append(self._effects.popleft()[1])
        return epoch, tuple(taken)


def _size(effect: DriverEffect) -> int:
    """Return about how many bytes an effect takes, measured by what users can make long."""
    if not isinstance(effect, Launch):
        return 1000
    return sum(
        2000
        + len(task.command)
        + len(task.data)
        + sum(map(len, task.arguments))
        + sum(len(value) for _, value in task.environment)
        for task in effect.tasks
    )


def dropped(launch: Launch, sentence: str) -> Iterable[StatusUpdate]:
    """Return the news of a launch that certainly never reached its node."""
    agent = launch.offers[0]
    for task in launch.tasks:
        yield StatusUpdate(
            task.id, TaskState.DROPPED, agent.agent_id, agent.host, reason="INVALID_OFFERS", message=sentence
        )
