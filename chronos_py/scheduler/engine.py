"""The engine: events and times in, changes and effects out. No clock, socket, thread or randomness.

The same events at the same times give the same turns, so a simulator can drive it through years of faults, and a
recorded trace can be replayed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from chronos_py.clock import Millis
from chronos_py.errors import ChronosError
from chronos_py.model.job import Job, JobState
from chronos_py.model.messages import (
    AgentLost,
    AnswerInverseOffers,
    ChangeJob,
    DeleteJob,
    DriverLost,
    DriverReady,
    Event,
    HistoryWritten,
    InverseOffersReceived,
    KillRun,
    KillTasks,
    MarkSuccess,
    NoticeDone,
    OfferRescinded,
    OffersReceived,
    PurgeTasks,
    ReportProgress,
    ReportResult,
    RunJob,
    SetPriority,
    StatusUpdate,
    StopImmediate,
    SubmitImmediate,
    SubmitJob,
)
from chronos_py.model.run import Phase, Run
from chronos_py.model.view import JobView, Waiting
from chronos_py.scheduler.admission import Admission
from chronos_py.scheduler.adoption import Adoption
from chronos_py.scheduler.book import Book, Turn, run_wake
from chronos_py.scheduler.dependencies import reparented
from chronos_py.scheduler.entry import Entry
from chronos_py.scheduler.immediate import ImmediateJobs
from chronos_py.scheduler.lifecycle import Lifecycle
from chronos_py.scheduler.offers import Demand, OfferLoop
from chronos_py.scheduler.policy import Policy
from chronos_py.scheduler.preemption import Preemption
from chronos_py.scheduler.reconcile import Reconciler
from chronos_py.scheduler.release import Releaser
from chronos_py.scheduler.rounds import Rounds
from chronos_py.scheduler.takeover import take_pending
from chronos_py.scheduler.watchdogs import Watchdogs
from chronos_py.scheduler.why import quota_forms, why

LARGEST_COUNTER = 2**62


class Engine:
    """All decisions. `load` once, then `handle` events and `advance` time; `flush` gives what to store and to do."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.book = Book(policy or Policy())
        self.releaser = Releaser(self.book)
        self.reconciler = Reconciler(self.book)
        self.lifecycle = Lifecycle(self.book, self.releaser, self.reconciler, Adoption(self.book, self.releaser))
        self.admission = Admission(self.book, self.releaser, self.lifecycle)
        self.immediate = ImmediateJobs(self.book, self.releaser, self.lifecycle)
        self.loop = OfferLoop(self.book.policy.offers)
        self.driver_ready = False
        self.preemption = Preemption(self.book)
        self.rounds = Rounds(self.book, self.releaser, self.preemption)
        self.watchdogs = Watchdogs()
        self._at_work: str | int | None = None

    @property
    def at_work(self) -> str | int | None:
        """Return the job or run that is looked after by itself, not for an event: whose work it was when one raises."""
        return self._at_work if self._at_work is not None else self.rounds.at_work

    # --- start

    def load(
        self, jobs: Mapping[str, Job], states: Mapping[str, JobState], runs: Mapping[int, Run], meta: Mapping[str, Any],
        outbox: Mapping[int, Any], now: Millis, pending: Iterable[str] = (),
    ) -> None:  # fmt: skip
        """Take over what the store holds, gaps included: a missing state or parent, a run whose job is gone."""
        book, counters = self.book, valid_counters(meta)
        numbers = [run.id for run in runs.values()] + [state.version for state in states.values()]
        book.next_run = max(counters.get("run", 1), 1 + max(numbers, default=0))
        book.next_record = max(counters.get("record", 1), 1 + max(outbox, default=0))
        book.next_job = max(counters.get("job", 1), 1 + max((s.sequence for s in states.values()), default=0))
        book.id_floor = counters.get("id_floor", 0)
        if not counters and (jobs or runs or outbox or meta):  # lost: begin above any number that was ever given
            book.next_run, book.next_record, book.id_floor = now, now, now
        book.keep_counters()
        book.take_notices(meta)
        for name, job in sorted(jobs.items(), key=lambda item: states[item[0]].sequence if item[0] in states else 0):
            self._at_work, state = name, states.get(name)
            if state is None:
                state = JobState(
                    sequence=book.number_job(), version=book.number_run(), anchor=now, taken_over=now,
                    last_scheduled_id=now, last_other_id=now,  # the ids up to now are another's, or were lost
                )  # fmt: skip
            if state.edges or job.parents:
                state = replace(state, edges=reparented(state.edges, job.parents or ()))
            entry = Entry(job, state)
            book.jobs[name] = entry
            book.graph.put(name, job.parents or ())
            if name not in states:
                book.put_state(entry, state)
            if name in book.aside:
                continue
            self.releaser.prepare(entry)
            if name not in states and entry.occurrences is not None:
                book.put_state(entry, replace(state, remaining=entry.occurrences.schedule.count))
        for run in sorted(runs.values(), key=lambda run: run.id):
            self._at_work = run.id
            if run.id not in book.aside:
                self._restore(run)
        self._at_work = None
        take_pending(book, pending, now)
        for name, entry in book.jobs.items():
            self._at_work = name
            self.releaser.settle(entry, now)
        self._at_work = None

    def _restore(self, run: Run) -> None:
        book = self.book
        if run.phase is Phase.ENDED:
            self.immediate.adopt_result(run)
            return
        entry = book.jobs.get(run.job) if run.immediate is None else self.immediate.adopt(run)
        book.runs[run.id] = run
        book.note_doubt(run)
        book.by_task[run.task_id] = run.id
        if entry is not None and run.killing != "deleted":
            entry.active.add(run.id)
            entry.phases[run.phase] += 1
            if run.on_agent:
                book.hold(run)
                self.preemption.adopt(run)
            if run.on_agent or run.phase is Phase.REPORTING:
                entry.playing += 1
            elif run.phase is Phase.QUEUED:
                book.enqueue(entry, run)
        elif not run.on_agent:
            book.drop_run(run)
            return
        for at in (run_wake(run), run.deadline):
            if at is not None:
                book.timers.set(at, run.id)

    # --- events

    def handle(self, event: Event, now: Millis) -> Any:
        """Take one event; return a request's answer. Raises ChronosError for a request that cannot be done."""
        match event:
            case StatusUpdate():
                return self.lifecycle.update(event, now)
            case OffersReceived():
                self.loop.receive(event.offers, now)
                self.book.unplaced = True
            case OfferRescinded():
                self.loop.rescind(event.offer_id)
            case InverseOffersReceived():
                self._asked_back(event)
            case AgentLost():
                self.loop.agent_lost(event.agent_id)
                lost = [run for run in self.book.runs.values() if run.agent_id == event.agent_id]
                self.reconciler.doubt(lost, now)
            case HistoryWritten():
                self.book.forget_records(event.up_to)
            case NoticeDone():
                self.book.told(event.number, event.channel)
            case RunJob():
                return self.admission.run(event, now)
            case SubmitImmediate():
                return self.immediate.submit(event, now)
            case StopImmediate():
                return self.immediate.stop(event, now)
            case SubmitJob():
                if not event.only_check:
                    self.take_up(event.job.name, now)
                return self.admission.submit(event, now)
            case ChangeJob():
                if not event.only_check:
                    self.take_up(event.name, now)
                return self.admission.change(event, now)
            case DeleteJob():
                self.take_up(event.name, now)
                return self.admission.delete(event, now)
            case MarkSuccess():
                return self.admission.mark_success(event, now)
            case KillTasks():
                return self.admission.kill_tasks(event, now)
            case KillRun():
                return self.admission.kill_run(event, now)
            case SetPriority():
                return self.admission.prioritize(event, now)
            case PurgeTasks():
                return self.admission.purge(now)
            case ReportResult():
                return self.admission.report_result(event, now)
            case ReportProgress():
                return self.admission.report_progress(event, now)
            case DriverReady():
                self._driver_ready(event, now)
            case DriverLost():
                self.driver_ready = False
                self.watchdogs.lost = event.reason
                self.loop.disconnected()
            case _:
                raise ChronosError(f"not an event: {event!r}")
        return None

    def _driver_ready(self, event: DriverReady, now: Millis) -> None:
        self.driver_ready = True
        self.loop.connected()
        if event.framework_id:
            self.book.put_meta("framework_id", event.framework_id)
        self.reconciler.connected(now)
        self.book.unplaced = True

    def _asked_back(self, event: InverseOffersReceived) -> None:
        """Agree to give back agents on which no task of ours is; the cluster asks again for the others."""
        busy = {run.agent_id for run in self.book.runs.values() if run.on_agent}
        accepted, declined = list[str](), list[str]()
        for offer in event.offers:
            self.loop.asked_back(offer)
            kept = offer.agent_id in busy if offer.agent_id else bool(busy)
            (declined if kept else accepted).append(offer.id)
        self.book.effect(AnswerInverseOffers(tuple(accepted), tuple(declined)))

    def take_up(self, name: str, now: Millis) -> None:
        """Look after a job again that was set aside: it is about to be changed."""
        if self.book.aside:
            self.book.take_up(name, now)

    # --- time

    def advance(self, now: Millis) -> None:
        """Do what is due, then place what waits. When it raises, `at_work` is whose work it was, None: nobody's."""
        book = self.book
        self.loop.holdings = book.holdings
        self.immediate.forget(now)
        while (key := book.timers.pop(now)) is not None:
            if book.is_aside(key):
                continue
            self._at_work = key
            if isinstance(key, int):
                run = book.runs.get(key)
                if run is not None:
                    book.tell_if_waiting(run, now)
                if run is not None and (self.driver_ready or not run.uncertain):  # else it gets a new deadline then
                    self.lifecycle.wake(run, now)
            else:
                entry = book.jobs.get(key)
                if entry is not None:
                    entry.wake = None
                    self.releaser.settle(entry, now)
        self._at_work = None
        if self.driver_ready:
            self.reconciler.advance(now)
            coming, picks, look_again = self.rounds.in_sight(now)
            if any(until <= now for until in self.rounds.picky.values()):
                book.unplaced = True
            look = self.preemption.wake is not None and self.preemption.wake <= now
            busy = set[str]()
            if book.unplaced:
                look, busy = True, self.rounds.place(self.loop, now, coming)
            if look and book.policy.preemption.after:
                self.preemption.look(
                    self.loop, self.rounds.refusals, busy, now, lambda run, by: self.lifecycle.preempt(run, by, now)
                )
            picks += self.rounds.picks_waiting(now)
            more = book.unplaced and len(book.queue) > 0
            demand = Demand(self.rounds.waiting_shapes(), coming, more, look_again, picks)
            for effect in self.loop.settle(demand, now):
                book.effect(effect)
        self.watchdogs.watch(book, self.loop, self.rounds.placeable(), now, ready=self.driver_ready)
        book.tidy_timers()

    @property
    def next_wake(self) -> Millis | None:
        """Return when `advance` next has something to do, None: only after an event."""
        if self.book.unplaced and self.driver_ready and self.loop.held and len(self.book.queue):
            return 0
        times = [self.book.timers.next, self.watchdogs.wake, self.immediate.wake]
        if self.driver_ready:
            times += [self.preemption.wake, self.loop.wake, self.reconciler.wake, *self.rounds.picky.values()]
        return min((at for at in times if at is not None), default=None)

    # --- for readers

    def flush(self) -> Turn:
        """Return what has changed since the last time."""
        return self.book.flush()

    def job_view(self, name: str) -> JobView | None:
        entry = self.book.jobs.get(name)
        return entry.view() if entry else None

    def quotas(self) -> list[dict[str, Any]]:
        """Return what is guaranteed, used and waited for, by quota. Safe to call from any thread."""
        return quota_forms(self.book)

    def why(self, number: int) -> Waiting | None:
        """Say why a run does not run, None when it does or has ended. Safe to call from any thread."""
        return why(self.book, self.rounds, number, driver_ready=self.driver_ready)


def valid_counters(meta: Mapping[str, Any]) -> dict[str, int]:
    """Return the stored counters; nothing when they are missing or not what was stored."""
    counters = meta.get("counters")
    if not isinstance(counters, dict):
        return {}
    right = all(type(value) is int and 0 <= value < LARGEST_COUNTER for value in counters.values())
    return counters if right and {"run", "record", "job", "id_floor"} <= counters.keys() else {}
