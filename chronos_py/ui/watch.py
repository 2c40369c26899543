"""The cluster's use over time: a sample every few seconds, a bounded number of them, in memory alone."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import add

import structlog

from chronos_py.api.backend import Backend
from chronos_py.clock import Millis
from chronos_py.model.capacity import ZERO, Parts, Room, parts, rooms, total
from chronos_py.model.run import Phase, Run

log = structlog.get_logger(__name__)

EVERY_S = 10.0
KEPT = 720  # two hours


@dataclass(frozen=True, slots=True)
class Sample:
    """The cluster at an instant: thousandths of cores and of MiB, used and in all; runs that run and wait."""

    at: Millis
    cpus: int
    cpus_total: int
    mem: int
    mem_total: int
    running: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Use:
    """What is where: agents with their amounts, the runs on each, and how many runs wait."""

    agents: Sequence[Room]
    runs: Mapping[str, Sequence[Run]]
    waiting: int


def use_now(backend: Backend) -> Use:
    """Return what each agent has and runs, from memory: one pass over the runs under way, one over agents."""
    needs: dict[str, Parts] = {}
    held: dict[str, Parts] = {}
    placed: dict[str, list[Run]] = {}
    waiting = 0
    for run in list(backend.view.runs.values()):
        if not run.on_agent:
            waiting += run.phase in (Phase.QUEUED, Phase.RETRYING)
            continue
        if run.job not in needs:
            view = backend.view.jobs.get(run.job)
            needs[run.job] = parts(backend.need(view.job)) if view else ZERO
        held[run.agent_id] = tuple(map(add, held.get(run.agent_id, ZERO), needs[run.job]))
        placed.setdefault(run.agent_id, []).append(run)
    offered: dict[str, Parts] = {}
    for offer in backend.held_offers():
        offered[offer.agent_id] = tuple(map(add, offered.get(offer.agent_id, ZERO), parts(offer.resources)))
    return Use(rooms(backend.capacity(), held, offered, None), placed, waiting)


class Watch:
    """Takes samples on a thread of its own from `start` until its event is set."""

    def __init__(self, backend: Backend, every: float = EVERY_S, kept: int = KEPT) -> None:
        self._backend = backend
        self._every = every
        self._samples: deque[Sample] = deque(maxlen=kept)

    def start(self, stopping: threading.Event) -> None:
        threading.Thread(target=self._run, args=(stopping,), name="watch", daemon=True).start()

    def _run(self, stopping: threading.Event) -> None:
        while True:
            try:
                self.sample()
            except Exception:
                log.exception("a sample of the cluster's use could not be taken")
            if stopping.wait(self._every):
                return

    def sample(self) -> None:
        """Take one sample, unless nothing is known yet."""
        if not self._backend.view.loaded:
            return
        use = use_now(self._backend)
        used, whole = total(room.used for room in use.agents), total(room.total for room in use.agents)
        used, whole = used or ZERO, whole or ZERO
        running = sum(map(len, use.runs.values()))
        self._samples.append(Sample(self._backend.now(), used[0], whole[0], used[1], whole[1], running, use.waiting))

    def series(self) -> list[Sample]:
        """Return the samples, oldest first."""
        return list(self._samples)
