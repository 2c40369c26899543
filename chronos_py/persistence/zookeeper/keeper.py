"""One kazoo client, with a limit on the time of everything, and every failure as one of three errors.

`Refused` is a definite no; `Unsure` a write whose fate nobody knows; `StoreUnavailable` all else. Nothing here hangs:
a connection that is away is waited for no longer than `patience` seconds.
"""

from __future__ import annotations

import math
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (
    AuthFailedError,
    CancelledError,
    ConnectionDropped,
    ConnectionLoss,
    KazooException,
    NodeExistsError,
    OperationTimeoutError,
    RolledBackError,
    RuntimeInconsistency,
    SessionExpiredError,
    SessionMovedError,
)
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.retry import KazooRetry
from kazoo.security import ACL, CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE

from chronos_py.errors import StoreUnavailable
from chronos_py.zookeeper import bounded, end_session

log = structlog.get_logger(__name__)

PACKET = 900_000  # bytes of one request: ZooKeeper refuses 1,048,575, and counts what it adds itself
PART = 700_000  # bytes of a text in one node
OPERATION = 220  # bytes that an operation takes besides its paths and data: headers, and an ACL of two entries
WINDOW = 512  # reads on their way at once
CHECKS, CHECKS_AHEAD = 500, 8  # versions in one request, and requests on their way
CONNECT_AGAIN_S = 0.05
END_S = 20.0  # for ending a session: kazoo waits for its connection for 10 s, for its threads without limit

CUT = (
    CancelledError,
    ConnectionDropped,
    ConnectionLoss,
    KazooTimeoutError,
    OperationTimeoutError,
    SessionExpiredError,  # ConnectionClosedError, too
    SessionMovedError,
    OSError,
)


@dataclass(frozen=True, slots=True)
class Check:
    path: str
    version: int


@dataclass(frozen=True, slots=True)
class Create:
    path: str
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Write:
    path: str
    data: bytes
    version: int = -1  # -1: any


@dataclass(frozen=True, slots=True)
class Remove:
    path: str
    version: int = -1


Operation = Check | Create | Write | Remove


@dataclass(frozen=True, slots=True)
class Found:
    """A node that was read; `version` counts its writes from 0, `changed` is the transaction of the last one."""

    data: bytes
    version: int
    changed: int = 0


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of PEM files, as kazoo takes them; without `ca` the server's certificate is not checked."""

    certfile: str | None = None
    keyfile: str | None = None
    ca: str | None = None


class Refused(Exception):
    """ZooKeeper did nothing of a request, because of its operation number `index`."""

    def __init__(self, index: int, reason: Exception, path: str = "") -> None:
        super().__init__(f"{path or f'operation {index}'}: {reason!r}")
        self.index = index
        self.reason = reason


class Unsure(StoreUnavailable):
    """Whether a request was carried out is not known."""


def size_of(operation: Operation) -> int:
    """Return how many bytes an operation takes in a request, at most."""
    data = len(operation.data) if isinstance(operation, Create | Write) else 0
    return OPERATION + len(operation.path.encode()) + data


