"""How long a task runs and whether it fails, drawn from what is known of its job.

A draw depends on the seed and the task's id alone, not on what was drawn before. So a run meets the same fate in every
world of one seed, and two plans differ by what was changed, not by luck.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from chronos_py.clock import Millis

SCALE = 1 << 32


def draws(seed: int, key: str) -> tuple[float, float]:
    """Return two independent numbers from 0 up to, but not including, 1."""
    number = int.from_bytes(blake2b(f"{seed}:{key}".encode(), digest_size=8).digest())
    return (number >> 32) / SCALE, number % SCALE / SCALE


@dataclass(frozen=True, slots=True)
class Chance:
    """What tasks do. `run_times` by job, in milliseconds, as they were; `usual` for jobs of which none is known.
    `failing` is the share of attempts that fail, `failing_by_job` the same for some jobs."""

    seed: int = 0
    run_times: Mapping[str, Sequence[Millis]] = field(default_factory=dict)
    usual: Sequence[Millis] = (60_000,)
    failing: float = 0.0
    failing_by_job: Mapping[str, float] = field(default_factory=dict)

    def of(self, job: str, task_id: str) -> tuple[Millis, bool]:
        """Return how long a task runs, and whether it fails in the end."""
        first, second = draws(self.seed, task_id)
        times = self.run_times.get(job) or self.usual
        return times[int(first * len(times))], second < self.failing_by_job.get(job, self.failing)

    def rest(self, job: str, task_id: str, elapsed: Millis) -> tuple[Millis, bool]:
        """Return the same for a task that runs since `elapsed`: one of the run times that are longer than that, or a
        tenth more when there is none."""
        first, second = draws(self.seed, task_id)
        longer = [time for time in self.run_times.get(job) or self.usual if time > elapsed]
        rest = longer[int(first * len(longer))] - elapsed if longer else max(1000, elapsed // 10)
        return rest, second < self.failing_by_job.get(job, self.failing)
