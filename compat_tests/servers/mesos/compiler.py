"""Runs gcc and g++."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from compat_tests.servers.mesos.errors import MesosError


def compile_with(command: Sequence[str], what: str) -> None:
    """Run a compiler. Raises MesosError with all it said when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise MesosError(f"compiling {what} failed ({done.returncode}): {' '.join(command)}\n{done.stdout}")
