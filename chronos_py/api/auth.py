"""Who asks: HTTP Basic and bearer tokens, for every path; what Chronos 3 does without a file of users."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any

import structlog

from chronos_py.api.pages import PAGE, error_page
from chronos_py.api.principals import HASHER, AccessFile, Known, Principal, Role, fits
from chronos_py.api.transport import Wsgi

log = structlog.get_logger(__name__)

PRINCIPAL = "chronos_py.principal"  # in a request's environment
REMEMBERED = 1000  # credentials that were right
WATCHED = 10_000  # addresses, and names at addresses, that failed of late
WINDOW_S = 60.0
PER_NAME, PER_ADDRESS = 20, 100  # failures within the window
AT_ONCE = 2  # hashes that are computed at the same time: each takes 19 MiB
LONGEST_HEADER = 4096
STREAM = "text/event-stream"


class Failures:
    """Counts failures by key within a window. Knows at most WATCHED keys: the least recent are forgotten."""

    def __init__(self, limit: int, now: Callable[[], float]) -> None:
        self._limit = limit
        self._now = now
        self._times: OrderedDict[Any, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, key: Any) -> float:
        """Return how many seconds this key must wait, 0 when it need not."""
        with self._lock:
            times = self._times.get(key)
            if times is None or len(times) < self._limit:
                return 0.0
            return max(0.0, times[0] + WINDOW_S - self._now())

    def note(self, key: Any) -> None:
        with self._lock:
            self._times.setdefault(key, deque(maxlen=self._limit)).append(self._now())
            self._times.move_to_end(key)
            if len(self._times) > WATCHED:
                self._times.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Wait:
    """Too many failures: this client is not looked at for some seconds."""

    seconds: float


class Access:
    """Decides who sends a request. `credentials` are --http_credentials, whose user is an admin."""

    def __init__(
        self,
        credentials: tuple[str, str] | None = None,
        file: AccessFile | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._file = file
        self._now = now
        self._expected = _forms(credentials) if credentials else []
        self._admin = Principal(f"user {credentials[0]}" if credentials else "", Role.ADMIN)
        self._by_name, self._by_address = Failures(PER_NAME, now), Failures(PER_ADDRESS, now)
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, Principal] = OrderedDict()
        self._version = 0
        self._lock = threading.Lock()
        self._hashing = threading.BoundedSemaphore(AT_ONCE)
        self._nobody = Known(self._admin, HASHER.hash(secrets.token_hex())) if file else None

    def judge(self, header: str, address: str) -> Principal | Wait | None:
        """Return who sends this Authorization header, None for nobody."""
        if not header or len(header) > LONGEST_HEADER:
            return None
        if self._file is not None:
            self._file.refresh()
        digest = hmac.digest(self._key, header.encode("latin-1", "replace"), hashlib.sha256)
        known = self._remembered(digest)
        if known is not None:
            return known
        name, address = _name(header), _network(address)
        wait = max(self._by_address.wait(address), self._by_name.wait((address, name)))
        if wait:
            return Wait(wait)
        version = self._file.version if self._file is not None else 0
        found = self._find(header)
        if found is not None:
            self._remember(digest, found, version)
            return found
        self._by_address.note(address)
        self._by_name.note((address, name))
        log.warning("wrong credentials", address=address, name=name[:100])
        return None

    def still(self, header: str, principal: Principal) -> bool:
        """Tell whether this header, which was right before, is right and means the same now; counts no failure."""
        if self._file is not None:
            self._file.refresh()
        digest = hmac.digest(self._key, header.encode("latin-1", "replace"), hashlib.sha256)
        known = self._remembered(digest)
        if known is None:
            version = self._file.version if self._file is not None else 0
            known = self._find(header)
            if known is not None:
                self._remember(digest, known, version)
        return known == principal

    def _find(self, header: str) -> Principal | None:
        given = _given(header)
        if any([hmac.compare_digest(given, form) for form in self._expected]):  # noqa: C419 - always compare with all
            return self._admin
        if self._file is None or self._nobody is None:
            return None
        content = self._file.content
        scheme, _, rest = header.partition(" ")
        if scheme.lower() == "bearer":
            name, _, secret = rest.strip().partition(".")
            known = content.tokens.get(name)
        else:
            name, _, secret = _text(given).partition(":")
            known = content.users.get(name)
        with self._hashing:  # an unknown name takes as long as a known one
            right = fits((known or self._nobody).hash, secret)
        if known is None or not right or self._expired(known.principal):
            return None
        return known.principal

    def _expired(self, principal: Principal) -> bool:
        return principal.expires is not None and principal.expires <= self._now()

    def _remembered(self, digest: bytes) -> Principal | None:
        with self._lock:
            if self._file is not None and self._file.version != self._version:
                self._right.clear()
                self._version = self._file.version
            found = self._right.get(digest)
            if found is None or self._expired(found):
                return None
            self._right.move_to_end(digest)
            return found

    def _remember(self, digest: bytes, principal: Principal, version: int) -> None:
        with self._lock:
            if version == self._version:  # else the file has changed since
                self._right[digest] = principal
                if len(self._right) > REMEMBERED:
                    self._right.popitem(last=False)


def with_credentials(app: Wsgi, user: str, password: str, realm: str) -> Wsgi:
    """Let only requests with this user and password through; others get 401 and the challenge.

    Clients encode what is not ASCII as UTF-8 or, as the original understood it, as Latin-1: either will do.
    """
    return with_access(app, Access((user, password)), realm)


def with_access(app: Wsgi, access: Access, realm: str) -> Wsgi:
    """Let only requests of someone known through, and say in the environment who it is. A stream ends, with the next
    thing that it says, when who asked for it is not let through any more, or may do something else."""
    challenge = f'basic realm="{realm}"'

    def guarded(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        header = environ.get("HTTP_AUTHORIZATION", "")
        found = access.judge(header, environ.get("REMOTE_ADDR", ""))
        if isinstance(found, Principal):
            environ[PRINCIPAL] = found
            environ["REMOTE_USER"] = found.name
            return _watched(app, environ, start_response, lambda: access.still(header, found))
        path = environ.get("PATH_INFO", "/")
        if isinstance(found, Wait):
            page, status = error_page(429, path, "Too many wrong credentials"), "429 Too Many Requests"
            told = ("Retry-After", str(int(found.seconds) + 1))
        else:
            page, status = error_page(401, path, "Unauthorized"), "401 Unauthorized"
            told = ("WWW-Authenticate", challenge)
        body = page.get_data()
        headers = [
            told,
            ("Content-Type", PAGE),
            ("Cache-Control", page.headers["Cache-Control"]),
            ("Content-Length", str(len(body))),
        ]
        start_response(status, headers)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]

    return guarded


class _Stream:
    """A stream as long as `open_` says so."""

    def __init__(self, parts: Iterable[bytes], open_: Callable[[], bool]) -> None:
        self._parts, self._open = parts, open_
        self.close = getattr(parts, "close", lambda: None)

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            if not self._open():
                return
            yield part


def _watched(app: Wsgi, environ: dict[str, Any], start_response: Any, open_: Callable[[], bool]) -> Iterable[bytes]:
    streams = False

    def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        nonlocal streams
        streams = any(name.lower() == "content-type" and value.startswith(STREAM) for name, value in headers)
        return start_response(status, headers, *more)

    parts = app(environ, start)
    return _Stream(parts, open_) if streams else parts


def _network(address: str) -> str:
    """Return what counts as one address: a client of IPv6 has at least 2**64 of them."""
    try:
        whole = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(whole.ipv4_mapped or IPv6Address(int(whole) >> 64 << 64))


def _forms(credentials: tuple[str, str]) -> list[bytes]:
    together = ":".join(credentials)
    forms = [together.encode()]
    with suppress(UnicodeEncodeError):
        forms.append(together.encode("latin-1"))
    return forms


def _text(given: bytes) -> str:
    try:
        return given.decode()
    except UnicodeDecodeError:
        return given.decode("latin-1")


def _name(header: str) -> str:
    """Return under which name someone tried, for counting and the log; never a secret."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() == "bearer":
        name, dot, _ = rest.strip().partition(".")
        return name if dot else ""
    name, colon, _ = _text(_given(header)).partition(":")
    return name if colon else ""


def _given(header: str) -> bytes:
    """Return the `user:password` of an Authorization header, empty when it has none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
