"""The simulated master as a process: its listeners, its clock, and what answers which path."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

from compat_tests.servers.simulated_mesos.calls import SchedulerApi
from compat_tests.servers.simulated_mesos.control import Control
from compat_tests.servers.simulated_mesos.faults import Faults
from compat_tests.servers.simulated_mesos.http import Request, Server, answer, listen
from compat_tests.servers.simulated_mesos.master import VERSION, Master
from compat_tests.servers.simulated_mesos.model import Agent, Framework
from compat_tests.servers.simulated_mesos.settings import Settings

SCHEDULER = "/api/v1/scheduler"
LONGEST_TICK = 0.25


class Service:
    """One master. Make it inside a running event loop."""

    def __init__(self, settings: Settings) -> None:
        self.master = Master(settings)
        self.faults = Faults()
        self.server = Server(self._handle)
        self._scheduler = SchedulerApi(self.master)
        self._control = Control(self.master, self.faults, self.server)

    async def run(self) -> None:
        """Serve until cancelled; the addresses are printed as one line of JSON."""
        settings = self.master.settings
        listener, port = await listen(self.server, settings.port)
        control, control_port = await listen(Server(self._control.handle), 0)
        self.master.address = f"127.0.0.1:{port}"
        for _ in range(settings.agents):
            self.master.add_agent()
        print(json.dumps({"address": self.master.address, "control": f"127.0.0.1:{control_port}"}), flush=True)
        async with listener, control:
            await asyncio.gather(self._allocate(), self._tick(), self._heartbeat())

    async def _allocate(self) -> None:
        while True:
            await asyncio.sleep(self.master.settings.allocation_interval)
            self.master.allocator.allocate()

    async def _tick(self) -> None:
        """Retry what is due."""
        while True:
            await asyncio.sleep(min(LONGEST_TICK, self.master.settings.retry_interval / 4))
            self.master.executors.retry()

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(self.master.settings.heartbeat_interval)
            self.master.heartbeat()

    # --- paths -------------------------------------------------------------------------
    def _handle(self, request: Request) -> bytes | None:
        path = request.path.partition("?")[0]
        if path == SCHEDULER:
            return self._schedule(request)
        if path in ("/version", "/master/version"):
            return _json({"version": VERSION, "build_user": "simulator"})
        if path in ("/health", "/master/health"):
            return answer(200)
        if path in ("/state", "/master/state"):
            return _json(self._state())
        return answer(404, "Not Found")

    def _schedule(self, request: Request) -> bytes | None:
        trace = self.master.trace
        call = self._scheduler.parse(request)
        refused = self._refusal(request) or (call if isinstance(call, bytes) else None)
        kind = str(call.get("type")) if isinstance(call, dict) else "malformed"
        trace.calls[kind] += 1
        if kind != "ACKNOWLEDGE":
            trace.call_log.append((time.time(), kind, _framework_of(call)))
        if refused is not None:
            return self._counted(refused)
        assert isinstance(call, dict)
        before, after = self.faults.next(kind)
        if before is not None:
            return self._counted(before.apply(request.connection))
        result = self._scheduler.handle(call, request)
        if after is not None and result is not None:
            return self._counted(after.apply(request.connection))
        return self._counted(result)

    def _counted(self, result: bytes | None) -> bytes | None:
        if result is not None and not result.startswith(b"HTTP/1.1 20"):
            self.master.trace.refused[result[9:12].decode()] += 1
        return result

    def _refusal(self, request: Request) -> bytes | None:
        """What is wrong with the master or the caller, whatever the call."""
        if self.faults.redirect_to is not None:
            return answer(307, Location=f"//{self.faults.redirect_to}{SCHEDULER}")
        if self.faults.unavailable:
            return answer(503, "Master is not the leader")
        credential = self.master.settings.credential
        if credential is not None:
            expected = b"Basic " + base64.b64encode(":".join(credential).encode())
            if request.headers.get(b"authorization") != expected:
                return answer(401, WWW_Authenticate='Basic realm="mesos-scheduler"')
        return None

    def _state(self) -> dict[str, Any]:
        master = self.master
        return {
            "version": VERSION,
            "id": master.id,
            "pid": f"master@{master.address}",
            "hostname": "127.0.0.1",
            "start_time": master.started,
            "elected_time": master.started,
            "leader": f"master@{master.address}",
            "leader_info": {key: master.master_info()[key] for key in ("id", "pid", "port", "hostname")},
            "activated_slaves": sum(agent.state == "registered" for agent in master.agents.values()),
            "unreachable_slaves": sum(agent.state == "unreachable" for agent in master.agents.values()),
            "slaves": [_agent_state(agent) for agent in master.agents.values() if agent.state == "registered"],
            "frameworks": [_framework_state(framework) for framework in master.frameworks.values()],
            "completed_frameworks": [{"id": framework_id} for framework_id in master.completed],
        }


def _framework_of(call: Any) -> str:
    framework_id = call.get("framework_id") if isinstance(call, dict) else None
    return str(framework_id.get("value")) if isinstance(framework_id, dict) else ""


def _agent_state(agent: Agent) -> dict[str, Any]:
    names = ("cpus", "mem", "disk", "gpus")
    return {
        "id": agent.id,
        "hostname": agent.hostname,
        "active": True,
        "resources": {name: agent.total.total(name) / 1000 for name in names},
    }


def _framework_state(framework: Framework) -> dict[str, Any]:
    return {
        "id": framework.id,
        "name": framework.info.get("name"),
        "active": framework.connected,
        "connected": framework.connected,
        "roles": framework.roles,
        "tasks": [{"id": task.id, "slave_id": task.agent.id, "state": task.told} for task in framework.tasks.values()],
        "unreachable_tasks": [{"id": task.id, "slave_id": task.agent.id} for task in framework.unreachable.values()],
        "offers": [{"id": offer.id} for offer in framework.offers.values()],
    }


def _json(value: Any) -> bytes:
    return answer(200, json.dumps(value), "application/json")
