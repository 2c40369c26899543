"""The engine's memory: jobs, runs, queue and timers, and the record of what a turn has changed.

Whatever is put here is noted as a change, to be committed before any effect of the turn is carried out. After a failed
commit the book is thrown away and read again from the store, so it is never ahead of it for long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chronos_py.clock import Millis
from chronos_py.model.history import HistoryRecord
from chronos_py.model.job import Avoid, Job, JobState
from chronos_py.model.messages import Change, Delete, Effect, Put
from chronos_py.model.notice import own_body
from chronos_py.model.run import Phase, Run, replace_run
from chronos_py.scheduler.entry import Entry
from chronos_py.scheduler.graph import JobGraph
from chronos_py.scheduler.health import Health
from chronos_py.scheduler.holdings import Holdings
from chronos_py.scheduler.notices import Notices
from chronos_py.scheduler.policy import Policy
from chronos_py.scheduler.queue import RunQueue
from chronos_py.scheduler.timers import Timers


@dataclass(frozen=True, slots=True)
class Aside:
    """Why a job or run (of `job`) is left alone: our own mistake, or a record that nobody foresaw."""

    job: str
    reason: str
    since: Millis


@dataclass(slots=True)
class Turn:
    """What a turn did: commit `changes`, then carry out `effects` in order; these jobs and runs look different now."""

    changes: list[Change] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    jobs: set[str] = field(default_factory=set)
    runs: set[int] = field(default_factory=set)


class Book:
    """All that is known, and what has changed since the last `flush`."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.jobs: dict[str, Entry] = {}
        self.runs: dict[int, Run] = {}
        self.by_task: dict[str, int] = {}
        self.graph = JobGraph()
        self.queue = RunQueue(policy.ageing)
        self.holdings = Holdings()
        self.health = Health(policy.health)
        self.notices = Notices(policy.notices)
        self.timers = Timers()
        self.next_run = 1
        self.next_record = 1
        self.next_job = 1
        self.id_floor: Millis = 0
        self.aside: dict[str | int, Aside] = {}  # jobs by name and runs by number whose time is not taken any more
        self.aside_now: set[str | int] = set()  # those of the turn that is begun again: it does not free them again
        self.doubts: set[int] = set()  # runs whose task nobody has confirmed
        self.doubted = 0  # how often one was added
        self.unplaced = False  # something may fit that did not before
        self.immediate: dict[int, Entry] = {}  # immediate jobs under way, by the run that each of them is
        self.ids: dict[str, int] = {}  # runs by the ids of immediate jobs, ended ones included
        self.kept: dict[int, Run] = {}  # immediate jobs that have ended
        self.new_results: list[Run] = []  # those of them for which nobody has noted yet when to forget them
        self._changes: dict[tuple[str, str | int], Change] = {}
        self._effects: list[Effect] = []
        self._dirty_jobs: set[str] = set()
        self._dirty_runs: set[int] = set()
        self._counted = False

    # --- what a turn leaves

    def flush(self) -> Turn:
        """Return what has changed and begin a new turn."""
        if self._counted:
            self._put("meta", "counters", self.counters)
        turn = Turn(list(self._changes.values()), self._effects, self._dirty_jobs, self._dirty_runs)
        self._changes, self._effects, self._dirty_jobs, self._dirty_runs = {}, [], set(), set()
        self._counted = False
        return turn

    @property
    def counters(self) -> dict[str, int]:
        """Return the numbers that must never be given out twice."""
        return {"run": self.next_run, "record": self.next_record, "job": self.next_job, "id_floor": self.id_floor}

    def effect(self, effect: Effect) -> None:
        self._effects.append(effect)

    def record(self, record: HistoryRecord) -> None:
        """Keep a record for history; it lies in the job store until the history store has it."""
        self._put("outbox", self.next_record, record)
        self.next_record += 1
        self._counted = True

    def tell(self, event: str, entry: Entry, now: Millis, body: str | None, state: JobState | None = None) -> None:
        """Tell a job's owners of an event, when they are to know; `state` is what the notice shows of it."""
        if self.notices.wants(event):
            effect, changes = self.notices.make(event, entry.job, state or entry.state, now, body)
            self.effect(effect)
            self._note(changes)

    def told(self, number: int, channel: str) -> None:
        """Note that a channel is done with a notice."""
        self._note(self.notices.sent(number, channel))

    def take_notices(self, meta: Mapping[str, Any]) -> None:
        """Take over the notices that were not delivered; what cannot be read goes."""
        self._note([Delete("meta", key) for key in self.notices.load(meta)])

    def _note(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self._changes[(change.kind, change.key)] = change

    def forget_records(self, up_to: int) -> None:
        self._changes[("outbox-delete", 0)] = Delete("outbox", up_to)

    def forget_pending(self, task_id: str) -> None:
        """Note that what became of a task of Chronos 2 is stored now."""
        self._changes[("pending", task_id)] = Delete("pending", task_id)

    def keep_counters(self) -> None:
        """Store the counters though none has changed: where they are missing later, they were lost."""
        self._counted = True

    def put_meta(self, key: str, value: Any) -> None:
        self._put("meta", key, value)

    def _put(self, kind: Any, key: str | int, value: Any) -> None:
        self._changes[(kind, key)] = Put(kind, key, value)

    def number_run(self) -> int:
        """Return a run number that was never given out."""
        self.next_run += 1
        self._counted = True
        return self.next_run - 1

    def number_job(self) -> int:
        self.next_job += 1
        self._counted = True
        return self.next_job - 1

    # --- jobs

    def put_job(self, entry: Entry, job: Job) -> None:
        entry.job = job
        self.jobs[job.name] = entry
        self._put("job", job.name, job)
        self._dirty_jobs.add(job.name)

    def put_state(self, entry: Entry, state: JobState) -> None:
        entry.state = state
        self._put("state", entry.job.name, state)
        self._dirty_jobs.add(entry.job.name)

    def touch(self, entry: Entry) -> None:
        """Note that readers will see the job differently though nothing of it is stored."""
        self._dirty_jobs.add(entry.job.name)

    def drop_job(self, entry: Entry) -> None:
        name = entry.job.name
        del self.jobs[name]
        self.graph.remove(name)
        self._changes[("job", name)] = Delete("job", name)
        self._changes[("state", name)] = Delete("state", name)
        self._dirty_jobs.add(name)
        self.id_floor = max(self.id_floor, entry.state.last_scheduled_id, entry.state.last_other_id)
        self._counted = True

    def wake_job(self, entry: Entry, at: Millis | None) -> None:
        """Look at the job's schedule at `at`; None: nothing is to come by itself."""
        if entry.due != at:
            entry.due = at
            self._dirty_jobs.add(entry.job.name)
        if at is not None and at != entry.wake:
            entry.wake = at
            self.timers.set(at, entry.job.name)

    # --- runs

    def is_aside(self, key: str | int) -> bool:
        """Tell whether a job, or a run or its job, is set aside."""
        if not self.aside:
            return False
        if isinstance(key, str):
            return key in self.aside
        run, aside = self.runs.get(key), self.aside.get(key)
        if run is None:
            return False
        return run.job in self.aside or (aside is not None and aside.job == run.job)

    def take_up(self, name: str, now: Millis) -> None:
        """Look after a job and its runs again that were set aside."""
        for key in [k for k, aside in self.aside.items() if aside.job == name and k not in self.aside_now]:
            del self.aside[key]
        entry = self.jobs.get(name)
        for number in entry.active if entry else ():
            self.timers.set(now, number)
        self.unplaced = True

    def owner(self, run: Run) -> Entry | None:
        """Return the job that a run still counts for: none when it was deleted, even if its name was given again."""
        if run.immediate is not None:
            return self.immediate.get(run.id)
        entry = self.jobs.get(run.job)
        return entry if entry and run.id in entry.active else None

    def owner_name(self, run: Run) -> str:
        """Return whose run it is, by its job's field `owner`."""
        if run.immediate is not None:
            return run.immediate.job.owner
        entry = self.jobs.get(run.job)
        return entry.job.owner if entry else ""

    def add_run(self, entry: Entry, run: Run) -> None:
        entry.active.add(run.id)
        entry.phases[run.phase] += 1
        self.by_task[run.task_id] = run.id
        self._keep(run)
        self._touch_job_of(run)

    def _touch_job_of(self, run: Run) -> None:
        if run.immediate is None:
            self._dirty_jobs.add(run.job)

    def update_run(self, run: Run, **changes: Any) -> Run:
        """Change a run's fields; return the new run."""
        new = replace_run(run, **changes)
        entry = self.owner(run)
        if entry and new.phase is not run.phase:
            entry.phases[run.phase] -= 1
            entry.phases[new.phase] += 1
            self._touch_job_of(run)
        if new.attempt != run.attempt:
            del self.by_task[run.task_id]
            self.by_task[new.task_id] = run.id
        self._keep(new)
        if new.deadline is not None and new.deadline != run.deadline:
            self.timers.set(new.deadline, run.id)
        return new

    def drop_run(self, run: Run) -> None:
        entry = self.owner(run)
        if entry:
            entry.phases[run.phase] -= 1
            entry.active.discard(run.id)
            self._touch_job_of(run)
        self.queue.remove(run.id)
        self._release(run.id)
        self.by_task.pop(run.task_id, None)
        self.doubts.discard(run.id)
        self.notices.told.discard(run.id)
        del self.runs[run.id]
        self._changes[("run", run.id)] = Delete("run", run.id)
        self._dirty_runs.add(run.id)
        if run.immediate is not None:
            self.disown(run)

    def disown(self, run: Run) -> None:
        """Know nothing any more of the immediate job that a run is: its id is free."""
        assert run.immediate is not None
        self.immediate.pop(run.id, None)
        if self.ids.get(run.immediate.id) == run.id:
            del self.ids[run.immediate.id]

    def keep_result(self, run: Run) -> None:
        """Keep how an immediate job ended, whose run was dropped."""
        self.restore_result(run)
        self._put("run", run.id, run)
        self._dirty_runs.add(run.id)

    def restore_result(self, run: Run) -> None:
        """Take over what the store kept."""
        assert run.immediate is not None
        self.kept[run.id] = run
        self.new_results.append(run)
        self.ids[run.immediate.id] = run.id

    def forget_result(self, run: Run) -> None:
        del self.kept[run.id]
        self.disown(run)
        self._changes[("run", run.id)] = Delete("run", run.id)
        self._dirty_runs.add(run.id)

    def _keep(self, run: Run) -> None:
        self.runs[run.id] = run
        self.note_doubt(run)
        if run.on_agent:
            self.hold(run)
        elif run.id in self.holdings:
            self._release(run.id)
        self._put("run", run.id, run)
        self._dirty_runs.add(run.id)

    def hold(self, run: Run, *, anew: bool = False) -> None:
        """Note what a run on an agent holds; `anew`: its job has changed."""
        if anew:
            self._release(run.id)
        entry = self.owner(run)
        if entry is not None:
            self.holdings.take(run, entry.shape, preemptible=entry.job.preemptible)

    def _release(self, run: int) -> None:
        if self.holdings.release(run):
            self.unplaced = True

    def note_doubt(self, run: Run) -> None:
        """Keep in mind whether a run's task is in doubt."""
        if not (run.uncertain and run.on_agent):
            self.doubts.discard(run.id)
        elif run.id not in self.doubts:
            self.doubts.add(run.id)
            self.doubted += 1

    def enqueue(self, entry: Entry, run: Run) -> None:
        """Let a queued run wait for a place, or for the job itself when another run of it must end first."""
        if entry.free:
            entry.playing += 1
            self.push(entry, run)
        else:
            entry.line.append(run.id)
        patience = self.notices.policy.waiting_after
        if patience:
            self.timers.set(run.waits_from + patience, run.id)

    def tell_if_waiting(self, run: Run, now: Millis) -> None:
        """Tell the owners, once, of a run that waits for a place for too long."""
        entry, patience = self.owner(run), self.notices.policy.waiting_after
        if not patience or entry is None or run.phase is not Phase.QUEUED or run.id in self.notices.told:
            return
        if now - run.waits_from >= patience:
            self.notices.told.add(run.id)
            text = f"Run {run.id} has waited for a place for {(now - run.waits_from) / 1000:.0f} s."
            self.tell("waiting", entry, now, own_body(now, text))

    def push(self, entry: Entry, run: Run) -> None:
        """Give a run its place in the queue, or a new one."""
        shape = entry.shape
        if run.avoid and entry.job.avoid_failed_agents is Avoid.HARD:
            shape = shape.without(tuple(sorted(run.avoid)))
        self.queue.push(run.id, shape, run.priority, run.waits_from)
        self.unplaced = True

    def next_in_line(self, entry: Entry) -> Run:
        """Take out of a job's own line the run that goes first: of the highest priority the first that came."""
        number = max(entry.line, key=lambda number: self.runs[number].priority)
        entry.line.remove(number)
        return self.runs[number]

    def tidy_timers(self) -> None:
        """Rebuild the timers when most of them are stale, so that their number stays bound to what is waited for."""
        if len(self.timers) <= 2 * (len(self.jobs) + len(self.runs)) + 1000:
            return
        wanted: dict[str | int, Millis] = {}
        for name, entry in self.jobs.items():
            if entry.wake is not None and entry.due is not None:
                wanted[name] = entry.due
        for number, run in self.runs.items():
            times = [at for at in (run_wake(run), run.deadline, self._tells_at(run)) if at is not None]
            if times:
                wanted[number] = min(times)
        self.timers.rebuild(wanted)

    def _tells_at(self, run: Run) -> Millis | None:
        """Return when the owners are told that a run waits; None: they know, or it does not."""
        patience = self.notices.policy.waiting_after
        waits = run.phase is Phase.QUEUED and run.id not in self.notices.told
        return run.waits_from + patience if patience and waits else None


def run_wake(run: Run) -> Millis | None:
    """Return when a waiting run needs attention: a retry whose delay ends, a first attempt that may be too late, one
    that forgives an agent."""
    if run.phase is Phase.RETRYING:
        return run.not_before
    if run.phase is Phase.QUEUED and run.attempt == 0:
        return run.expires
    if run.phase is Phase.QUEUED and run.avoid_until:
        return min(run.avoid_until)
    return None
