"""Statistics over a million runs, and the report on a thousand agents, as a server answers them."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.rows import Row, median_ms
from chronos_py.api.backend import Backend
from chronos_py.api.figures import figures_blueprint
from chronos_py.api.resources import resources_blueprint
from chronos_py.clock import Millis
from chronos_py.model.capacity import AgentCapacity, parts
from chronos_py.model.history import AttemptRecord, HistoryRecord, RunRecord
from chronos_py.model.job import Job, JobState
from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources
from chronos_py.model.run import Outcome, Phase, Run, Trigger
from chronos_py.model.statistics import DAY
from chronos_py.model.tally import Tally
from chronos_py.model.view import JobView, View
from chronos_py.persistence.history import SqlHistoryStore

NOW: Millis = 1_767_225_600_000 + DAY // 2
RUNS, JOBS, HOSTS, DAYS = 1_000_000, 1000, 100, 7
BATCH = 20_000  # larger than the server makes them: what is measured is the reading
OUTCOMES = (*[Outcome.SUCCESS] * 95, *[Outcome.FAILED] * 3, Outcome.TIMED_OUT, Outcome.LOST)


def some_history(rng: random.Random, runs: int) -> Iterator[list[HistoryRecord]]:
    """Yield batches as the server writes them: runs end in order, each after one attempt."""
    span = DAYS * DAY
    for first in range(0, runs, BATCH // 2):
        batch: list[HistoryRecord] = []
        for number in range(first, min(first + BATCH // 2, runs)):
            ended = NOW - span + number * span // runs
            started = ended - int(rng.lognormvariate(11, 1.5))
            due = started - int(rng.lognormvariate(5, 2))
            job, host, outcome = rng.randrange(JOBS), f"host-{rng.randrange(HOSTS)}", rng.choice(OUTCOMES)
            name, owner, reason = f"job-{job}", f"team-{job % 20}@example.org", "" if outcome.value != "failed" else "1"
            batch.append(
                AttemptRecord(
                    number, 0, f"ct:{due}:0:{name}:", name, "agent", host, due, started, ended, outcome, "",
                    owner=owner, exit_code=1 if reason else None,
                )
            )  # fmt: skip
            batch.append(
                RunRecord(
                    number, name, Trigger.SCHEDULE, due, due, ended, outcome, "", 1, started, number // JOBS,
                    number // JOBS, owner=owner, host=host, first_started=started, exit_reason=reason and "exit 1",
                )
            )  # fmt: skip
        yield batch


class Asked:
    """As much of a Backend as the two reports ask."""

    def __init__(self, history: Any, agents: int = 0, tasks: int = 0, waiting: int = 0) -> None:
        self.history = history
        self.view = View(loaded=True, leader=True)
        rng = random.Random(2)
        for number in range(JOBS):
            job = Job(f"job-{number}", cpus=rng.choice((0.1, 0.5, 1.0)), start_within=60.0)
            self.view.jobs[job.name] = JobView(job, JobState(), None)
        for number in range(tasks + waiting):
            phase, agent = (Phase.RUNNING, f"agent-{number % agents}") if number < tasks else (Phase.QUEUED, "")
            self.view.runs[number] = Run(
                number, f"job-{number % JOBS}", Trigger.MANUAL, NOW - number, NOW, NOW, phase, agent_id=agent,
                priority=number % 5,
            )  # fmt: skip
        self._agents = [
            AgentCapacity(
                f"agent-{number}", f"host-{number}", Resources.of(32, 64_000, 100_000), Resources.of(4, 4096, 4096),
                {"batch": Resources.of(4, 4096)}, {"dc": f"dc-{number % 4}"}, ours=frozenset(("*",)),
            )
            for number in range(agents)
        ]  # fmt: skip
        needs = {name: parts(self.need(view.job)) for name, view in self.view.jobs.items()}
        self._tally = Tally(self.view.runs.values(), lambda run: needs[run.job])
        self._held = [Offer(f"offer-{n}", f"agent-{n}", "", Resources.of(1, 128)) for n in range(0, agents, 4)]

    def now(self) -> Millis:
        return NOW

    def capacity(self) -> Sequence[AgentCapacity]:
        return self._agents

    def held_offers(self) -> Sequence[Offer]:
        return self._held

    def tally(self) -> Tally:
        return self._tally

    def need(self, job: Job) -> Resources:
        return Resources.of(job.cpus, job.mem, job.disk)


def _client(backend: Any) -> Any:
    from flask import Flask

    typed: Backend = backend
    app = Flask("benchmark")
    app.register_blueprint(figures_blueprint(typed))
    app.register_blueprint(resources_blueprint(typed))
    return app.test_client()


def _ask(client: Any, address: str) -> None:
    status = client.get(address).status_code
    if status != 200:
        raise RuntimeError(f"{address}: {status}")


def rows(runs: int = RUNS) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        history = SqlHistoryStore(f"sqlite:///{Path(folder) / 'history.sqlite'}")
        began = time.perf_counter()
        for batch in some_history(random.Random(1), runs):
            history.write(batch)
        took = time.perf_counter() - began
        yield Row("history with roll-ups: runs written in large batches", runs / took, 2000, "a second", higher=True)
        client = _client(Asked(history))
        week = "from=2025-12-25T12:00:00Z"
        for name, query in (
            ("all", week),
            ("by day and outcome", f"{week}&by=exit&per=day"),
            ("by hour", f"{week}&per=hour"),
            ("by job", f"{week}&by=job"),
            ("by owner", f"{week}&by=owner"),
            ("by host", f"{week}&by=host"),
            ("one job by host", f"{week}&by=host&job=job-7"),
            ("by job, last day", "by=job"),
        ):
            figure = median_ms(partial(_ask, client, f"/api/statistics?{query}"))
            yield Row(f"statistics over {runs:,} runs: {name}", figure, 50, "ms")
        history.close()
    for agents, tasks, waiting in ((1000, 4000, 0), (1000, 4000, 100_000)):
        client = _client(Asked(None, agents, tasks, waiting))
        figure = median_ms(partial(_ask, client, "/api/resources?cpus=1&mem=512&attribute=dc"))
        yield Row(f"resources: {agents:,} agents, {tasks:,} tasks, {waiting:,} waiting", figure, 10, "ms")
