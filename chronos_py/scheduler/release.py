"""From due times, parents and requests to runs: each exactly once, each due time accounted for.

A due time is released when the job can take it: enabled, no run of it waiting for a place, and no other run at all
unless the job is `concurrent`. Until then the schedule's position stays where it is, so nothing piles up. What became
of due times that passed meanwhile is the job's catch-up policy: see CatchUp. Every one of them ends as a run, or in a
ledger row that says skipped (why) or merged (into which run).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from chronos_py.clock import Millis, iso_utc
from chronos_py.model.history import RunRecord
from chronos_py.model.job import CatchUp, Constraint, Job, JobState, Token, replace_state
from chronos_py.model.notice import exhausted_body, own_body
from chronos_py.model.resources import Resources
from chronos_py.model.run import Outcome, Phase, Run, Trigger
from chronos_py.scheduler import dependencies
from chronos_py.scheduler.book import Book, run_wake
from chronos_py.scheduler.constraints import relative
from chronos_py.scheduler.entry import Entry
from chronos_py.scheduler.period import parse_period
from chronos_py.scheduler.queue import Shape
from chronos_py.scheduler.quotas import quotas_of
from chronos_py.scheduler.schedule import check_schedule, parse_schedule
from chronos_py.scheduler.tasks import amounts

_UNITS: dict[str, Millis] = {
    "years": 365 * 86_400_000,
    "months": 30 * 86_400_000,
    "weeks": 7 * 86_400_000,
    "days": 86_400_000,
    "hours": 3_600_000,
    "minutes": 60_000,
    "seconds": 1000,
    "millis": 1,
}


@lru_cache(maxsize=10_000)
def _shape(
    needs: tuple[float, float, float, float, int],
    constraints: tuple[Constraint, ...],
    among: str,
    quotas: tuple[str, ...],
) -> Shape:
    return Shape(Resources.of(*needs), constraints, among, (), quotas)


def lateness_limit(job: Job) -> Millis | None:
    """Return how late a run may start, from `epsilon`; months count 30 days, years 365. None: any time."""
    if job.epsilon is None:
        return None
    period = parse_period(job.epsilon)
    return max(0, sum(int(getattr(period, unit)) * millis for unit, millis in _UNITS.items()))


class Releaser:
    """Makes runs. Works on the book alone."""

    def __init__(self, book: Book) -> None:
        self.book = book

    # --- preparing a job

    def prepare(self, entry: Entry) -> None:
        """Work out what a definition means. A stored schedule that cannot be used leaves the job without due times."""
        job, policy = entry.job, self.book.policy
        entry.shape = self.shape(job)
        entry.occurrences, entry.broken, entry.lateness, entry.wake = None, "", None, None
        try:
            entry.lateness = lateness_limit(job)
            if job.schedule is not None:
                schedule = parse_schedule(
                    job.schedule, job.schedule_zone, default_zone=policy.default_zone, strict_zone=False
                )
                check_schedule(schedule, entry.state.anchor)  # Chronos takes some that would never let go of us
                entry.occurrences = schedule.anchored(entry.state.anchor)
        except ValueError as error:
            entry.broken = str(error)

    def shape(self, job: Job) -> Shape:
        """Return what a run of the job asks of an agent."""
        policy = self.book.policy
        among = job.name if relative(job.constraints) else ""
        return _shape(amounts(job, policy.tasks), job.constraints, among, quotas_of(policy.quotas, job.labels))

    def settle(self, entry: Entry, now: Millis) -> None:
        """Give the job's next run a chance: one that waits in line, a due time, or a release by parents."""
        if entry.job.name in self.book.aside:
            return
        while entry.line and entry.free:
            self.book.enqueue(entry, self.book.next_in_line(entry))
        if entry.occurrences is not None:
            self._release_due(entry, now)
        elif entry.state.edges:
            self._release_by_parents(entry, now)

    def blocked(self, entry: Entry) -> bool:
        """Tell whether the job can take no other run at present."""
        return entry.phases[Phase.QUEUED] > 0 or (not entry.job.concurrent and bool(entry.active))

    # --- due times

    def _release_due(self, entry: Entry, now: Millis) -> None:
        occurrences = entry.occurrences
        assert occurrences is not None
        while True:
            state = entry.state
            if entry.job.disabled or state.remaining == 0:
                self.book.wake_job(entry, None)
                return
            due = occurrences.at(state.next_index)
            if due is None or due > now:
                self.book.wake_job(entry, due)
                return
            if entry.due != due:
                entry.due = due
                self.book.touch(entry)
            if self.blocked(entry):
                return  # settle() comes again when the job can take a run
            self._release_one(entry, now)

    def _release_one(self, entry: Entry, now: Millis) -> None:
        """Take the due times up to now: leave out what is too late, make one run at most."""
        occurrences, policy, state = entry.occurrences, self._catch_up(entry.job), entry.state
        assert occurrences is not None
        last = occurrences.last_due(now)
        limit = entry.lateness
        if limit is None and policy is CatchUp.SKIP:
            limit = self.book.policy.task_epsilon
        if limit is not None:
            late = self._within(state, occurrences.last_due(now - limit - 1))
            if late >= state.next_index:
                self._leave_out(entry, late, now, Outcome.SKIPPED, "late")
                return
        if policy is CatchUp.ALL:
            chosen = state.next_index
        elif policy is CatchUp.SKIP:
            chosen = self._within(state, last)
            if chosen > state.next_index:
                self._leave_out(entry, chosen - 1, now, Outcome.SKIPPED, "a later due time has come")
        else:
            chosen = state.next_index if state.remaining == 1 else last  # the last run left is that of its own due time
        due = occurrences.at(chosen)
        assert due is not None
        run = self._new_run(entry, Trigger.SCHEDULE, due, now, index=chosen, limit=limit)
        if policy is CatchUp.ONE and chosen > entry.state.next_index:
            self._leave_out(entry, chosen - 1, now, Outcome.MERGED, "made up for by one run", into=run.id)
        self._use_up(entry, chosen)

    def _catch_up(self, job: Job) -> CatchUp:
        return job.catch_up or self.book.policy.catch_up

    def _within(self, state: JobState, index: int) -> int:
        """Return `index`, but not beyond the repetitions that are left."""
        return index if state.remaining is None else min(index, state.next_index + state.remaining - 1)

    def _use_up(self, entry: Entry, last: int, repetitions: int = 1) -> None:
        """Move the schedule's position behind due time number `last`."""
        state = entry.state
        left = None if state.remaining is None else max(0, state.remaining - repetitions)
        self.book.put_state(entry, replace_state(state, next_index=last + 1, remaining=left, advanced=True))

    def _leave_out(
        self, entry: Entry, last: int, now: Millis, outcome: Outcome, reason: str, into: int | None = None
    ) -> None:
        """Account for the due times from the position to number `last` in one row; skipped ones use up repetitions."""
        state, occurrences = entry.state, entry.occurrences
        assert occurrences is not None
        first_due, last_due = occurrences.at(state.next_index), occurrences.at(last)
        assert first_due is not None
        self.book.record(
            RunRecord(
                run=self.book.number_run(),
                job=entry.job.name,
                trigger=Trigger.SCHEDULE,
                due=first_due,
                created=now,
                ended=now,
                outcome=outcome,
                reason=reason,
                index=state.next_index,
                last_index=last,
                last_due=last_due,
                version=state.version,
                into=into,
                owner=entry.job.owner,
            )
        )
        if outcome is Outcome.SKIPPED:
            if reason != "disabled":
                count = last - state.next_index + 1
                text = f"{count} due times from '{iso_utc(first_due)}' on were left out: {reason}."
                self.book.tell("missed", entry, now, own_body(now, text))
            skipped = last - state.next_index + 1 if reason != "disabled" else 0
            self._use_up(entry, last, skipped)
            self.parent_unsuccessful(entry, last_due or first_due)
            self.disable_if_exhausted(entry, now)

    def claim(self, entry: Entry, index: int, now: Millis, run: int) -> None:
        """Let a run that is under way already have due time number `index`; those before it become part of it."""
        if index > entry.state.next_index:
            self._leave_out(entry, index - 1, now, Outcome.MERGED, "unknown to the store", into=run)
        self._use_up(entry, index)

    def absorb(self, entry: Entry, run: Run, now: Millis) -> None:
        """Let a run that starts late stand for the due times that have passed while it waited (Chronos 3 does)."""
        if entry.occurrences is None or run.trigger is not Trigger.SCHEDULE or entry.job.disabled:
            return
        if self._catch_up(entry.job) is not CatchUp.ONE or entry.state.remaining == 0:
            return
        last = entry.occurrences.last_due(now)
        if last >= entry.state.next_index and run.index is not None and run.index < entry.state.next_index:
            self._leave_out(entry, last, now, Outcome.MERGED, "the run before it had not started yet", into=run.id)
            self._use_up(entry, last, 0)

    def skip_disabled_span(self, entry: Entry, now: Millis) -> None:
        """Account for the due times that passed while the job was disabled; they use up no repetition."""
        if entry.occurrences is None or entry.state.remaining == 0:
            return
        last = entry.occurrences.last_due(now)
        if last >= entry.state.next_index:
            self._leave_out(entry, last, now, Outcome.SKIPPED, "disabled")

    def disable_if_exhausted(self, entry: Entry, now: Millis) -> None:
        """Disable a finite job once its last run has ended, as Chronos does; it stays listed with R0."""
        if entry.state.remaining == 0 and entry.state.advanced and not entry.active and not entry.job.disabled:
            self.book.put_job(entry, replace(entry.job, disabled=True))
            self.book.tell("exhausted", entry, now, exhausted_body(entry.job.name))

    # --- releases by parents

    def parent_succeeded(self, entry: Entry, token: Token, now: Millis, *, rerun: bool) -> None:
        """Tell every child of a success."""
        for name in self.book.graph.children(entry.job.name):
            child = self.book.jobs.get(name)
            if child is None:
                continue
            edges = dependencies.succeeded(child.state.edges, entry.job.name, token, rerun=rerun)
            self.book.put_state(child, replace_state(child.state, edges=edges))
            self._release_by_parents(child, now)

    def parent_unsuccessful(self, entry: Entry, due: Millis) -> None:
        """Tell every child that a cycle of this parent came to nothing."""
        for name in self.book.graph.children(entry.job.name):
            child = self.book.jobs.get(name)
            if child is not None:
                edges = dependencies.unsuccessful(child.state.edges, entry.job.name, due)
                if edges != child.state.edges:
                    self.book.put_state(child, replace_state(child.state, edges=edges))

    def _release_by_parents(self, entry: Entry, now: Millis) -> None:
        if entry.job.name in self.book.aside:
            return
        while not self.blocked(entry):
            edges, tokens = dependencies.released(entry.state.edges)
            if edges != entry.state.edges:
                self.book.put_state(entry, replace_state(entry.state, edges=edges))
            if not tokens:
                return
            if entry.job.disabled:
                self._skip_release(entry, tokens, now)
                continue
            causes, roots = tuple(token.run for token in tokens), dependencies.merged_roots(tokens)
            self._new_run(entry, Trigger.PARENTS, now, now, causes=causes, roots=roots)

    def _skip_release(self, entry: Entry, tokens: tuple[Token, ...], now: Millis) -> None:
        self.book.record(
            RunRecord(
                run=self.book.number_run(),
                job=entry.job.name,
                trigger=Trigger.PARENTS,
                due=now,
                created=now,
                ended=now,
                outcome=Outcome.SKIPPED,
                reason="disabled",
                version=entry.state.version,
                causes=tuple(token.run for token in tokens),
                owner=entry.job.owner,
            )
        )
        self.parent_unsuccessful(entry, now)

    # --- runs

    def manual_run(self, entry: Entry, now: Millis, arguments: str | None) -> Run:
        return self._new_run(entry, Trigger.MANUAL, now, now, arguments=arguments)

    def _new_run(
        self,
        entry: Entry,
        trigger: Trigger,
        due: Millis,
        now: Millis,
        *,
        index: int | None = None,
        limit: Millis | None = None,
        arguments: str | None = None,
        causes: tuple[int, ...] = (),
        roots: dependencies.Roots = (),
    ) -> Run:
        number = self.book.number_run()
        run = Run(
            id=number,
            job=entry.job.name,
            trigger=trigger,
            due=due,
            stamp=self._stamp(entry, trigger, due, now),
            created=now,
            index=index,
            version=entry.state.version,
            priority=entry.job.level,
            expires=None if limit is None else due + limit,
            arguments=arguments,
            causes=causes,
            roots=roots or ((entry.job.name, number),),
        )
        self.book.add_run(entry, run)
        wake = run_wake(run)
        if wake is not None:
            self.book.timers.set(wake + 1, run.id)
        self.book.enqueue(entry, run)
        return run

    def _stamp(self, entry: Entry, trigger: Trigger, due: Millis, now: Millis) -> Millis:
        """Return a time for the run's task ids that no other run of the job has: the due time, where that is free."""
        state = entry.state
        if trigger is Trigger.SCHEDULE and due > state.last_scheduled_id and due != state.last_other_id:
            self.book.put_state(entry, replace_state(state, last_scheduled_id=due))
            return due
        stamp = max(now, state.last_scheduled_id + 1, state.last_other_id + 1)
        while self._is_due_time(entry, stamp):
            stamp += 1
        self.book.put_state(entry, replace_state(state, last_other_id=stamp))
        return stamp

    @staticmethod
    def _is_due_time(entry: Entry, instant: Millis) -> bool:
        if entry.occurrences is None:
            return False
        index = entry.occurrences.last_due(instant)
        return index >= entry.state.next_index and entry.occurrences.at(index) == instant
