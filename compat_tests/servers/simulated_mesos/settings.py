"""What a simulated master is started with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Settings:
    """Times are in seconds. `credential` is (principal, secret) and makes HTTP basic authentication required."""

    port: int = 0
    agents: int = 1
    agent_resources: str = "cpus:8;mem:16384;disk:100000"
    agent_attributes: str = ""
    allocation_interval: float = 1.0
    heartbeat_interval: float = 15.0
    retry_interval: float = 10.0  # of unacknowledged updates; doubles up to `retry_max`, as agents do
    retry_max: float = 600.0
    start_latency: float = 0.0  # from launch to TASK_STARTING
    run_latency: float = 0.0  # from TASK_STARTING to TASK_RUNNING
    end_latency: float = 0.0  # from TASK_RUNNING to the end, beside what the command sleeps
    kill_latency: float = 0.0
    credential: tuple[str, str] | None = None
    offer_batch: int = 1000  # offers in one event at most
