"""A kazoo client in whose requests a test can meddle: lose them before or after they took effect, or do something else
just before one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kazoo.client import KazooClient


class Crash(BaseException):
    """The process ends here."""


@dataclass
class Meddler:
    """Counts requests from 0. At number `at`: `before` is called, then the request fails with `error`, if any: without
    being sent, or with `took_effect` after it was carried out."""

    at: int = -1
    error: type[BaseException] | None = None
    took_effect: bool = False
    before: Callable[[], None] | None = None
    count: int = 0
    fired: bool = False
    seen: list[str] = field(default_factory=list)
    always: bool = False  # every request, not only number `at`

    def cut(self, error: type[BaseException], *, took_effect: bool) -> None:
        """Fail every request from now on."""
        self.always, self.error, self.took_effect = True, error, took_effect

    def heal(self) -> None:
        self.always, self.error = False, None

    def request(self, name: str, send: Callable[[], Any], answer: Callable[[], Any]) -> Any:
        """Return what `send` returns, or an answer of its own."""
        number, self.count = self.count, self.count + 1
        self.seen.append(name)
        if number != self.at and not self.always:
            return send()
        self.fired = True
        if self.before is not None:
            self.before()
        if self.error is None:
            return send()
        if self.took_effect:
            send().wait(30)
        if issubclass(self.error, Crash):
            raise self.error(name)
        failed = answer()
        failed.set_exception(self.error())
        return failed


class MeddledClient:
    """Shares one real session between many stores: starting and stopping do nothing."""

    def __init__(self, real: KazooClient, meddler: Meddler) -> None:
        self._real = real
        self._meddler = meddler

    def start(self, timeout: float) -> None:
        assert self._real.connected

    def stop(self) -> None: ...

    def close(self) -> None: ...

    def add_listener(self, listener: Any) -> None: ...

    def transaction(self) -> Any:
        return MeddledTransaction(self)

    def meddle(self, name: str, send: Callable[[], Any]) -> Any:
        return self._meddler.request(name, send, self._real.handler.async_result)

    def get_async(self, path: str) -> Any:
        return self.meddle("get", lambda: self._real.get_async(path))

    def get_children_async(self, path: str) -> Any:
        return self.meddle("children", lambda: self._real.get_children_async(path))

    def create_async(self, path: str, **options: Any) -> Any:
        return self.meddle("create", lambda: self._real.create_async(path, **options))


class MeddledTransaction:
    def __init__(self, client: MeddledClient) -> None:
        self._client = client
        self._real = client._real.transaction()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def commit_async(self) -> Any:
        kinds = [type(operation).__name__ for operation in self._real.operations]
        return self._client.meddle(f"multi {' '.join(kinds)}", self._real.commit_async)
