"""Whether an attempt that ended badly is followed by another, when, and at whose cost."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from chronos_py.clock import Millis
from chronos_py.model.job import Job
from chronos_py.model.messages import StatusUpdate
from chronos_py.model.run import Phase, Run, TaskState

LONGEST_DELAY: Millis = 86_400_000  # no back-off waits longer than a day unless the job says so
LONGEST_FAULT_DELAY: Millis = 60_000
LONGEST_KILL_PAUSE: Millis = 300_000
AVOIDED = 10  # agents of failed attempts that a run remembers
AT_ONCE = 3  # times that a launch on stale offers is repeated without delay

NO_WORD = "NO_WORD"  # our own reason: nobody knew of the task for too long

# A failure with one of these is the agent's or the master's doing. All others may be the job's, and spend a retry:
# among them CONTAINER_LAUNCH_FAILED (often an image or a file that does not exist), COMMAND_EXECUTOR_FAILED (a task may
# end its executor), CONTAINER_LIMITATION and its kinds. EXECUTOR_TERMINATED is what a machine says that was switched
# off and on again, but also one on which a task has ended its executor, or none could be started for it: it is nobody's
# fault only of a task that ran, and only a few times.
PLATFORM = frozenset(
    {
        "AGENT_DISCONNECTED", "AGENT_REMOVED", "AGENT_REMOVED_BY_OPERATOR", "AGENT_REREGISTERED", "AGENT_RESTARTED",
        "AGENT_UNKNOWN", "CONTAINER_PREEMPTED", "CONTAINER_UPDATE_FAILED", "EXECUTOR_REGISTRATION_TIMEOUT",
        "EXECUTOR_REREGISTRATION_TIMEOUT", "EXECUTOR_TERMINATED", "FRAMEWORK_REMOVED", "GC_ERROR",
        "INVALID_FRAMEWORKID", "INVALID_OFFERS", "IO_SWITCHBOARD_EXITED", "MASTER_DISCONNECTED", "RESOURCES_UNKNOWN",
    }
)  # fmt: skip
DOUBTFUL = {"EXECUTOR_TERMINATED": 2}  # how often these cost no retry, at most
STALE = "INVALID_OFFERS"  # the offers went while we used them: nobody's fault
NOT_LAUNCHED = frozenset({STALE, "INVALID_FRAMEWORKID", "MASTER_DISCONNECTED"})
GONE = frozenset({TaskState.LOST, TaskState.GONE, TaskState.GONE_BY_OPERATOR, TaskState.DROPPED})
INVALID = frozenset({"TASK_INVALID", "TASK_UNAUTHORIZED", "TASK_GROUP_INVALID", "TASK_GROUP_UNAUTHORIZED"})


def plain_reason(reason: str) -> str:
    """Return a reason of Mesos without prefix and in today's words: agents were slaves once."""
    return reason.removeprefix("REASON_").replace("SLAVE", "AGENT")


def fault_of(news: StatusUpdate, run: Run) -> str:
    """Return what went wrong when that was not the job's doing, empty when it may have been."""
    reason = plain_reason(news.reason)
    if reason in DOUBTFUL and run.phase is not Phase.RUNNING and news.state not in GONE:
        return ""
    if news.state in GONE:
        return reason or news.state
    return reason if news.state in (TaskState.FAILED, TaskState.ERROR) and reason in PLATFORM else ""


def never_started(run: Run, news: StatusUpdate) -> bool:
    """Tell whether it is certain that the task did nothing."""
    reason = plain_reason(news.reason)
    if news.state == TaskState.DROPPED or reason in NOT_LAUNCHED:
        return True
    return news.state == TaskState.GONE and reason == "RECONCILIATION" and run.phase is Phase.LAUNCHING


def is_hopeless(news: StatusUpdate) -> bool:
    """Tell whether the cluster refuses the task for what it is: another attempt would be refused, too.

    What it says of resources or offers depends on the place, so those errors are failures like others.
    """
    if news.state != TaskState.ERROR or plain_reason(news.reason) not in INVALID:
        return False
    text = news.message.lower()
    return "resource" not in text and "offer" not in text


def fault_limit(name: str, usual: int) -> int:
    """Return how often a fault may cost a run no retry."""
    return min(usual, DOUBTFUL.get(name, usual))


def faults(run: Run, name: str) -> int:
    """Return how many attempts of a run ended by this fault."""
    return dict(run.faulted).get(name, 0)


def with_fault(run: Run, name: str) -> tuple[tuple[str, int], ...]:
    """Return the run's faults with one more."""
    return tuple({**dict(run.faulted), name: faults(run, name) + 1}.items())


def avoiding(run: Run, now: Millis, forgiveness: Millis) -> dict[str, tuple[Any, ...]]:
    """Return a run's fields after an attempt failed on its present agent: that is avoided from now on, until it is
    forgiven after `forgiveness` or after AVOIDED others have failed."""
    known = dict(zip(run.avoid, (*run.avoid_until, *[now + forgiveness] * len(run.avoid)), strict=False))
    known.pop(run.agent_id, None)
    newest = [*known.items(), (run.agent_id, now + forgiveness)][-AVOIDED:]
    return {"avoid": tuple(agent for agent, _ in newest), "avoid_until": tuple(until for _, until in newest)}


def weights(run: Run, now: Millis, forgiveness: Millis) -> dict[str, float]:
    """Return how strongly a run avoids each agent, the least avoided first.

    1 when the attempt has just failed. It halves with each attempt that failed on another agent since, and each time a
    quarter of `forgiveness` passes: 2 ** -(failures since + 4 * age / forgiveness). At its end the agent is forgiven.
    """
    found = {}
    for since, (agent, until) in enumerate(zip_longest(reversed(run.avoid), reversed(run.avoid_until), fillvalue=0)):
        age = max(0, now + forgiveness - until) if until else 0
        found[str(agent)] = 2.0 ** -(since + 4 * age / forgiveness if forgiveness else since)
    return dict(reversed(found.items()))


def forgiving(run: Run, now: Millis) -> dict[str, tuple[Any, ...]]:
    """Return a run's fields without the agents whose time is up; nothing when all are still avoided."""
    if all(until > now for until in run.avoid_until):
        return {}
    kept = [pair for pair in zip(run.avoid, run.avoid_until, strict=False) if pair[1] > now]
    return {"avoid": tuple(agent for agent, _ in kept), "avoid_until": tuple(until for _, until in kept)}


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


def fault_delay(run: Run, name: str) -> Millis:
    """Return the delay after an attempt that a fault ended: at once the first time, then doubling up to a minute.

    A launch on stale offers does not count among the others.
    """
    before = faults(run, STALE) - AT_ONCE + 1 if name == STALE else sum(n for fault, n in run.faulted if fault != STALE)
    return 0 if before <= 0 else min(1000 * 2 ** min(before - 1, 10), LONGEST_FAULT_DELAY)


def kill_pause(grace: float, patience: Millis, kills: int) -> Millis:
    """Return how long to wait for a task's end after the order number `kills` (from 0) to stop it."""
    pause: Millis = min(patience * 2 ** min(kills, 10), max(patience, LONGEST_KILL_PAUSE))
    return int(grace * 1000) + pause
