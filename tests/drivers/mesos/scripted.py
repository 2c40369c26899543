"""A master that says and answers what a test tells it to, over a real socket."""

from __future__ import annotations

import json
import queue
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.drivers.rig import PATIENCE_S

Say = Callable[[dict[str, Any]], None]


class ScriptedMaster:
    """`address` is where it listens. Each subscription is put into `subscriptions`; calls into `calls`."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.subscriptions: queue.Queue[Subscription] = queue.Queue()
        self.calls: queue.Queue[dict[str, Any]] = queue.Queue()
        self.answer: Callable[[dict[str, Any]], tuple[int, str]] = lambda call: (202, "")
        self.refuse: list[tuple[int, dict[str, str], str]] = []  # of coming subscriptions: status, headers, text
        self.agents: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._open: list[Subscription] = []
        master = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                master.headers.append(dict(self.headers))
                if body["type"] == "SUBSCRIBE":
                    master._subscribe(self, body)
                    return
                master.calls.put(body)
                status, text = master.answer(body)
                if not status:  # no answer at all
                    self.close_connection = True
                    return
                self._reply(status, text)

            def do_GET(self) -> None:
                self._reply(200, json.dumps({"slaves": master.agents}))

            def _reply(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def _subscribe(self, handler: Any, body: dict[str, Any]) -> None:
        if self.refuse:
            status, headers, text = self.refuse.pop(0)
            handler._reply(status, text, headers)
            return
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("Mesos-Stream-Id", f"stream-{len(self._open) + 1}")
        handler.end_headers()
        subscription = Subscription(body)
        self._open.append(subscription)
        self.subscriptions.put(subscription)
        handler.close_connection = True
        while (chunk := subscription.waiting.get()) is not None:
            try:
                handler.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            except OSError:
                return

    def subscribed(self, framework_id: str = "framework-1", heartbeat: float = 15) -> Subscription:
        """Wait for the next subscription and welcome it."""
        subscription = self.subscriptions.get(timeout=PATIENCE_S)
        subscription.welcome(framework_id, heartbeat)
        return subscription

    def call(self, kind: str) -> dict[str, Any]:
        """Wait for the next call of a kind; calls of other kinds before it are passed over."""
        while True:
            call = self.calls.get(timeout=PATIENCE_S)
            if call["type"] == kind:
                return call

    def close(self) -> None:
        for subscription in self._open:
            subscription.end()
        self._server.shutdown()
        self._server.server_close()


class Subscription:
    """One subscriber's stream."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.waiting: queue.Queue[bytes | None] = queue.Queue()

    @property
    def framework(self) -> dict[str, Any]:
        info: dict[str, Any] = self.body["subscribe"]["framework_info"]
        return info

    def welcome(self, framework_id: str, heartbeat: float) -> None:
        self.say(
            {
                "type": "SUBSCRIBED",
                "subscribed": {"framework_id": {"value": framework_id}, "heartbeat_interval_seconds": heartbeat},
            }
        )

    def say(self, event: dict[str, Any]) -> None:
        data = json.dumps(event).encode()
        self.raw(f"{len(data)}\n".encode() + data)

    def raw(self, data: bytes) -> None:
        self.waiting.put(data)

    def end(self) -> None:
        self.waiting.put(None)


@contextmanager
def a_master(tls: ssl.SSLContext | None = None) -> Iterator[ScriptedMaster]:
    master = ScriptedMaster(tls)
    try:
        yield master
    finally:
        master.close()


def an_offer(number: int = 1, agent: str = "agent-1") -> dict[str, Any]:
    return {
        "id": {"value": f"offer-{number}"},
        "framework_id": {"value": "framework-1"},
        "agent_id": {"value": agent},
        "hostname": f"host-of-{agent}",
        "allocation_info": {"role": "*"},
        "resources": [
            {"name": name, "type": "SCALAR", "scalar": {"value": amount}, "allocation_info": {"role": "*"}}
            for name, amount in (("cpus", 4.0), ("mem", 1024.0), ("disk", 1024.0))
        ],
    }


def an_update(task_id: str, state: str, uuid: str = "dXVpZA==", agent: str = "agent-1") -> dict[str, Any]:
    status = {"task_id": {"value": task_id}, "state": state, "agent_id": {"value": agent}, "timestamp": 1.5}
    return {"type": "UPDATE", "update": {"status": status | ({"uuid": uuid} if uuid else {})}}
