"""A few threads for what takes long: fetching, and asking the docker engine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

import structlog

log = structlog.get_logger(__name__)


class Workers:
    """At most `limit` daemon threads, made when first needed: a hanging server must not keep this process from ending,
    which is why this is no ThreadPoolExecutor."""

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._threads = 0
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def submit(self, job: Callable[[], None]) -> None:
        """Have `job` done some time; from one thread."""
        self._jobs.put(job)
        if self._threads < self._limit:
            self._threads += 1
            threading.Thread(target=self._run, name=f"{self._name}-{self._threads}", daemon=True).start()

    def stop(self) -> None:
        """Do nothing more, except to end what has begun."""
        while not self._jobs.empty():
            self._jobs.get()
        for _ in range(self._threads):
            self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception:
                log.exception("a background job failed")
