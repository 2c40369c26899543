"""What the Mesos driver is told at its making."""

from __future__ import annotations

from dataclasses import dataclass, field

from chronos_py.executor.info import Setup
from chronos_py.model.pools import ResourceOrder


@dataclass(frozen=True, slots=True)
class MesosSettings:
    """How to register and how patient to be; all times in seconds.

    `master` is host:port, https://host:port, or zk://[user:password@]host:port,.../path. `roles` may be several.
    `principal` and `secret` empty: no authentication. `ca_file` empty: the system's authorities. `executor` is how
    agents come by ours; `own_executor`: it runs every task that it can.
    """

    master: str
    name: str = "chronos"
    user: str = "root"
    roles: tuple[str, ...] = ("*",)
    failover_timeout: float = 604_800
    checkpoint: bool = True
    principal: str = ""
    secret: str = ""
    hostname: str = ""
    webui_url: str = ""
    gpus: bool = False
    order: ResourceOrder = field(default_factory=ResourceOrder)
    tls: bool = False
    ca_file: str = ""
    executor: Setup = field(default_factory=Setup)
    own_executor: bool = False
    call_timeout: float = 10.0
    heartbeats_missed: int = 3
    longest_back_off: float = 15.0
    queue_limit: int = 50_000
