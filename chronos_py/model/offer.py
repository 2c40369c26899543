"""What an agent has free for us, and when it will not be there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chronos_py.clock import Millis
from chronos_py.model.resources import Resources


@dataclass(frozen=True, slots=True)
class Outage:
    """When an agent is to be down for maintenance; `end` is None when nobody knows."""

    start: Millis
    end: Millis | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """Free resources of one agent: ours until used, declined or rescinded.

    `total` is all that the agent has, where the driver knows it (balance is measured against it). `attributes` are the
    agent's; `detail` is whatever the driver needs back at launch and nobody else reads. A task may be launched on
    several offers of one agent together when their `role` (the one they were made to) is the same. `reserved` says what
    of `resources` is reserved for which role.
    """

    id: str
    agent_id: str
    host: str
    resources: Resources
    total: Resources = field(default_factory=Resources)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    detail: Any = None
    role: str = ""
    outage: Outage | None = None
    reserved: Mapping[str, Resources] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InverseOffer:
    """The cluster's wish to have an agent back: `agent_id` may be empty when it asks for no particular one."""

    id: str
    agent_id: str
    outage: Outage
