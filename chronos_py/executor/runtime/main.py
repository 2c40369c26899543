"""The command `chronos-py executor`, and of the file that agents fetch."""

from __future__ import annotations

import os
from collections.abc import Sequence

from chronos_py.executor.runtime.executor import run
from chronos_py.executor.runtime.guardian import guarded
from chronos_py.executor.runtime.loop import log
from chronos_py.executor.runtime.surroundings import BadSurroundings, Options, Surroundings

BAD_USAGE = 2


def main(words: Sequence[str]) -> int:
    """Run until the agent needs us no more; return the exit status."""
    options = Options.parse(words)
    try:
        where = Surroundings.of(os.environ, os.getcwd())
    except BadSurroundings as error:
        log(str(error))
        return BAD_USAGE
    return guarded(lambda: run(where, options, environment_at_start()))


def environment_at_start() -> dict[str, str]:
    """Return our environment as the agent made it: Python may have set LC_CTYPE since (PEP 538), not for tasks."""
    try:
        with open("/proc/self/environ", "rb") as file:
            items = [item.partition(b"=") for item in file.read().split(b"\0")]
    except OSError:
        return dict(os.environ)
    return {os.fsdecode(name): os.fsdecode(value) for name, found, value in items if name and found}
