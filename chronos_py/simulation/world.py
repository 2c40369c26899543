"""The real engine in virtual time: what it launches on virtual agents runs as long, and ends as, `Chance` says.

Time jumps from event to event. News is taken together every `pace` ms, as the service does. Nothing here asks a clock
or a random source, so the same jobs, agents and seed give the same history.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from typing import Protocol

from chronos_py.clock import Millis
from chronos_py.model.history import AttemptRecord, RunRecord
from chronos_py.model.messages import (
    AgentLost,
    DriverReady,
    Kill,
    Launch,
    OfferRescinded,
    OffersReceived,
    Put,
    Reconcile,
    ReportResult,
    StatusUpdate,
)
from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources
from chronos_py.model.run import Phase, Run, Task, TaskState
from chronos_py.model.view import Waiting
from chronos_py.scheduler.book import Turn
from chronos_py.scheduler.engine import Engine
from chronos_py.simulation.agents import Move, VirtualAgent
from chronos_py.simulation.chance import Chance

PACE: Millis = 20
KILL_DELAY: Millis = 100  # from the order to stop a task to its end


class TooMuch(Exception):
    """The simulation was stopped because it made more attempts than it may."""


class Observer:
    """Is told what happens; each method may be left as it is."""

    def launched(self, at: Millis, run: Run, agent: str) -> None:
        """A task was started."""

    def attempt_ended(self, at: Millis, record: AttemptRecord) -> None:
        """A task has ended."""

    def run_ended(self, at: Millis, record: RunRecord) -> None:
        """A run has ended, or due times were left out."""

    def waits(self, at: Millis, run: Run, waiting: Waiting) -> None:
        """A run cannot start at once. Told once for each attempt, of the first cause."""

    def agent_moved(self, at: Millis, agent: str, *, up: bool) -> None:
        """An agent has come or gone."""

    def turned(self, world: World) -> None:
        """A turn is over."""


class Stop(Protocol):
    """Raises to end a simulation early; asked every few turns."""

    def __call__(self, world: World) -> None: ...


class _Agent:
    """An agent's account: what is free, and the offer that is out."""

    __slots__ = ("agent", "free", "offer", "tasks")

    def __init__(self, agent: VirtualAgent) -> None:
        self.agent = agent
        self.free = agent.total
        self.offer = ""
        self.tasks: dict[str, Resources] = {}


