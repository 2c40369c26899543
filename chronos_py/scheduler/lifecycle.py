"""What news of a task, or a time that has come, means for its run: the table of task states.

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
`ends` has what becomes of the run then.
"""

from __future__ import annotations

from chronos_py.clock import Millis
from chronos_py.model.job import OnUncertain
from chronos_py.model.messages import Acknowledge, Kill, StatusUpdate
from chronos_py.model.notice import own_body
from chronos_py.model.run import PREEMPTED, Outcome, Phase, Run, TaskState
from chronos_py.scheduler.adoption import Adoption
from chronos_py.scheduler.book import Book
from chronos_py.scheduler.ends import Ends
from chronos_py.scheduler.entry import Entry
from chronos_py.scheduler.reconcile import Reconciler
from chronos_py.scheduler.release import Releaser
from chronos_py.scheduler.retry import (
    NO_WORD,
    fault_of,
    forgiving,
    is_hopeless,
    kill_pause,
    never_started,
    plain_reason,
)

ALIVE = frozenset({TaskState.STAGING, TaskState.STARTING, TaskState.RUNNING, TaskState.KILLING})
ENDS = frozenset(TaskState) - ALIVE - frozenset({TaskState.UNREACHABLE, TaskState.UNKNOWN})
SILENT = frozenset({TaskState.UNREACHABLE, TaskState.UNKNOWN})
HAS_RUN = ALIVE | {TaskState.FINISHED, TaskState.FAILED, TaskState.KILLED}
KILLED_BY_USER = frozenset({"user", "deleted", "purged"})

_OUTCOMES = {
    TaskState.LOST: Outcome.LOST,
    TaskState.GONE: Outcome.LOST,
    TaskState.GONE_BY_OPERATOR: Outcome.LOST,
    TaskState.DROPPED: Outcome.LOST,
}


class Lifecycle:
    """Moves runs from launch to their end. Works on the book alone."""

    def __init__(self, book: Book, releaser: Releaser, reconciler: Reconciler, adoption: Adoption) -> None:
        self.book = book
        self.releaser = releaser
        self.ends = Ends(book, releaser)
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
            self.ends.displace(run, now, news)
            return
        elif run.killing == "timeout" or plain_reason(news.reason) == "MAX_COMPLETION_TIME_REACHED":
            outcome = Outcome.TIMED_OUT
        else:
            outcome = _OUTCOMES.get(TaskState(news.state), Outcome.FAILED)
            fault = fault_of(news, run)
            skip = news.state == TaskState.LOST and not idle and _never_twice(entry)
            if fault and not skip and self.ends.may_try_anew(entry, run, fault, idle=idle):
                self.ends.try_anew(run, fault, outcome, now, news)
            else:
                self.ends.conclude(run, outcome, now, news, retry=not skip and not is_hopeless(news))
            return
        self.ends.conclude(run, outcome, now, news)

    def preempt(self, run: Run, claimant: int, now: Millis) -> None:
        """Stop a run to make room for another."""
        self.stop(self.book.update_run(run, displaced_by=claimant), PREEMPTED, now)

    # --- what is due

    def wake(self, run: Run, now: Millis) -> None:
        """Look at a run whose timer went off; does nothing when the reason is gone."""
        entry = self.book.owner(run)
        if run.phase is Phase.RETRYING and run.not_before <= now:
            self.ends.requeue(run, now)
        elif run.phase is Phase.QUEUED:
            if run.attempt == 0 and run.expires is not None and run.expires < now and entry:
                self.ends.leave_out(run, now, "late")
            elif run.attempt and entry:
                self._forgive(entry, run, now)
        elif run.deadline is not None and run.deadline <= now:
            self._past_deadline(run, now)

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
            self.ends.conclude(run, Outcome.TIMED_OUT, now)

    def _give_up(self, run: Run, now: Millis) -> None:
        entry, reason = self.book.owner(run), "no word of the task for too long"
        if _never_twice(entry) or run.killing in KILLED_BY_USER:
            self.ends.conclude(run, Outcome.LOST, now, reason=reason, retry=False)
        elif run.killing or not self.ends.may_try_anew(entry, run, NO_WORD):
            self.ends.conclude(run, Outcome.LOST, now, reason=reason)
        else:
            self.ends.try_anew(run, NO_WORD, Outcome.LOST, now, reason=reason)

    # --- stopping

    def stop(self, run: Run, why: str, now: Millis) -> None:
        """Have a task stopped; its end comes as news. A run without a task ends here."""
        if run.on_agent:
            run = self.book.update_run(run, killing=why)
            self._tell_to_stop(run, now)
        elif run.phase is Phase.REPORTING or why == "timeout":
            self.ends.conclude(run, Outcome.TIMED_OUT if why == "timeout" else Outcome.KILLED, now, reason=why)
        else:
            self.ends.end(run, Outcome.KILLED, now, why)

    def _tell_to_stop(self, run: Run, now: Millis) -> None:
        entry = self.book.owner(run)
        grace = self.book.policy.tasks.kill_grace
        if entry and entry.job.kill_grace is not None:
            grace = entry.job.kill_grace
        self.book.effect(Kill(run.task_id, run.agent_id, grace))
        if not run.uncertain:
            pause = kill_pause(grace, self.book.policy.kill_patience, run.kills)
            self.book.update_run(run, deadline=now + pause, kills=run.kills + 1)


def _never_twice(entry: Entry | None) -> bool:
    return entry is not None and entry.job.on_uncertain is OnUncertain.SKIP
