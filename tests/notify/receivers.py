"""Real receivers on the loopback: an SMTP server and an HTTP server that keep what they are sent."""

from __future__ import annotations

import asyncio
import queue
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from aiosmtpd.controller import Controller

PATIENCE_S = 30.0


@dataclass(slots=True)
class Mail:
    """A mail as the server took it: the envelope, and the bytes after DATA."""

    sender: str
    to: list[str]
    content: bytes
    login: str = ""
    tls: bool = False


class MailServer:
    """Keeps mails. `refusals` are answers to RCPT, by address."""

    def __init__(self, port: int = 0, **options: Any) -> None:
        self.mails: queue.Queue[Mail] = queue.Queue()
        self.refusals: dict[str, str] = {}
        self._controller = _Controller(self, hostname="127.0.0.1", port=port, **options)
        self._controller.start()
        self.port = self._controller.port

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        login = session.auth_data.login.decode() if session.auth_data else ""
        self.mails.put(Mail(envelope.mail_from, envelope.rcpt_tos, envelope.content, login, session.ssl is not None))
        return "250 OK"

    def stop(self) -> None:
        self._controller.stop()


class _Controller(Controller):
    def _trigger_server(self) -> None:
        """Make the trial connection to the port that was given, not to the one that was wished for, which may be 0."""
        self.port = cast(asyncio.Server, self.server).sockets[0].getsockname()[1]
        super()._trigger_server()


@dataclass(slots=True)
class Posted:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class WebServer:
    """Keeps POSTs, and answers with `statuses` one after the other, 200 when there is none left."""

    port: int = 0
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.posts: queue.Queue[Posted] = queue.Queue()
        ours = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                ours.posts.put(Posted(self.path, dict(self.headers.items()), body))
                self.send_response(ours.statuses.pop(0) if ours.statuses else 200)
                for name, value in ours.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Be quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self) -> Posted:
        return self.posts.get(timeout=PATIENCE_S)

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
