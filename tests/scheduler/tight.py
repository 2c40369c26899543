"""A bench whose agents have only so much: what a task holds is not offered until it has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from chronos_py.clock import Millis
from chronos_py.model.messages import OfferRescinded, OffersReceived, RunJob
from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources
from chronos_py.model.run import Phase, TaskState
from chronos_py.model.view import Waiting
from chronos_py.scheduler.lifecycle import ENDS
from tests.bench import Bench
from tests.builders import a_job
from tests.fakes import FakeDriver, FakeTask

LATER = "R/2035-01-01T00:00:00Z/P1Y"


class TightDriver(FakeDriver):
    """One offer for each agent, of all that is free there. `deaf` tasks end only when the test says so."""

    def __init__(self, agents: Mapping[str, float], now: Any) -> None:
        super().__init__(agents=tuple(agents), now=now)
        self.sizes = {agent: Resources.of(cpus, 1e6, 1e6) for agent, cpus in agents.items()}
        self.attributes: dict[str, dict[str, Any]] = {}
        self.outstanding: dict[str, str] = {}

    def offer(self, agent: str) -> None:
        old = self.outstanding.pop(agent, None)
        if old is not None:
            self.post(OfferRescinded(old))
        free = self.sizes[agent]
        for task in self.tasks.values():
            if task.agent == agent and task.state not in ENDS:
                free -= task.task.resources
        assert min(free.cpus, free.mem, free.disk) >= 0, f"{agent} has more tasks than it can hold"
        self.offers += 1
        name = self.outstanding[agent] = f"offer-{self.offers}"
        attributes = self.attributes.get(agent, {})
        self.post(OffersReceived([Offer(name, agent, agent, free, self.sizes[agent], attributes)]))

    def end(self, task: FakeTask, state: TaskState, exit_code: int | None = None) -> None:
        super().end(task, state, exit_code)
        self.offer(task.agent)


class TightBench(Bench):
    """`agents` are their cores by name."""

    def __init__(self, agents: Mapping[str, float] | None = None, **policy: Any) -> None:
        self._agents = agents or {"x": 4.0}
        super().__init__(**policy)

    def boot(self) -> None:
        if not isinstance(self.driver, TightDriver):
            self.driver = TightDriver(self._agents, self.clock.now)
        self.driver.outstanding.clear()
        super().boot()

    def want(self, name: str, times: int = 1, **fields: Any) -> None:
        """Ask for runs of a concurrent job of one core, which is made first when there is none of the name."""
        if name not in self.service.view.jobs:
            fields = {"schedule": LATER, "concurrent": True, "cpus": 1, **fields}
            self.add(a_job(name, **fields))
        for _ in range(times):
            self.ask(RunJob(name, str(self.service._engine.book.next_run)))

    def running(self) -> Counter[str]:
        return Counter(run.job for run in self.service.view.runs.values() if run.on_agent)

    def start_all(self) -> None:
        """Let every task that was launched run."""
        for task in self.driver.tasks.values():
            if task.state is TaskState.STAGING:
                self.driver.run(task)
        self.turn()

    def finish(self, job: str) -> None:
        """End the oldest task of a job that runs."""
        self.driver.finish(next(task for task in self.launched(job) if task.state not in ENDS))
        self.turn()

    def why(self, job: str) -> Waiting:
        """Return why the first waiting run of a job waits."""
        numbers = [run.id for run in self.service.view.runs.values() if run.job == job and run.phase is Phase.QUEUED]
        found = self.service.why(min(numbers))
        assert found is not None
        return found

    def seconds(self, count: float) -> None:
        """Let time pass, a tenth of a second at a time."""
        until: Millis = self.clock.at + int(count * 1000)
        while self.clock.at < until:
            self.later(millis=100)
