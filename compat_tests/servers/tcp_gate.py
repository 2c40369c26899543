"""A place on the way to other servers where everything that passes can be held up, as when a network is cut.

with TcpGate([2181, 2182]) as gate:
    ...  # gate.ports: where to connect instead, in the same order
    gate.shut()  # nothing passes, and nobody is told
    gate.open()  # what was held goes on, as what TCP repeats after a cut
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

BLOCK = 64 * 1024


class TcpGate:
    """Passes connections on to `targets`, ports on loopback. Connections that are made while it is shut get nowhere,
    and end when it is opened."""

    def __init__(self, targets: Sequence[int]) -> None:
        self._passable = threading.Event()
        self._passable.set()
        self._closed = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listeners = [self._listener() for _ in targets]
        self.ports = [int(each.getsockname()[1]) for each in self._listeners]
        for listener, target in zip(self._listeners, targets, strict=True):
            threading.Thread(target=self._serve, args=(listener, target), name="gate", daemon=True).start()

    def __enter__(self) -> TcpGate:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def shut(self) -> None:
        self._passable.clear()

    def open(self) -> None:
        self._passable.set()

    def close(self) -> None:
        """End all connections, and take no more."""
        with self._lock:
            self._closed = True
            ends = list(self._open)
        for each in [*self._listeners, *ends]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # wakes who waits for it
        for listener in self._listeners:
            listener.close()
        self._passable.set()

    @staticmethod
    def _listener() -> socket.socket:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        return listener

    def _serve(self, listener: socket.socket, target: int) -> None:
        with suppress(OSError):
            while not self._closed:
                client, _ = listener.accept()
                if self._keep(client):
                    threading.Thread(target=self._connect, args=(client, target), name="gate", daemon=True).start()

    def _connect(self, client: socket.socket, target: int) -> None:
        if not self._passable.is_set():
            self._passable.wait()
            self._forget(client)
            return
        try:
            server = socket.create_connection(("127.0.0.1", target), timeout=10)
        except OSError:
            self._forget(client)
            return
        server.settimeout(None)
        if not self._keep(server):
            self._forget(client)
            return
        back = threading.Thread(target=self._pass, args=(server, client), name="gate", daemon=True)
        back.start()
        self._pass(client, server)
        back.join()
        self._forget(client, server)

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(BLOCK):
                self._passable.wait()
                sink.sendall(data)
        self._passable.wait()  # that it has ended is not to be seen either
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _keep(self, end: socket.socket) -> bool:
        with self._lock:
            if not self._closed:
                self._open.add(end)
                return True
        end.close()
        return False

    def _forget(self, *ends: socket.socket) -> None:
        with self._lock:
            self._open.difference_update(ends)
        for each in ends:
            each.close()
