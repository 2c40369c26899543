"""A leader that is a socket: it keeps what it is sent, byte by byte, and answers what a test says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

PATIENCE_S = 30.0


@dataclass
class Heard:
    """One request: its line, its headers in order, its body as it came (chunks joined)."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Talk:
    """The leader's side of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE_S)
        self.connection = connection
        self.stream = connection.makefile("rb")

    def head(self) -> Heard:
        line = self.stream.readline().decode("latin-1").rstrip("\r\n")
        headers = []
        while text := self.stream.readline().decode("latin-1").rstrip("\r\n"):
            name, _, value = text.partition(":")
            headers.append((name, value.strip()))
        return Heard(line, headers, b"")

    def whole(self) -> Heard:
        heard = self.head()
        if heard.header("Content-Length"):
            heard.body = self.stream.read(int(heard.header("Content-Length") or 0))
        elif heard.header("Transfer-Encoding") == "chunked":
            while size := int(self.stream.readline(), 16):
                heard.body += self.stream.read(size)
                self.stream.readline()
            self.stream.readline()
        return heard

    def say(self, data: bytes) -> None:
        self.connection.sendall(data)

    def close(self) -> None:
        self.stream.close()
        self.connection.close()


class RawLeader:
    """Serves each connection with `answer`, in a thread of its own, and closes it then."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.answer: Callable[[Talk], None] = lambda talk: self.reply(talk, b"HTTP/1.1 204 No Content\r\n\r\n")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def reply(self, talk: Talk, data: bytes) -> None:
        """Take a whole request and answer this."""
        self.heard.append(talk.whole())
        talk.say(data)

    def will_say(self, data: bytes) -> None:
        self.answer = lambda talk: self.reply(talk, data)

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        talk = Talk(connection)
        try:
            self.answer(talk)
        except OSError:
            pass  # the other side went first
        finally:
            talk.close()
