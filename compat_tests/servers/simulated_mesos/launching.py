"""ACCEPT: which offers it may use, and which of its tasks Mesos lets through."""

from __future__ import annotations

from typing import Any

from compat_tests.servers.simulated_mesos.commands import command_text
from compat_tests.servers.simulated_mesos.ids import uuid_text
from compat_tests.servers.simulated_mesos.master import Master
from compat_tests.servers.simulated_mesos.model import Agent, Framework, Message, Offer, Task
from compat_tests.servers.simulated_mesos.resources import Bag, InvalidResource, from_json

LONGEST_ID = 255


def accept(master: Master, framework: Framework, part: Message) -> None:
    """Carry out an ACCEPT whose operations are all LAUNCH."""
    ids = [str(offer_id["value"]) for offer_id in part.get("offer_ids", [])]
    tasks: list[Message] = [
        task for operation in part.get("operations", []) for task in operation.get("launch", {}).get("task_infos", [])
    ]
    offers = [framework.offers[offer_id] for offer_id in dict.fromkeys(ids) if offer_id in framework.offers]
    error = _offers_error(framework, ids, offers)
    if error is not None:
        for offer in offers:
            master.withdraw(offer, rescind=False, how="accepted with others that are invalid")
        state = "TASK_DROPPED" if framework.is_partition_aware else "TASK_LOST"
        for task in tasks:
            message = f"Task launched with invalid offers: {error}"
            master.master_status(
                framework, task["task_id"]["value"], state, message, "REASON_INVALID_OFFERS", _agent_id(task)
            )
        return
    for offer in offers:
        master.end_offer(offer, "accepted")
    agent, role = offers[0].agent, offers[0].role
    available = Bag()
    for offer in offers:
        available.add(offer.bag)
    refused = available
    try:
        bags = [from_json(task.get("resources", []), role) for task in tasks]
    except InvalidResource as invalid:
        # One resource that cannot be fails every task of the call.
        for task in tasks:
            _reject(master, framework, task, str(invalid))
    else:
        refused = _launch_all(master, framework, agent, role, available, list(zip(tasks, bags, strict=True)))
    master.release(framework, role, agent, refused)
    seconds = part.get("filters", {}).get("refuse_seconds")
    master.allocator.refuse(framework, role, agent, refused.copy(), seconds)


def _launch_all(
    master: Master, framework: Framework, agent: Agent, role: str, available: Bag, pairs: list[tuple[Message, Bag]]
) -> Bag:
    """Launch what is valid; return what is left of the available resources."""
    left = available.copy()
    for info, bag in pairs:
        error = _task_error(framework, agent, role, info, bag, left)
        if error is not None:
            _reject(master, framework, info, error)
            continue
        left.subtract(bag)
        task_id = info["task_id"]["value"]
        task = Task(task_id, framework.id, agent, bag, role, command_text(info), _container(info))
        framework.tasks[task_id] = agent.tasks[framework.id, task_id] = task
        master.trace.launch(framework.id, task_id)
        master.executors.start(task)
    return left


def _offers_error(framework: Framework, ids: list[str], offers: list[Offer]) -> str | None:
    if not ids:
        return "No offers specified"
    seen: set[str] = set()
    for offer_id in ids:
        if offer_id in seen:
            return f"Duplicate offer {offer_id} in offer list"
        seen.add(offer_id)
        if offer_id not in framework.offers:
            return f"Offer {offer_id} is no longer valid"
    first = offers[0]
    for offer in offers[1:]:
        if offer.role != first.role:
            return (
                f"Aggregated offers must be allocated to the same role. Offer {offer.id} uses role "
                f"'{offer.role} but another is using role '{first.role}"
            )
        if offer.agent is not first.agent:
            return (
                f"Aggregated offers must belong to one single agent. Offer {offer.id} uses agent {offer.agent.id} "
                f"but another is using agent {first.agent.id}"
            )
    return None


def _task_error(framework: Framework, agent: Agent, role: str, task: Message, bag: Bag, left: Bag) -> str | None:
    """Return what Mesos says against a task, in the order of its checks."""
    task_id: str = task["task_id"]["value"]
    error = id_error(task_id)
    if error is not None:
        return error
    if task_id in framework.tasks:
        return f"Task has duplicate ID: {task_id}"
    if _agent_id(task) != agent.id:
        return f"Task uses invalid agent {_agent_id(task)} while agent {agent.id} is expected"
    if bool(task.get("command")) == bool(task.get("executor")):
        return "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"
    if not task.get("resources"):
        return "Task uses no resources"
    if task_id in framework.unreachable:
        return f"Task reuses the ID of an unreachable task: {task_id}"
    if not left.contains(bag):
        return (
            f"Total resources {bag.text(role)} required by task and its executor is more than available "
            f"{left.text(role)}"
        )
    return None


def id_error(task_id: str) -> str | None:
    """Return what Mesos says against an id."""
    if not task_id:
        return "ID must not be empty"
    if len(task_id.encode()) > LONGEST_ID:
        return "ID must not be greater than 255 characters"
    if task_id in (".", ".."):
        return f"'{task_id}' is disallowed"
    if any(sign in "/\\" or ord(sign) < 32 or ord(sign) == 127 for sign in task_id):
        return f"'{task_id}' contains invalid characters"
    return None


def _reject(master: Master, framework: Framework, task: Message, message: str) -> None:
    task_id = task["task_id"]["value"]
    master.master_status(framework, task_id, "TASK_ERROR", message, "REASON_TASK_INVALID", _agent_id(task))


def _agent_id(task: Message) -> str:
    return str(task["agent_id"]["value"])


def _container(task: Message) -> dict[str, Any]:
    return {
        "container_id": {"value": uuid_text()},
        "network_infos": [{"ip_addresses": [{"protocol": "IPv4", "ip_address": "127.0.0.1"}]}],
    }
