"""Whether a failed attempt is followed by another, and when."""

from __future__ import annotations

from chronos_py.clock import Millis
from chronos_py.model.job import Job
from chronos_py.model.run import Run

LONGEST_DELAY: Millis = 86_400_000  # no back-off waits longer than a day unless the job says so
LONGEST_FAULT_DELAY: Millis = 60_000


def may_retry(job: Job, run: Run) -> bool:
    """Tell whether the job's `retries` allow another attempt; attempts lost to the platform's faults cost none."""
    return run.attempt - run.faults < job.retries


def retry_delay(job: Job, run: Run, default: Millis) -> Millis:
    """Return the delay before the attempt after `run`'s present one: delay * backoff ** retries made, capped."""
    base = default if job.retry_delay is None else job.retry_delay * 1000
    factor = 1.0 if job.retry_backoff is None else job.retry_backoff
    cap = max(LONGEST_DELAY, base) if job.retry_max_delay is None else job.retry_max_delay * 1000
    try:
        delay = base * factor ** (run.attempt - run.faults)
    except OverflowError:
        delay = cap
    return int(min(delay, cap))


def fault_delay(run: Run) -> Millis:
    """Return the delay after an attempt that never started: at once the first time, then doubling up to a minute."""
    return 0 if run.faults == 0 else min(1000 * 2 ** min(run.faults - 1, 10), LONGEST_FAULT_DELAY)
