"""Where the leading master is: an address that was given, or what masters elected over ZooKeeper say."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import structlog
from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import KazooException, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError

from chronos_py.drivers.mesos.stream import Endpoint
from chronos_py.zookeeper import end_session

log = structlog.get_logger(__name__)

PREFIX = "json.info_"  # masters since 0.24 write their data as JSON under this name
SESSION_S = 10.0
CONNECT_S = 10.0
AGAIN_S = 2.0


class GivenMaster:
    """A master at a fixed address. A redirect is followed, and forgotten when the other does not answer either."""

    def __init__(self, address: str, tls: ssl.SSLContext | None) -> None:
        """Raises ValueError."""
        self._given = self._current = Endpoint.of(address, tls)

    def start(self, moved: Callable[[], None]) -> None:
        """Nothing is watched: the address does not change."""

    def current(self) -> Endpoint:
        return self._current

    def failed(self) -> None:
        self._current = self._given

    def redirect(self, address: str) -> None:
        try:
            self._current = Endpoint.of(address, self._given.tls)
        except ValueError:
            log.warning("a master redirects to no address", address=address[:200])

    def stop(self) -> None:
        """Nothing was started."""


class ElectedMaster:
    """The leading master of a group that meets in ZooKeeper. A thread of its own looks again whenever the group
    changes, and now and then besides; a ZooKeeper that is away leaves the last leader standing."""

    def __init__(self, url: str, tls: ssl.SSLContext | None) -> None:
        """`url` is zk://[user:password@]host:port,.../path. Raises ValueError."""
        parts = urlsplit(url)
        credentials, _, hosts = parts.netloc.rpartition("@")
        if parts.scheme not in ("zk", "zoo") or not hosts or len(parts.path) < 2 or parts.query or parts.fragment:
            raise ValueError(f"not of the form zk://host:port,.../path: {hosts}{parts.path!r}")
        if credentials and ":" not in credentials:
            raise ValueError("the user in a zk:// address needs a password")
        self._path = parts.path.rstrip("/")
        self._hosts = hosts
        self._auth = [("digest", credentials)] if credentials else None
        self._tls = tls
        self._leader: Endpoint | None = None
        self._moved: Callable[[], None] = lambda: None
        self._stopping = threading.Event()
        self._look = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, moved: Callable[[], None]) -> None:
        self._moved = moved
        self._thread = threading.Thread(target=self._run, name="mesos-masters", daemon=True)
        self._thread.start()

    def current(self) -> Endpoint | None:
        return self._leader

    def failed(self) -> None:
        self._look.set()

    def redirect(self, address: str) -> None:
        """A master that knows better than ZooKeeper will soon be there too: look again."""
        self._look.set()

    def stop(self) -> None:
        self._stopping.set()
        self._look.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._watch()
            except (KazooException, KazooTimeoutError, OSError) as error:
                log.warning("the masters' ZooKeeper cannot be asked", hosts=self._hosts, reason=repr(error))
            except Exception:
                log.exception("looking for the leading master failed")
            self._stopping.wait(AGAIN_S)

    def _watch(self) -> None:
        """Follow the group with one session, until that fails or it is over."""
        client = KazooClient(self._hosts, timeout=SESSION_S, auth_data=self._auth, read_only=False)
        client.add_listener(self._on_state)
        try:
            client.start(CONNECT_S)
            while not self._stopping.is_set():
                self._look.clear()
                self._see(self._leading(client))
                self._look.wait(SESSION_S * 3)
        finally:
            end_session(client)

    def _on_state(self, state: str) -> None:
        if state != KazooState.SUSPENDED:
            self._look.set()  # back again, or with a new session and no watches

    def _leading(self, client: Any) -> Endpoint | None:
        """Return the master with the lowest number; watch for the next change."""
        try:
            names = client.get_children(self._path, watch=lambda event: self._look.set())
        except NoNodeError:
            client.exists(self._path, watch=lambda event: self._look.set())
            return None
        for name in sorted(name for name in names if name.startswith(PREFIX)):
            try:
                data, _ = client.get(f"{self._path}/{name}")
            except NoNodeError:
                continue
            return self._endpoint(data)
        return None

    def _endpoint(self, data: bytes) -> Endpoint | None:
        try:
            info = json.loads(data)
            address = info.get("address") or {}
            host, port = address.get("ip") or address.get("hostname") or info["hostname"], address.get("port")
            if self._tls is not None and address.get("hostname"):
                host = address["hostname"]  # certificates are for names
            return Endpoint(str(host), int(port or info["port"]), self._tls)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            log.error("what the leading master says of itself cannot be read", reason=repr(error))
            return None

    def _see(self, leader: Endpoint | None) -> None:
        if leader != self._leader:
            self._leader = leader
            log.info("the leading master", master=str(leader or "none"))
            self._moved()


def find_masters(master: str, tls: ssl.SSLContext | None) -> GivenMaster | ElectedMaster:
    """Read --master. Raises ValueError."""
    if master.startswith(("zk://", "zoo://")):
        return ElectedMaster(master, tls)
    address = master.removeprefix("https://").removeprefix("http://").rstrip("/")
    return GivenMaster(address, tls)
