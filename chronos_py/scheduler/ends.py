"""Ends of attempts and of runs: another attempt or the end, and what that does to counters, children and the ledger."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from chronos_py.clock import Millis, iso_utc
from chronos_py.model.history import exit_reason
from chronos_py.model.job import JobState, Token, replace_state
from chronos_py.model.messages import StatusUpdate
from chronos_py.model.notice import disabled_body, failed_body, own_body
from chronos_py.model.run import PREEMPTED, Ended, Outcome, Phase, Run, Trigger
from chronos_py.scheduler.book import Book
from chronos_py.scheduler.entry import Entry
from chronos_py.scheduler.records import attempt_record, run_record
from chronos_py.scheduler.release import Releaser
from chronos_py.scheduler.retry import (
    STALE,
    avoiding,
    fault_delay,
    fault_limit,
    faults,
    forgiving,
    may_retry,
    retry_delay,
    with_fault,
)

FAILURES = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.LOST})


def counted_success(state: JobState, now: Millis) -> JobState:
    """Return a job's state after one more success, with a run or without."""
    return replace_state(
        state,
        success_count=state.success_count + 1,
        errors_since_last_success=0,
        last_success=iso_utc(now),
    )


class Ends:
    """Ends attempts and runs, and gives them another try."""

    def __init__(self, book: Book, releaser: Releaser) -> None:
        self.book = book
        self.releaser = releaser

    # --- attempts

    def requeue(self, run: Run, now: Millis) -> None:
        """Let a run wait for a place, and use agents again that it has avoided for long enough."""
        entry = self.book.owner(run)
        run = self.book.update_run(run, phase=Phase.QUEUED, **forgiving(run, now))
        if run.avoid_until:
            self.book.timers.set(min(run.avoid_until), run.id)
        if entry:
            self.book.enqueue(entry, run)

    def may_try_anew(self, entry: Entry | None, run: Run, fault: str, *, idle: bool = False) -> bool:
        """Tell whether a fault may cost no retry. A run of a disabled job goes on only if nothing of it was done."""
        if entry is None or (entry.job.disabled and run.trigger is not Trigger.MANUAL and not idle):
            return False
        return fault == STALE or faults(run, fault) < fault_limit(fault, self.book.policy.faults_per_reason)

    def try_anew(
        self,
        run: Run,
        fault: str,
        outcome: Outcome,
        now: Millis,
        news: StatusUpdate | None = None,
        reason: str = "",
    ) -> None:
        """Give the run another attempt that costs it no retry."""
        entry = self.book.owner(run)
        self._record_attempt(run, outcome, now, news, reason)
        delay = fault_delay(run, fault)
        self._leave_agent(run)
        avoid = {} if fault == STALE else self._avoiding(run, now)
        run = self._next_attempt(run, now + delay, faults=run.faults + 1, faulted=with_fault(run, fault), **avoid)
        if delay == 0:
            self.requeue(run, now)
        if entry:
            self.releaser.settle(entry, now)

    def _avoiding(self, run: Run, now: Millis) -> dict[str, Any]:
        return avoiding(run, now, self.book.policy.forgiveness)

    def _next_attempt(self, run: Run, not_before: Millis, **changes: Any) -> Run:
        run = self.book.update_run(
            run,
            phase=Phase.RETRYING,
            attempt=run.attempt + 1,
            not_before=not_before,
            agent_id="",
            host="",
            launched=None,
            started=None,
            first_started=run.started if run.first_started is None else run.first_started,
            deadline=None,
            killing="",
            uncertain=False,
            reported="",
            kills=0,
            foreign_id="",
            spots=(),
            placement="",
            **changes,
        )
        self.book.timers.set(not_before, run.id)
        return run

    def _leave_agent(self, run: Run) -> None:
        entry = self.book.owner(run)
        if entry:
            entry.playing -= 1

    def conclude(
        self,
        run: Run,
        outcome: Outcome,
        now: Millis,
        news: StatusUpdate | None = None,
        *,
        reason: str = "",
        retry: bool = True,
    ) -> None:
        """End the run's present attempt, and the run with it unless another attempt is due."""
        entry = self.book.owner(run)
        self._record_attempt(run, outcome, now, news, reason)
        self._leave_agent(run)
        reason = reason or (news.message if news and outcome is not Outcome.SUCCESS else "")
        if entry and retry and outcome not in (Outcome.SUCCESS, Outcome.KILLED) and self._another_try(entry, run):
            delay = retry_delay(entry.job, run, self.book.policy.failure_retry)
            self._next_attempt(run, now + delay, **self._avoiding(run, now))
            self.releaser.settle(entry, now)
        else:
            told = (news.reason, news.exit_code, news.signal) if news else ("", None, None)
            self.end(run, outcome, now, reason, run.attempt + 1, exit_reason(outcome, *told))

    @staticmethod
    def _another_try(entry: Entry, run: Run) -> bool:
        """Tell whether a failed run is tried again; one of a disabled job only when a user asked for it."""
        return may_retry(entry.job, run) and (not entry.job.disabled or run.trigger is Trigger.MANUAL)

    def displace(self, run: Run, now: Millis, news: StatusUpdate) -> None:
        """Let a run wait again that has made room for another: at no cost in retries, but its waiting begins anew."""
        entry = self.book.owner(run)
        if entry is None or (entry.job.disabled and run.trigger is not Trigger.MANUAL):
            self.conclude(run, Outcome.KILLED, now, news, reason=PREEMPTED)
            return
        self._record_attempt(run, Outcome.PREEMPTED, now, news, PREEMPTED)
        self._leave_agent(run)
        self.requeue(self._next_attempt(run, now, faults=run.faults + 1, since=now), now)
        self.releaser.settle(entry, now)

    # --- runs

    def leave_out(self, run: Run, now: Millis, reason: str) -> None:
        """End a queued run that must not start any more."""
        self.end(run, Outcome.SKIPPED, now, reason)

    def end(
        self,
        run: Run,
        outcome: Outcome,
        now: Millis,
        reason: str = "",
        attempts: int | None = None,
        ended_by: str = "",
    ) -> None:
        """End a run for good: a ledger row, the job's counters, its children, its next run."""
        entry = self.book.owner(run)
        if entry and run.phase is Phase.QUEUED:
            if run.id in self.book.queue:
                entry.playing -= 1
            else:
                entry.line.remove(run.id)
        self._record_run(run, outcome, now, reason, run.attempt if attempts is None else attempts, ended_by)
        self.book.drop_run(run)
        if entry is None:
            return
        if outcome is Outcome.TIMED_OUT:
            text = f"Run {run.id} took longer than {entry.job.max_completion_time} s and was stopped."
            self.book.tell("timed_out", entry, now, own_body(now, text))
        elif outcome is Outcome.SKIPPED:
            text = f"Run {run.id}, due at '{iso_utc(run.due)}', was left out: {reason}."
            self.book.tell("missed", entry, now, own_body(now, text))
        if run.immediate is not None:
            tries = run.attempt if attempts is None else attempts
            forget_at = now + int(run.immediate.retention * 1000)
            self._keep_result(entry, run, Ended(outcome, now, forget_at, tries, reason, ended_by))
            return
        if outcome is Outcome.SUCCESS:
            self._count_success(entry, run, now)
        elif outcome in FAILURES:
            self._count_failure(entry, run, now, reason)
        else:
            self.releaser.parent_unsuccessful(entry, run.due)
        self.releaser.disable_if_exhausted(entry, now)
        self.releaser.settle(entry, now)

    def _keep_result(self, entry: Entry, run: Run, ended: Ended) -> None:
        """Keep an immediate job's result; nothing depends on it."""
        self.book.keep_result(replace(run, phase=Phase.ENDED, ended=ended, deadline=None))
        if ended.outcome in FAILURES:
            body = failed_body(ended.at, entry.job.retries, run.task_id, ended.reason)
            self.book.tell("failed", entry, ended.at, body)

    def _count_success(self, entry: Entry, run: Run, now: Millis) -> None:
        state = entry.state
        if state.errors_since_last_success:
            text = f"Run {run.id} succeeded after {state.errors_since_last_success} failures."
            self.book.tell("recovered", entry, now, own_body(now, text))
        self.book.put_state(
            entry,
            replace_state(
                counted_success(state, now), elements_processed=state.elements_processed + run.elements_processed
            ),
        )
        self._release_children(entry, run, now)

    def _release_children(self, entry: Entry, run: Run, now: Millis) -> None:
        token = Token(run.id, run.due, run.roots)
        self.releaser.parent_succeeded(entry, token, now, rerun=run.trigger is Trigger.MANUAL)

    def _count_failure(self, entry: Entry, run: Run, now: Millis, reason: str) -> None:
        before = state = entry.state  # notices show the job as it was before, as Chronos's do
        state = replace_state(
            state,
            error_count=state.error_count + 1,
            errors_since_last_success=state.errors_since_last_success + 1,
            last_error=iso_utc(now),
        )
        self.book.put_state(entry, state)
        limit = self.book.policy.disable_after_failures
        too_many = 0 < limit <= state.errors_since_last_success and run.trigger is not Trigger.MANUAL
        if too_many and not entry.job.disabled:
            self.book.put_job(entry, replace(entry.job, disabled=True))
        if too_many:
            body = disabled_body(now, state.errors_since_last_success, run.task_id, reason)
            self.book.tell("disabled", entry, now, body, before)
        else:
            self.book.tell("failed", entry, now, failed_body(now, entry.job.retries, run.task_id, reason), before)
        if entry.job.soft_error:
            self._release_children(entry, run, now)
        else:
            self.releaser.parent_unsuccessful(entry, run.due)

    # --- records

    def _record_attempt(
        self, run: Run, outcome: Outcome, now: Millis, news: StatusUpdate | None, reason: str = ""
    ) -> None:
        self.book.health.note(run.agent_id, run.host, outcome, now)
        self.book.record(attempt_record(run, outcome, now, news, reason, self.book.owner_name(run)))

    def record_skipped(self, run: Run, now: Millis, reason: str) -> None:
        """Account for a run that went with its job."""
        self._record_run(run, Outcome.SKIPPED, now, reason, run.attempt)

    def _record_run(
        self, run: Run, outcome: Outcome, now: Millis, reason: str, attempts: int, ended_by: str = ""
    ) -> None:
        self.book.record(run_record(run, outcome, now, reason, attempts, ended_by, self.book.owner_name(run)))
