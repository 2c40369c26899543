"""A framework for tests: speaks the v1 scheduler API of Mesos itself, one call at a time, and hides nothing."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

PATH = "/api/v1/scheduler"
Event = dict[str, Any]


class StreamEnded(Exception):
    """The master closed the event stream."""


class Refused(Exception):
    """The master answered a SUBSCRIBE with something else than a stream; `status` and `text` say what."""

    def __init__(self, status: int, text: str, headers: dict[str, str]) -> None:
        super().__init__(f"{status}: {text}")
        self.status, self.text, self.headers = status, text, headers


@dataclass(frozen=True, slots=True)
class Answer:
    """What the master said to a call."""

    status: int
    text: str


class EventStream:
    """The answer to one SUBSCRIBE: HTTP chunks that carry RecordIO (length in decimal, line feed, JSON)."""

    def __init__(self, address: str, call: Event, headers: dict[str, str], seconds: float = 30) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=seconds)
        self._data = b""
        self._records = b""
        body = json.dumps(call).encode()
        lines = [f"POST {PATH} HTTP/1.1", f"Host: {address}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        self.deadline = time.monotonic() + seconds
        while b"\r\n\r\n" not in self._data:
            self._receive()
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        self.status = int(first.split()[1])
        if self.status != 200:
            length = int(self.headers.get("content-length", "0"))
            while len(self._data) < length:
                self._receive()
            self.close()
            raise Refused(self.status, self._data[:length].decode(), self.headers)

    @property
    def stream_id(self) -> str:
        return self.headers["mesos-stream-id"]

    def _receive(self) -> None:
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("no event in time")
        self._socket.settimeout(remaining)
        data = self._socket.recv(1 << 16)
        if not data:
            raise StreamEnded
        self._data += data

    def _chunk(self) -> bytes:
        while True:
            size, found, rest = self._data.partition(b"\r\n")
            if found and len(rest) >= int(size, 16) + 2:
                length = int(size, 16)
                self._data = rest[length + 2 :]
                if length == 0:
                    raise StreamEnded
                return rest[:length]
            self._receive()

    def record(self, seconds: float) -> bytes:
        """Return the next record. Raises TimeoutError, StreamEnded, or ConnectionError."""
        self.deadline = time.monotonic() + seconds
        while True:
            size, found, rest = self._records.partition(b"\n")
            if found and len(rest) >= int(size):
                self._records = rest[int(size) :]
                return rest[: int(size)]
            self._records += self._chunk()

    def event(self, seconds: float) -> Event:
        """Return the next record as an event; the same exceptions as `record`."""
        event: Event = json.loads(self.record(seconds))
        return event

    def close(self) -> None:
        self._socket.close()


class MesosFramework:
    """A framework that does what its test says; nothing is acknowledged or declined by itself.

    `info` is the FrameworkInfo to send. Events that a test does not wait for are kept in `held`.
    """

    def __init__(self, address: str, *, credential: tuple[str, str] | None = None, **info: Any) -> None:
        self.address = address
        self.info: dict[str, Any] = {"user": "root", "name": "test framework", "failover_timeout": 60.0, **info}
        self.id: str | None = None
        self.held: list[Event] = []
        self.subscribed: Event = {}
        self._stream: EventStream | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if credential:
            token = base64.b64encode(":".join(credential).encode()).decode()
            self._headers["Authorization"] = f"Basic {token}"

    # --- the stream ----------------------------------------------------------
    @property
    def stream(self) -> EventStream:
        assert self._stream is not None, "not subscribed"
        return self._stream

    def subscribe(self, framework_id: str | None = None, **subscribe: Any) -> Event:
        """Open a stream and return the `subscribed` part of its first event. Raises Refused; an ERROR fails."""
        event = self.try_subscribe(framework_id, **subscribe)
        assert event["type"] == "SUBSCRIBED", event
        return self.subscribed

    def try_subscribe(self, framework_id: str | None = None, **subscribe: Any) -> Event:
        """Open a stream and return its first event, SUBSCRIBED or ERROR."""
        self.close()
        self.held.clear()
        info = dict(self.info)
        call: Event = {"type": "SUBSCRIBE", "subscribe": {"framework_info": info, **subscribe}}
        if framework_id is not None:
            info["id"] = call["framework_id"] = {"value": framework_id}
        self._stream = EventStream(self.address, call, self._headers)
        event = self._stream.event(30)
        if event["type"] == "SUBSCRIBED":
            self.subscribed = event["subscribed"]
            self.id = self.subscribed["framework_id"]["value"]
        return event

    def wait(self, kind: str, match: Callable[[Event], bool] = lambda part: True, seconds: float = 30) -> Event:
        """Return the part (`event[kind.lower()]`) of the first event of that kind that matches, held ones first."""
        for position, event in enumerate(self.held):
            if event["type"] == kind and match(event.get(kind.lower(), {})):
                return dict(self.held.pop(position).get(kind.lower(), {}))
        deadline = time.monotonic() + seconds
        while True:
            try:
                event = self.stream.event(max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                raise TimeoutError(f"no such {kind} in {seconds} s; others: {json.dumps(self.held)[-4000:]}") from None
            if event["type"] == kind and match(event.get(kind.lower(), {})):
                return dict(event.get(kind.lower(), {}))
            self.held.append(event)

    def has_none(self, kind: str, seconds: float, match: Callable[[Event], bool] = lambda part: True) -> bool:
        """Return whether no such event is held or arrives within that time."""
        try:
            self.wait(kind, match, seconds)
        except TimeoutError:
            return True
        return False

    def offers(self, count: int = 1, seconds: float = 30) -> list[Event]:
        """Return offers as they come, at least that many."""
        found: list[Event] = []
        while len(found) < count:
            found += self.wait("OFFERS", seconds=seconds)["offers"]
        return found

    def update(self, task_id: str, *states: str, seconds: float = 30, ack: bool = True) -> Event:
        """Return the next status of that task, of one of these states if given, acknowledged unless told otherwise."""

        def matches(part: Event) -> bool:
            status = part["status"]
            return status["task_id"]["value"] == task_id and (not states or status["state"] in states)

        status: Event = self.wait("UPDATE", matches, seconds)["status"]
        if ack and "uuid" in status:
            assert self.acknowledge(status).status == 202
        return status

    def updates(self, task_id: str, last: str, seconds: float = 30) -> list[Event]:
        """Return all statuses of the task up to the one in the state `last`, each acknowledged."""
        found = [self.update(task_id, seconds=seconds)]
        while found[-1]["state"] != last:
            found.append(self.update(task_id, seconds=seconds))
        return found

    def disconnect(self) -> None:
        """Close the stream; the master keeps the framework for its failover timeout."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def close(self) -> None:
        self.disconnect()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # --- calls ---------------------------------------------------------------
    def post(self, body: bytes, headers: dict[str, str], path: str = PATH, method: str = "POST") -> Answer:
        """Send a body with exactly these headers."""
        for attempt in (1, 2):
            if self._connection is None:
                host, _, port = self.address.rpartition(":")
                self._connection = http.client.HTTPConnection(host, int(port), timeout=30)
            try:
                self._connection.request(method, path, body, headers)
                answer = self._connection.getresponse()
                return Answer(answer.status, answer.read().decode())
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self._connection.close()  # a kept connection that the master has closed meanwhile
                self._connection = None
                if attempt == 2:
                    raise
        raise AssertionError("unreachable")

    def call(self, kind: str, part: Event | None = None) -> Answer:
        """Send a call; `part` is what goes under the kind's name in lower case."""
        call: Event = {"type": kind, "framework_id": {"value": self.id}}
        if part is not None:
            call[kind.lower()] = part
        headers = {**self._headers, "Mesos-Stream-Id": self.stream.stream_id}
        return self.post(json.dumps(call).encode(), headers)

    def done(self, kind: str, part: Event | None = None) -> None:
        """Send a call that has to be accepted."""
        answer = self.call(kind, part)
        assert answer.status == 202, f"{kind}: {answer}"

    def accept(self, offers: Sequence[Event], operations: list[Event], refuse_seconds: float | None = None) -> None:
        part: Event = {"offer_ids": [offer["id"] for offer in offers], "operations": operations}
        if refuse_seconds is not None:
            part["filters"] = {"refuse_seconds": refuse_seconds}
        self.done("ACCEPT", part)

    def launch(self, offers: Sequence[Event], tasks: list[Event], refuse_seconds: float | None = None) -> None:
        self.accept(offers, [{"type": "LAUNCH", "launch": {"task_infos": tasks}}], refuse_seconds)

    def decline(self, offers: Sequence[Event], refuse_seconds: float | None = None) -> None:
        part: Event = {"offer_ids": [offer["id"] for offer in offers]}
        if refuse_seconds is not None:
            part["filters"] = {"refuse_seconds": refuse_seconds}
        self.done("DECLINE", part)

    def revive(self, *roles: str) -> None:
        self.done("REVIVE", {"roles": list(roles)} if roles else None)

    def suppress(self, *roles: str) -> None:
        self.done("SUPPRESS", {"roles": list(roles)} if roles else None)

    def kill(self, task_id: str, agent_id: str | None = None) -> None:
        part: Event = {"task_id": {"value": task_id}}
        if agent_id is not None:
            part["agent_id"] = {"value": agent_id}
        self.done("KILL", part)

    def acknowledge(self, status: Event) -> Answer:
        part = {key: status[key] for key in ("agent_id", "task_id", "uuid")}
        return self.call("ACKNOWLEDGE", part)

    def reconcile(self, *tasks: str | tuple[str, str]) -> None:
        """Ask about tasks, each an id or (id, agent id); without any, about all."""
        pairs = [(task, None) if isinstance(task, str) else task for task in tasks]
        listed: list[Event] = []
        for task_id, agent_id in pairs:
            entry: Event = {"task_id": {"value": task_id}}
            if agent_id is not None:
                entry["agent_id"] = {"value": agent_id}
            listed.append(entry)
        self.done("RECONCILE", {"tasks": listed})

    def teardown(self) -> None:
        self.done("TEARDOWN")


def scalar(name: str, value: float, **more: Any) -> Event:
    return {"name": name, "type": "SCALAR", "scalar": {"value": value}, **more}


def task(task_id: str, offer: Event, command: str = "true", cpus: float = 0.1, mem: float = 32, **more: Any) -> Event:
    """A TaskInfo for the offer's agent."""
    return {
        "name": task_id,
        "task_id": {"value": task_id},
        "agent_id": offer["agent_id"],
        "resources": [scalar("cpus", cpus), scalar("mem", mem)],
        "command": {"shell": True, "value": command},
        **more,
    }


def total(offer: Event, name: str) -> float:
    """The sum of an offer's scalars of that name."""
    return round(sum(float(r["scalar"]["value"]) for r in offer["resources"] if r["name"] == name and "scalar" in r), 3)
