"""Changes to jobs: checked as a whole first, then made as a whole."""

from __future__ import annotations

from dataclasses import replace

from chronos_py.clock import Millis
from chronos_py.errors import InvalidInput, JobExists, Overloaded, UnknownJob, UnknownRun
from chronos_py.model.history import RunRecord
from chronos_py.model.job import Counters, Job, JobState, Token
from chronos_py.model.messages import (
    ChangeJob,
    DeleteJob,
    KillRun,
    KillTasks,
    MarkSuccess,
    ReportProgress,
    ReportResult,
    RunJob,
    SetPriority,
    SubmitJob,
)
from chronos_py.model.run import Outcome, Phase, Run, Trigger
from chronos_py.scheduler import dependencies
from chronos_py.scheduler.book import Book
from chronos_py.scheduler.ends import counted_success
from chronos_py.scheduler.entry import Entry
from chronos_py.scheduler.lifecycle import Lifecycle
from chronos_py.scheduler.release import Releaser, lateness_limit
from chronos_py.scheduler.schedule import check_schedule, parse_schedule


class Admission:
    """Takes requests. Each either raises a ChronosError and has changed nothing, or is done."""

    def __init__(self, book: Book, releaser: Releaser, lifecycle: Lifecycle) -> None:
        self.book = book
        self.releaser = releaser
        self.lifecycle = lifecycle

    def _entry(self, name: str) -> Entry:
        entry = self.book.jobs.get(name)
        if entry is None:
            raise UnknownJob(name)
        return entry

    # --- definitions

    def submit(self, request: SubmitJob, now: Millis) -> bool:
        """Create or replace a job; return True for a new one. Raises InvalidInput and GraphError."""
        job, entry = request.job, self.book.jobs.get(request.job.name)
        if entry is not None and request.only_new:
            raise JobExists(job.name)
        if entry is None and request.check_new is not None:
            request.check_new(job, now)
        kept = entry is not None and self._same_schedule(entry, job)
        if request.only_check:
            self._checked(entry, job, kept, now)
        else:
            self._define(entry, job, request.counters, kept, now)
        return entry is None

    def change(self, request: ChangeJob, now: Millis) -> None:
        """Replace a job by what `change` makes of it. Raises UnknownJob, InvalidInput and GraphError."""
        entry = self._entry(request.name)
        job, counters = request.change(entry.job, entry.state)
        untouched = (job.schedule, job.schedule_zone) == (entry.job.schedule, entry.job.schedule_zone)
        kept = untouched or self._same_schedule(entry, job)
        if request.only_check:
            self._checked(entry, job, kept, now)
        else:
            self._define(entry, job, counters, kept, now)

    def _checked(self, entry: Entry | None, job: Job, kept: bool, now: Millis) -> tuple[Job, int | None]:
        """Return a definition as it would be put in place, and the repetitions of its schedule. Raises InvalidInput and
        GraphError; changes nothing. `kept`: its schedule goes on where it stands."""
        if job.parents is not None:
            job = replace(job, parents=tuple(dict.fromkeys(job.parents)), schedule=None, schedule_zone="")
            self.book.graph.check(job.name, job.parents or (), new=entry is None)
        self._check_epsilon(job)
        if entry is not None and kept:
            job = replace(job, schedule=entry.job.schedule)
        return job, None if kept else self._check_schedule(job, now)

    def _define(self, entry: Entry | None, job: Job, past: Counters, kept: bool, now: Millis) -> None:
        """Check a definition and put it in place. `kept`: its schedule goes on where it stands."""
        job, remaining = self._checked(entry, job, kept, now)
        state = entry.state if entry else JobState(
            sequence=self.book.number_job(), last_scheduled_id=self.book.id_floor
        )  # fmt: skip
        state = replace(
            state,
            success_count=past.success_count,
            error_count=past.error_count,
            errors_since_last_success=past.errors_since_last_success,
            last_success=past.last_success,
            last_error=past.last_error,
            edges=dependencies.reparented(state.edges, job.parents or ()),
        )
        if not kept:
            state = replace(
                state,
                version=self.book.number_run(),
                anchor=now,
                next_index=0,
                remaining=remaining,
                advanced=False,
            )
        self._replace(entry or Entry(job, state), job, state, now)

    def _same_schedule(self, entry: Entry, job: Job) -> bool:
        """Tell whether a document repeats the schedule as the server shows it: then its position is kept."""
        return (
            job.schedule is not None
            and job.schedule == entry.schedule_text
            and job.schedule_zone == entry.job.schedule_zone
        )

    @staticmethod
    def _check_epsilon(job: Job) -> None:
        try:
            lateness_limit(job)
        except ValueError as error:
            raise InvalidInput("epsilon", job.epsilon, "not an ISO 8601 period", "for example PT15M") from error

    def _check_schedule(self, job: Job, now: Millis) -> int | None:
        """Return the repetitions of a new schedule, None for no end. Raises InvalidSchedule."""
        if job.schedule is None:
            return None
        schedule = parse_schedule(job.schedule, job.schedule_zone, default_zone=self.book.policy.default_zone)
        check_schedule(schedule, now)
        return schedule.count

    def _replace(self, entry: Entry, job: Job, state: JobState, now: Millis) -> None:
        was_level = entry.job.level
        was_disabled = entry.job.disabled and not job.disabled
        kept = state.version == entry.state.version
        self.book.put_job(entry, job)
        self.book.put_state(entry, state)
        self.book.graph.put(job.name, job.parents or ())
        self.releaser.prepare(entry)
        if was_disabled and kept:
            self.releaser.skip_disabled_span(entry, now)
        if entry.occurrences is None:
            self.book.wake_job(entry, None)
        for number in sorted(entry.active):
            self._follow_definition(entry, self.book.runs[number], was_level, now)
        self.releaser.settle(entry, now)

    def _follow_definition(self, entry: Entry, run: Run, was_level: int, now: Millis) -> None:
        """Let a run that has not started follow its job's new definition. A priority of its own stays until the job's
        changes."""
        if run.on_agent:
            self.book.hold(run, anew=True)
        if run.priority != entry.job.level != was_level:
            run = self.book.update_run(run, priority=entry.job.level)
        if run.phase not in (Phase.QUEUED, Phase.RETRYING):
            return
        if entry.job.disabled and run.trigger is not Trigger.MANUAL:
            self.lifecycle.ends.leave_out(run, now, "disabled")
            return
        if run.id in self.book.queue:
            self.book.push(entry, run)

    def delete(self, request: DeleteJob, now: Millis) -> None:
        """Remove a job; its children take its place in the graph, or its schedule. Raises UnknownJob."""
        entry = self._entry(request.name)
        children = self.book.graph.children(request.name)
        for number in sorted(entry.active):
            run = self.book.runs[number]
            if run.on_agent:
                self.lifecycle.stop(run, "deleted", now)
            else:
                self.lifecycle.ends.record_skipped(run, now, "deleted")
                self.book.drop_run(run)
        self.book.drop_job(entry)
        for name in children:
            child = self.book.jobs.get(name)
            if child is not None:
                self._orphan(child, entry, now)
        self.book.tell("deleted", entry, now, None)

    def _orphan(self, child: Entry, gone: Entry, now: Millis) -> None:
        """Give a child the deleted parent's parents, or its schedule with the position that it had."""
        job, state = child.job, child.state
        if gone.job.parents is None:
            job = replace(job, parents=None, schedule=gone.job.schedule, schedule_zone=gone.job.schedule_zone)
            state = replace(
                state,
                edges=(),
                version=self.book.number_run(),
                anchor=gone.state.anchor,
                next_index=gone.state.next_index,
                remaining=gone.state.remaining,
                advanced=gone.state.advanced,
            )
        else:
            kept = [parent for parent in job.parents or () if parent != gone.job.name]
            job = replace(job, parents=tuple(dict.fromkeys([*kept, *gone.job.parents])))
            state = replace(state, edges=dependencies.reparented(state.edges, job.parents or ()))
        self._replace(child, job, state, now)

    # --- runs

    def run(self, request: RunJob, now: Millis) -> int:
        """Queue a run now, also of a disabled job; return its number. One that waits already with equal arguments
        serves both. Raises UnknownJob, Overloaded."""
        entry = self._entry(request.name)
        for number in entry.active:
            waiting = self.book.runs[number]
            if (
                waiting.phase is Phase.QUEUED
                and waiting.attempt == 0
                and waiting.trigger is Trigger.MANUAL
                and waiting.arguments == request.arguments
            ):
                return number
        if entry.phases[Phase.QUEUED] >= self.book.policy.queued_per_job:
            raise Overloaded(f"{entry.phases[Phase.QUEUED]} runs of job '{request.name}' wait already")
        return self.releaser.manual_run(entry, now, request.arguments).id

    def mark_success(self, request: MarkSuccess, now: Millis) -> bool:
        """Count a success without a run; return False for an unknown job."""
        entry = self.book.jobs.get(request.name)
        if entry is None:
            return False
        number, state = self.book.number_run(), entry.state
        self.book.put_state(entry, counted_success(state, now))
        self.book.record(
            RunRecord(
                run=number,
                job=request.name,
                trigger=Trigger.MANUAL,
                due=now,
                created=now,
                ended=now,
                outcome=Outcome.SUCCESS,
                reason="marked as successful",
                version=state.version,
                owner=entry.job.owner,
            )
        )
        token = Token(number, now, ((request.name, number),))
        self.releaser.parent_succeeded(entry, token, now, rerun=True)
        return True

    def kill_tasks(self, request: KillTasks, now: Millis) -> int:
        """Stop a job's tasks and its waiting retries; queued runs stay. Return how many. Raises UnknownJob."""
        entry = self._entry(request.name)
        runs = [self.book.runs[number] for number in sorted(entry.active)]
        stopped = [run for run in runs if run.phase is not Phase.QUEUED]
        for run in stopped:
            self.lifecycle.stop(run, "user", now)
        return len(stopped)

    def kill_run(self, request: KillRun, now: Millis) -> None:
        """Stop one run, whatever its phase. Raises UnknownRun when it is not under way."""
        run = self.book.runs.get(request.run)
        if run is None:
            raise UnknownRun(request.run)
        self.lifecycle.stop(run, "user", now)

    def prioritize(self, request: SetPriority, now: Millis) -> None:
        """Give one run another priority. Raises UnknownRun when it has ended."""
        run = self.book.runs.get(request.run)
        if run is None:
            raise UnknownRun(request.run)
        run = self.book.update_run(run, priority=request.priority)
        entry = self.book.owner(run)
        if entry is not None and run.id in self.book.queue:
            self.book.push(entry, run)
        elif run.on_agent:
            self.book.hold(run, anew=True)
            self.book.unplaced = True

    def purge(self, now: Millis) -> int:
        """Drop all queued runs and waiting retries, but those of immediate jobs; return how many."""
        waiting = [
            run
            for run in self.book.runs.values()
            if run.phase in (Phase.QUEUED, Phase.RETRYING) and run.immediate is None
        ]
        for run in waiting:
            if run.id in self.book.runs:
                self.lifecycle.stop(run, "purged", now)
        return len(waiting)

    def report_result(self, request: ReportResult, now: Millis) -> bool:
        """Take an asynchronous job's result; return False when no task of that id is waited for."""
        number = self.book.by_task.get(request.task_id)
        run = self.book.runs.get(number) if number is not None else None
        entry = self.book.owner(run) if run else None
        if run is None or entry is None or not entry.job.is_async:
            return False
        if run.phase is Phase.REPORTING:
            outcome = Outcome.SUCCESS if request.success else Outcome.FAILED
            self.lifecycle.ends.conclude(run, outcome, now, reason="" if request.success else "reported as failed")
            return True
        if not run.on_agent:
            return False
        self.book.update_run(run, reported="success" if request.success else "failure")
        return True

    def report_progress(self, request: ReportProgress, now: Millis) -> None:
        """Add to a run's processed elements; a run that has ended is no error. Raises UnknownJob."""
        self._entry(request.name)
        number = self.book.by_task.get(request.task_id)
        if number is not None:
            run = self.book.runs[number]
            self.book.update_run(run, elements_processed=run.elements_processed + request.elements)
