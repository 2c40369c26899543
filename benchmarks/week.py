"""A week at the scale that iQIYI told of: 3.5 million runs, 4,000 tasks at once, a tenfold peak hour, 100 agents.

In virtual time, by the engine itself: no store, no process. `Scale` shrinks it for tests.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.rows import Row
from chronos_py.clock import Millis, iso_utc
from chronos_py.loading import no_collection
from chronos_py.model.history import AttemptRecord, RunRecord
from chronos_py.model.job import CatchUp, Job, JobState
from chronos_py.model.resources import Resources
from chronos_py.model.run import Outcome, Run, Trigger
from chronos_py.model.statistics import Spread, add_bin, bin_of, percentile
from chronos_py.scheduler.policy import Policy, PreemptionPolicy
from chronos_py.simulation.agents import VirtualAgent
from chronos_py.simulation.chance import Chance, draws
from chronos_py.simulation.start import engine_of
from chronos_py.simulation.world import Observer, World

NEW_YEAR: Millis = 1_767_225_600_000  # 2026-01-01T00:00:00Z
SECOND, HOUR = 1000, 3_600_000
URGENT = 100  # the priority of one job in twenty
KINDS = ((0.5, 1000.0), (1.0, 2000.0), (2.0, 4000.0), (1.0, 3000.0))  # cores and MiB of jobs


@dataclass(frozen=True, slots=True)
class Scale:
    """`jobs` run every `period` s all the time, and `in_peak` times more each in the hour that begins at `peak`.
    `mean` s is how long a run takes. `slots` is how many tasks of the mean size fit on one of `agents`."""

    hours: int = 168
    jobs: int = 10_000
    period: int = 1800
    in_peak: int = 18
    peak: int = 100
    mean: int = 360
    agents: int = 100
    slots: int = 42
    failing: float = 0.05


@dataclass
class Watcher(Observer):
    """What the acceptance asks for."""

    scale: Scale
    peak: tuple[Millis, Millis]
    runs: Counter[str] = field(default_factory=Counter)
    urgent_waits: dict[str, Spread] = field(default_factory=dict)
    due_times: Counter[tuple[str, int]] = field(default_factory=Counter)  # by job and version: due times with a row
    failed: int = 0
    attempts: int = 0
    preempted: int = 0
    retries: int = 0
    bad_retries: list[str] = field(default_factory=list)
    most_running: int = 0
    most_waiting: int = 0
    balance: list[float] = field(default_factory=list)
    used_in_peak: float = 0.0
    had_in_peak: float = 0.0
    _retried: list[tuple[Run, str]] = field(default_factory=list)
    _last: Millis = 0
    _used: tuple[int, int] = (0, 0)
    _looked: Millis = 0

    def launched(self, at: Millis, run: Run, agent: str) -> None:
        if run.avoid:
            self.retries += 1
            if agent in run.avoid:
                self._retried.append((run, agent))
        elif run.attempt == 0 and run.priority == URGENT:
            when = "peak" if self.peak[0] <= at < self.peak[1] else "rest"
            add_bin(self.urgent_waits.setdefault(when, {}), bin_of(at - run.due), 1)

    def attempt_ended(self, at: Millis, record: AttemptRecord) -> None:
        self.attempts += 1
        self.failed += record.outcome is Outcome.FAILED
        self.preempted += record.outcome is Outcome.PREEMPTED

    def run_ended(self, at: Millis, record: RunRecord) -> None:
        count = 1
        if record.index is not None and record.last_index is not None:
            count = record.last_index - record.index + 1
        self.runs[record.outcome] += count
        if record.trigger is Trigger.SCHEDULE:
            self.due_times[record.job, record.version] += count

    def turned(self, world: World) -> None:
        for run, agent in self._retried:  # room only shrinks in a turn: what is free after it was free before
            need = world.engine.book.jobs[run.job].shape.need
            others = (name for name, one in world.agents.items() if name not in run.avoid and one.free.covers(need))
            other = next(others, None)
            if other is not None and len(self.bad_retries) < 10:
                self.bad_retries.append(f"run {run.id} went to {agent} again, though {other} had room")
        self._retried.clear()
        self._integrate(world)
        if world.at >= self._looked + 10 * SECOND:
            self._looked = world.at
            self._look(world)

    def _integrate(self, world: World) -> None:
        """Sum up the cores that are used in the peak hour, from ten minutes after its beginning: it has to fill up."""
        begin, end = max(self._last, self.peak[0] + HOUR // 6), min(world.at, self.peak[1])
        if begin < end:
            used, total = self._used
            self.used_in_peak += used * (end - begin)
            self.had_in_peak += total * (end - begin)
        self._last, self._used = world.at, (world.used_cpus, world.total_cpus)

    def _look(self, world: World) -> None:
        self.most_running = max(self.most_running, sum(len(agent.tasks) for agent in world.agents.values()))
        self.most_waiting = max(self.most_waiting, len(world.engine.book.queue))
        if 0.4 <= world.used_cpus / max(1, world.total_cpus) <= 0.6:
            shares = [(one.agent.total - one.free).dominant_share(one.agent.total) for one in world.agents.values()]
            self.balance.append(jain(shares))


def jain(shares: list[float]) -> float:
    """Return Jain's index: 1 when all are equal. Source: Jain, Chiu, Hawe, DEC-TR-301, 1984."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


