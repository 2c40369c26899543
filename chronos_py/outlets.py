"""Where the service hands what each turn leaves: history, notices, figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import structlog

from chronos_py.model.history import HistoryRecord
from chronos_py.model.notice import Notice

log = structlog.get_logger(__name__)


class Outbox(Protocol):
    """Takes committed history records; writes them behind."""

    def submit(self, items: Sequence[tuple[int, HistoryRecord]]) -> None: ...

    def lag(self) -> int: ...


class Gauges(Protocol):
    """Where the service leaves its figures; all times in seconds."""

    def turn(self, events: int, changes: int, handled: float, committed: float) -> None: ...


class Notifier(Protocol):
    """Tells owners. It posts NoticeDone for each channel that is done with a notice."""

    def take(self, notice: Notice) -> None: ...

    def begin(self, notices: Iterable[Notice]) -> None: ...

    def pause(self) -> None: ...

    def status(self) -> dict[str, Any]: ...


class NoNotifier:
    """Tells nobody but the log."""

    def take(self, notice: Notice) -> None:
        quiet = notice.event in ("exhausted", "deleted")  # the end of every one-shot job, and what a user did
        (log.debug if quiet else log.info)("notice", job=notice.job, notice=notice.event)

    def begin(self, notices: Iterable[Notice]) -> None:
        """Leave notices where they are."""

    def pause(self) -> None:
        """Do nothing, as before."""

    def status(self) -> dict[str, Any]:
        return {}


class NoGauges:
    def turn(self, events: int, changes: int, handled: float, committed: float) -> None:
        """Keep nothing."""
