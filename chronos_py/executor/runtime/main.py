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
    return guarded(lambda: run(where, options, dict(os.environ)))
