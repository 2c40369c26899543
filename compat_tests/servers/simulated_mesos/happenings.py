"""Larger things that happen to a cluster: agents are lost and come back, another master takes over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from compat_tests.servers.simulated_mesos.ids import uuid_text
from compat_tests.servers.simulated_mesos.master import Master
from compat_tests.servers.simulated_mesos.model import TERMINAL, Agent, Framework


def lose_agent(master: Master, agent: Agent) -> None:
    """The master has heard nothing of an agent for too long. Its tasks go on, unseen."""
    if agent.state == "unreachable":
        return
    was_known = agent.state == "registered"
    agent.unreachable_time = time.time_ns()
    agent.state = "unreachable"
    for task in list(agent.tasks.values()):
        framework = master.frameworks[task.framework_id]
        del framework.tasks[task.id]
        framework.unreachable[task.id] = task
        if task.told in TERMINAL or not was_known:
            continue
        master.master_status(
            framework,
            task.id,
            "TASK_UNREACHABLE" if framework.is_partition_aware else "TASK_LOST",
            "health check timed out",
            "REASON_AGENT_REMOVED",
            agent.id,
            unreachable_time={"nanoseconds": agent.unreachable_time},
        )
    for offer in list(agent.offers.values()):
        master.withdraw(offer, rescind=True)
    for framework in master.frameworks.values():
        master.send(framework, "FAILURE", {"agent_id": {"value": agent.id}})


def return_agent(master: Master, agent: Agent) -> None:
    """An unreachable agent registers again, with its tasks and the updates it could not tell."""
    if agent.state != "unreachable":
        return
    agent.state = "registered"
    for task in list(agent.tasks.values()):
        framework = master.frameworks[task.framework_id]
        framework.unreachable.pop(task.id, None)
        framework.tasks[task.id] = task
        if task.latest not in TERMINAL:
            master.master_status(
                framework,
                task.id,
                task.latest,
                "Unreachable agent re-reregistered",
                "REASON_AGENT_REREGISTERED",
                agent.id,
                container_status=task.container,
            )
    master.executors.resume(agent.tasks.values())
    master.allocate_soon()


def lose_tasks(master: Master, agent: Agent) -> None:
    """The machine of an unreachable agent is gone for good, and its tasks with it; it keeps being unreachable."""
    for task in list(agent.tasks.values()):
        framework = master.frameworks[task.framework_id]
        master.executors.vanish(task)
        master.forget(task, framework)
        framework.unreachable[task.id] = task


def register_agent(master: Master, agent: Agent) -> bool:
    """An agent finds the new master, and tells the latest state of its tasks. Returns whether it had to."""
    if agent.state != "recovered":
        return False
    agent.state = "registered"
    for task in agent.tasks.values():
        task.told = task.latest
    master.executors.resume(agent.tasks.values())
    master.allocate_soon()
    return True


def fail_over(master: Master, agents_after: float | None, spread: float) -> None:
    """Another master takes over: it knows no framework until they subscribe, and no agent until they register.

    Agents do so one by one, from `agents_after` seconds on, over `spread` seconds; for None they wait to be told.
    """
    loop = asyncio.get_running_loop()
    master.id = uuid_text()
    for offer in list(master.offers.values()):
        master.withdraw(offer, rescind=False, how="master failover")
    master.completed.clear()
    for framework in list(master.frameworks.values()):
        framework.close_stream()
        if framework.failover_timer is not None:
            framework.failover_timer.cancel()
        fresh = master.frameworks[framework.id] = Framework(framework.id)
        fresh.update(framework.info)
        fresh.tasks = framework.tasks
        fresh.unreachable = framework.unreachable
        fresh.allocated = framework.allocated
    waiting: Sequence[Agent] = [agent for agent in master.agents.values() if agent.state == "registered"]
    for agent in waiting:
        agent.state = "recovered"
    if agents_after is not None:
        for number, agent in enumerate(waiting):
            delay = agents_after + spread * number / len(waiting)
            loop.call_later(delay, register_agent, master, agent)
