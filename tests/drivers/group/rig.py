"""Nodes of a group in this process, each with an HTTP server of its own, and a register in place of ZooKeeper's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from chronos_py.api.node import with_node
from chronos_py.drivers.group import GroupDriver, Member, Node
from chronos_py.drivers.group.transport import Http, Transport
from chronos_py.drivers.local import LocalDriver
from tests.drivers.rig import ALL

KEY = b"0123456789abcdef" * 4


class Register:
    """What ZooKeeper is for: who is there, and the key. Its entries live until somebody takes them out."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.told: list[Callable[[Mapping[str, Member]], None]] = []
        self.epochs: list[Callable[[int], None]] = []

    def enter(self, member: Member) -> None:
        self.members[member.agent_id] = member
        self.tell()

    def leave(self, agent_id: str) -> None:
        self.members.pop(agent_id, None)
        self.tell()

    def tell(self) -> None:
        for changed in self.told:
            changed(dict(self.members))


class FakeMembers:
    """A node's view of the register."""

    def __init__(self, register: Register, changed: Any, epoch: Any) -> None:
        self.register, self.changed, self.epoch = register, changed, epoch

    def start(self, own: Member) -> None:
        self.register.told.append(self.changed)
        self.register.epochs.append(self.epoch)
        self.register.enter(own)

    def stop(self) -> None:
        self.register.told.remove(self.changed)
        self.register.epochs.remove(self.epoch)

    def key(self) -> bytes:
        return KEY


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    allow_reuse_address = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _nothing(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("404 Not Found", [])
    return []


class Machine:
    """A node that can be taken away and come back; its tasks go on meanwhile. `driver` leads once it is started."""

    def __init__(self, register: Register, folder: Path, kind: type[GroupDriver] = GroupDriver) -> None:
        self.register = register
        self.folder = folder
        self.kind = kind
        self.epoch = 1
        self.port = 0
        self.begin()

    def begin(self) -> None:
        self.stopping = threading.Event()
        local = LocalDriver(self.folder, ALL, host=self.folder.name, limits="none")
        self.folder.mkdir(parents=True, exist_ok=True)
        node = Node(local, self.folder, self.stopping)
        server = make_server("127.0.0.1", self.port, _nothing, server_class=_Server, handler_class=_Quiet)
        self.port = server.server_port
        self.driver = self.kind(
            node,
            f"127.0.0.1:{self.port}",
            lambda: self.epoch,
            lambda changed, epoch: FakeMembers(self.register, changed, epoch),  # type: ignore[arg-type,return-value]
        )
        server.set_app(with_node(_nothing, self.driver))
        self.server = server
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        self.driver.open()

    @property
    def agent_id(self) -> str:
        return self.driver.node.agent_id

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def end(self) -> None:
        """End as a server does; its entry stays in the register, as after a kill."""
        if self.stopping.is_set():
            return
        self.stopping.set()
        self.driver.stop()
        self.server.shutdown()
        self.server.server_close()
        self.driver.close()


class OverHttp(GroupDriver):
    """Speaks to its own node as to any other."""

    def _transport(self, agent_id: str) -> Transport:
        return Http(lambda: self._met[agent_id], self.key)
