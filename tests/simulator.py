"""A world in one thread: the real service and engine, a cluster that outlives them, and a seeded stream of trouble.

Time jumps from event to event, so hours pass in milliseconds. The server is killed at chosen points of a turn: before
a commit, after it, before and after any effect. What the cluster really started is written down by the cluster, not by
the server, and compared with the ledger at the end.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from chronos_py.errors import StoreUnavailable
from chronos_py.inbox import Posted
from chronos_py.model.history import AttemptRecord, RunRecord
from chronos_py.model.immediate import PREFIX, Immediate
from chronos_py.model.job import Avoid, CatchUp, Constraint, Job, Pair
from chronos_py.model.messages import (
    Change,
    DeleteJob,
    DriverEffect,
    KillRun,
    KillTasks,
    MarkSuccess,
    Request,
    RunJob,
    StopImmediate,
    SubmitImmediate,
    SubmitJob,
)
from chronos_py.model.run import Outcome, Phase, TaskState, Trigger
from chronos_py.scheduler.offers import OfferPolicy
from chronos_py.scheduler.policy import Policy, PreemptionPolicy
from chronos_py.scheduler.quotas import parse_quotas
from chronos_py.service import Service
from tests.cluster import SharedCluster
from tests.fakes import FakeClock, FakeDriver, FakeOutbox, FakeStore, FakeTask

PERIODS = ("PT7S", "PT30S", "PT1M", "PT5M")


class Killed(BaseException):
    """The server process dies here."""


class World:
    """One simulated history, decided by its seed. `trouble` is the chance of a crash at each point of a turn. With
    `shared` the cluster belongs to others, too, and has troubles of its own. With `tight` there is less than is wanted
    of it, with quotas and preemption."""

    def __init__(self, seed: int, trouble: float = 0.01, *, shared: bool = False, tight: bool = False) -> None:
        self.random = random.Random(seed)
        self.trouble = trouble
        self.clock = FakeClock()
        self.store = FakeStore()
        self.driver = FakeDriver(agents=("a", "b", "c"), now=self.clock.now)
        self.cluster: SharedCluster | None = None
        self.policy = Policy(failure_retry=5000)
        if shared:
            self.cluster = SharedCluster(agents=("a", "b", "c"), now=self.clock.now, random=self.random)
            self.driver = self.cluster
            self.policy = Policy(failure_retry=5000, offers=OfferPolicy(keep=False), unknown_task_timeout=100_000_000)
        self.unexplained: set[str] = set()  # runs that wait and nobody can say why
        self.causes: Counter[str] = Counter()
        if tight:
            quotas = parse_quotas('{"channel=news": {"cpus": 1.5, "borrow": true}, "channel=film": {"running": 2}}')
            preemption = PreemptionPolicy(after=2000, per_minute=10)
            self.policy = replace(self.policy, quotas=quotas, preemption=preemption, ageing=20_000, forgiveness=60_000)
        self.store.before = self._before_commit
        self.store.after = self._after_commit
        self.driver.on_effect = self._at_effect
        self.log: list[str] = []
        self.crashes: Counter[str] = Counter()
        self.ends: list[tuple[int, FakeTask, TaskState]] = []
        self.seen = 0
        self.asked: dict[
            str, Immediate
        ] = {}  # immediate jobs that a client has asked for, and sends again now and then
        self.answers: list[tuple[SubmitImmediate, Future[list[int]]]] = []
        self.known: dict[str, set[int]] = defaultdict(set)  # their runs, as they were answered
        self.soft: set[str] = set()  # jobs whose failures release children too
        self.calm = True
        self.service = self._boot()

    # --- trouble

    def _strike(self, point: str) -> None:
        if not self.calm and self.random.random() < self.trouble:
            self.crashes[point] += 1
            raise Killed(point)

    def _before_commit(self, changes: Sequence[Change]) -> None:
        self._strike("before commit")
        if not self.calm and self.random.random() < self.trouble / 2:
            self.crashes["store unavailable"] += 1
            raise StoreUnavailable("simulated")

    def _after_commit(self, changes: Sequence[Change]) -> None:
        self._strike("after commit")

    def _at_effect(self, effect: DriverEffect) -> None:
        self._strike(f"before {type(effect).__name__}")

    # --- the server

    def _boot(self) -> Service:
        while True:
            self.driver.stop()
            service = Service(
                store=self.store, driver=self.driver, outbox=FakeOutbox(), history=None, clock=self.clock,
                policy=self.policy, monotonic=self.clock.monotonic,
            )  # fmt: skip
            try:
                service._take_over()
            except (Killed, StoreUnavailable):
                self.clock.advance(millis=self.random.randrange(1, 20_000))
                continue
            return service

    def step(self, request: Request | None = None) -> None:
        """Do one turn, with a request if given; a dead server is started again some time later."""
        if request is not None:
            answer: Future[Any] = Future()
            self.service._inbox.put(Posted(request, answer))
            if isinstance(request, SubmitImmediate):
                self.answers.append((request, answer))
        try:
            self.service.step()
        except (Killed, StoreUnavailable) as trouble:
            self.note(f"down: {trouble}")
            self.clock.advance(millis=self.random.choice((1, 500, 10_000, 90_000)))
            self.service = self._boot()

    def note(self, text: str) -> None:
        self.log.append(f"{self.clock.at} {text}")

    # --- the world

    def run(self, until: int, requests: Sequence[Request] = (), chance_of_request: float = 0.0) -> None:
        """Let time pass until `until`; a random request is made now and then."""
        for request in requests:
            self.step(request)
        while self.clock.at < until:
            self._new_tasks()
            self.step()
            self._ask_why()
            self._new_tasks()
            if self.random.random() < chance_of_request:
                self.step(self._some_request())
            times = [at for at, _, _ in self.ends]
            if self.cluster is not None:
                times.extend(self._play_cluster(self.cluster))
            wake = self.service._engine.next_wake
            if wake is not None:
                times.append(wake)
            self.clock.at = max(self.clock.at + 1, min([*times, until, self.clock.at + 60_000]))
            for end in [end for end in self.ends if end[0] <= self.clock.at]:
                self.ends.remove(end)
                _, task, state = end
                if task.update is None:
                    self.driver.end(task, state)
                    self.note(f"{state} {task.task.id}")

    def _ask_why(self) -> None:
        """See that each run that does not run has a cause."""
        if not self.policy.quotas:
            return
        for run in list(self.service.view.runs.values()):
            why = self.service.why(run.id)
            if why is not None:
                self.causes[why.code] += 1
            elif run.phase is not Phase.RUNNING:
                self.unexplained.add(f"run {run.id} of {run.job}: {run.phase}")

    def _play_cluster(self, cluster: SharedCluster) -> list[int]:
        """Let the cluster offer and misbehave; return when it has something to offer again."""
        if self.calm:
            cluster.mend()
        elif self.random.random() < 0.1:
            cluster.trouble()
        cluster.allocate()
        self.step()
        at = cluster.next_round()
        return [] if at is None else [at]

    def _new_tasks(self) -> None:
        """Decide what becomes of tasks that were launched since."""
        for task in self.driver.launched[self.seen :]:
            self.note(f"launched {task.task.id} on {task.agent}")
            if self.random.random() < 0.9:
                self.driver.run(task)
            duration = self.random.choice((0, 100, 3000, 20_000, 100_000))
            state = self.random.choices((TaskState.FINISHED, TaskState.FAILED, TaskState.LOST), (8, 2, 1))[0]
            self.ends.append((self.clock.at + duration, task, state))
        self.seen = len(self.driver.launched)

    def _immediate_request(self) -> Request:
        """Ask for immediate jobs, for new ones or the same again, or stop one."""
        known = list(self.asked.values())
        kind = self.random.randrange(4)
        if kind == 0 and known:
            chosen = self.random.choice(known)
            return StopImmediate((chosen.id,), chosen.job.labels if self.random.random() < 0.3 else ())
        if kind == 1 and known:
            return SubmitImmediate(self.random.sample(known, min(len(known), 3)))
        fresh = [self._an_immediate(f"i{len(self.asked) + n}") for n in range(self.random.choice((1, 1, 5)))]
        self.asked.update({one.id: one for one in fresh})
        return SubmitImmediate(fresh)

    def _an_immediate(self, name: str) -> Immediate:
        rng = self.random
        labels = rng.choice(((), (Pair("channel", "news"),), (Pair("channel", "film"),)))
        job = Job(
            name=f"{PREFIX}{rng.choice('xy')}",
            command="true",
            cpus=rng.choice((0.1, 0.5)),
            retries=rng.randrange(3),
            priority=rng.randrange(4),
            preemptible=rng.random() < 0.5,
            labels=labels,
            max_completion_time=rng.choice((0, 0, 50)),
        )
        return Immediate(name, job, 1_000_000)  # to the end: then every one that was asked for must have a result

    def _some_request(self) -> Request:
        if self.random.random() < 0.3:
            return self._immediate_request()
        names = list(self.service.view.jobs)
        name = self.random.choice(names)
        kind = self.random.randrange(12)
        if kind < 4:
            return RunJob(name, self.random.choice((None, "x y")))
        if kind < 6:
            return KillTasks(name)
        if kind == 6 and self.service.view.runs:
            return KillRun(self.random.choice(list(self.service.view.runs)))
        if kind == 7:
            return MarkSuccess(name)
        if kind == 8 and len(names) > 4:
            return DeleteJob(name)
        shown = self.service.view.jobs[name]
        job = replace(shown.job, schedule=shown.schedule)
        if kind in (9, 10):
            job = replace(job, disabled=not job.disabled)
        else:
            job = replace(job, concurrent=not job.concurrent)
        return SubmitJob(job)

    def settle(self) -> None:
        """Let everything that is under way end: no more trouble, no more due times."""
        self.calm = True
        for name in list(self.service.view.jobs):
            shown = self.service.view.jobs[name]
            self.step(SubmitJob(replace(shown.job, schedule=shown.schedule, disabled=True)))
        if self.asked:
            self.step(SubmitImmediate(list(self.asked.values())))  # whoever had no answer asks again
        self.run(self.clock.at + 3_600_000)

    # --- verdicts

    def verdict(self) -> list[str]:
        """Return what went wrong, nothing when every run is accounted for exactly once."""
        misdeeds = self.cluster.problems if self.cluster else []
        return [
            *misdeeds,
            *self.unexplained,
            *self._tasks_match_ledger(),
            *self._due_times_match_ledger(),
            *self._releases_are_right(),
            *self._immediate_jobs_ran_once(),
        ]

    def _rows(self) -> list[RunRecord]:
        return [record for record in self.store.ledger if isinstance(record, RunRecord)]

    def _tasks_match_ledger(self) -> list[str]:
        problems = []
        attempts = Counter(r.task_id for r in self.store.ledger if isinstance(r, AttemptRecord) and r.state)
        for task_id, count in attempts.items():
            if count != 1:
                problems.append(f"attempt {task_id} ended {count} times")
        problems.extend(
            f"task {task_id} was started and has {attempts[task_id]} records"
            for task_id in self.driver.tasks
            if attempts[task_id] != 1
        )
        for number, count in Counter(row.run for row in self._rows()).items():
            if count != 1:
                problems.append(f"run {number} has {count} rows")
        if self.service.view.runs:
            problems.append(f"runs that never ended: {list(self.service.view.runs.values())}")
        return problems

    def _due_times_match_ledger(self) -> list[str]:
        rows: dict[tuple[str, int], Counter[int]] = defaultdict(Counter)
        for row in self._rows():
            if row.trigger is Trigger.SCHEDULE and row.index is not None:
                last = row.index if row.last_index is None else row.last_index
                rows[row.job, row.version].update(range(row.index, last + 1))
        problems = []
        for (job, version), counts in rows.items():
            doubled = [index for index, count in counts.items() if count != 1]
            missing = [index for index in range(min(counts), max(counts) + 1) if index not in counts]
            if doubled or missing:
                problems.append(f"{job} version {version}: doubled {doubled}, missing {missing}")
        for name, state in self.store.records["state"].items():
            counted = rows.get((name, state.version))
            if state.next_index and counted is not None and max(counted) != state.next_index - 1:
                problems.append(f"{name}: position {state.next_index}, ledger to {max(counted)}")
        return problems

    def _immediate_jobs_ran_once(self) -> list[str]:
        for request, answer in self.answers:
            if answer.done() and answer.exception() is None:
                for one, number in zip(request.jobs, answer.result(), strict=True):
                    self.known[one.id].add(number)
        rows = Counter(row.run for row in self._rows() if row.trigger is Trigger.IMMEDIATE)
        problems = [
            f"immediate job {name} was answered as runs {runs}" for name, runs in self.known.items() if len(runs) > 1
        ]
        for name in self.asked:
            run = self.service.view.immediate.get(name)
            if run is None or run.ended is None:
                problems.append(f"immediate job {name} has no result: {run}")
            elif self.known[name] != {run.id} or rows[run.id] != 1:
                problems.append(f"immediate job {name}, run {run.id}: {self.known[name]}, {rows[run.id]} rows")
        if sum(rows.values()) != len(self.asked):
            problems.append(f"{sum(rows.values())} immediate runs for {len(self.asked)} jobs")
        return problems

    def _releases_are_right(self) -> list[str]:
        failed = (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.LOST)
        good = {
            row.run
            for row in self._rows()
            if row.outcome is Outcome.SUCCESS or (row.job in self.soft and row.outcome in failed)
        }
        used: Counter[tuple[str, int]] = Counter()
        problems = []
        for row in self._rows():
            if row.trigger is Trigger.PARENTS:
                for cause in row.causes:
                    used[row.job, cause] += 1
                    if cause not in good:
                        problems.append(f"run {row.run} of {row.job} was released by {cause}, which did not succeed")
        problems.extend(f"{job} was released twice by {cause}" for (job, cause), n in used.items() if n > 1)
        return problems


def some_jobs(rng: random.Random) -> list[Job]:
    """Return a few scheduled jobs of every kind, and a diamond of dependent ones."""
    jobs: list[Job] = []
    for number in range(5):
        count = rng.choice(("", "", "3", "20"))
        details: dict[str, Any] = {
            "schedule": f"R{count}/2026-01-01T00:00:{rng.randrange(60):02}Z/{rng.choice(PERIODS)}",
            "retries": rng.randrange(3),
            "concurrent": rng.random() < 0.3,
            "catch_up": rng.choice((None, *CatchUp)),
            "epsilon": rng.choice((None, None, "PT45S")),
            "max_completion_time": rng.choice((0, 0, 50)),
        }
        jobs.append(Job(name=f"s{number}", command="true", **details))
    jobs.append(Job(name="left", parents=("s0",), retries=1))
    jobs.append(Job(name="right", parents=("s0",), retries=0, soft_error=rng.random() < 0.5))
    jobs.append(Job(name="end", parents=("left", "right"), retries=0))
    jobs.append(Job(name="both", parents=("s1", "s2")))
    return jobs


def contending(jobs: list[Job], rng: random.Random) -> list[Job]:
    """Return the jobs with demands that stand in each other's way."""
    rules = ((), (), (Constraint("hostname", "UNIQUE", ""),), (Constraint("hostname", "GROUP_BY", "2"),))
    labels = ((), (Pair("channel", "news"),), (Pair("channel", "film"),))
    return [
        replace(
            job,
            cpus=rng.choice((0.3, 0.5, 1.0)),
            priority=rng.randrange(4),
            preemptible=rng.random() < 0.5,
            labels=rng.choice(labels),
            constraints=rng.choice(rules),
            avoid_failed_agents=rng.choice((None, Avoid.HARD)),
        )
        for job in jobs
    ]


def simulate(
    seed: int, hours: float = 1.0, trouble: float = 0.01, *, shared: bool = False, tight: bool = False
) -> World:
    """Play one history to its end and return the world."""
    world = World(seed, trouble, shared=shared, tight=tight)
    jobs = some_jobs(world.random)
    if tight:
        jobs = contending(jobs, world.random)
    world.soft = {job.name for job in jobs if job.soft_error}
    world.run(world.clock.at + 1, [SubmitJob(job) for job in jobs])
    world.calm = False
    world.run(world.clock.at + int(hours * 3_600_000), chance_of_request=0.05)
    world.settle()
    return world
