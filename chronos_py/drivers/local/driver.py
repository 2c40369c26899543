"""This machine as an agent, or several. One thread does all: launches, watches, tells; callers only leave messages."""

from __future__ import annotations

import os
import resource
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty
from types import MappingProxyType

import structlog

from chronos_py.drivers.base import DriverStatus, OutputChunk, Post
from chronos_py.drivers.local import output
from chronos_py.drivers.local.agent import Agent, Options
from chronos_py.drivers.local.limits import choose_limits
from chronos_py.drivers.local.outcomes import recorded
from chronos_py.drivers.local.prune import Pruner
from chronos_py.drivers.local.sandbox import FOLDERS, Sandbox, boot_id, replace
from chronos_py.errors import UnknownTask
from chronos_py.model.capacity import AgentCapacity
from chronos_py.model.messages import Acknowledge, DriverEffect, DriverEvent, DriverReady
from chronos_py.model.pools import AgentSpec, ResourceOrder
from chronos_py.model.resources import Resources

log = structlog.get_logger(__name__)

STOP_S = 5.0
TURN = 256  # messages, before processes that ended are looked at again
SHARED_FIRST = ResourceOrder()
_NOTHING: Mapping[str, str] = MappingProxyType({})


class LocalDriver:
    """A Driver for the machine that the server stands on. `data_dir` keeps what must outlive the server.

    `resources` are those of one agent, which has `attributes`; or they describe several. Tasks may use what is reserved
    for one of `roles`.

    Tasks run on when it stops, and when the server is killed at any instant: the next one finds them by `data_dir`.
    """

    def __init__(
        self,
        data_dir: Path,
        resources: Resources | Sequence[AgentSpec],
        *,
        host: str,
        attributes: Mapping[str, str] = _NOTHING,
        roles: Sequence[str] = (),
        order: ResourceOrder = SHARED_FIRST,
        default_user: str = "root",
        limits: str = "auto",
        output_max_bytes: int = 10 * 1024**2,
        fetch_max_bytes: int = 10 * 1024**3,
        sandbox_max_age_s: float = 7 * 86_400,
        sandbox_max_bytes: int = 10 * 1024**3,
    ) -> None:
        self._root = os.path.abspath(data_dir)
        if isinstance(resources, Resources):
            resources = (AgentSpec(resources, attributes=dict(attributes)),)
        self._options = Options(
            tuple(resources), host, tuple(roles), order, default_user, output_max_bytes, fetch_max_bytes
        )
        self._limits = limits
        self._pruning = (sandbox_max_age_s, sandbox_max_bytes)
        self._agent_id = ""
        self._agent: Agent | None = None
        self._thread: threading.Thread | None = None

    # --- any thread

    def start(self, post: Post, framework_id: str) -> None:
        """Raises OSError when `data_dir` cannot be used."""
        del framework_id  # tasks here have no other framework to be kept apart from
        for folder in FOLDERS:
            os.makedirs(f"{self._root}/{folder}", mode=0o711, exist_ok=True)  # not for others to list
        _raise_descriptor_limit()
        agent_id = self._agent_id = self._kept("agent_id", f"local-{uuid.uuid4().hex[:12]}")
        boot = boot_id()
        rebooted = self._kept("boot_id", boot) != boot
        replace(f"{self._root}/boot_id", boot.encode())
        limits = choose_limits(self._limits, f"chronos-{agent_id[-12:]}")
        pruner = Pruner(self._root, *self._pruning)
        agent = Agent(self._root, agent_id, boot, rebooted, self._options, limits, pruner, _safely(post))
        self._agent = agent
        for spec in self._options.agents:
            log.info("tasks run on this machine", agent=spec.name, resources=str(spec.resources), limits=limits.name)
        self._thread = threading.Thread(target=self._run, args=(agent,), name="local-driver", daemon=True)
        self._thread.start()
        pruner.start()

    def _kept(self, name: str, new: str) -> str:
        """Return a text that outlives the server, `new` the first time."""
        path = f"{self._root}/{name}"
        with suppress(OSError):
            if text := Path(path).read_text(errors="replace").strip():
                return text
        replace(path, new.encode())
        return new

    def perform(self, effect: DriverEffect) -> None:
        agent = self._agent
        if agent is not None:  # else nobody is there to do it; whoever starts us asks what became of what
            agent.leave(effect)

    @property
    def agent_id(self) -> str:
        """Return this machine's name, which is its only agent's too; it is there from the first start on."""
        return self._agent_id

    def stop(self) -> None:
        agent, thread = self._agent, self._thread
        if agent is None or thread is None:
            return
        agent.stopping = True
        agent.watch.ring()
        thread.join(STOP_S)
        agent.pruner.stop()
        if thread.is_alive():
            log.error("the local driver's thread does not end")
        else:
            agent.close()
        self._thread = self._agent = None

    def status(self) -> DriverStatus:
        agent, thread = self._agent, self._thread
        if agent is None or thread is None:
            return DriverStatus("local", False)
        return DriverStatus("local", thread.is_alive(), agent.detail())

    def capacity(self) -> Sequence[AgentCapacity]:
        agent = self._agent
        return [] if agent is None else agent.capacity()

    def output(self, task_id: str, stream: str, offset: int, length: int, agent_id: str = "") -> OutputChunk:
        """Read up to `length` bytes of a task's stdout or stderr; a negative `offset` counts from the end.

        Raises UnknownTask when there is no such task here, or not any more.
        """
        del agent_id  # all are here
        sandbox = Sandbox.of(self._root, task_id)
        live = sandbox.is_live()
        if stream not in output.STREAMS or not (live or sandbox.is_done()) or not os.path.isdir(sandbox.path):
            raise UnknownTask(task_id)
        ended = not live or recorded(sandbox.read()) is not None
        return output.read(sandbox, stream, offset, length, ended=ended)

    def sandbox_url(self, task_id: str, agent_id: str) -> str:
        """Sandboxes here are read through our own API only."""
        del task_id, agent_id
        return ""

    # --- the thread

    def _run(self, agent: Agent) -> None:
        agent.post(DriverReady())
        try:
            agent.recover()
        except Exception:
            log.exception("what ran before could not be looked through")
        while not agent.stopping:
            try:
                agent.tick(time.monotonic())
                pause = 0.0 if not agent.messages.empty() else agent.pause(time.monotonic())
                for pid in agent.watch.wait(pause):
                    agent.ended(pid)
                self._work_off(agent)
            except Exception:
                log.exception("the local driver stumbled and goes on")
                time.sleep(0.05)
        self._work_off(agent)

    @staticmethod
    def _work_off(agent: Agent) -> None:
        """Do what was asked, some of it; once stopped only acknowledge, or ends would be told once more for nothing."""
        for _ in range(TURN):
            try:
                message = agent.messages.get_nowait()
            except Empty:
                return
            if agent.stopping and not isinstance(message, Acknowledge):
                continue
            try:
                if callable(message):
                    message()
                else:
                    agent.perform(message)
            except Exception:
                log.exception("a message to the local driver came to nothing")


def _safely(post: Post) -> Post:
    def tell(event: DriverEvent) -> None:
        try:
            post(event)
        except Exception:
            log.exception("an event could not be passed on")

    return tell


def _raise_descriptor_limit() -> None:
    """Allow ourselves as many descriptors as we may: a running task takes one. Tasks get the usual limit back."""
    with suppress(ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
