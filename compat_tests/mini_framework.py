"""As little of a Mesos framework as tests of a cluster need: it passes over what is not waited for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from compat_tests.servers.mesos_client import MesosFramework, StreamEnded, scalar, task

PATIENCE_S = 30  # heartbeats come every 15 seconds, so that a read never waits longer
TERMINAL = {"TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR", "TASK_LOST"}


class MiniFramework:
    """Subscribed from entering the context. At its end it is torn down, unless told otherwise or after an error.

    `info`: more fields of its FrameworkInfo.
    """

    def __init__(self, master_url: str, role: str = "*", tear_down: bool = True, **info: Any) -> None:
        told = {"name": "mini", "roles": [role], "capabilities": [{"type": "MULTI_ROLE"}], "failover_timeout": 0.0}
        self._mesos = MesosFramework(master_url.removeprefix("http://"), **{**told, **info})
        self._role = role
        self._tear_down = tear_down

    def __enter__(self) -> Self:
        self._mesos.subscribe()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._tear_down:
                self._mesos.teardown()
        finally:
            self._mesos.close()

    @property
    def id(self) -> str:
        assert self._mesos.id is not None, "not subscribed"
        return self._mesos.id

    def call(self, kind: str, **details: Any) -> None:
        """Make a call of the scheduler API; `details` are its fields."""
        self._mesos.done(kind, details or None)

    @property
    def _events(self) -> Iterator[dict[str, Any]]:
        while True:
            try:
                yield self._mesos.stream.event(PATIENCE_S)
            except StreamEnded:
                return

    def next(self, kind: str) -> dict[str, Any]:
        """Return what the next event of this kind says; others are passed over."""
        end = time.monotonic() + PATIENCE_S
        for event in self._events:
            if event["type"] == kind:
                return dict(event[kind.lower()])
            assert time.monotonic() < end, f"no {kind} within {PATIENCE_S} seconds"
        raise AssertionError(f"the stream ended before {kind}")

    def offers(self, count: int) -> dict[str, dict[str, Any]]:
        """Return offers of `count` different agents, by host name."""
        found: dict[str, dict[str, Any]] = {}
        while len(found) < count:
            found |= {offer["hostname"]: offer for offer in self.next("OFFERS")["offers"]}
        return found

    def launch(
        self, offer: dict[str, Any], name: str, command: str, *, cpus: float = 0.1, mem: float = 32,
        refuse: float = 0, **more: Any,
    ) -> None:  # fmt: skip
        """Run a shell command on an offer, the rest of which is declined for `refuse` seconds; `more` are fields of
        the TaskInfo."""
        allocation = {"role": self._role}
        amounts = [scalar(key, value, allocation_info=allocation) for key, value in (("cpus", cpus), ("mem", mem))]
        self._mesos.launch([offer], [task(name, offer, command, **{"resources": amounts, **more})], refuse)

    def status(self, name: str, wanted: set[str]) -> dict[str, Any]:
        """Acknowledge updates until a task has a wanted state; return that TaskStatus."""
        while True:
            status: dict[str, Any] = self.next("UPDATE")["status"]
            if "uuid" in status:
                assert self._mesos.acknowledge(status).status == 202
            if status["task_id"]["value"] == name:
                if status["state"] in wanted:
                    return status
                assert status["state"] not in TERMINAL, status
