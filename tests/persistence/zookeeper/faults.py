"""A kazoo client in whose requests a test can meddle: lose them before or after they took effect, or do something else
just before one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kazoo.client import KazooClient

from tests.persistence.faults import Crash, Meddler


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
        """Send a request; an error that is handed in comes as its answer, but for the end of the process."""
        try:
            return self._meddler.operation(name, send, lambda request: request.wait(30))
        except Crash:
            raise
        except Exception as error:
            failed = self._real.handler.async_result()
            failed.set_exception(error)
            return failed

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
