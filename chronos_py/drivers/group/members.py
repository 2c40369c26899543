"""Who belongs to the group, and its key, in ZooKeeper:

    <zk_path>/x/nodes/<agent id>-<10 digits>   a node that runs; ephemeral. JSON: agent, address, instance
    <zk_path>/x/key                            64 hexadecimal digits: what nodes sign their requests with

The epoch of the job store (the version of `<zk_path>/x/epoch`) is watched, too, so that a node learns of a new leader
before that leader reaches it. With credentials for ZooKeeper nobody else can read the key.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
from kazoo.exceptions import KazooException, NoAuthError, NodeExistsError, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import KeeperState

from chronos_py.zookeeper import end_session

log = structlog.get_logger(__name__)

LOOK_AGAIN_S = 5.0  # even when no watch says so
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
END_S = 5.0
MOST = 200  # nodes of one group

_NAME = re.compile(r"([A-Za-z0-9_.-]{1,100})-([0-9]{10})")
_ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:/@?#\[\]]+):[0-9]{1,5}")
_INSTANCE = re.compile(r"[0-9a-f]{32}")
_KEY = re.compile(rb"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Member:
    """A node: its agent's id, its host:port, and what tells this process from an earlier one of the same node."""

    agent_id: str
    address: str
    instance: str

    def dump(self) -> bytes:
        return json.dumps({"agent": self.agent_id, "address": self.address, "instance": self.instance}).encode()


def read_member(agent_id: str, data: bytes) -> Member:
    """Read a node's entry. Raises ValueError that says what is wrong."""
    plain = json.loads(data)
    if not isinstance(plain, dict):
        raise ValueError("it is no object")
    found = Member(*(str(plain.get(name)) for name in ("agent", "address", "instance")))
    if found.agent_id != agent_id or not _ADDRESS.fullmatch(found.address) or not _INSTANCE.fullmatch(found.instance):
        raise ValueError(f"agent, address or instance cannot be right: {str(plain)[:300]}")
    return found


def newest(names: Iterable[str]) -> dict[str, str]:
    """Return each agent's newest entry: one that was killed and started again has two for a while."""
    found: dict[str, str] = {}
    for name in sorted((name for name in names if _NAME.fullmatch(name)), key=lambda name: name[-10:]):
        found[name[:-11]] = name
    return found


