"""Immediate jobs: started in the turn that takes the request, kept for a while when they have ended.

Such a job is a run and nothing else: the run carries its definition, and is stored as one record from the request to
the end of its retention. So there is nothing that could be stored without the other, and whatever holds for runs (the
queue, placement, retries, time limits, history) holds for it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from chronos_py.clock import Millis
from chronos_py.errors import IdInUse, Overloaded
from chronos_py.model.immediate import Immediate
from chronos_py.model.job import JobState, Pair
from chronos_py.model.messages import StopImmediate, Stopped, SubmitImmediate
from chronos_py.model.run import Run, Trigger
from chronos_py.scheduler.book import Book
from chronos_py.scheduler.entry import Entry
from chronos_py.scheduler.lifecycle import Lifecycle
from chronos_py.scheduler.release import Releaser

NO_STATE = JobState()  # nothing is counted but in history
SECOND: Millis = 1000  # results are forgotten together, once a second: each time is a commit
FORGOTTEN_PER_TURN = 2000


class ImmediateJobs:
    """Takes requests: each either raises a ChronosError and has changed nothing, or is done."""

    def __init__(self, book: Book, releaser: Releaser, lifecycle: Lifecycle) -> None:
        self.book = book
        self.releaser = releaser
        self.lifecycle = lifecycle
        self._expiries: list[tuple[Millis, int]] = []

    # --- what the store holds

    def adopt(self, run: Run) -> Entry | None:
        """Take over a run that is under way; None when its job was deleted and the task has yet to end."""
        assert run.immediate is not None
        if run.killing == "deleted":
            return None
        return self._enter(run, run.immediate)

    def adopt_result(self, run: Run) -> None:
        """Take over one that has ended. Raises ValueError for a record that says so and not how."""
        if run.immediate is None or run.ended is None:
            raise ValueError(f"run {run.id} is kept as ended, without a result")
        self.book.restore_result(run)

    def _enter(self, run: Run, one: Immediate) -> Entry:
        entry = Entry(one.job, NO_STATE)
        entry.shape = self.releaser.shape(one.job)
        self.book.immediate[run.id] = entry
        self.book.ids[one.id] = run.id
        return entry

    # --- requests

    def submit(self, request: SubmitImmediate, now: Millis) -> list[int]:
        """Start all that are new, or none; return the runs' numbers. Raises IdInUse, Overloaded."""
        book, fresh = self.book, dict[str, Immediate]()
        for position, one in enumerate(request.jobs):
            number = book.ids.get(one.id)
            known = fresh.setdefault(one.id, one) if number is None else self._run(number).immediate
            if known is not one and known != one:
                raise IdInUse(f"[{position}].id" if len(request.jobs) > 1 else "id", one.id)
        if len(book.ids) + len(fresh) > book.policy.immediate_limit:
            raise Overloaded(
                f"{len(book.ids)} immediate jobs are kept, {len(fresh)} more would exceed {book.policy.immediate_limit}"
            )
        for one in fresh.values():
            self._start(one, now)
        return [book.ids[one.id] for one in request.jobs]

    def _run(self, number: int) -> Run:
        return self.book.runs.get(number) or self.book.kept[number]

    def _start(self, one: Immediate, now: Millis) -> None:
        number = self.book.number_run()
        run = Run(
            id=number,
            job=one.job.name,
            trigger=Trigger.IMMEDIATE,
            due=now,
            stamp=now,
            created=now,
            priority=one.job.level,
            immediate=one,
        )
        entry = self._enter(run, one)
        self.book.add_run(entry, run)
        self.book.enqueue(entry, run)

    def stop(self, request: StopImmediate, now: Millis) -> Stopped:
        """Stop, and forget if that is wanted."""
        chosen, unknown = dict[int, str](), list[str]()
        for given in request.ids:
            number = self.book.ids.get(given)
            if number is None:
                unknown.append(given)
            else:
                chosen[number] = given
        if request.labels:
            chosen.update(self._labelled(request.labels, ended=request.forget))
        stopped = []
        for number, name in sorted(chosen.items()):
            if number in self.book.runs:
                stopped.append(name)
                self._stop(self.book.runs[number], now, forget=request.forget)
            elif request.forget:
                self.book.forget_result(self.book.kept[number])
        forgotten = tuple(name for _, name in sorted(chosen.items())) if request.forget else ()
        return Stopped(tuple(stopped), forgotten, tuple(unknown))

    def _labelled(self, labels: Sequence[Pair], *, ended: bool) -> Iterator[tuple[int, str]]:
        wanted = frozenset(labels)
        runs = [self.book.runs[number] for number in self.book.immediate]
        for run in (*runs, *self.book.kept.values()) if ended else runs:
            if run.immediate is not None and wanted.issubset(run.immediate.job.labels):
                yield run.id, run.immediate.id

    def _stop(self, run: Run, now: Millis, *, forget: bool) -> None:
        if not forget:
            if run.killing != "user":
                self.lifecycle.stop(run, "user", now)
        elif run.on_agent:
            self.lifecycle.stop(run, "deleted", now)
            self.book.disown(run)
        else:
            self.lifecycle.ends.record_skipped(run, now, "deleted")
            self.book.drop_run(run)

    # --- retention

    @property
    def wake(self) -> Millis | None:
        """Return when results are to be forgotten."""
        self._look()
        return self._expiries[0][0] if self._expiries else None

    def forget(self, now: Millis) -> None:
        """Forget results whose time has come, as many as one turn may."""
        self._look()
        for _ in range(FORGOTTEN_PER_TURN):
            if not self._expiries or self._expiries[0][0] > now:
                return
            run = self.book.kept.get(heapq.heappop(self._expiries)[1])
            if run is not None:
                self.book.forget_result(run)

    def _look(self) -> None:
        """Note when those results are to be forgotten that came since the last look."""
        while self.book.new_results:
            run = self.book.new_results.pop()
            assert run.ended is not None
            heapq.heappush(self._expiries, (-(-run.ended.forget_at // SECOND) * SECOND, run.id))