@dataclass(slots=True)
class Keeper:
    """The connection to `hosts` (host:port, comma-separated). `auth` is `user:password` (scheme digest) or empty;
    `timeout` the session's and `patience` how long to wait for any answer, both in seconds; no write is waited for when
    `lease`, the seconds for which nobody else can lead, is over. Any thread."""

    hosts: str
    auth: str = ""
    timeout: float = 10.0
    patience: float = 10.0
    tls: Tls | None = None
    make: Callable[..., Any] = KazooClient
    lease: Callable[[], float] = lambda: math.inf
    _client: Any = None
    _starting: Any = None  # the client whose connection counts: the present one, or the one that is to be
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _connected: threading.Event = field(default_factory=threading.Event)
    _closed: bool = False

    # --- requests

    def deadline(self) -> float:
        """Return until when to wait for what is asked now."""
        return time.monotonic() + self.patience

    def multi(self, operations: Sequence[Operation], deadline: float | None = None) -> None:
        """Do all or nothing. Raises Refused, Unsure, StoreUnavailable (nothing was done)."""
        deadline = self.deadline() if deadline is None else deadline
        client = self._ready(deadline, self.lease)
        transaction = client.transaction()
        for operation in operations:
            match operation:
                case Check(path, version):
                    transaction.check(path, version)
                case Create(path, data):
                    transaction.create(path, data, acl=self._acl)
                case Write(path, data, version):
                    transaction.set_data(path, data, version)
                case Remove(path, version):
                    transaction.delete(path, version)
        try:
            results = self._result(transaction.commit_async(), deadline)
        except CUT as error:
            time.sleep(CONNECT_AGAIN_S)  # kazoo tells its listeners a moment later than those who wait
            raise Unsure(f"{self.hosts}: no answer to a write: {error!r}") from error
        except KazooException as error:
            raise self._refusal(error) from error
        for index, result in enumerate(results):
            if isinstance(result, Exception) and not isinstance(result, RolledBackError | RuntimeInconsistency):
                raise Refused(index, result, operations[index].path)
        if len(results) != len(operations) or any(isinstance(result, Exception) for result in results):
            raise Unsure(f"{self.hosts}: an answer that cannot be understood: {results!r:.200}")

    def _result(self, request: Any, deadline: float) -> Any:
        """Wait for the answer to a write. The lease is looked at again when it should be over: it may be a new one."""
        while True:
            rest, left = deadline - time.monotonic(), self.lease()
            try:
                return request.get(timeout=max(0.0, min(rest, left)))
            except KazooTimeoutError:
                if rest <= left or self.lease() <= 0:
                    raise

    def read(self, paths: Iterable[str], window: int = WINDOW) -> Iterator[tuple[str, Found | Exception]]:
        """Yield what each node holds, or why it cannot be read, in order. Raises StoreUnavailable."""

        def found(answer: Any) -> Found:
            data, stat = answer
            return Found(data or b"", stat.version, stat.mzxid)

        return self._ask("get_async", paths, found, window)

    def children(self, path: str) -> list[str]:
        """Return the names below a node. Raises Refused, StoreUnavailable."""
        ((_, names),) = self._ask("get_children_async", [path], list, 1)
        if isinstance(names, Exception):
            raise Refused(0, names, path) from names
        return sorted(names)

    def acls(self, paths: Iterable[str], window: int = WINDOW) -> Iterator[tuple[str, list[ACL] | Exception]]:
        """Yield who may do what with each node, or why that cannot be read. Raises StoreUnavailable."""

        def acl(answer: Any) -> list[ACL]:
            return list(answer[0])

        return self._ask("get_acls_async", paths, acl, window)

    def one(self, path: str) -> Found:
        """Return what a node holds. Raises Refused, StoreUnavailable."""
        ((_, found),) = self.read([path])
        if isinstance(found, Exception):
            raise Refused(0, found, path) from found
        return found

    def changes(self, path: str) -> int | None:
        """Return how often a node has come or gone below `path`; None: it cannot be read. Raises StoreUnavailable."""
        ((_, answer),) = self._ask("get_async", [path], lambda answer: int(answer[1].cversion), 1)
        return answer if isinstance(answer, int) else None

    def differing(self, versions: Sequence[tuple[str, int]]) -> list[str]:
        """Return the paths whose versions may be others: hundreds are asked for at once, and one costs its neighbours
        the answer. Raises StoreUnavailable."""
        differing: list[str] = []
        client = self._ready(self.deadline())
        waiting: deque[tuple[list[str], Any]] = deque()
        for start in range(0, len(versions) + CHECKS * CHECKS_AHEAD, CHECKS):
            group = versions[start : start + CHECKS]
            if group:
                transaction = client.transaction()
                for path, version in group:
                    transaction.check(path, version)
                waiting.append(([path for path, _ in group], transaction.commit_async()))
            if waiting and (not group or len(waiting) >= CHECKS_AHEAD):
                paths, request = waiting.popleft()
                try:
                    right = request.get(timeout=self.patience) == [True] * len(paths)
                except CUT:
                    right = False  # reading them will tell
                except KazooException as error:
                    raise self._refusal(error) from error
                if not right:
                    differing += paths
        return differing

    def ensure(self, paths: Sequence[str], *, shared: bool = False) -> None:
        """Make nodes that are missing, in order; `shared` ones are open to everybody. Raises StoreUnavailable."""
        acl = OPEN_ACL_UNSAFE if shared else self._acl
        for path in paths:
            ((_, answer),) = self._ask("create_async", [path], lambda made: made, 1, value=b"", acl=acl)
            if isinstance(answer, Exception) and not isinstance(answer, NodeExistsError):
                raise self._refusal(answer)

    def connect(self) -> None:
        """Be connected, so that whoever asks need not wait. Raises StoreUnavailable."""
        self._ready(self.deadline())

    def close(self) -> None:
        """End the session; nothing can be asked after that."""
        with self._lock:
            self._closed = True
            self._drop()

    # --- the connection

    def _ask(
        self, method: str, paths: Iterable[str], read: Callable[[Any], Any], window: int, **options: Any
    ) -> Iterator[tuple[str, Any]]:
        """Send up to `window` requests ahead, and again those that a cut connection took; give up when none is
        answered for `patience` seconds."""
        waiting: deque[tuple[str, Any]] = deque()
        source = iter(paths)
        deadline = self.deadline()
        client = self._ready(deadline)
        while True:
            for path in source:
                waiting.append((path, getattr(client, method)(path, **options)))
                if len(waiting) >= window:
                    break
            if not waiting:
                return
            path, request = waiting[0]
            if not request.ready():  # wait for several at once: waking up for each takes longer than the answer
                waiting[len(waiting) * 3 // 4][1].wait(max(0.0, deadline - time.monotonic()))
            try:
                answer = read(request.get(timeout=max(0.0, deadline - time.monotonic())))
            except CUT as error:
                if time.monotonic() >= deadline:
                    raise StoreUnavailable(f"{self.hosts}: no answer to {method} {path}: {error!r}") from error
                time.sleep(CONNECT_AGAIN_S)  # kazoo tells its listeners a moment later than those who wait
                client = self._ready(deadline)
                waiting = deque((path, getattr(client, method)(path, **options)) for path, _ in waiting)
                continue
            except AuthFailedError as error:
                raise self._refusal(error) from error
            except KazooException as error:
                answer = error
            waiting.popleft()
            deadline = self.deadline()
            yield path, answer

    def _ready(self, deadline: float, lease: Callable[[], float] = lambda: math.inf) -> Any:
        """Return a client that is connected. Raises StoreUnavailable."""
        with self._lock:
            if self._closed:
                raise StoreUnavailable(f"{self.hosts}: the store has been closed")
            if self._client is None:
                self._client = self._start()
            client = self._client
        while not self._connected.wait(max(0.0, min(deadline - time.monotonic(), lease()))):
            if lease() <= 0:
                raise StoreUnavailable(f"{self.hosts}: not connected, and another node may lead by now")
            if time.monotonic() >= deadline:
                with self._lock:
                    if self._client is client:
                        self._drop(wait=False)  # a new one may fare better
                raise StoreUnavailable(f"{self.hosts}: not connected for {self.patience:g} s")
        return client

    def _start(self) -> Any:
        self._connected.clear()
        options: dict[str, Any] = {}
        if self.tls is not None:
            options = {"use_ssl": True, "certfile": self.tls.certfile, "keyfile": self.tls.keyfile}
            options |= {"ca": self.tls.ca, "verify_certs": self.tls.ca is not None}
        client = self.make(
            self.hosts,
            timeout=self.timeout,
            auth_data=[("digest", self.auth)] if self.auth else None,
            connection_retry=KazooRetry(max_tries=-1, delay=0.1, max_delay=1.0),
            read_only=False,
            **options,
        )
        client.add_listener(lambda state: self._on_state(client, state))
        self._starting = client
        try:
            bounded(lambda: client.start(self.patience), self.patience + END_S, "keeper-start")
        except (KazooException, KazooTimeoutError, OSError, ssl.SSLError) as error:
            self._starting = None
            _end(client, wait=False)
            raise StoreUnavailable(f"{self.hosts}: no ZooKeeper can be reached: {error!r}") from error
        except BaseException:
            self._starting = None
            _end(client)
            raise
        self._connected.set()
        return client

    def _on_state(self, client: Any, state: str) -> None:
        """Take note of what becomes of the present client's connection: one that was given up may still end."""
        if client is not self._starting:
            return
        if state == KazooState.CONNECTED:
            self._connected.set()
        else:
            self._connected.clear()
            if not self._closed:
                log.warning("the connection to ZooKeeper is away", hosts=self.hosts, state=str(state))

    def _refusal(self, error: Exception) -> StoreUnavailable:
        if isinstance(error, AuthFailedError):
            with self._lock:
                self._drop()  # this client never works again
        return StoreUnavailable(f"{self.hosts}: {error!r}")

    def _drop(self, *, wait: bool = True) -> None:
        client, self._client, self._starting = self._client, None, None
        self._connected.clear()
        if client is not None:
            _end(client, wait=wait)

    @property
    def _acl(self) -> list[ACL]:
        """With a user: all may read, the creator may do all, as libmesos has it. Without: open."""
        return [*READ_ACL_UNSAFE, *CREATOR_ALL_ACL] if self.auth else list(OPEN_ACL_UNSAFE)


def _end(client: Any, *, wait: bool = True) -> None:
    if not wait:  # nobody is held up by a connection that does not work
        threading.Thread(target=end_session, args=(client,), name="keeper-end", daemon=True).start()
        return
    try:
        bounded(lambda: end_session(client), END_S, "keeper-end")
    except TimeoutError:
        log.error("a ZooKeeper session does not end: it is left to itself", seconds=END_S)
