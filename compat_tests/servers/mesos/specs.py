"""What an agent looks like, and the flags of Mesos' programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Flags = Mapping[str, Any]
"""Flags of mesos-master or mesos-agent by name; True and False become --name and --no-name, None nothing."""


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """One agent.

    `resources`: "cpus:4;mem:4096;ports:[31000-31100]" (mem and disk in MB), a dict of such values, or a list of
    Resource messages; a static reservation is "cpus(role):2". `attributes`: {"rack": "r1"} or "rack:r1;zone:z1".
    `domain`: region and zone; the master needs its flag `domain` then. `flags`: more of mesos-agent's. `docker_host`:
    unix:///path of a running engine, where tasks with a container of type DOCKER run then.
    """

    hostname: str | None = None
    resources: str | Mapping[str, Any] | Sequence[Mapping[str, Any]] = "cpus:4;mem:4096;disk:10240;ports:[31000-32000]"
    attributes: str | Mapping[str, Any] | None = None
    domain: tuple[str, str] | None = None
    flags: Flags = field(default_factory=dict)
    docker_host: str | None = None

    def own_flags(self, default_hostname: str) -> dict[str, Any]:
        """Return the flags that follow from all but `flags` and `docker_host`."""
        flags: dict[str, Any] = {"hostname": self.hostname or default_hostname, "resources": _text(self.resources)}
        if self.attributes:
            flags["attributes"] = _text(self.attributes)
        if self.domain:
            region, zone = self.domain
            flags["domain"] = {"fault_domain": {"region": {"name": region}, "zone": {"name": zone}}}
        return flags


def arguments(flags: Flags) -> list[str]:
    """Return flags as a program takes them."""
    return [_argument(name, value) for name, value in flags.items() if value is not None]


def _argument(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name}={value if isinstance(value, str | int | float) else json.dumps(value)}"


def _text(value: str | Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return ";".join(f"{name}:{what}" for name, what in value.items())
    return json.dumps(value)
