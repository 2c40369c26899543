"""Why a run does not run, or why it ended: one cause of the list `Cause`, or `EndCause`, with the numbers. It costs the
same however many runs wait.

What stood in a run's way is kept by shape, not by run, from the last round of placement in which it was looked at.
Everything here may be called from any thread while the engine works: each piece of its state is read once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from chronos_py.clock import Millis
from chronos_py.model.history import RunRecord
from chronos_py.model.run import Outcome, Phase, Run
from chronos_py.model.view import Cause, EndCause, Waiting
from chronos_py.scheduler.board import Refusal
from chronos_py.scheduler.book import Book
from chronos_py.scheduler.holdings import Use
from chronos_py.scheduler.preemption import Preemption
from chronos_py.scheduler.queue import Shape


class Placing(Protocol):
    """What is kept of the last rounds of placement."""

    refusals: dict[Shape, Refusal]
    picky: dict[int, Millis]
    preemption: Preemption


def why(book: Book, placing: Placing, number: int, *, driver_ready: bool) -> Waiting | None:
    """Say why a run does not run, None when it does or has ended."""
    run = book.runs.get(number)
    if run is None:
        return None
    if run.on_agent:
        return _on_agent(run)
    if run.phase is Phase.RETRYING:
        if run.attempt == 0:
            text = "was taken over and waits for its time"
            return Waiting(Cause.RETRY_DELAY, text, {"notBefore": run.not_before})
        return Waiting(Cause.RETRY_DELAY, "waits for the retry's delay to pass", {"notBefore": run.not_before})
    if run.phase is Phase.REPORTING:
        return Waiting(Cause.RESULT_AWAITED, "its task has ended; the program has yet to report the result")
    waiting = _queued(book, placing, number, driver_ready)
    return _with_history(run, _with_claim(placing, number, waiting)) if waiting else None


def _on_agent(run: Run) -> Waiting | None:
    if run.killing:
        detail: dict[str, Any] = {"agent": run.agent_id, "reason": run.killing, "orders": run.kills}
        if run.displaced_by:
            detail["madeRoomFor"] = run.displaced_by
        return Waiting(Cause.STOPPING, f"was told to stop: {run.killing}", detail)
    if run.phase is Phase.RUNNING:
        return None
    detail = {"agent": run.agent_id, "launched": run.launched, "uncertain": run.uncertain}
    return Waiting(Cause.LAUNCHING, "has been launched; no word of its start yet", detail)


def _queued(book: Book, placing: Placing, number: int, driver_ready: bool) -> Waiting | None:
    if book.is_aside(number):
        return Waiting(Cause.SET_ASIDE, "could not be handled; changing its job lets it be tried again")
    try:
        shape = book.queue.shape_of(number)
    except KeyError:
        return Waiting(Cause.JOB_RUNNING, "waits until the job's present run has ended")
    if not driver_ready:
        return Waiting(Cause.DRIVER_DOWN, "the cluster cannot be reached")
    until = placing.picky.get(number)
    if until is not None:
        text = "waits a moment for another agent than those it failed on"
        return Waiting(Cause.OTHER_AGENT, text, {"until": until})
    refusal = placing.refusals.get(shape)
    if refusal is None:
        return Waiting(Cause.NEXT_TURN, "is about to be placed", {"need": str(shape.need)})
    return Waiting(refusal.cause, refusal.sentence, refusal.detail(shape.need))


def _with_claim(placing: Placing, number: int, waiting: Waiting) -> Waiting:
    claim = placing.preemption.claims.get(number)
    if claim is None:
        return waiting
    detail = {"agent": claim.agent, "stopping": sorted(claim.victims)}
    sentence = f"{waiting.sentence}; room is made for it on {claim.agent}"
    return replace(waiting, sentence=sentence, detail={**waiting.detail, "claim": detail})


def _with_history(run: Run, waiting: Waiting) -> Waiting:
    if not run.since:
        return waiting
    sentence = f"{waiting.sentence}; it was stopped to make room for run {run.displaced_by}"
    return replace(waiting, sentence=sentence, detail={**waiting.detail, "preemptedBy": run.displaced_by})


_BY_REASON = {
    "deleted": EndCause.JOB_DELETED,
    "purged": EndCause.PURGED,
    "preempted": EndCause.PREEMPTED,
    "late": EndCause.LATE,
    "a later due time has come": EndCause.OVERTAKEN,
    "disabled": EndCause.DISABLED,
}
_BY_OUTCOME = {
    Outcome.SUCCESS: EndCause.SUCCESS,
    Outcome.FAILED: EndCause.FAILED,
    Outcome.TIMED_OUT: EndCause.TIMED_OUT,
    Outcome.LOST: EndCause.LOST,
    Outcome.KILLED: EndCause.KILLED,
    Outcome.MERGED: EndCause.MERGED,
}


def why_ended(row: RunRecord) -> tuple[EndCause, dict[str, Any]]:
    """Say why a run ended as it did, from its record; times in seconds."""
    cause = _BY_OUTCOME.get(row.outcome, EndCause.LEFT_OUT)
    if row.outcome in (Outcome.KILLED, Outcome.SKIPPED):
        cause = _BY_REASON.get(row.reason, cause)
    detail: dict[str, Any] = {"cause": cause.value, "outcome": row.outcome.value, "attempts": row.attempts}
    if row.reason:
        detail["reason"] = row.reason
    if row.exit_reason:
        detail["exit"] = row.exit_reason
    if row.into is not None:
        detail["into"] = row.into
    started = row.started if row.first_started is None else row.first_started
    if started is not None:
        detail["startedAfter"] = max(0, started - row.due) / 1000
    return cause, detail


def quota_forms(book: Book) -> list[dict[str, Any]]:
    """Return what is guaranteed, used and waited for, by quota."""
    waiting: Counter[str] = Counter()
    for shape in book.queue.shapes:
        for name in shape.quotas:
            waiting[name] += book.queue.waiting(shape)
    use: Mapping[str, Use] = book.holdings.use
    return [
        {**quota.form(use.get(name) or Use()), "waiting": waiting[name]}
        for name, quota in sorted(book.policy.quotas.items())
    ]
