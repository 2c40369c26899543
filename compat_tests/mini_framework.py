"""As little of a Mesos framework as tests of a cluster need: the v1 scheduler API in JSON, one thread, one stream."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import requests

PATIENCE_S = 30  # heartbeats come every 15 seconds, so that a read never waits longer
TERMINAL = {"TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR", "TASK_LOST"}


def records(stream: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the JSON messages of a RecordIO stream: each comes after its length in bytes and a newline."""
    pending = b""
    for piece in stream:
        pending += piece
        while True:
            size, found, rest = pending.partition(b"\n")
            if not found or len(rest) < int(size):
                break
            yield json.loads(rest[: int(size)])
            pending = rest[int(size) :]


class MiniFramework:
    """Subscribed from entering the context. At its end it is torn down, unless told otherwise or after an error.

    `info`: more fields of its FrameworkInfo.
    """

    def __init__(self, master_url: str, role: str = "*", tear_down: bool = True, **info: Any) -> None:
        self._url = f"{master_url}/api/v1/scheduler"
        self._info = {"user": "root", "name": "mini", "roles": [role], "capabilities": [{"type": "MULTI_ROLE"}], **info}
        self._tear_down = tear_down
        self._session = requests.Session()
        self._session.trust_env = False
        self._stream = requests.Response()
        self._events: Iterator[dict[str, Any]] = iter(())
        self.id = ""

    def __enter__(self) -> Self:
        body = {"type": "SUBSCRIBE", "subscribe": {"framework_info": self._info}}
        headers = {"Accept": "application/json"}
        answer = self._session.post(self._url, json=body, headers=headers, stream=True, timeout=PATIENCE_S)
        self._stream = answer
        answer.raise_for_status()
        self._session.headers["Mesos-Stream-Id"] = answer.headers["Mesos-Stream-Id"]
        self._events = records(answer.iter_content(chunk_size=None))
        self.id = self.next("SUBSCRIBED")["framework_id"]["value"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._tear_down:
                self.call("TEARDOWN")
        finally:
            self._stream.close()
            self._session.close()

    def call(self, kind: str, **details: Any) -> None:
        """Make a call of the scheduler API; `details` are its fields."""
        body: dict[str, Any] = {"type": kind, "framework_id": {"value": self.id}}
        if details:
            body[kind.lower()] = details
        answer = self._session.post(self._url, json=body, timeout=PATIENCE_S)
        assert answer.status_code == 202, f"{kind}: {answer.status_code} {answer.text}"

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
        allocation = {"role": self._info["roles"][0]}
        resources = [
            {"name": key, "type": "SCALAR", "scalar": {"value": value}, "allocation_info": allocation}
            for key, value in (("cpus", cpus), ("mem", mem))
        ]
        task = {
            "name": name,
            "task_id": {"value": name},
            "agent_id": offer["agent_id"],
            "resources": resources,
            "command": {"value": command},
            **more,
        }
        operation = {"type": "LAUNCH", "launch": {"task_infos": [task]}}
        self.call("ACCEPT", offer_ids=[offer["id"]], operations=[operation], filters={"refuse_seconds": refuse})

    def status(self, name: str, wanted: set[str]) -> dict[str, Any]:
        """Acknowledge updates until a task has a wanted state; return that TaskStatus."""
        while True:
            status: dict[str, Any] = self.next("UPDATE")["status"]
            if "uuid" in status:
                names = {key: status[key] for key in ("agent_id", "task_id", "uuid")}
                self.call("ACKNOWLEDGE", **names)
            if status["task_id"]["value"] == name:
                if status["state"] in wanted:
                    return status
                assert status["state"] not in TERMINAL, status
