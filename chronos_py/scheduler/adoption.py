"""Live tasks of our framework that we do not know: whose they are, and what becomes of them.

They appear when the job store is older than the cluster (restored from a copy, or taken over from another Chronos).
A task belongs to a run that our store has lost when its job exists and the time in its id is later than any that the
store gave to a task of that job; it becomes a run again. One with an earlier time is an attempt that was given up:
its run is accounted for, so the task is stopped. Tasks whose ids are not a Chronos's are left alone.

A job that was taken over brings no ids along: whatever was launched before is its own, however many runs of ours came
after it, unless it is an earlier attempt of a run that is under way.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from chronos_py.clock import Millis
from chronos_py.model.immediate import TASK_PREFIX
from chronos_py.model.job import CatchUp, JobState
from chronos_py.model.messages import StatusUpdate
from chronos_py.model.run import Phase, Run, TaskId, TaskState, Trigger
from chronos_py.scheduler.book import Book
from chronos_py.scheduler.entry import Entry
from chronos_py.scheduler.release import Releaser

Verdict = Literal["adopt", "stop", "leave"]
LIVE = frozenset({TaskState.STAGING, TaskState.STARTING, TaskState.RUNNING})


@dataclass(slots=True)
class _Found:
    """What was adopted for a job: `floor` is the last id that the store itself gave before the first of these."""

    floor: Millis
    stamps: set[Millis] = field(default_factory=set)


class Adoption:
    """Takes in tasks that the store has lost. Works on the book alone."""

    def __init__(self, book: Book, releaser: Releaser) -> None:
        self.book = book
        self.releaser = releaser
        self._found: dict[str, _Found] = {}

    def judge(self, news: StatusUpdate) -> Verdict:
        """Say what to do about a live task that no run has."""
        try:
            task = TaskId.parse(news.task_id)
        except ValueError:
            ours = news.task_id.startswith(TASK_PREFIX)  # an immediate job's, whose definition is gone with its record
            return "stop" if ours else "leave"
        entry = self.book.jobs.get(task.job)
        if self.book.policy.unknown_tasks == "kill" or entry is None or news.state not in LIVE:
            return "stop"
        return "adopt" if self._is_lost(entry, task) else "stop"

    def _is_lost(self, entry: Entry, task: TaskId) -> bool:
        last, stamp = _last_id(entry.state), task.millis
        under_way = (self.book.runs[number] for number in entry.active)
        if any(run.stamp == stamp and run.attempt > task.attempt for run in under_way):
            return False
        found = self._found.get(entry.job.name)
        if entry.state.taken_over and stamp <= entry.state.taken_over:
            return found is None or stamp not in found.stamps
        if found is None:
            return stamp > last
        if stamp in found.stamps:
            return False
        # Ids that the store gave since then are later than all that were adopted.
        return stamp > last or found.floor < stamp < max(found.stamps)

    def adopt(self, news: StatusUpdate, now: Millis) -> Run:
        """Make a run of a task that `judge` would adopt."""
        task = TaskId.parse(news.task_id)
        entry = self.book.jobs[task.job]
        self._found.setdefault(task.job, _Found(_last_id(entry.state))).stamps.add(task.millis)
        number = self.book.number_run()
        index = self._index(entry, task.millis)
        trigger = Trigger.PARENTS if entry.job.parents is not None else Trigger.MANUAL
        if index is not None:
            trigger = Trigger.SCHEDULE
            self.releaser.claim(entry, index, now, number)
        elif task.millis <= entry.state.taken_over and entry.job.schedule is not None:
            trigger = Trigger.SCHEDULE  # most likely: the schedule had moved on when the task was launched
        run = Run(
            id=number,
            job=task.job,
            trigger=trigger,
            due=task.millis,
            stamp=task.millis,
            created=now,
            phase=Phase.RUNNING,
            index=index,
            version=entry.state.version,
            attempt=task.attempt,
            priority=entry.job.level,
            arguments=task.arguments or None,
            roots=((task.job, number),),
            agent_id=news.agent_id,
            host=news.host,
            launched=min(news.at or now, now),
            started=min(news.at or now, now),
            foreign_id="" if news.task_id == str(replace(task, arguments="")) else news.task_id,
        )
        last = max(task.millis, _last_id(entry.state))
        self.book.put_state(entry, replace(entry.state, last_scheduled_id=last, last_other_id=last))
        self.book.add_run(entry, run)
        entry.playing += 1
        return run

    def _index(self, entry: Entry, stamp: Millis) -> int | None:
        """Return which due time a task was launched for, where the schedule still has it to come."""
        occurrences, state = entry.occurrences, entry.state
        if occurrences is None or state.remaining == 0:
            return None
        index = occurrences.last_due(stamp)
        if index < state.next_index or occurrences.at(index) != stamp:
            return None
        if state.remaining is not None and index >= state.next_index + state.remaining:
            return None
        every = (entry.job.catch_up or self.book.policy.catch_up) is CatchUp.ALL
        return None if every and index > state.next_index else index


def _last_id(state: JobState) -> Millis:
    return max(state.last_scheduled_id, state.last_other_id)
