"""How a leader's requests reach a node: by HTTP, or by a call when the node is this very process."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from chronos_py.drivers.base import OutputChunk
from chronos_py.drivers.group.members import Member
from chronos_py.drivers.group.node import Node, Refused
from chronos_py.drivers.group.wire import (
    LARGEST,
    NODE_PATH,
    OUTPUT_PATH,
    SIGNATURE,
    Ask,
    Malformed,
    OutputWanted,
    Told,
    dump,
    is_signed,
    load,
    sign,
)
from chronos_py.errors import ChronosError, Unavailable, UnknownTask

CONNECT_S = 3.0
ANSWER_S = 15.0  # beyond what the request itself waits


class NotSent(ChronosError):
    """Nothing of the request has reached the node."""


class NoAnswer(ChronosError):
    """What the node made of the request is not known."""


class Transport(Protocol):
    def exchange(self, ask: Ask) -> Told:
        """Raises NotSent, NoAnswer, Refused."""

    def output(self, wanted: OutputWanted) -> OutputChunk:
        """Raises UnknownTask, Unavailable."""

    def wake(self) -> None:
        """Let a request that waits end soon."""


class Direct:
    """To this process's own node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def exchange(self, ask: Ask) -> Told:
        return self._node.exchange(ask)

    def output(self, wanted: OutputWanted) -> OutputChunk:
        return self._node.output(wanted.task_id, wanted.stream, wanted.offset, wanted.length)

    def wake(self) -> None:
        self._node.wake()


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    body: bytes


class Http:
    """To another node: a connection for each request, so that one that is not made is known to have carried nothing.

    `member` and `key` are asked for anew each time: a node that was started again has another instance.
    """

    def __init__(self, member: Callable[[], Member], key: Callable[[], bytes]) -> None:
        self._member = member
        self._key = key
        self._lock = threading.Lock()
        self._waiting: socket.socket | None = None

    def exchange(self, ask: Ask) -> Told:
        reply = self._post(NODE_PATH, dump(ask), ask.wait)
        if reply.status == 409:
            raise Refused(_sentence(reply))
        if reply.status != 200:
            raise NoAnswer(f"status {reply.status}: {_sentence(reply)}")
        try:
            return load(Told, reply.body)
        except Malformed as error:
            raise NoAnswer(str(error)) from None

    def output(self, wanted: OutputWanted) -> OutputChunk:
        try:
            reply = self._post(OUTPUT_PATH, dump(wanted), 0.0)
        except (NotSent, NoAnswer) as error:
            raise Unavailable(f"the node {self._member().address} has the output, and is away: {error}") from None
        if reply.status == 404:
            raise UnknownTask(wanted.task_id)
        if reply.status != 200:
            raise Unavailable(f"the node {self._member().address} answers {reply.status}: {_sentence(reply)}")
        return load(_Output, reply.body).chunk()

    def wake(self) -> None:
        with self._lock:
            if self._waiting is not None:
                with suppress(OSError):
                    self._waiting.shutdown(socket.SHUT_RDWR)

    def _post(self, path: str, body: bytes, wait: float) -> _Reply:
        member, key = self._member(), self._key()
        if not key:
            raise NotSent("the group's key is not known yet")
        if len(body) > LARGEST:
            raise NotSent(f"{len(body)} bytes are more than a node takes")
        host, _, port = member.address.rpartition(":")
        connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=CONNECT_S)
        try:
            try:
                connection.connect()
            except OSError as error:
                raise NotSent(error.strerror or str(error)) from None
            connection.sock.settimeout(wait + ANSWER_S)
            if wait:
                with self._lock:
                    self._waiting = connection.sock
            signature = sign(key, member.instance.encode(), path.encode(), body)
            headers = {SIGNATURE: signature, "Content-Type": "application/json", "Connection": "close"}
            try:
                connection.request("POST", path, body, headers)
                response = connection.getresponse()
                found = response.read(2 * LARGEST)
            except (OSError, http.client.HTTPException) as error:
                raise NoAnswer(f"{type(error).__name__}: {error}") from None
            finally:
                if wait:
                    with self._lock:
                        self._waiting = None
            given = response.getheader(SIGNATURE) or ""
            if not is_signed(given, key, signature.encode(), b"%d" % response.status, found):
                raise NoAnswer(f"the answer, {response.status}, is not signed by the node {member.instance}")
            return _Reply(response.status, found)
        finally:
            connection.close()


@dataclass(frozen=True, slots=True)
class _Output:
    data: bytes
    offset: int
    size: int
    ended: bool

    def chunk(self) -> OutputChunk:
        return OutputChunk(self.data, self.offset, self.size, self.ended)


def _sentence(reply: _Reply) -> str:
    with suppress(ValueError, TypeError, KeyError):
        return str(json.loads(reply.body)["error"])[:300]
    return ""
