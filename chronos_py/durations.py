"""How long the newest successful runs of each job took: due time to end."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import structlog

from chronos_py.clock import Millis
from chronos_py.model.history import HistoryRecord, RunRecord
from chronos_py.model.run import Outcome

log = structlog.get_logger(__name__)

SAMPLES = 1028  # kept per job, as many as Chronos's histograms hold


class Durations:
    """Kept in memory, oldest first. `earlier` reads those of runs in history, by job, and may take its time."""

    def __init__(self, earlier: Callable[[], Mapping[str, Sequence[Millis]]] | None = None) -> None:
        self._earlier = earlier
        self._begun = False
        self._samples: dict[str, deque[Millis]] = {}

    def of(self, job: str) -> list[Millis]:
        return list(self._samples.get(job, ()))

    def note(self, record: HistoryRecord) -> None:
        if isinstance(record, RunRecord) and record.outcome is Outcome.SUCCESS and record.attempts:
            samples = self._samples.get(record.job)
            if samples is None:
                samples = self._samples[record.job] = deque(maxlen=SAMPLES)
            samples.append(max(0, record.ended - record.due))

    def begin(self) -> None:
        """Read what history has, beside the service, for there may be millions; once until `forget`."""
        if self._earlier is not None and not self._begun:
            self._begun = True
            threading.Thread(
                target=self._read, args=(self._earlier, self._samples), name="durations", daemon=True
            ).start()

    def forget(self) -> None:
        """Other nodes' runs will be missing from now on."""
        self._samples, self._begun = {}, False

    @staticmethod
    def _read(earlier: Callable[[], Mapping[str, Sequence[Millis]]], samples: dict[str, deque[Millis]]) -> None:
        try:
            for job, values in earlier().items():
                samples[job] = deque((*values, *samples.get(job, ())), maxlen=SAMPLES)
        except Exception:
            log.exception("the durations of earlier runs could not be read")
