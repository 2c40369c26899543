"""What this machine has."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from chronos_py.machine import KINDS, SHARED, Said
from chronos_py.model.pools import AgentSpec
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


def specs(said: Iterable[Said], found: Resources, attributes: Mapping[str, str]) -> tuple[AgentSpec, ...]:
    """Return the agents. Of a machine that is one agent, what was not said is as it was `found`; `attributes` are
    those of all, of which an agent may have another value."""
    return tuple(_spec(one, found, attributes) for one in said)


def _spec(said: Said, found: Resources, attributes: Mapping[str, str]) -> AgentSpec:
    roles = dict.fromkeys(role for _, role in said.amounts if role != SHARED)
    reserved = {role: _amount(said, role) for role in roles}
    total = _amount(said, SHARED)
    for amount in reserved.values():
        total = total + amount
    if not said.name:  # of the machine itself: what nothing was said of is there
        unsaid = [kind for kind in KINDS if (kind, SHARED) not in said.amounts]
        total = replace(total, **{kind: max(getattr(total, kind), getattr(found, kind)) for kind in unsaid})
    return AgentSpec(total, said.name, said.host or said.name, reserved, {**attributes, **said.attributes})


def _amount(said: Said, role: str) -> Resources:
    cpus, mem, disk = (said.amounts.get((kind, role), 0.0) for kind in KINDS)
    return Resources.of(cpus, mem, disk)