class World:
    """An engine, its cluster, and what is to come. `run` as often as wanted; `at` is how far it has come."""

    def __init__(
        self,
        engine: Engine,
        agents: Iterable[VirtualAgent],
        chance: Chance,
        start: Millis,
        *,
        observers: Sequence[Observer] = (),
        moves: Iterable[Move] = (),
        pace: Millis = PACE,
        kill_delay: Millis = KILL_DELAY,
        most_launches: int | None = None,
    ) -> None:
        self.engine = engine
        self.at = start
        self.launches = 0
        self.turns = 0
        self.used_cpus = self.used_mem = self.total_cpus = self.total_mem = 0  # thousandths
        self.agents: dict[str, _Agent] = {}
        self._chance = chance
        self._observers = observers
        self._pace = max(1, pace)
        self._kill_delay = kill_delay
        self._most_launches = most_launches
        self._tasks: dict[str, str] = {}  # by task id: the agent
        self._changed: dict[str, None] = {}  # agents whose offers are to be made anew
        self._offers = 0
        self._count = 0
        self._ends: list[tuple[Millis, int, str, str]] = []  # when, order, task id, how
        self._moves = [(move.at, number, move) for number, move in enumerate(moves)]
        heapify(self._moves)
        self._unexplained: dict[int, None] = {}  # runs that were touched in turns of this instant
        self._explained: dict[int, int] = {}  # by run that waits: the attempt that was told of
        self._again = False
        self._last: Millis = start - self._pace
        for agent in agents:
            self._come(agent)
        self._adopt()
        engine.handle(DriverReady("simulation"), start)
        self._perform(engine.flush())

    @property
    def running(self) -> int:
        """Return how many tasks there are."""
        return len(self._tasks)

    # --- agents

    def _come(self, agent: VirtualAgent) -> None:
        if agent.id in self.agents:
            return
        self.agents[agent.id] = _Agent(agent)
        self.total_cpus += agent.total.cpus
        self.total_mem += agent.total.mem
        self._changed[agent.id] = None
        for observer in self._observers:
            observer.agent_moved(self.at, agent.id, up=True)

    def _go(self, agent_id: str) -> None:
        agent = self.agents.pop(agent_id, None)
        if agent is None:
            return
        self.total_cpus -= agent.agent.total.cpus
        self.total_mem -= agent.agent.total.mem
        self._changed.pop(agent_id, None)
        for observer in self._observers:
            observer.agent_moved(self.at, agent_id, up=False)
        self.engine.handle(AgentLost(agent_id), self.at)
        for task_id, need in agent.tasks.items():
            del self._tasks[task_id]
            self.used_cpus -= need.cpus
            self.used_mem -= need.mem
            self._tell(task_id, agent, TaskState.GONE, "AGENT_REMOVED")

    def _offer(self) -> None:
        """Offer what agents have free whose account has changed."""
        if not self._changed:
            return
        engine, now, offers = self.engine, self.at, []
        for name in self._changed:
            agent = self.agents[name]
            if agent.offer:
                engine.handle(OfferRescinded(agent.offer), now)
            self._offers += 1
            agent.offer = f"o{self._offers}"
            one = agent.agent
            offers.append(Offer(agent.offer, one.id, one.name, agent.free, total=one.total, attributes=one.attributes))
        self._changed.clear()
        engine.handle(OffersReceived(offers), now)

    # --- tasks

    def _adopt(self) -> None:
        """Take in the tasks that run at the beginning. One on an agent that is not there ends in its time, too."""
        book = self.engine.book
        for run in list(book.runs.values()):
            entry = book.owner(run)
            if not run.on_agent or entry is None:
                continue
            elapsed = max(0, self.at - (run.started or run.launched or self.at))
            rest, fails = self._chance.rest(run.job, run.task_id, elapsed)
            self._begin(run.task_id, run.agent_id, entry.shape.need, rest, fails=fails)

    def _begin(self, task_id: str, agent_id: str, need: Resources, length: Millis, *, fails: bool) -> None:
        self._tasks[task_id] = agent_id
        agent = self.agents.get(agent_id)
        if agent is not None:
            agent.tasks[task_id] = need
            agent.free = agent.free - need
            self.used_cpus += need.cpus
            self.used_mem += need.mem
            self._changed[agent_id] = None
        self._end_at(self.at + length, task_id, TaskState.FAILED if fails else TaskState.FINISHED)

    def _end_at(self, at: Millis, task_id: str, state: str) -> None:
        self._count += 1
        heappush(self._ends, (at, self._count, task_id, state))

    def _end(self, task_id: str, state: str) -> None:
        agent_id = self._tasks.pop(task_id, None)
        if agent_id is None:
            return  # it has ended otherwise before
        agent = self.agents.get(agent_id)
        if agent is not None:
            need = agent.tasks.pop(task_id)
            agent.free = agent.free + need
            self.used_cpus -= need.cpus
            self.used_mem -= need.mem
            self._changed[agent_id] = None
        self._tell(task_id, agent, state)

    def _tell(self, task_id: str, agent: _Agent | None, state: str, reason: str = "") -> None:
        engine, name = self.engine, agent.agent.id if agent else ""
        code = {TaskState.FINISHED: 0, TaskState.FAILED: 1}.get(TaskState(state))
        number = engine.book.by_task.get(task_id)
        engine.handle(
            StatusUpdate(task_id, state, name, agent.agent.name if agent else "", reason=reason, exit_code=code),
            self.at,
        )
        run = engine.book.runs.get(number) if number is not None else None
        if run is not None and run.phase is Phase.REPORTING:
            engine.handle(ReportResult(task_id, True), self.at)

    # --- time

    def run(self, until: Millis, stop: Stop | None = None) -> None:
        """Let time pass. Raises TooMuch, and what `stop` raises."""
        while (at := self._next()) is not None and at <= until:
            self.at = at
            self._turn()
            if stop is not None and self.turns % 16 == 0:
                stop(self)
        self.at = max(self.at, until)
        for observer in self._observers:
            observer.turned(self)

    def _next(self) -> Millis | None:
        """Return when the next turn is, None when nothing is to come."""
        wake = self.engine.next_wake
        if not self.turns:
            return self.at
        if self._again and wake is not None and wake <= self.at:
            return self.at
        times = [queue[0][0] for queue in (self._ends, self._moves) if queue]
        if wake is not None:
            times.append(wake)
        return max(min(times), self._last + self._pace) if times else None

    def _turn(self) -> None:
        engine, now = self.engine, self.at
        self.turns += 1
        self._last = now
        while self._moves and self._moves[0][0] <= now:
            move = heappop(self._moves)[2]
            if move.agent is None:
                self._go(move.id)
            else:
                self._come(move.agent)
        ends = self._ends
        while ends and ends[0][0] <= now:
            _, _, task_id, state = heappop(ends)
            self._end(task_id, state)
        self._offer()
        engine.advance(now)
        self._perform(engine.flush())
        self._offer()
        if not (self._again and engine.book.unplaced and len(engine.book.queue)):
            self._again = False
            self._explain()
        for observer in self._observers:
            observer.turned(self)

    def _perform(self, turn: Turn) -> None:
        now, self._again = self.at, False
        for change in turn.changes:
            if change.kind == "outbox" and isinstance(change, Put):
                record = change.value
                for observer in self._observers:
                    if isinstance(record, RunRecord):
                        observer.run_ended(now, record)
                    elif isinstance(record, AttemptRecord):
                        observer.attempt_ended(now, record)
        for effect in turn.effects:
            if isinstance(effect, Launch):
                self._again = True
                agent = self.agents[effect.offers[0].agent_id]
                agent.offer = ""
                for task in effect.tasks:
                    self._launch(task, agent)
            elif isinstance(effect, Kill):
                self._end_at(now + self._kill_delay, effect.task_id, TaskState.KILLED)
            elif isinstance(effect, Reconcile):
                for task_id, _ in effect.tasks:
                    agent_id = self._tasks.get(task_id)
                    state = TaskState.GONE if agent_id is None else TaskState.RUNNING
                    self._tell(task_id, self.agents.get(agent_id or ""), state, "RECONCILIATION")
        for number in turn.runs:
            self._unexplained[number] = None

    def _launch(self, task: Task, agent: _Agent) -> None:
        self.launches += 1
        if self._most_launches is not None and self.launches > self._most_launches:
            raise TooMuch(f"more than {self._most_launches} attempts were started")
        run = self.engine.book.runs[task.run]
        self._explained.pop(run.id, None)
        length, fails = self._chance.of(task.job, task.id)
        self._begin(task.id, agent.agent.id, task.resources, length, fails=fails)
        for observer in self._observers:
            observer.launched(self.at, run, agent.agent.id)
        self._tell(task.id, agent, TaskState.RUNNING)

    def _explain(self) -> None:
        """Ask why those wait that could not be started at this instant."""
        engine, runs = self.engine, self.engine.book.runs
        for number in sorted(self._unexplained):
            run = runs.get(number)
            if run is None:
                self._explained.pop(number, None)
            elif run.phase is Phase.QUEUED and self._explained.get(number) != run.attempt:
                self._explained[number] = run.attempt
                waiting = engine.why(number)
                if waiting is not None:
                    for observer in self._observers:
                        observer.waits(self.at, run, waiting)
        self._unexplained.clear()