def jobs_of(scale: Scale, start: Millis) -> list[Job]:
    """Return jobs with fixed, well spread due times; names do not matter but for the draws."""
    found = []
    for number in range(scale.jobs):
        first, second = draws(1, f"job {number}")
        cpus, mem = KINDS[number % len(KINDS)]
        urgent = number % 20 == 7
        common: dict[str, Any] = {
            "command": "true", "cpus": cpus, "mem": mem, "disk": 1.0, "concurrent": True, "catch_up": CatchUp.ALL,
            "preemptible": not urgent, "priority": URGENT if urgent else 0, "retries": 3, "retry_delay": 10.0,
        }  # fmt: skip
        begin = start + int(first * scale.period) * SECOND
        times = (scale.hours * 3600 - (begin - start) // SECOND + scale.period - 1) // scale.period
        found.append(Job(f"job-{number}", schedule=f"R{times}/{iso_utc(begin)}/PT{scale.period}S", **common))
        if scale.in_peak:
            step = 3600 // scale.in_peak
            begin = start + scale.peak * HOUR + int(second * step) * SECOND
            found.append(Job(f"peak-{number}", schedule=f"R{scale.in_peak}/{iso_utc(begin)}/PT{step}S", **common))
    return found


def run_times(scale: Scale) -> tuple[Millis, ...]:
    """Return run times in whole seconds, from a tenth of the mean to more than twice of it."""
    return tuple(max(1, int(scale.mean * (0.1 + 1.8 * n / 49))) * SECOND for n in range(50))


def build(scale: Scale, start: Millis = NEW_YEAR) -> tuple[World, Watcher, dict[str, int]]:
    """Return the world, who watches it, and how many due times each job has."""
    policy = Policy(preemption=PreemptionPolicy(after=100, per_minute=3000), disable_after_failures=0)
    jobs = {job.name: job for job in jobs_of(scale, start)}
    states = {
        job.name: JobState(
            sequence=n, version=n, anchor=start, remaining=int((job.schedule or "R0/")[1:].split("/")[0])
        )
        for n, job in enumerate(jobs.values(), 1)
    }
    engine = engine_of(policy, jobs, states, {}, start)
    peak = start + scale.peak * HOUR
    watcher = Watcher(scale, (peak, peak + HOUR))
    cores, mem = (sum(kind[place] for kind in KINDS) / len(KINDS) for place in (0, 1))
    room = Resources.of(cores * scale.slots, mem * scale.slots * 1.1, 1e6)
    agents = [VirtualAgent(f"agent-{number:03}", room) for number in range(scale.agents)]
    chance = Chance(seed=7, usual=run_times(scale), failing=scale.failing)
    world = World(engine, agents, chance, start, observers=[watcher], pace=100)
    return world, watcher, {name: state.remaining or 0 for name, state in states.items()}


def play(scale: Scale, *, say: bool = False) -> tuple[World, Watcher, dict[str, int], float]:
    """Play it all, and let what waits at the end come to its end; return also the seconds that took."""
    with no_collection():  # and what is there then stays out of collections
        world, watcher, wanted = build(scale)
    began = time.perf_counter()
    for hour in range(1, scale.hours + 1):
        world.run(NEW_YEAR + hour * HOUR)
        if say:
            took, waiting = time.perf_counter() - began, len(world.engine.book.queue)
            print(
                f"hour {hour}: {world.launches:,} launches, {waiting:,} wait, {took:.0f} s", file=sys.stderr, flush=True
            )
    while world.engine.book.runs:
        world.run(world.at + HOUR)
    return world, watcher, wanted, time.perf_counter() - began


def problems(watcher: Watcher, wanted: dict[str, int]) -> list[str]:
    """Return what the acceptance finds fault with."""
    found = list(watcher.bad_retries)
    counted: Counter[str] = Counter()
    for (job, _), count in watcher.due_times.items():
        counted[job] += count
    lost = [f"{job}: {counted[job]} of {count} due times" for job, count in wanted.items() if counted[job] != count]
    return found + lost[:10]


def rows() -> Iterator[Row]:
    """Yield the rows of the whole week; takes long."""
    _, watcher, wanted, took = play(Scale(), say=True)
    total = sum(watcher.runs.values())
    note = ", ".join(f"{outcome} {count:,}" for outcome, count in sorted(watcher.runs.items()))
    yield Row("week: runs without exactly one row, and bad retries", len(problems(watcher, wanted)), 0, "", note=note)
    yield Row("week: runs", total, 3_500_000, "", higher=True, note=f"{watcher.attempts:,} attempts in {took:.0f} s")
    yield Row(
        "week: tasks at once", watcher.most_running, 4000, "", higher=True, note=f"{watcher.most_waiting:,} waited"
    )
    for when, spread in sorted(watcher.urgent_waits.items()):
        p99 = percentile(spread, 0.99) or 0
        yield Row(
            f"week: urgent runs, p99 of the wait ({when})", p99, 1000, "ms", note=f"{watcher.preempted:,} preempted"
        )
    yield Row(
        "week: cores used in the peak hour", 100 * watcher.used_in_peak / watcher.had_in_peak, 90, "%", higher=True
    )
    if watcher.balance:
        lowest, mean = min(watcher.balance), sum(watcher.balance) / len(watcher.balance)
        yield Row("week: Jain balance when half full, lowest", lowest, 0.95, "", higher=True, note=f"mean {mean:.4f}")
    yield Row(
        "week: retries on an avoided agent while another fits",
        len(watcher.bad_retries),
        0,
        "",
        note=f"{watcher.retries:,} retries",
    )
