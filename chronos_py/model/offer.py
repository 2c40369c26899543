"""What an agent has free for us."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chronos_py.model.resources import Resources


@dataclass(frozen=True, slots=True)
class Offer:
    """Free resources of one agent: ours until used, declined or rescinded.

    `total` is all that the agent has, where the driver knows it (balance is measured against it). `attributes` are the
    agent's; `detail` is whatever the driver needs back at launch and nobody else reads.
    """

    id: str
    agent_id: str
    host: str
    resources: Resources
    total: Resources = field(default_factory=Resources)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    detail: Any = None
