"""One connection to the agent that never blocks."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any

from chronos_py.executor.runtime.loop import READ, WRITE, Loop
from chronos_py.executor.runtime.wire import Answers, BadAnswer, Piece

_CONNECTING = 10.0  # seconds
_AT_ONCE = 32768  # bytes: of many launches that come together some are running before all are read


class Connection:
    """Sends bytes and tells pieces of the answers, then once why it ended. Either side may close it."""

    def __init__(
        self, loop: Loop, address: object, piece: Callable[[Piece], None], ended: Callable[[str], None]
    ) -> None:
        self._loop, self._piece, self._ended = loop, piece, ended
        self._out = bytearray()
        self._answers = Answers()
        self._connected = False
        self._socket: socket.socket | None = None
        self._patience = loop.after(_CONNECTING, lambda: self._end("the agent does not answer"))
        try:
            self._socket = self._open(address)
        except OSError as error:
            loop.after(0, lambda reason=str(error): self._end(reason))  # type: ignore[misc]
            return
        loop.watch(self._socket.fileno(), WRITE, self._ready)

    @staticmethod
    def _open(address: object) -> socket.socket:
        target: Any = address
        if isinstance(target, str):
            made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        else:
            host, port = target
            family, kind, protocol, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            made = socket.socket(family, kind, protocol)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # The agent's heartbeats are half an hour apart, and it is on this machine: the kernel asks instead.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
                if hasattr(socket, name):
                    made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        made.setblocking(False)
        failure = made.connect_ex(target)
        if failure not in (0, errno.EINPROGRESS, errno.EAGAIN):
            made.close()
            raise OSError(failure, os.strerror(failure))
        return made

    @property
    def open(self) -> bool:
        return self._socket is not None

    def send(self, data: bytes) -> None:
        if self._socket is None:
            return
        self._out += data
        if self._connected:
            self._write()

    def close(self) -> None:
        """Close without a word to anybody."""
        self._patience.cancel()
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self._ended = _nobody

    def _end(self, reason: str) -> None:
        ended = self._ended
        self.close()
        ended(reason)

    def _ready(self, events: int) -> None:
        if self._socket is None:
            return
        if not self._connected:
            failure = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if failure:
                self._end(os.strerror(failure))
                return
            self._connected = True
            self._patience.cancel()
            self._loop.watch(self._socket.fileno(), READ, self._ready)
        if events & WRITE:
            self._write()
        if events & READ:
            self._read()

    def _write(self) -> None:
        if self._socket is None:
            return
        try:
            sent = self._socket.send(self._out) if self._out else 0
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            # Not here: who sends is in the middle of something.
            self._loop.after(0, lambda reason=str(error): self._end(reason))  # type: ignore[misc]
            return
        del self._out[:sent]
        self._loop.watch(self._socket.fileno(), READ | WRITE if self._out else READ, self._ready)

    def _read(self) -> None:
        if self._socket is None:
            return
        try:
            data = self._socket.recv(_AT_ONCE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(str(error))
            return
        if not data:
            self._end("the agent closed the connection")
            return
        try:
            for piece in self._answers.feed(data):
                self._piece(piece)
                if not self.open:  # closed by whom we told
                    return
        except BadAnswer as error:
            self._end(f"the agent's answer cannot be read: {error}")


def _nobody(reason: str) -> None:
    """Be nobody: after `close` there is nothing to tell."""
