"""RECONCILE: what the master says of a task, known or not."""

from __future__ import annotations

from compat_tests.servers.simulated_mesos.master import Master
from compat_tests.servers.simulated_mesos.model import Framework, Message, Task

REASON = "REASON_RECONCILIATION"


def reconcile(master: Master, framework: Framework, tasks: list[Message]) -> None:
    """Answer about the tasks listed; for an empty list about all that the master knows."""
    if not tasks:
        for task in list(framework.tasks.values()):
            if task.agent.state == "registered":
                tell(master, framework, task)
    for entry in tasks:
        reconcile_one(master, framework, entry["task_id"]["value"], entry.get("agent_id", {}).get("value"))


def reconcile_one(master: Master, framework: Framework, task_id: str, agent_id: str | None) -> None:
    """Answer about one task, or keep silent while the master itself does not know."""
    task = framework.tasks.get(task_id)
    agent = master.agents.get(agent_id) if agent_id is not None else None
    aware = framework.is_partition_aware
    if task is not None:
        if task.agent.state == "registered":
            tell(master, framework, task)
    elif agent is None:
        state = "TASK_UNKNOWN" if aware else "TASK_LOST"
        master.master_status(framework, task_id, state, "Reconciliation: Task is unknown", REASON, agent_id)
    elif agent.state == "registered":
        state = "TASK_GONE" if aware else "TASK_LOST"
        text = "Reconciliation: Task is unknown to the agent"
        master.master_status(framework, task_id, state, text, REASON, agent.id)
    elif agent.state == "unreachable":
        state = "TASK_UNREACHABLE" if aware else "TASK_LOST"
        text, since = "Reconciliation: Task is unreachable", {"nanoseconds": agent.unreachable_time}
        master.master_status(framework, task_id, state, text, REASON, agent.id, unreachable_time=since)


def tell(master: Master, framework: Framework, task: Task) -> None:
    text = "Reconciliation: Latest task state"
    shown = {} if task.told == "TASK_STAGING" else {"container_status": task.container}
    master.master_status(framework, task.id, task.told, text, REASON, task.agent.id, **shown)
