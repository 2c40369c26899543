"""`HttpParser`: reads one HTTP response from whatever pieces the network delivers, and never raises on bad bytes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from enum import IntEnum

import httptools

__all__ = ["HTTP_BOTH", "HTTP_RESPONSE", "Errno", "Headers", "HttpParser"]

HTTP_RESPONSE = 1
HTTP_BOTH = 2

MAX_HEADER_BYTES = 80 * 1024  # HTTP_MAX_HEADER_SIZE of the C parser that the original wraps

logger = logging.getLogger(__name__)


class Errno(IntEnum):
    """What `get_errno` returns: those codes of the original's C parser that can be told apart here."""

    OK = 0
    INVALID_EOF_STATE = 9
    HEADER_OVERFLOW = 10
    INVALID_STATUS = 13
    UNKNOWN = 29


class Headers(Mapping[str, str]):
    """Headers in order of arrival, looked up in any case; the values of a repeated one are joined by commas."""

    def __init__(self) -> None:
        self._fields: dict[str, tuple[str, str]] = {}

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()][1]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._fields

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._fields.values())

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Headers({dict(self)!r})"

    def add(self, name: str, value: str) -> None:
        """Add a field as received."""
        first_name, values = self._fields.get(name.lower(), (name, None))
        self._fields[name.lower()] = first_name, value if values is None else f"{values}, {value}"


class _Response:
    """What has been read so far; the `on_` methods are called by httptools."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.headers = Headers()
        self.body: list[bytes] = []
        self.begun = self.headers_complete = self.complete = False

    @property
    def lasts_until_close(self) -> bool:
        return self.headers_complete and not ("content-length" in self.headers or "transfer-encoding" in self.headers)

    def on_message_begin(self) -> None:
        self.begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.complete:
            self.headers.add(name.decode("latin-1"), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        if not self.complete:
            self.status = self.parser.get_status_code()
            self.headers_complete = not self._is_interim

    def on_body(self, body: bytes) -> None:
        if body and not self.complete:
            self.body.append(body)

    def on_message_complete(self) -> None:
        if self._is_interim:  # the real response is still to come
            self.status, self.headers = 0, Headers()
        else:
            self.complete = True

    @property
    def _is_interim(self) -> bool:
        return 100 <= self.status < 200 and self.status != 101


class HttpParser:
    """Reads one response; bytes that follow it are counted as parsed and ignored.

    `execute` takes what has arrived; the other methods tell what is known by then. This has no attribute `errno`, by
    which pymesos would take it for the original's pure Python parser.
    """

    def __init__(self, kind: int = HTTP_BOTH) -> None:
        if kind not in (HTTP_RESPONSE, HTTP_BOTH):
            raise ValueError("only responses are parsed")
        self._response = _Response()
        self._header_bytes = 0
        self._error = Errno.OK

    def execute(self, data: bytes | bytearray | memoryview, length: int) -> int:
        """Parse the first `length` bytes of `data` and return `length`; anything else is an error, see `get_errno`.

        A length of 0 says that the peer has closed the connection.
        """
        response = self._response
        if self._error:
            return 0
        if response.complete:
            return length
        if length == 0:
            return self._close()
        try:
            response.parser.feed_data(memoryview(data)[:length])
        except httptools.HttpParserUpgrade:
            pass  # the response ends here; what follows is in another protocol
        except httptools.HttpParserInvalidStatusError as error:
            return self._fail(Errno.INVALID_STATUS, str(error))
        except httptools.HttpParserError as error:
            if not response.complete:
                return self._fail(Errno.UNKNOWN, str(error))
        if not response.headers_complete:
            self._header_bytes += length
            if self._header_bytes > MAX_HEADER_BYTES:
                return self._fail(Errno.HEADER_OVERFLOW, f"more than {MAX_HEADER_BYTES} bytes of headers")
        return length

    def get_errno(self) -> int:
        """Return 0, or what kind of error ended the parsing."""
        return int(self._error)

    def get_version(self) -> tuple[int, int]:
        """Return the version of HTTP, (0, 0) while it is unknown."""
        major, _, minor = self._response.parser.get_http_version().partition(".")
        return int(major), int(minor)

    def get_status_code(self) -> int:
        """Return the status, 0 before the headers are complete."""
        return self._response.status

    def get_headers(self) -> Headers:
        """Return the headers received so far."""
        return self._response.headers

    def recv_body(self) -> bytes:
        """Return the decoded body that has arrived since the last call."""
        body = b"".join(self._response.body)
        self._response.body.clear()
        return body

    def recv_body_into(self, buffer: bytearray | memoryview) -> int:
        """Move body that has arrived into `buffer` and return how many bytes; the rest stays for the next call."""
        body = self.recv_body()
        count = min(len(body), len(buffer))
        buffer[:count] = body[:count]
        if count < len(body):
            self._response.body.append(body[count:])
        return count

    def is_message_begin(self) -> bool:
        """Tell whether anything of a response has arrived."""
        return self._response.begun

    def is_headers_complete(self) -> bool:
        """Tell whether status and headers are known."""
        return self._response.headers_complete

    def is_partial_body(self) -> bool:
        """Tell whether `recv_body` has something to return."""
        return bool(self._response.body)

    def is_message_complete(self) -> bool:
        """Tell whether the response has ended."""
        return self._response.complete

    def is_chunked(self) -> bool:
        """Tell whether the body comes in chunks."""
        return self._response.headers.get("transfer-encoding", "").lower() == "chunked"

    def is_upgrade(self) -> bool:
        """Tell whether the peer goes on in another protocol."""
        return self._response.status == 101

    def should_keep_alive(self) -> bool:
        """Tell whether the connection may carry another exchange."""
        return self._response.parser.should_keep_alive()

    def _close(self) -> int:
        if self._response.lasts_until_close:
            self._response.complete = True
        elif self._response.begun:
            self._fail(Errno.INVALID_EOF_STATE, "connection closed inside a response")
            return 1  # as the original does, since 0 is what was asked for
        return 0

    def _fail(self, error: Errno, reason: str) -> int:
        logger.warning("malformed HTTP response: %s", reason)
        self._error = error
        return 0
