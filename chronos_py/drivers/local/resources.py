"""What this machine has."""

from __future__ import annotations

import os
from pathlib import Path

from chronos_py.model.resources import Resources


def detect_resources(data_dir: Path) -> Resources:
    """Return this machine's cores, its memory, and what is free on the disk of `data_dir`."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024**2
    folder = data_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    disk = os.statvfs(folder)
    return Resources.of(cores, memory, disk.f_bavail * disk.f_frsize // 1024**2)
