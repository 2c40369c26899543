"""What news of a task means for its run: the table of task states, retries, counters, and the end of a run.

All states of Mesos 1.11; whatever else a cluster may say changes nothing:

| state | before it was told to stop | after |
|---|---|---|
| STAGING, STARTING, RUNNING, KILLING | the run goes on | told to stop again after a while |
| FINISHED | success (an `async` job: its program reports the result) | success: it was faster |
| KILLED | failure: somebody outside killed it | killed, or timed out; preempted: it waits again |
| FAILED for a reason that may be the job's | failure; timed out by MAX_COMPLETION_TIME_REACHED | killed, or timed out |
| FAILED, ERROR for a reason of the platform | a fault | killed, or timed out |
| ERROR for what the task is | failure, without another attempt | killed, or timed out |
| ERROR otherwise | failure, by the retry rule | killed, or timed out |
| LOST, GONE, GONE_BY_OPERATOR | a fault | killed, or timed out |
| DROPPED; a reason of NOT_LAUNCHED; GONE by reconciliation, if not seen running | a fault: never started | killed |
| UNREACHABLE, UNKNOWN | uncertain: waited for; after too long a fault, see `OnUncertain` | the same |

A *fault* (reasons: `retry`) costs no retry of the job, goes to another agent if any has room, at once the first time
and then with growing delay; after `faults_per_reason` of one kind in a run that kind counts as a failure. With
`onUncertain: skip` a run whose task is LOST or without word is not tried again: it may still be running somewhere.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from chronos_py.clock import Millis, iso_utc
from chronos_py.model.history import AttemptRecord, RunRecord, exit_reason
from chronos_py.model.job import JobState, OnUncertain, Token, replace_state
from chronos_py.model.messages import Acknowledge, Kill, StatusUpdate
from chronos_py.model.notice import disabled_body, failed_body, own_body
from chronos_py.model.run import PREEMPTED, Ended, Outcome, Phase, Run, TaskState, Trigger
from chronos_py.scheduler.adoption import Adoption
from chronos_py.scheduler.book import Book
from chronos_py.scheduler.entry import Entry
from chronos_py.scheduler.reconcile import Reconciler
from chronos_py.scheduler.release import Releaser
from chronos_py.scheduler.retry import (
    NO_WORD,
    STALE,
    avoiding,
    fault_delay,
    fault_limit,
    fault_of,
    faults,
    forgiving,
    is_hopeless,
    kill_pause,
    may_retry,
    never_started,
    plain_reason,
    retry_delay,
    with_fault,
)

ALIVE = frozenset({TaskState.STAGING, TaskState.STARTING, TaskState.RUNNING, TaskState.KILLING})
ENDS = frozenset(TaskState) - ALIVE - frozenset({TaskState.UNREACHABLE, TaskState.UNKNOWN})
SILENT = frozenset({TaskState.UNREACHABLE, TaskState.UNKNOWN})
HAS_RUN = ALIVE | {TaskState.FINISHED, TaskState.FAILED, TaskState.KILLED}
FAILURES = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.LOST})
KILLED_BY_USER = frozenset({"user", "deleted", "purged"})

_OUTCOMES = {
    TaskState.LOST: Outcome.LOST,
    TaskState.GONE: Outcome.LOST,
    TaskState.GONE_BY_OPERATOR: Outcome.LOST,
    TaskState.DROPPED: Outcome.LOST,
}


def counted_success(state: JobState, now: Millis) -> JobState:
    """Return a job's state after one more success, with a run or without."""
    return replace_state(
        state,
        success_count=state.success_count + 1,
        errors_since_last_success=0,
        last_success=iso_utc(now),
    )


