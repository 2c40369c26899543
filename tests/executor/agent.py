"""A small Mesos agent: the v1 executor API over a real socket, told by the test what to say."""

from __future__ import annotations

import json
import queue
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE = 30.0
PATH = "/slave(1)/api/v1/executor"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    agent: FakeAgent

    def setup(self) -> None:
        super().setup()
        self.agent.connections.append(self.connection)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        agent = self.agent
        with agent.changed:
            agent.calls.append(body)
            agent.tokens.append(self.headers.get("Authorization", ""))
            agent.changed.notify_all()
        if body["type"] == "SUBSCRIBE":
            self._stream(body)
            return
        status = 202 if agent.accepting and self.path == PATH else 503
        if status == 202:
            agent.updated(body["update"]["status"])
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _stream(self, body: dict[str, Any]) -> None:
        agent = self.agent
        if self.path != PATH:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        framework = {"capabilities": [{"type": name} for name in agent.capabilities]}
        events.put({"type": "SUBSCRIBED", "subscribed": {"framework_info": framework}})
        with agent.changed:
            agent.events = events
            agent.subscriptions.append(body["subscribe"])
            agent.changed.notify_all()
        for update in body["subscribe"]["unacknowledged_updates"]:
            agent.updated(update["status"])
        while (event := events.get()) is not None:
            text = json.dumps(event).encode()
            record = b"%d\n%s" % (len(text), text)
            half = len(record) // 2  # a record may come in any pieces
            for piece in (record[:half], record[half:]):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.close_connection = True

    def handle(self) -> None:
        with suppress(OSError, ValueError):  # cut off by the test
            super().handle()

    def log_message(self, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *args: object) -> None:
        pass


class FakeAgent:
    """Acknowledges updates while `acknowledging`, takes them while `accepting` (else 503)."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.calls: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        self.statuses: list[dict[str, Any]] = []  # as they came, without repetitions
        self.repeated = 0
        self.subscriptions: list[dict[str, Any]] = []
        self.connections: list[Any] = []
        self.events: queue.SimpleQueue[dict[str, Any] | None] | None = None
        self.capabilities: list[str] = ["TASK_KILLING_STATE"]
        self.accepting = self.acknowledging = True
        self.port = 0
        self._server: _Server | None = None
        self.up()

    def up(self) -> None:
        """Begin to listen: on any port the first time, and on the same one after `down`."""
        handler = type("Handler", (_Handler,), {"agent": self})
        self._server = _Server(("127.0.0.1", self.port), handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def down(self) -> None:
        """Stop listening and cut all connections, as a process does that is killed."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._server = None
        with self.changed:
            events, self.events = self.events, None
        if events is not None:
            events.put(None)
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(2)
        self.connections.clear()

    def updated(self, status: dict[str, Any]) -> None:
        with self.changed:
            if any(known["uuid"] == status["uuid"] for known in self.statuses):
                self.repeated += 1
            else:
                self.statuses.append(status)
            if self.acknowledging:
                self.acknowledge(status)
            self.changed.notify_all()

    def acknowledge(self, status: dict[str, Any]) -> None:
        self.say("ACKNOWLEDGED", {"task_id": status["task_id"], "uuid": status["uuid"]})

    def say(self, kind: str, body: dict[str, Any] | None = None) -> None:
        assert self.events is not None, "nobody has subscribed"
        self.events.put({"type": kind, kind.lower(): body} if body is not None else {"type": kind})

    def launch(self, task_id: str, program: list[str], environment: tuple[Any, ...] = (), **more: Any) -> None:
        order = {"form": 1, "program": program, "environment": environment}
        data = b64encode(json.dumps(order).encode()).decode()
        self.say("LAUNCH", {"task": {"task_id": {"value": task_id}, "data": data, **more}})

    def shell(self, task_id: str, text: str, **more: Any) -> None:
        self.launch(task_id, ["/bin/sh", "-c", text], **more)

    def kill(self, task_id: str, grace: float | None = None) -> None:
        policy = {} if grace is None else {"kill_policy": {"grace_period": {"nanoseconds": int(grace * 1e9)}}}
        self.say("KILL", {"task_id": {"value": task_id}, **policy})

    def states(self, task_id: str) -> list[str]:
        return [status["state"] for status in self.statuses if status["task_id"]["value"] == task_id]

    def wait(self, what: str, test: Callable[[], object], patience: float = PATIENCE) -> None:
        end = time.monotonic() + patience
        with self.changed:
            while not test():
                left = end - time.monotonic()
                assert left > 0, f"no {what}; statuses: {self.statuses[-20:]}"
                self.changed.wait(left)

    def wait_subscribed(self) -> None:
        self.wait("subscription", lambda: self.events is not None)

    def wait_state(self, task_id: str, state: str) -> dict[str, Any]:
        self.wait(f"{state} of {task_id}", lambda: state in self.states(task_id))
        return next(s for s in self.statuses if s["task_id"]["value"] == task_id and s["state"] == state)
