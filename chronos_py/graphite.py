"""Sends metrics to Graphite, in its plaintext protocol and with the names of Dropwizard's reporter."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import structlog

from chronos_py.clock import Clock

log = structlog.get_logger(__name__)

TIMEOUT_S = 10.0
_BLANKS = re.compile(r"\s+")
Figures = Mapping[str, Any]  # by kind, then name, then part; and the version


def parse_address(text: str) -> tuple[str, int]:
    """Read `host:port`. Raises ValueError."""
    host, _, port = text.rpartition(":")
    if not host or not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or not 0 < int(port) < 65536:
        raise ValueError("must be host:port")
    return host.strip("[]"), int(port)


def lines(figures: Figures, prefix: str, at: int) -> Iterator[str]:
    """Yield a line for each figure, `<name> <value> <seconds since 1970>`: gauges under their own names, of all else
    each part. Blanks in names become hyphens, as Dropwizard has it; dots stay, and make levels."""
    start = f"{prefix}." if prefix else ""
    for kind, metrics in figures.items():
        if not isinstance(metrics, Mapping):
            continue  # the version
        for name, parts in metrics.items():
            shown = _BLANKS.sub("-", start + name)
            for part, value in parts.items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    number = str(value) if isinstance(value, int) else f"{value:.2f}"
                    yield f"{shown if kind == 'gauges' else f'{shown}.{part}'} {number} {at}\n"


class GraphiteReporter:
    """Reports every `interval` seconds, in a thread of its own and over a connection of its own each time; what cannot
    be sent is not sent later. `figures` returns None when there is nothing to report."""

    def __init__(
        self,
        address: tuple[str, int],
        prefix: str,
        interval: float,
        figures: Callable[[], Figures | None],
        clock: Clock,
        stopping: threading.Event,
    ) -> None:
        self._address = address
        self._prefix = prefix
        self._interval = interval
        self._figures = figures
        self._clock = clock
        self._stopping = stopping
        self._failing = False

    def start(self) -> None:
        threading.Thread(target=self._run, name="graphite", daemon=True).start()

    def report(self) -> None:
        """Send all figures once. Raises OSError."""
        figures = self._figures()
        if figures is not None:
            text = "".join(lines(figures, self._prefix, self._clock.now() // 1000))
            with socket.create_connection(self._address, TIMEOUT_S) as connection:
                connection.sendall(text.encode("utf-8", "replace"))

    def _run(self) -> None:
        while not self._stopping.wait(self._interval):
            try:
                self.report()
                if self._failing:
                    log.info("Graphite takes metrics again")
                self._failing = False
            except Exception as error:
                if not isinstance(error, OSError):
                    log.exception("metrics could not be reported")
                elif not self._failing:
                    log.error(
                        "Graphite cannot be reached", address=":".join(map(str, self._address)), reason=str(error)
                    )
                self._failing = True
