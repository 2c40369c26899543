"""The one error of this package."""

from __future__ import annotations


class MesosError(RuntimeError):
    """The cluster could not be prepared, started or asked; the text says why, with the log of a process that ended."""
