"""Tasks that a Chronos 2 had made and not started yet when we took over from it: its `T_` nodes.

A schedule has moved on when such a task is made, up to a minute before it is due, so without them that due time would
be lost. As Chronos does when it starts: one that is to come is run at its time; one that is late by no more than the
job's `epsilon` is run now; an older one is left out, with a row in history. Retries whose delay was over lie there,
too. "Now" means after HOLD: a task that was launched a moment before, and has not reported yet, is in the cluster's
first answers under the same id, and then its run goes on instead of being started again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from chronos_py.clock import Millis
from chronos_py.model.history import RunRecord
from chronos_py.model.job import Job
from chronos_py.model.run import Outcome, Phase, Run, TaskId, Trigger
from chronos_py.scheduler.book import Book
from chronos_py.scheduler.entry import Entry

HOLD: Millis = 10_000


def take_pending(book: Book, tasks: Iterable[str], now: Millis) -> None:
    """Make runs of pending tasks, or rows of history; each is forgotten with the turn that stores what became of it.

    `tasks` are ids that TaskId reads. Those of jobs that are set aside stay.
    """
    dropped: dict[tuple[str, str], list[TaskId]] = {}
    for text in tasks:
        task = TaskId.parse(text)
        entry = book.jobs.get(task.job)
        if entry is not None and task.job in book.aside:
            continue
        book.forget_pending(text)
        if text in book.by_task:
            continue  # it is a run already
        if entry is not None and task.attempt == 0 and _is_still_due(entry, task.millis):
            continue  # that Chronos ended before it stored that the schedule had moved on
        reason = obstacle(entry.job, task, lateness(book, entry), now) if entry else obstacle(None, task, 0, now)
        if entry is None or reason:
            dropped.setdefault((task.job, reason), []).append(task)
        else:
            _make_run(book, entry, task, text, now)
    for (name, reason), those in dropped.items():
        _leave_out(book, name, reason, [task.millis for task in those], now)


def _is_still_due(entry: Entry, stamp: Millis) -> bool:
    """Tell whether the schedule itself will come to that due time."""
    occurrences, state = entry.occurrences, entry.state
    if occurrences is None:
        return False
    index = occurrences.last_due(stamp)
    return index >= state.next_index and occurrences.at(index) == stamp


def obstacle(job: Job | None, task: TaskId, limit: Millis, now: Millis) -> str:
    """Say why a pending task will not run, nothing when it will; it may be late by `limit`."""
    if job is None:
        return "its job is gone"
    if job.disabled:
        return "disabled"
    return "late" if now - task.millis > limit else ""


def lateness(book: Book, entry: Entry) -> Millis:
    """Return how late a pending task of the job may start."""
    return book.policy.task_epsilon if entry.lateness is None else entry.lateness


def _make_run(book: Book, entry: Entry, task: TaskId, text: str, now: Millis) -> None:
    number, to_come = book.number_run(), task.millis > now
    state = entry.state
    book.put_state(entry, replace(state, last_scheduled_id=max(task.millis, state.last_scheduled_id)))
    run = Run(
        id=number,
        job=task.job,
        trigger=Trigger.PARENTS if entry.job.parents is not None else Trigger.SCHEDULE,
        due=task.millis,
        stamp=task.millis,
        created=now,
        phase=Phase.RETRYING,
        not_before=task.millis if to_come else now + HOLD,
        version=state.version,
        attempt=task.attempt,
        priority=entry.job.level,
        expires=task.millis + entry.lateness if to_come and entry.lateness is not None else None,
        arguments=_arguments(entry.job, task),
        roots=((task.job, number),),
        foreign_id="" if text == str(replace(task, arguments="")) else text,
    )
    book.add_run(entry, run)
    book.timers.set(run.not_before, number)
    if run.expires is not None:
        book.timers.set(run.expires + 1, number)


def _arguments(job: Job, task: TaskId) -> str | None:
    """Return the arguments of a run that are not its job's own."""
    own = " ".join(job.arguments)
    return None if task.arguments in ("", own, own.replace(";", "")) else task.arguments


def _leave_out(book: Book, name: str, reason: str, times: list[Millis], now: Millis) -> None:
    entry = book.jobs.get(name)
    first, last = min(times), max(times)
    book.record(
        RunRecord(
            run=book.number_run(),
            job=name,
            trigger=Trigger.SCHEDULE,
            due=first,
            created=now,
            ended=now,
            outcome=Outcome.SKIPPED,
            reason=reason,
            last_due=None if first == last else last,
            version=entry.state.version if entry else 0,
            owner=entry.job.owner if entry else "",
        )
    )
