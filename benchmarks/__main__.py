"""`python -m benchmarks [word ...]`: print all rows, or those of the modules named."""

from __future__ import annotations

import logging
import sys

import structlog

from benchmarks import (
    failover,
    immediate,
    mesos,
    pages,
    placing,
    planning,
    running,
    serving,
    statistics,
    waiting,
    week,
    zookeeper,
)

MODULES = {
    "placing": placing,
    "waiting": waiting,
    "running": running,
    "serving": serving,
    "immediate": immediate,
    "statistics": statistics,
    "mesos": mesos,
    "zookeeper": zookeeper,
    "planning": planning,
    "failover": failover,
}
LONG = {"week": week, "pages": pages}  # only when they are named


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    for name in sys.argv[1:] or MODULES:
        for row in {**MODULES, **LONG}[name].rows():
            print(row, flush=True)


main()
