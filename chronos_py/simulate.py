"""`chronos-py simulate`: jobs of an export, virtual agents, a time: what happens then."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from chronos_py.app import defaults_of, policy_of
from chronos_py.clock import Millis, iso_utc
from chronos_py.config import Settings
from chronos_py.errors import InvalidInput
from chronos_py.model.statistics import percentile
from chronos_py.planner.export import read_export
from chronos_py.simulation.agents import outages, several
from chronos_py.simulation.chance import Chance
from chronos_py.simulation.figures import OUTCOMES, Figures, JobFigures
from chronos_py.simulation.journal import Journal
from chronos_py.simulation.plan import virtual
from chronos_py.simulation.start import engine_of, states_at
from chronos_py.simulation.world import World

USUAL_AGENTS = ("10*cpus:16;mem:65536",)
SHOWN = 20  # jobs in the table
BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to simulate; a task runs from half of `run_time` s to half more."""

    jobs: Path
    start: Millis
    end: Millis
    agents: Sequence[str] = USUAL_AGENTS
    seed: int = 0
    failing: float = 0.0
    run_time: float = 60.0
    outages_per_day: float = 0.0
    outage: float = 600.0
    log: Path | None = None


def simulate(wanted: Wanted, settings: Settings) -> Iterator[str]:
    """Yield the lines of a summary. Raises InvalidInput, BadQuotas."""
    policy, defaults = virtual(policy_of(settings)), defaults_of(settings)
    if wanted.end <= wanted.start:
        raise InvalidInput("to", iso_utc(wanted.end), "must be later than `from`")
    jobs = read_export(wanted.jobs, defaults, wanted.start)
    agents = several(wanted.agents or USUAL_AGENTS)
    engine = engine_of(policy, jobs, states_at(jobs.values(), policy, wanted.start), {}, wanted.start)
    moves = outages(
        agents, wanted.seed, wanted.start, wanted.end, wanted.outages_per_day, max(1, int(wanted.outage * 1000))
    )
    bucket = max(1, -(-(wanted.end - wanted.start) // 24))
    figures = Figures(wanted.start, wanted.end, bucket, most=0)
    with ExitStack() as stack:
        journal = Journal()
        if wanted.log is not None:
            try:
                file = stack.enter_context(wanted.log.open("wb", BUFFER))
            except OSError as error:
                raise InvalidInput("log", str(wanted.log), f"cannot be written: {error.strerror}") from None
            journal = Journal(file.write)
        gc.freeze()
        gc.set_threshold(100_000, 20, 20)
        world = World(
            engine, agents, Chance(wanted.seed, usual=spread(wanted.run_time), failing=wanted.failing), wanted.start,
            observers=[figures, journal], moves=moves,
        )  # fmt: skip
        world.run(wanted.end)
    yield from summary(wanted, figures, len(jobs), len(agents))
    yield f"log: {journal.lines} lines, sha256 {journal.digest}"


def spread(seconds: float) -> tuple[Millis, ...]:
    """Return run times from half of a value to half more."""
    return tuple(int(seconds * 1000 * (0.5 + step / 20)) for step in range(21))


def summary(wanted: Wanted, figures: Figures, jobs: int, agents: int) -> Iterator[str]:
    """Yield a table of all jobs together, of those that waited longest, and of what was used."""
    yield f"{iso_utc(wanted.start)} to {iso_utc(wanted.end)}, {jobs} jobs, {agents} agents, seed {wanted.seed}"
    yield ""
    ended = ", ".join(f"{outcome.value} {figures.total.outcomes[outcome]}" for outcome in OUTCOMES)
    yield f"runs ended: {ended}"
    yield f"attempts: {figures.total.launched}, failed {figures.total.attempts_failed}, late {figures.total.late}"
    yield f"at the end: {figures.running} running, {figures.waiting} waiting"
    causes = ", ".join(f"{cause} {count}" for cause, count in sorted(figures.total.causes.items()))
    yield f"waited because of: {causes or 'nothing'}"
    yield ""
    yield f"{'job':<40} {'runs':>9} {'failed':>8} {'skipped':>8} {'merged':>8} {'wait p50':>9} {'p99':>9} {'max':>9}"
    yield _row("all", figures.total)
    longest = sorted(figures.jobs.items(), key=lambda item: (-(percentile(item[1].waits, 1.0) or 0), item[0]))
    for name, one in longest[:SHOWN]:
        yield _row(name, one)
    if len(longest) > SHOWN:
        yield f"... and {len(longest) - SHOWN} that waited no longer"
    yield ""
    yield f"{'from':<25} {'cpus used':>10} {'mem used':>10} {'waiting':>9}"
    for share in figures.shares():
        cpus, mem = (f"{100 * share[name]:.1f} %" if share[name] is not None else "-" for name in ("cpus", "mem"))
        yield f"{share['at']:<25} {cpus:>10} {mem:>10} {share['waiting']:>9}"
    yield ""


def _row(name: str, one: JobFigures) -> str:
    waits = [percentile(one.waits, share) for share in (0.5, 0.99, 1.0)]
    shown = " ".join(f"{'-' if wait is None else f'{wait / 1000:.1f} s':>9}" for wait in waits)
    outcomes = one.outcomes
    started = sum(one.waits.values())
    bad = outcomes["failed"] + outcomes["timed_out"] + outcomes["lost"]
    return f"{name[:40]:<40} {started:>9} {bad:>8} {outcomes['skipped']:>8} {outcomes['merged']:>8} {shown}"