class Members:
    """Makes this node known and finds the others. `changed` and `epoch` are told from a thread of its own, `changed`
    every few seconds even if nothing has."""

    def __init__(
        self,
        connect: Callable[[], Any],
        root: str,
        *,
        acl: Any = None,
        secret_acl: Any = None,
        timeout: float = 10.0,
        changed: Callable[[Mapping[str, Member]], None],
        epoch: Callable[[int], None],
    ) -> None:
        self._connect = connect
        self._root = f"{root}/x"
        self._acl = acl
        self._secret_acl = secret_acl
        self._timeout = timeout
        self._changed = changed
        self._epoch = epoch
        self._own: Member | None = None
        self._key = b""
        self._known: dict[str, Member] = {}  # by the names of their entries
        self._entry = ""  # our own
        self._told = ""
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, own: Member) -> None:
        self._own = own
        self._thread = threading.Thread(target=self._run, name="members", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take our entry back, and end."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(2 * END_S)

    def key(self) -> bytes:
        """Return the group's key, empty while it is not known."""
        return self._key

    # --- the thread

    def _run(self) -> None:
        pause = FIRST_PAUSE_S
        while not self._stopping.is_set():
            client = None
            try:
                client = self._connect()
                client.add_listener(lambda _: self._wake.set())
                client.start_async()
                pause = self._take_part(client, pause)
            except Exception:
                log.exception("the group's members cannot be looked after; it begins again")
            self._end(client)
            self._stopping.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _take_part(self, client: Any, pause: float) -> float:
        """Return, with the pause before a new attempt, when the client is of no use any more, or we are to stop."""
        silent_since = time.monotonic()
        while not self._stopping.is_set():
            self._wake.clear()
            lost = client.client_state in (KeeperState.AUTH_FAILED, KeeperState.CLOSED)
            if time.monotonic() - silent_since > (self._timeout if lost else 6 * self._timeout):
                return LONGEST_PAUSE_S
            if not client.connected:
                self._wake.wait(0.5)
                continue
            try:
                self._look(client)
                silent_since, pause, self._told = time.monotonic(), FIRST_PAUSE_S, ""
            except (KazooException, KazooTimeoutError) as error:
                if repr(error) != self._told:
                    self._told = repr(error)
                    hint = "see --zk_auth" if isinstance(error, NoAuthError) else ""
                    log.warning("the group's members cannot be read", path=self._root, reason=repr(error), hint=hint)
                self._stopping.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
                continue
            self._wake.wait(LOOK_AGAIN_S)
        return pause

    def _ask(self, request: Any) -> Any:
        return request.get(timeout=self._timeout)

    def _on_watch(self, _: Any) -> None:
        self._wake.set()

    def _look(self, client: Any) -> None:
        """See to it that key and entry are there, and who else is. Raises KazooException, KazooTimeoutError."""
        found = self._ask(client.exists_async(f"{self._root}/epoch", watch=self._on_watch))
        if found is not None:
            self._epoch(found.version)
        nodes = f"{self._root}/nodes"
        try:
            names = self._ask(client.get_children_async(nodes))
        except NoNodeError:
            self._ask(client.ensure_path_async(nodes, acl=self._acl))
            names = []
        self._read_key(client)
        if self._entry not in names or not self._is_ours(client, f"{nodes}/{self._entry}"):
            self._enter(client, nodes)
        names = newest(self._ask(client.get_children_async(nodes, watch=self._on_watch)))
        if len(names) > MOST:
            log.error("there are more nodes than one leader looks after", nodes=len(names), most=MOST)
        known, members = self._known, dict[str, Member]()
        self._known = {}
        for agent_id, name in list(names.items())[:MOST]:
            member = known.get(name) or self._read(client, agent_id, f"{nodes}/{name}")
            if member is not None:
                self._known[name] = members[agent_id] = member
        self._changed(members)

    def _read_key(self, client: Any) -> None:
        path = f"{self._root}/key"
        with suppress(NodeExistsError):
            if self._ask(client.exists_async(path)) is None:
                self._ask(client.create_async(path, secrets.token_hex(32).encode(), acl=self._secret_acl))
        data, _ = self._ask(client.get_async(path))
        if not _KEY.fullmatch(data):
            log.error("what lies there is no key; delete it, and a new one is made", path=path)
            data = b""
        self._key = data

    def _is_ours(self, client: Any, path: str) -> bool:
        try:
            _, stat = self._ask(client.get_async(path))
        except NoNodeError:
            return False
        return client.client_id is not None and bool(stat.ephemeralOwner == client.client_id[0])

    def _enter(self, client: Any, nodes: str) -> None:
        """Make our entry. If the answer is lost there is one more: the newest counts, all say the same."""
        own = self._own
        assert own is not None
        path = f"{nodes}/{own.agent_id}-"
        made = self._ask(client.create_async(path, own.dump(), acl=self._acl, ephemeral=True, sequence=True))
        self._entry = str(made).rpartition("/")[2]

    def _read(self, client: Any, agent_id: str, path: str) -> Member | None:
        try:
            data, _ = self._ask(client.get_async(path))
            return read_member(agent_id, data)
        except NoNodeError:
            return None
        except ValueError as error:
            log.warning("a node's entry cannot be read", path=path, reason=str(error))
            return None

    def _end(self, client: Any) -> None:
        """End the session, and our entry with it."""
        if client is not None:
            closer = threading.Thread(target=end_session, args=(client,), name="members-end", daemon=True)
            closer.start()
            closer.join(END_S)