class Lifecycle:
    """Moves runs from launch to their end. Works on the book alone."""

    def __init__(self, book: Book, releaser: Releaser, reconciler: Reconciler, adoption: Adoption) -> None:
        self.book = book
        self.releaser = releaser
        self.reconciler = reconciler
        self.adoption = adoption

    # --- news

    def update(self, news: StatusUpdate, now: Millis) -> None:
        """Take one status update; the same one again changes nothing. It is acknowledged once that is stored."""
        number = self.book.by_task.get(news.task_id)
        run = self.book.runs.get(number) if number is not None else None
        if run is not None and run.phase in (Phase.QUEUED, Phase.RETRYING) and news.state in HAS_RUN:
            run = self._found_outside(run, news, now)
        if run is None or not run.on_agent:
            self._stray(news, run, now)
        elif news.state in ALIVE:
            self._alive(run, news, now)
        elif news.state in SILENT:
            self._no_word(run, now)
        elif news.state in ENDS:
            self._ended(run, news, now)
        if news.uuid:
            self.book.effect(Acknowledge(news))

    def _found_outside(self, run: Run, news: StatusUpdate, now: Millis) -> Run:
        """Take in the task of an attempt that we have yet to launch: an older copy of the store does not know that it
        was launched before."""
        entry, book = self.book.owner(run), self.book
        if entry and run.phase is Phase.QUEUED and run.id not in book.queue:
            entry.line.remove(run.id)
        if entry and run.id not in book.queue:
            entry.playing += 1
        book.queue.remove(run.id)
        return book.update_run(
            run,
            phase=Phase.LAUNCHING,
            agent_id=news.agent_id,
            host=news.host,
            launched=now,
            deadline=now + book.policy.launch_patience,
        )

    def _stray(self, news: StatusUpdate, run: Run | None, now: Millis) -> None:
        """Take in a task that the store has lost, stop one that lives though its attempt was given up, and leave what
        is not ours."""
        if run is not None or news.state not in ALIVE:
            return
        verdict = self.adoption.judge(news)
        if verdict == "adopt":
            run = self.adoption.adopt(news, now)
            self.book.update_run(run, deadline=self._next_deadline(run, now))
            self.releaser.settle(self.book.jobs[run.job], now)
        elif verdict == "stop":
            self.book.effect(Kill(news.task_id, news.agent_id, self.book.policy.tasks.kill_grace))

    def _alive(self, run: Run, news: StatusUpdate, now: Millis) -> None:
        before = started = run.started
        phase = run.phase
        if news.state == TaskState.RUNNING and phase is Phase.LAUNCHING:
            phase, started = Phase.RUNNING, min(news.at, now) if news.at is not None else now
        if phase is run.phase and not run.uncertain:
            patience = self.book.policy.launch_patience
            if phase is Phase.LAUNCHING and (run.deadline or 0) < now + patience // 2:  # still being prepared: wait on
                self.book.update_run(run, deadline=now + patience)
            return
        run = self.book.update_run(
            run,
            phase=phase,
            started=started,
            uncertain=False,
            agent_id=news.agent_id or run.agent_id,
            host=news.host or run.host,
        )
        run = self.book.update_run(run, deadline=self._next_deadline(run, now))
        entry = self.book.owner(run)
        if entry and started != before:
            self._tell_if_late(entry, run, now)
        if run.killing:
            self._tell_to_stop(run, now)

    def _tell_if_late(self, entry: Entry, run: Run, now: Millis) -> None:
        """Tell the owners of a run whose first attempt started later than its job promises."""
        promise, started = entry.job.start_within, run.started
        if promise is None or started is None or run.first_started is not None or started - run.due <= promise * 1000:
            return
        text = f"Run {run.id} started {(started - run.due) / 1000:.0f} s after it was due; {promise:g} s are promised."
        self.book.tell("late", entry, now, own_body(now, text))

    def _next_deadline(self, run: Run, now: Millis) -> Millis | None:
        """Return when a confirmed task next needs attention."""
        if run.phase is Phase.LAUNCHING:
            return now + self.book.policy.launch_patience
        entry = self.book.owner(run)
        limit = entry.job.max_completion_time if entry else 0
        return (run.started or now) + limit * 1000 if limit > 0 else None

    def _no_word(self, run: Run, now: Millis) -> None:
        if not run.uncertain:
            self.book.update_run(run, uncertain=True, deadline=now + self.book.policy.unknown_task_timeout)

    def _ended(self, run: Run, news: StatusUpdate, now: Millis) -> None:
        entry = self.book.owner(run)
        idle = never_started(run, news)
        if run.started is None and not idle and news.state != TaskState.ERROR:
            run = self.book.update_run(run, started=min(news.at or now, now))
        if news.state == TaskState.FINISHED:
            if entry and entry.job.is_async and not run.killing and not run.reported:
                deadline = self._next_deadline(run, now)
                self.book.update_run(run, phase=Phase.REPORTING, uncertain=False, deadline=deadline)
                return
            outcome = Outcome.FAILED if run.reported == "failure" else Outcome.SUCCESS
        elif run.killing in KILLED_BY_USER:
            outcome = Outcome.KILLED
        elif run.killing == PREEMPTED:
            self._displaced(run, now, news)
            return
        elif run.killing == "timeout" or plain_reason(news.reason) == "MAX_COMPLETION_TIME_REACHED":
            outcome = Outcome.TIMED_OUT
        else:
            outcome = _OUTCOMES.get(TaskState(news.state), Outcome.FAILED)
            fault = fault_of(news, run)
            skip = news.state == TaskState.LOST and not idle and self._never_twice(entry)
            if fault and not skip and self._may_try_anew(entry, run, fault, idle=idle):
                self._try_anew(run, fault, outcome, now, news)
            else:
                self.conclude(run, outcome, now, news, retry=not skip and not is_hopeless(news))
            return
        self.conclude(run, outcome, now, news)

    def _displaced(self, run: Run, now: Millis, news: StatusUpdate) -> None:
        """Let a run wait again that has made room for another: at no cost in retries, but its waiting begins anew."""
        entry = self.book.owner(run)
        if entry is None or (entry.job.disabled and run.trigger is not Trigger.MANUAL):
            self.conclude(run, Outcome.KILLED, now, news, reason=PREEMPTED)
            return
        self._record_attempt(run, Outcome.PREEMPTED, now, news, PREEMPTED)
        self._leave_agent(run)
        self.requeue(self._next_attempt(run, now, faults=run.faults + 1, since=now), now)
        self.releaser.settle(entry, now)

    def preempt(self, run: Run, claimant: int, now: Millis) -> None:
        """Stop a run to make room for another."""
        self.stop(self.book.update_run(run, displaced_by=claimant), PREEMPTED, now)

    @staticmethod
    def _never_twice(entry: Entry | None) -> bool:
        return entry is not None and entry.job.on_uncertain is OnUncertain.SKIP

    # --- what is due

    def wake(self, run: Run, now: Millis) -> None:
        """Look at a run whose timer went off; does nothing when the reason is gone."""
        entry = self.book.owner(run)
        if run.phase is Phase.RETRYING and run.not_before <= now:
            self.requeue(run, now)
        elif run.phase is Phase.QUEUED:
            if run.attempt == 0 and run.expires is not None and run.expires < now and entry:
                self.leave_out(run, now, "late")
            elif run.attempt and entry:
                self._forgive(entry, run, now)
        elif run.deadline is not None and run.deadline <= now:
            self._past_deadline(run, now)

    def requeue(self, run: Run, now: Millis) -> None:
        entry = self.book.owner(run)
        run = self.book.update_run(run, phase=Phase.QUEUED, **forgiving(run, now))
        if run.avoid_until:
            self.book.timers.set(min(run.avoid_until), run.id)
        if entry:
            self.book.enqueue(entry, run)

    def _forgive(self, entry: Entry, run: Run, now: Millis) -> None:
        """Let a waiting run use agents again that it has avoided for long enough."""
        changes = forgiving(run, now)
        if not changes:
            return
        run = self.book.update_run(run, **changes)
        if run.avoid_until:
            self.book.timers.set(min(run.avoid_until), run.id)
        if run.id in self.book.queue:
            self.book.push(entry, run)

    def _past_deadline(self, run: Run, now: Millis) -> None:
        if run.uncertain:
            self._give_up(run, now)
        elif run.killing:
            self._tell_to_stop(run, now)
        elif run.phase is Phase.LAUNCHING:
            self.reconciler.doubt([run], now)
        elif run.phase is Phase.RUNNING:
            self.stop(run, "timeout", now)
        else:
            self.conclude(run, Outcome.TIMED_OUT, now)

    def _give_up(self, run: Run, now: Millis) -> None:
        entry, reason = self.book.owner(run), "no word of the task for too long"
        if self._never_twice(entry) or run.killing in KILLED_BY_USER:
            self.conclude(run, Outcome.LOST, now, reason=reason, retry=False)
        elif run.killing or not self._may_try_anew(entry, run, NO_WORD):
            self.conclude(run, Outcome.LOST, now, reason=reason)
        else:
            self._try_anew(run, NO_WORD, Outcome.LOST, now, reason=reason)

    # --- stopping

    def stop(self, run: Run, why: str, now: Millis) -> None:
        """Have a task stopped; its end comes as news. A run without a task ends here."""
        if run.on_agent:
            run = self.book.update_run(run, killing=why)
            self._tell_to_stop(run, now)
        elif run.phase is Phase.REPORTING or why == "timeout":
            self.conclude(run, Outcome.TIMED_OUT if why == "timeout" else Outcome.KILLED, now, reason=why)
        else:
            self.end(run, Outcome.KILLED, now, why)

    def _tell_to_stop(self, run: Run, now: Millis) -> None:
        entry = self.book.owner(run)
        grace = self.book.policy.tasks.kill_grace
        if entry and entry.job.kill_grace is not None:
            grace = entry.job.kill_grace
        self.book.effect(Kill(run.task_id, run.agent_id, grace))
        if not run.uncertain:
            pause = kill_pause(grace, self.book.policy.kill_patience, run.kills)
            self.book.update_run(run, deadline=now + pause, kills=run.kills + 1)

    # --- ends

    def _may_try_anew(self, entry: Entry | None, run: Run, fault: str, *, idle: bool = False) -> bool:
        """Tell whether a fault may cost no retry. A run of a disabled job goes on only if nothing of it was done."""
        if entry is None or (entry.job.disabled and run.trigger is not Trigger.MANUAL and not idle):
            return False
        return fault == STALE or faults(run, fault) < fault_limit(fault, self.book.policy.faults_per_reason)

    def _try_anew(
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
        ended = now
        if news and news.at is not None:
            ended = max(run.started or run.launched or run.created, min(news.at, now))
        made_room = f"made room for run {run.displaced_by}"
        self.book.record(
            AttemptRecord(
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
                owner=self.book.owner_name(run),
                placement=run.placement,
            )
        )

    def record_skipped(self, run: Run, now: Millis, reason: str) -> None:
        """Account for a run that went with its job."""
        self._record_run(run, Outcome.SKIPPED, now, reason, run.attempt)

    def _record_run(
        self, run: Run, outcome: Outcome, now: Millis, reason: str, attempts: int, ended_by: str = ""
    ) -> None:
        self.book.record(
            RunRecord(
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
                owner=self.book.owner_name(run),
                elements_processed=run.elements_processed,
                task_id=run.task_id if attempts else "",
                host=run.host,
                first_started=run.started if run.first_started is None else run.first_started,
                exit_reason=ended_by,
            )
        )
