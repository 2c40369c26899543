"""HTTP/1.1 as much as the agent speaks it: answers read piece by piece, records in a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Union

_LONGEST_HEAD = 65536
LONGEST_RECORD = 16 * 1024 * 1024


class BadAnswer(Exception):
    """What came is not HTTP, or larger than anything the agent has reason to send."""


class Head:
    __slots__ = ("headers", "status")

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers


class End:
    """The answer is complete."""


Piece = Union[Head, bytes, type[End]]  # noqa: UP007 - this is evaluated, and Python 3.9 knows no other form


class Answers:
    """Reads the answers of one connection, in order: for each a Head, pieces of its body, and End."""

    def __init__(self) -> None:
        self._data = b""
        self._left: int | None = None  # of a body or chunk; None: a head is next
        self._chunked = False
        self._between = False  # a chunk's size line is next

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Take bytes that arrived; yield what they complete. Raises BadAnswer."""
        self._data += data
        while True:
            if self._left is None:
                head = self._head()
                if head is None:
                    return
                yield head
            elif self._between:
                line, found, rest = self._data.partition(b"\r\n")
                if not found:
                    self._check(len(line) > 1024, "a chunk has no size")
                    return
                if not line:  # the end of the chunk before
                    self._data = rest
                    continue
                size = _number(line.split(b";")[0], 16)
                if size == 0:
                    if not rest.startswith(b"\r\n"):
                        self._check(len(rest) > 1, "trailers after the last chunk")
                        return
                    self._data, self._left = rest[2:], None
                    yield End
                    continue
                self._data, self._left, self._between = rest, size, False
            else:
                piece, self._data = self._data[: self._left], self._data[self._left :]
                self._left -= len(piece)
                if piece:
                    yield piece
                if self._left:
                    return
                if self._chunked:
                    self._between = True
                else:
                    self._left = None
                    yield End

    def _head(self) -> Head | None:
        raw, found, rest = self._data.partition(b"\r\n\r\n")
        self._check(len(raw) > _LONGEST_HEAD, "the head of an answer is too long")
        if not found:
            return None
        first, *lines = raw.decode("latin-1").split("\r\n")
        words = first.split(" ", 2)
        self._check(not words[0].startswith("HTTP/") or len(words) < 2, f"not an answer: {first[:80]!r}")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        self._data = rest
        self._chunked = self._between = headers.get("transfer-encoding", "").lower() == "chunked"
        self._left = 0 if self._chunked else _number(headers.get("content-length", "0").encode(), 10)
        return Head(_number(words[1].encode(), 10), headers)

    def _check(self, bad: bool, text: str) -> None:
        if bad:
            raise BadAnswer(text)


class Records:
    """Takes the pieces of a stream in RecordIO: a decimal length, a line feed, that many bytes."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the records that are complete. Raises BadAnswer."""
        self._data += piece
        while self._data:
            size, found, rest = self._data.partition(b"\n")
            if not found:
                if len(size) > 20:
                    raise BadAnswer("a record has no length")
                return
            length = _number(size, 10)
            if length > LONGEST_RECORD:
                raise BadAnswer(f"a record of {length} bytes")
            if len(rest) < length:
                return
            self._data = rest[length:]
            yield rest[:length]


def _number(text: bytes, base: int) -> int:
    try:
        number = int(text, base)
    except ValueError:
        raise BadAnswer(f"not a number: {text[:40]!r}") from None
    if number < 0:
        raise BadAnswer(f"a negative number: {text[:40]!r}")
    return number
