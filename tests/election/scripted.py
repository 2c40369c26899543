"""A ZooKeeper in memory, and clients of it with as much of kazoo's interface as the election uses. A test says when a
connection is in doubt, when a session ends, and whose answers are lost."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kazoo.client import KazooState
from kazoo.exceptions import AuthFailedError, ConnectionLoss, NoNodeError
from kazoo.protocol.states import KeeperState

PATH = "/chronos/state/candidate"


@dataclass
class Node:
    data: bytes
    ephemeralOwner: int
    acl: Any = None


@dataclass
class Result:
    """An answer that is there already, or an error."""

    value: Any = None
    error: Exception | None = None

    def get(self, timeout: float) -> Any:
        del timeout
        if self.error is not None:
            raise self.error
        return self.value


class FakeZooKeeper:
    """Nodes below one path, with watches."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.made = False
        self.clients: list[FakeClient] = []
        self.sequence = 0
        self.sessions = 0
        self.watches: dict[str, set[Any]] = defaultdict(set)
        self.lock = threading.RLock()

    def client(self) -> FakeClient:
        client = FakeClient(self)
        self.clients.append(client)
        return client

    def add(self, name: str, data: bytes, owner: int = 0) -> str:
        """Add a node; the number is ours to give."""
        with self.lock:
            name = f"{name}{self.sequence:010d}"
            self.sequence += 1
            self.nodes[f"{PATH}/{name}"] = Node(data, owner)
            self.made = True
            return name

    def remove(self, path: str) -> None:
        with self.lock:
            del self.nodes[path]
            self.changed(path)

    def changed(self, path: str) -> None:
        for watch in self.watches.pop(path, set()):
            watch(None)

    def names(self) -> list[str]:
        with self.lock:
            return [path.rpartition("/")[2] for path in self.nodes]

    def end_session(self, session: int) -> None:
        with self.lock:
            for path in [path for path, node in self.nodes.items() if node.ephemeralOwner == session]:
                self.remove(path)


@dataclass
class FakeClient:
    zookeeper: FakeZooKeeper
    connected: bool = False
    client_state: str = KeeperState.CLOSED
    session: int = 0
    stopped: bool = False
    unreachable: bool = False  # from the start
    listeners: list[Any] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    losing: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    before: dict[str, Callable[[], None]] = field(default_factory=dict)

    def add_listener(self, listener: Any) -> None:
        self.listeners.append(listener)

    def start_async(self) -> None:
        """Begin a moment later, in a thread of its own, as kazoo does."""
        threading.Thread(target=self._begin, daemon=True).start()

    def _begin(self) -> None:
        time.sleep(0.01)
        self.client_state = KeeperState.CONNECTING
        if not self.unreachable:
            self.connect()

    def stop(self) -> None:
        self.stopped = True
        self.connected, self.client_state = False, KeeperState.CLOSED
        self.zookeeper.end_session(self.session)

    def close(self) -> None:
        assert self.stopped

    @property
    def client_id(self) -> tuple[int, bytes] | None:
        return (self.session, b"") if self.connected else None

    # --- what happens to it

    def tell(self, state: str) -> None:
        for listener in self.listeners:
            listener(state)

    def connect(self) -> None:
        """Connect, with the session there was or with a new one."""
        with self.zookeeper.lock:
            if not self.session:
                self.zookeeper.sessions += 1
                self.session = self.zookeeper.sessions
            self.connected, self.client_state = True, KeeperState.CONNECTED
        self.tell(KazooState.CONNECTED)

    def suspend(self) -> None:
        self.connected, self.client_state = False, KeeperState.CONNECTING
        self.tell(KazooState.SUSPENDED)

    def expire(self) -> None:
        """ZooKeeper gave the session up, and now the client learns of it."""
        session, self.session = self.session, 0
        self.connected, self.client_state = False, KeeperState.EXPIRED_SESSION
        self.zookeeper.end_session(session)
        self.tell(KazooState.LOST)

    def refuse(self) -> None:
        self.connected, self.client_state = False, KeeperState.AUTH_FAILED
        self.tell(KazooState.LOST)

    def lose(self, request: str, *, done: bool) -> None:
        """Let the next request of this kind fail as one whose answer was lost; `done`: it was carried out."""
        self.losing[request].append("done" if done else "not done")

    # --- requests

    def _request(self, name: str, carry_out: Callable[[], Any]) -> Result:
        self.asked.append(name)
        if name in self.before:
            self.before.pop(name)()
        if self.client_state == KeeperState.AUTH_FAILED:
            return Result(error=AuthFailedError())
        if not self.connected:
            return Result(error=ConnectionLoss())
        how = self.losing[name].pop(0) if self.losing[name] else ""
        if how == "not done":
            return Result(error=ConnectionLoss())
        try:
            with self.zookeeper.lock:
                value = carry_out()
        except NoNodeError as error:
            return Result(error=error)
        return Result(error=ConnectionLoss()) if how else Result(value)

    def sync_async(self, path: str) -> Result:
        return self._request("sync", lambda: path)

    def ensure_path_async(self, path: str, acl: Any = None) -> Result:
        def make() -> None:
            self.zookeeper.made = True

        return self._request("ensure_path", make)

    def get_children_async(self, path: str) -> Result:
        def children() -> list[str]:
            assert path == PATH
            if not self.zookeeper.made:
                raise NoNodeError
            return self.zookeeper.names()

        return self._request("get_children", children)

    def create_async(self, path: str, data: bytes, acl: Any, ephemeral: bool, sequence: bool) -> Result:
        assert ephemeral
        assert sequence

        def create() -> str:
            return self.zookeeper.add(path.rpartition("/")[2], data, self.session)

        return self._request("create", create)

    def delete_async(self, path: str) -> Result:
        def delete() -> None:
            if path not in self.zookeeper.nodes:
                raise NoNodeError
            self.zookeeper.remove(path)

        return self._request("delete", delete)

    def get_async(self, path: str, watch: Any) -> Result:
        def get() -> tuple[bytes, Node]:
            if path not in self.zookeeper.nodes:
                raise NoNodeError
            self.zookeeper.watches[path].add(watch)
            return self.zookeeper.nodes[path].data, self.zookeeper.nodes[path]

        return self._request("get", get)

    def exists_async(self, path: str, watch: Any) -> Result:
        def exists() -> Node | None:
            self.zookeeper.watches[path].add(watch)
            return self.zookeeper.nodes.get(path)

        return self._request("exists", exists)
