"""The server's own settings as far as decisions depend on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Literal

from chronos_py.clock import Millis
from chronos_py.model.job import CatchUp
from chronos_py.model.pools import ResourceOrder
from chronos_py.scheduler.health import HealthPolicy
from chronos_py.scheduler.notices import NoticePolicy
from chronos_py.scheduler.offers import OfferPolicy
from chronos_py.scheduler.quotas import Quotas
from chronos_py.scheduler.tasks import TaskDefaults


@dataclass(frozen=True, slots=True)
class PreemptionPolicy:
    """After `after` ms of waiting room may be made for a run, 0: never; at most `per_minute` runs are stopped."""

    after: Millis = 0
    per_minute: int = 60


@dataclass(frozen=True, slots=True)
class Policy:
    """All settings. All times in milliseconds."""

    tasks: TaskDefaults = field(default_factory=TaskDefaults)
    failure_retry: Millis = 60_000
    disable_after_failures: int = 0
    unknown_task_timeout: Millis = 600_000
    launch_patience: Millis = 60_000  # without any word of a launched task: ask
    kill_patience: Millis = 10_000  # beyond the grace: tell again, then after twice as long, and so on
    faults_per_reason: int = 10  # how often each fault of the platform costs a run no retry
    task_epsilon: Millis = 60_000  # lateness limit of catch-up policy skip where a job names none
    catch_up: CatchUp = CatchUp.ONE
    default_zone: tzinfo = UTC
    queued_per_job: int = 1000
    offers: OfferPolicy = field(default_factory=OfferPolicy)
    offer_patience: Millis = 30_000  # tasks wait and no offer comes: ask again, then connect anew
    launch_lag: Millis = 10_000  # a run that fits on a held offer and is not launched for so long: alarm
    reconciliation_interval: Millis = 600_000  # 0: only after a connection and in doubt
    ageing: Millis = 600_000  # the waiting that a level of priority is worth; 0: none is
    forgiveness: Millis = 1_800_000  # how long a run avoids an agent on which an attempt of it failed
    quotas: Quotas = field(default_factory=dict)
    preemption: PreemptionPolicy = field(default_factory=PreemptionPolicy)
    health: HealthPolicy = field(default_factory=HealthPolicy)
    notices: NoticePolicy = field(default_factory=NoticePolicy)
    immediate_limit: int = 500_000  # immediate jobs, ended ones whose results are kept included
    order: ResourceOrder = field(default_factory=ResourceOrder)
    unknown_tasks: Literal["adopt", "kill"] = "adopt"  # tasks of ours that run, but that the store does not know
