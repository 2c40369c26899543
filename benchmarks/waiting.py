"""100,000 runs wait for a cluster that is full: what it costs to say why one does, and to look for room again."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.rows import Row, median_ms
from chronos_py.model.job import Job, JobState, Pair
from chronos_py.model.messages import DriverReady, OffersReceived, StatusUpdate
from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources
from chronos_py.model.run import Phase, Run, Trigger
from chronos_py.scheduler.engine import Engine
from chronos_py.scheduler.policy import Policy, PreemptionPolicy
from chronos_py.scheduler.quotas import parse_quotas

NOW = 1_767_225_600_000
WAITING, RUNNING, AGENTS, JOBS = 100_000, 4000, 1000, 200


def a_full_cluster(policy: Policy) -> Engine:
    """Return an engine with runs that wait, of some priorities, sizes and labels, and preemptible ones that run."""
    jobs = {
        f"job-{n}": Job(
            f"job-{n}", schedule="R/2035-01-01T00:00:00Z/P1Y", concurrent=True, cpus=1 + n % 10 / 10, mem=100 + n % 7,
            labels=(Pair("channel", "news" if n % 2 else "film"),), preemptible=n % 4 == 0, priority=n % 3,
        )
        for n in range(JOBS)
    }  # fmt: skip
    states = {name: JobState(sequence=n + 1, version=n + 1) for n, name in enumerate(jobs)}
    runs: dict[int, Run] = {}
    for n in range(WAITING + RUNNING):
        number, at = 1000 + n, NOW - 1000 * (n % 5000)
        run = Run(number, f"job-{n % JOBS}", Trigger.MANUAL, at, number, at, priority=n % JOBS % 3)
        if n >= WAITING:
            job, agent = f"job-{n % (JOBS // 4) * 4}", f"agent-{n % AGENTS}"
            run = Run(number, job, Trigger.MANUAL, at, number, at, Phase.RUNNING, agent_id=agent, launched=at)
        runs[number] = run
    engine = Engine(policy)
    engine.load(jobs, states, runs, {}, {}, NOW)
    engine.handle(DriverReady(), NOW)
    room = Resources.of(0.5, 1000, 1000)
    engine.handle(
        OffersReceived(
            [Offer(f"o{n}", f"agent-{n}", f"host-{n}", room, Resources.of(4, 8000, 1e5)) for n in range(AGENTS)]
        ),
        NOW,
    )
    for run in [run for run in engine.book.runs.values() if run.on_agent]:
        engine.handle(StatusUpdate(run.task_id, "TASK_RUNNING", run.agent_id), NOW)
    engine.advance(NOW)
    engine.flush()
    return engine


def look_again(engine: Engine) -> None:
    engine.book.unplaced = True
    engine.advance(NOW)
    engine.flush()


def rows() -> Iterator[Row]:
    quotas = parse_quotas('{"channel=news": {"cpus": 2000, "borrow": true}, "channel=film": {"cpus": 1000}}')
    plain = a_full_cluster(Policy())
    yield Row(
        "why one of 100,000 waiting runs waits", median_ms(lambda: plain.why(51_000)), 10, "ms",
        note=str(getattr(plain.why(51_000), "code", "")),
    )  # fmt: skip
    yield Row("a round for 100,000 waiting runs, 1,000 full agents", median_ms(lambda: look_again(plain)), 500, "ms")
    busy = a_full_cluster(Policy(quotas=quotas, preemption=PreemptionPolicy(after=1000, per_minute=10**9)))
    stopping = sum(run.killing != "" for run in busy.book.runs.values())
    yield Row(
        "the same with quotas and preemption", median_ms(lambda: look_again(busy)), 1000, "ms",
        note=f"{stopping} being stopped",
    )  # fmt: skip
