"""The process that makes one plan: a pickled `Work` on its standard input, JSON on its standard output.

It yields to everybody else, and bounds itself: processor time, memory, and seconds by the clock.
"""

from __future__ import annotations

import gc
import os
import pickle
import resource
import sys
import time
from dataclasses import dataclass
from typing import Any, BinaryIO

import orjson

from chronos_py.errors import ChronosError, InvalidInput
from chronos_py.simulation.plan import Question, plan
from chronos_py.simulation.world import TooMuch, World

NICENESS = 10
GRACE_S = 5  # beyond the limit, before the system ends the process


@dataclass(frozen=True, slots=True)
class Work:
    """A question, and what answering it may take: seconds, and bytes of memory."""

    question: Question
    seconds: float
    memory: int


class TooLong(Exception):
    """The time for a plan is over."""


def answer(work: Work) -> dict[str, Any]:
    """Return `{"plan": ...}`, or `{"error": {"field", "value", "reason"}}`."""
    end = time.monotonic() + work.seconds

    def stop(world: World) -> None:
        if time.monotonic() > end:
            raise TooLong(f"it took more than {work.seconds:g} s to come to {world.launches} attempts")

    try:
        return {"plan": plan(work.question, stop)}
    except InvalidInput as error:
        return _error(error.field, str(error.value), error.reason)
    except ChronosError as error:
        return _error("jobs", getattr(error, "name", ""), str(error))
    except (TooMuch, TooLong) as error:
        return _error("to", "", f"the plan is too long: {error}; ask for less time or fewer jobs")
    except MemoryError:
        return _error("to", "", f"the plan needs more than {work.memory >> 20} MiB; ask for less time or fewer jobs")


def _error(field: str, value: str, reason: str) -> dict[str, Any]:
    return {"error": {"field": field, "value": value, "reason": reason}}


def _limit(kind: int, value: int) -> None:
    """Lower a limit; one that is lower already stays."""
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, hard))


def main(source: BinaryIO, target: BinaryIO) -> None:
    os.nice(NICENESS)
    work: Work = pickle.load(source)  # from our own server, over a pipe that nobody else has
    _limit(resource.RLIMIT_AS, work.memory)
    _limit(resource.RLIMIT_CPU, int(work.seconds) + GRACE_S)
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    target.write(orjson.dumps(answer(work)))
    target.flush()


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
