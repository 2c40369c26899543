"""What history keeps of an attempt that has ended, and of a run."""

from __future__ import annotations

from chronos_py.clock import Millis
from chronos_py.model.history import AttemptRecord, RunRecord
from chronos_py.model.messages import StatusUpdate
from chronos_py.model.run import Outcome, Run


def attempt_record(
    run: Run, outcome: Outcome, now: Millis, news: StatusUpdate | None, reason: str, owner: str
) -> AttemptRecord:
    """Return what history keeps of a run's present attempt, which ends now, or when the news says that it did."""
    ended = now
    if news and news.at is not None:
        ended = max(run.started or run.launched or run.created, min(news.at, now))
    made_room = f"made room for run {run.displaced_by}"
    return AttemptRecord(
        run=run.id,
        attempt=run.attempt,
        task_id=run.task_id,
        job=run.job,
        agent_id=run.agent_id,
        host=run.host,
        launched=run.launched if run.launched is not None else run.created,
        started=run.started,
        ended=ended,
        outcome=outcome,
        state=news.state if news else "",
        reason=reason or (news.reason if news else ""),
        message=made_room if outcome is Outcome.PREEMPTED else news.message if news else "",
        exit_code=news.exit_code if news else None,
        signal=news.signal if news else None,
        owner=owner,
        placement=run.placement,
    )


def run_record(
    run: Run, outcome: Outcome, now: Millis, reason: str, attempts: int, ended_by: str, owner: str
) -> RunRecord:
    """Return the ledger's row of a run that ends now, after so many attempts."""
    return RunRecord(
        run=run.id,
        job=run.job,
        trigger=run.trigger,
        due=run.due,
        created=run.created,
        ended=now,
        outcome=outcome,
        reason=reason,
        attempts=attempts,
        started=run.started,
        index=run.index,
        last_index=run.index,
        version=run.version,
        arguments=run.arguments,
        causes=run.causes,
        owner=owner,
        elements_processed=run.elements_processed,
        task_id=run.task_id if attempts else "",
        host=run.host,
        first_started=run.started if run.first_started is None else run.first_started,
        exit_reason=ended_by,
    )
