"""The control path: POST /simulator/<command> with a JSON object, on a port of its own that no fault touches."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

import orjson

from compat_tests.servers.simulated_mesos.faults import CallFault, Faults
from compat_tests.servers.simulated_mesos.happenings import (
    fail_over,
    lose_agent,
    lose_tasks,
    register_agent,
    return_agent,
)
from compat_tests.servers.simulated_mesos.http import Request, Server, answer
from compat_tests.servers.simulated_mesos.ids import uuid_base64
from compat_tests.servers.simulated_mesos.master import Master
from compat_tests.servers.simulated_mesos.model import TERMINAL, Agent, Framework, Message, Task
from compat_tests.servers.simulated_mesos.resources import from_text

PATH = "/simulator/"


class Control:
    """Every public method is a command: its parameters are the members of the JSON object, its result the answer."""

    def __init__(self, master: Master, faults: Faults, server: Server) -> None:
        self._master = master
        self._faults = faults
        self._server = server

    def handle(self, request: Request) -> bytes:
        name = request.path.removeprefix(PATH)
        command: Callable[..., Any] | None = None if name.startswith("_") else getattr(self, name, None)
        if request.method != "POST" or not request.path.startswith(PATH) or command is None or name == "handle":
            return answer(404, f"no command {request.method} {request.path}")
        try:
            result = command(**orjson.loads(request.body or b"{}"))
        except (TypeError, ValueError, KeyError, IndexError) as error:
            return answer(400, f"{name}: {error!r}")
        return answer(200, orjson.dumps(result), "application/json")

    # --- who is meant --------------------------------------------------------------
    def _agent(self, agent: int | str) -> Agent:
        """An agent by id, host name, or number in the order of registration."""
        agents = self._master.agents
        if isinstance(agent, int):
            return list(agents.values())[agent]
        found = agents.get(agent) or next((one for one in agents.values() if one.hostname == agent), None)
        if found is None:
            raise ValueError(f"agent: there is no {agent!r}")
        return found

    def _frameworks(self, framework_id: str | None) -> list[Framework]:
        if framework_id is None:
            return list(self._master.frameworks.values())
        return [self._master.frameworks[framework_id]]

    def _task(self, task_id: str) -> tuple[Framework, Task]:
        for framework in self._master.frameworks.values():
            task = framework.tasks.get(task_id) or framework.unreachable.get(task_id)
            if task is not None:
                return framework, task
        raise ValueError(f"task_id: there is no {task_id!r}")

    # --- questions -------------------------------------------------------------------
    def trace(self) -> Message:
        """Counters, and what is under way now."""
        master = self._master
        return {
            **master.trace.summary(),
            "offers_outstanding": len(master.offers),
            "updates_waiting": master.executors.waiting,
            "tasks": sum(len(framework.tasks) for framework in master.frameworks.values()),
            "longest_hold": max((time.time() - offer.since for offer in master.offers.values()), default=0.0),
        }

    def log(self, of: str, last: int = 1000) -> list[Any]:
        """The last entries of `call_log` (time, call, framework id), `declines`, or `holds` of offers."""
        if of not in ("call_log", "declines", "holds"):
            raise ValueError(f"of: {of!r} is none of call_log, declines, holds")
        return list(getattr(self._master.trace, of))[-last:]

    def tasks(self) -> list[Message]:
        return [
            {
                "id": task.id,
                "framework_id": framework.id,
                "agent_id": task.agent.id,
                "latest": task.latest,
                "told": task.told,
                "waiting": len(task.pending),
                "unreachable": task.id in framework.unreachable,
                "command": task.command,
            }
            for framework in self._master.frameworks.values()
            for task in (*framework.tasks.values(), *framework.unreachable.values())
        ]

    def agents(self) -> list[Message]:
        return [
            {"id": a.id, "hostname": a.hostname, "state": a.state, "tasks": len(a.tasks), "offers": len(a.offers)}
            for a in self._master.agents.values()
        ]

    def frameworks(self) -> list[Message]:
        return [
            {"id": f.id, "connected": f.connected, "offers": len(f.offers), "suppressed": sorted(f.suppressed)}
            for f in self._master.frameworks.values()
        ]

    def settings(self, **changes: Any) -> Message:
        """Change settings (see Settings); return all of them."""
        settings = self._master.settings
        known = {entry.name for entry in fields(settings)} - {"port", "agents"}
        for name, value in changes.items():
            if name not in known:
                raise ValueError(f"there is no setting {name!r} to change")
            setattr(settings, name, tuple(value) if name == "credential" and value else value)
        return asdict(settings)

    # --- agents ------------------------------------------------------------------------
    def add_agent(
        self, hostname: str | None = None, resources: str | None = None, attributes: str | None = None
    ) -> str:
        """Register an agent; return its id."""
        return self._master.add_agent(hostname, resources, attributes).id

    def lose_agent(self, agent: int | str, tasks_die: bool = False) -> None:
        """The agent becomes unreachable; its tasks go on unless they die with it."""
        lost = self._agent(agent)
        lose_agent(self._master, lost)
        if tasks_die:
            lose_tasks(self._master, lost)

    def return_agent(self, agent: int | str, fresh: bool = False) -> str:
        """It is back, with its tasks; or as a new agent that knows none. Returns its id."""
        lost = self._agent(agent)
        if not fresh:
            return_agent(self._master, lost)
            return lost.id
        lose_tasks(self._master, lost)
        again = self._master.add_agent(lost.hostname, "")
        again.total, again.attributes, again.has_gpus = lost.total, lost.attributes, lost.has_gpus
        again.free = lost.total.copy()
        return again.id

    def reserve(self, agent: int | str, resources: str) -> None:
        """Reserve free resources of an agent, given as they will be: `cpus(prod,alice):2`. Its offers are rescinded."""
        reserved = from_text(resources)
        shared = reserved.unreserved()
        chosen = self._agent(agent)
        for offer in list(chosen.offers.values()):
            self._master.withdraw(offer, rescind=True)
        if not chosen.free.contains(shared):
            raise ValueError(f"resources: the agent has not {resources} free and unreserved")
        for bag in (chosen.total, chosen.free):
            bag.subtract(shared)
            bag.add(reserved)
        chosen.changes += 1
        self._master.allocate_soon()

    def unavailability(self, agent: int | str, start: float | None = None, seconds: float | None = None) -> None:
        """Plan maintenance from `start` (seconds since 1970), for ever or so many seconds; None ends it."""
        window: Message | None = None
        if start is not None:
            window = {"start": {"nanoseconds": int(start * 1e9)}}
            if seconds is not None:
                window["duration"] = {"nanoseconds": int(seconds * 1e9)}
        self._master.set_unavailability(self._agent(agent), window)

    def inverse_answers(self) -> list[Message]:
        return self._master.inverse_answers()

    # --- offers ------------------------------------------------------------------------
    def rescind(self, agent: int | str | None = None) -> int:
        """Rescind the offers of one agent, or all; return how many."""
        offers = list((self._master if agent is None else self._agent(agent)).offers.values())
        for offer in offers:
            self._master.withdraw(offer, rescind=True)
        return len(offers)

    def withhold(self, on: bool = True) -> None:
        """Make no offers."""
        self._master.allocator.withheld = on
        if not on:
            self._master.allocate_soon()

    # --- updates -------------------------------------------------------------------------
    def burst(self, count: int, direct: bool = True) -> int:
        """So many updates for running tasks, in turn; direct ones do not wait for acknowledgements."""
        running = [
            (framework, task)
            for framework in self._master.frameworks.values()
            for task in framework.tasks.values()
            if task.latest == "TASK_RUNNING"
        ]
        if not running:
            raise ValueError("no task runs")
        for number in range(count):
            framework, task = running[number % len(running)]
            reason = "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED"
            if direct:
                self._master.send_update(framework, self._status(task, "TASK_RUNNING", reason=reason, healthy=True))
            else:
                self._master.executors.report(task, "TASK_RUNNING", reason=reason, healthy=True)
        return count

    def send_status(self, task_id: str, state: str, framework_id: str | None = None, **more: Any) -> None:
        """Send any status, true or not, also of unknown tasks and states; `uuid: null` leaves that out."""
        try:
            framework, task = self._task(task_id)
            status = self._status(task, state)
        except ValueError:
            framework = self._frameworks(framework_id)[0]
            status = {"task_id": {"value": task_id}, "state": state, "timestamp": time.time(), "uuid": uuid_base64()}
        status.update(more)
        self._master.send_update(framework, {key: value for key, value in status.items() if value is not None})

    def duplicate(self, task_id: str, count: int = 1) -> None:
        """Tell the update that waits for acknowledgement so many times more."""
        framework, task = self._task(task_id)
        if not task.pending:
            raise ValueError(f"task_id: {task_id!r} has no update that waits")
        for _ in range(count):
            self._master.send_update(framework, task.pending[0])

    def hold_updates(self) -> None:
        """Keep updates back until `release_updates`."""
        self._master.held_updates = []

    def release_updates(self, order: str = "reversed") -> int:
        """Send what was kept back, `reversed` or as `sent`; return how many."""
        if order not in ("reversed", "sent"):
            raise ValueError(f"order: {order!r} is none of reversed, sent")
        held, self._master.held_updates = self._master.held_updates or [], None
        for framework, status in reversed(held) if order == "reversed" else held:
            self._master.send_update(framework, status)
        return len(held)

    def finish(self, task_id: str, state: str, message: str = "", reason: str | None = None) -> None:
        """The task ends so, whatever its command."""
        _, task = self._task(task_id)
        if task.latest in TERMINAL:
            raise ValueError(f"task_id: {task_id!r} has ended")
        more = {"message": message} if reason is None else {"message": message, "reason": reason}
        self._master.executors.report(task, state, **more)

    def silent_launches(self, count: int) -> None:
        """Nothing is heard of the next so many tasks; they stay in TASK_STAGING."""
        self._master.executors.silent_launches = count

    def _status(self, task: Task, state: str, **more: Any) -> Message:
        return {
            "task_id": {"value": task.id},
            "state": state,
            "source": "SOURCE_EXECUTOR",
            "agent_id": {"value": task.agent.id},
            "executor_id": {"value": task.id},
            "timestamp": time.time(),
            "uuid": uuid_base64(),
            **more,
        }

    # --- connections ---------------------------------------------------------------------
    def heartbeats(self, on: bool) -> None:
        self._master.sends_heartbeats = on

    def stall(self) -> None:
        """Half-open: everything stays connected, nothing is read or sent."""
        self._server.stall()

    def resume(self) -> None:
        self._server.resume()

    def cut(self, framework_id: str | None = None) -> None:
        """Reset the framework's stream, or without an id every connection."""
        if framework_id is None:
            self._server.cut_all()
            return
        for framework in self._frameworks(framework_id):
            if framework.connection is not None:
                framework.connection.cut()

    def fail_calls(self, action: str, count: int = 1, kind: str | None = None, after: bool = False) -> None:
        """Play `503`, `500`, `hang` or `cut` on the next calls (of a kind or any), before or after they take effect."""
        self._faults.plan(CallFault(kind, action, count, after))

    def heal(self) -> None:
        """Forget the faults planned for calls."""
        self._faults.planned.clear()

    def unavailable(self, on: bool) -> None:
        """Answer 503, as a master that does not lead and knows no leader."""
        self._faults.unavailable = on

    def redirect(self, to: str | None) -> None:
        """Answer 307 to another address; null ends it."""
        self._faults.redirect_to = to

    def inject(
        self,
        event: Any = None,
        text: str | None = None,
        chunk: str | None = None,
        framework_id: str | None = None,
    ) -> int:
        """Send any event, a record of any text, or (base 64) any bytes instead of a chunk; return to how many."""
        found = [framework for framework in self._frameworks(framework_id) if framework.connection is not None]
        for framework in found:
            assert framework.connection is not None
            if chunk is not None:
                framework.connection.send(base64.b64decode(chunk))
            else:
                framework.send_record(orjson.dumps(event) if text is None else text.encode())
        return len(found)

    # --- the master ------------------------------------------------------------------------
    def remove_framework(self, framework_id: str, message: str = "Framework has been removed") -> None:
        """As an operator's teardown, with an ERROR event (empty: without)."""
        self._master.remove_framework(self._master.frameworks[framework_id], message or None)

    def failover(self, agents_after: float | None = 1.0, spread: float = 0.0) -> str:
        """Another master at the same address; agents register again later, or when told. Returns its id."""
        fail_over(self._master, agents_after, spread)
        return self._master.id

    def register_agents(self) -> int:
        """Let all agents find the new master now; return how many did."""
        return sum(register_agent(self._master, agent) for agent in self._master.agents.values())
