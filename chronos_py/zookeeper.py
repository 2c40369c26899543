"""How ZooKeeper is reached: servers, credentials, TLS. One description for all who make a client of it."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import structlog

log = structlog.get_logger(__name__)

SHORTEST_CONNECT_S = 0.5  # for one server to take a connection

_HOST = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")


def parse_hosts(text: str) -> str:
    """Return the servers of `--zk_hosts` as `host:port,host:port`.

    As Chronos had it, `zk://` before and a path behind are left out; that path is not used. Raises ValueError with a
    sentence that tells no password.
    """
    hosts = re.sub(r"^(?:zk|zoo)://", "", text.strip()).partition("/")[0]
    if "@" in hosts:
        raise ValueError("must not hold credentials: they are for --zk_auth")
    entries = [entry.strip() for entry in hosts.split(",")]
    for entry in entries:
        found = _HOST.fullmatch(entry)
        if found is None:
            raise ValueError(f"{entry!r} is not of the form host:port")
        if not 0 < int(found[1]) < 65536:
            raise ValueError(f"{entry!r} has no port from 1 to 65535")
    return ",".join(entries)


def clean_path(text: str) -> str:
    """Return an absolute path without a slash at its end. Raises ValueError."""
    parts = text.split("/")[1:]
    if parts and not parts[-1]:
        parts.pop()
    if not text.startswith("/") or not parts or not all(parts):
        raise ValueError("must be a path below /, with no empty part")
    if {".", "..", "zookeeper"} & set(parts[:1]) or {".", ".."} & set(parts):
        raise ValueError("must not contain . or .., nor lie below /zookeeper")
    return "/" + "/".join(parts)


@dataclass(frozen=True, slots=True)
class ZooKeeperAddress:
    """`hosts` is `host:port,...`; `timeout` that of a session in seconds; `auth` is `user:password` for the scheme
    digest, empty for none. With `tls` all servers must speak it; the files are PEM, `ca_file` empty for the system's
    authorities."""

    hosts: str
    timeout: float = 10.0
    auth: str = field(default="", repr=False)
    tls: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    def check_files(self) -> None:
        """Raises OSError when a certificate or key cannot be used."""
        context = ssl.create_default_context(cafile=self.ca_file or None)
        if self.cert_file:
            context.load_cert_chain(self.cert_file, self.key_file)

    def client(self) -> Any:
        """Return a kazoo client that was not started. It asks for no read-only servers: what they say may be old.

        Credentials go out on each new connection before anything else does.
        """
        from kazoo.client import KazooClient  # not needed, and not loaded, without ZooKeeper
        from kazoo.handlers.threading import SequentialThreadingHandler
        from kazoo.retry import KazooRetry

        longest = max(SHORTEST_CONNECT_S, self.timeout / len(self.hosts.split(",")))

        class Handler(SequentialThreadingHandler):  # type: ignore[misc]  # kazoo has no types
            """kazoo gives each server the whole session to take a connection: with one machine dead, the session would
            be over before the next one is tried."""

            def create_connection(self, *args: Any, **options: Any) -> Any:
                return super().create_connection(*args, **options | {"timeout": min(options["timeout"], longest)})

        options: dict[str, Any] = {"connection_retry": KazooRetry(max_tries=-1, delay=0.1, max_delay=1.0)}
        if self.tls:
            options |= {"use_ssl": True, "verify_certs": True, "check_hostname": True, "ca": self.ca_file or None}
            options |= {"certfile": self.cert_file or None, "keyfile": self.key_file or None}
        auth = [("digest", self.auth)] if self.auth else None
        options |= {"handler": Handler(), "auth_data": auth, "read_only": False}
        return KazooClient(self.hosts, timeout=self.timeout, **options)

    def acl(self, *, secret: bool = False) -> list[Any]:
        """Return what new nodes get: all to those with our credentials, reading to everybody unless it is a secret;
        without credentials all to everybody. As Chronos's own variables have it."""
        from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE

        if not self.auth:
            return list(OPEN_ACL_UNSAFE)
        return [*CREATOR_ALL_ACL, *([] if secret else READ_ACL_UNSAFE)]


def bounded(work: Callable[[], object], seconds: float, name: str) -> None:
    """Do what kazoo sets no limit to, and leave it to itself after so many seconds: joining its threads may last for
    ever when one of them is stuck. Raises what `work` raises, and TimeoutError."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, name=name, daemon=True).start()
    done.result(seconds)


def end_session(client: Any) -> None:
    """End a kazoo client's session, whatever state it is in. kazoo waits for its connection for as long as the session
    lasts: who cannot, lets a thread do this."""
    try:
        client.stop()
        client.close()
    except Exception as error:
        log.warning("a ZooKeeper session did not end well", reason=repr(error))
