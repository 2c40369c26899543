"""What the original's HTTP stack did around every endpoint: media types, bodies, compression, paths."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson
from flask import Response, g, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import BadRequest, HTTPException, NotAcceptable, RequestEntityTooLarge, UnsupportedMediaType

from chronos_py.errors import BadDocument, ChronosError

JSON, TEXT = "application/json", "text/plain"
SMALLEST_COMPRESSED = 16  # bytes
BLOCK, LARGEST_REST = 64 * 1024, 1024 * 1024  # bytes
CLOSE = "chronos_py.close"
REFUSAL = "chronos_py.refusal"  # in a request's environment: the error that it is to be answered with
BROKEN = (OSError, ParseException, HTTPException)  # what reading a body may raise
_ROUTED = re.compile(";|%2f|%3b", re.IGNORECASE)
_DECIMAL = re.compile(r"\d{1,9}(\.\d{0,9})?|\.\d{1,9}", re.ASCII)
_JSON_LIKE = ("application/javascript", "text/javascript", "text/json")
Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def answer(body: bytes | str = b"", status: int = 200, media_type: str = JSON) -> Response:
    """Return a response whose content type has no charset, as the original's never had."""
    return Response(body, status, content_type=media_type)


def nothing() -> Response:
    """Return the answer to every write that worked."""
    return answer(status=204)


def quality(header: str, produced: str) -> float:
    """Return how much an Accept header likes a media type, 0 (not at all) to 1; the most specific range decides.

    Read as leniently as the original did: `*` is any type, `q=.2` a number, other parameters do not count.
    """
    kind = produced.partition("/")[0]
    ranks = {produced: 3, f"{kind}/*": 2, "*/*": 1, "*": 1}
    best, liked = 0, 0.0 if header.strip(" ,") else 1.0
    for item in header.lower().split(","):
        media, *parameters = (part.strip() for part in item.split(";"))
        rank = ranks.get(media, 0)
        if rank > best:
            best, liked = rank, _q(parameters)
    return liked


def _q(parameters: list[str]) -> float:
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q" and _DECIMAL.fullmatch(value.strip()):
            return min(1.0, float(value))
    return 1.0


def prefers_prometheus(header: str, form: str | None) -> bool:
    """Tell whether a client wants `/metrics` as Prometheus's text, by its Accept header and the argument `format`; one
    that takes either gets the original's JSON."""
    liked = max(quality(header, media) for media in (TEXT, "application/openmetrics-text"))
    return form == "prometheus" or liked > quality(header, JSON)


def accept(produced: str) -> None:
    """Answer 406 to a client that does not take what the endpoint gives."""
    if not quality(request.headers.get("Accept", ""), produced):
        raise NotAcceptable


def consume_json_if_given() -> None:
    """Answer 415 to any other content type, with or without a body; none at all will do without a body."""
    if "Content-Type" in request.headers:
        consume_json()
    elif request.content_length:
        raise UnsupportedMediaType


def consume_json() -> None:
    """Answer 415 to anything but JSON, and to a request that does not say."""
    if request.mimetype != JSON:
        raise UnsupportedMediaType


def consume_json_like() -> None:
    """Answer 415 to anything that is not some kind of JSON."""
    kind = request.mimetype
    if kind != JSON and kind not in _JSON_LIKE and not kind.endswith("+json"):
        raise UnsupportedMediaType


class EmptyBody(BadDocument):
    """Nothing, blanks, or a JSON null where a document was wanted."""


class MalformedBody(BadDocument):
    """A body that is no JSON."""


class BodyTooLarge(ChronosError):
    """A body of more bytes than are read."""


def json_body() -> Any:
    """Return the body's JSON value: UTF-8, -16 or -32, what follows it ignored. Raises EmptyBody,
    MalformedBody, BodyTooLarge."""
    data = _whole_body()
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        value = _tolerantly(data)
    if value is None:
        raise EmptyBody("body", None, "is empty")
    return value


def _whole_body() -> bytes:
    """Return the body. What was cut off, or framed wrongly, is no request: 400, and the connection ends."""
    try:
        data = request.get_data()
    except RequestEntityTooLarge:
        close_after_answer()
        raise BodyTooLarge(f"the body is longer than {request.max_content_length} bytes") from None
    except BROKEN:
        close_after_answer()
        raise BadRequest from None
    if request.content_length is not None and len(data) != request.content_length:
        close_after_answer()
        raise BadRequest
    return data


def close_after_answer() -> None:
    """Have the connection closed after the answer: what comes on it next could not be told from the rest of this."""
    request.environ[CLOSE] = True


def take_the_rest() -> None:
    """Read what a refused request still sends, so that the connection can go on; much of it is not worth reading."""
    if request.content_length is None and "Transfer-Encoding" not in request.headers:
        return
    with suppress(*BROKEN):
        for _ in range(LARGEST_REST // BLOCK):
            if not request.stream.read(BLOCK):
                return
    close_after_answer()


def closing(app: Wsgi) -> Wsgi:
    """Close connections that must not be used again. Outermost: only gunicorn's own response object can do it."""

    def closed(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        def start(*words: Any) -> Any:
            response = getattr(start_response, "__self__", None)
            if environ.get(CLOSE) and response is not None:
                response.force_close()
            return start_response(*words)

        return app(environ, start)

    return closed


def _tolerantly(data: bytes) -> Any:
    if not data.strip():
        return None
    try:
        text = data.decode(json.detect_encoding(data)).lstrip(" \t\r\n\ufeff")
        return _DECODER.raw_decode(text)[0] if text else None
    except (ValueError, RecursionError) as error:
        raise MalformedBody("body", data[:200], f"is no JSON: {error}"[:300]) from None


class Packable:
    """A body that many clients are given: compressed once, at the first client that wants it so."""

    def __init__(self, plain: bytes) -> None:
        self.plain = plain

    @cached_property
    def packed(self) -> bytes:
        return _packed(self.plain)


def answer_kept(body: Packable) -> Response:
    """Return a JSON response with a body that is kept; `compress` finds its compressed form."""
    g.kept_body = body
    return answer(body.plain)


def _packed(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


def compress(response: Response) -> Response:
    """Compress a GET's answer for a client that takes it."""
    if request.method != "GET" or response.is_streamed or response.status_code != 200:
        return response
    response.vary.add("Accept-Encoding")
    if not request.accept_encodings.quality("gzip") or "Content-Encoding" in response.headers:
        return response
    data = response.get_data()
    if len(data) >= SMALLEST_COMPRESSED:
        kept: Packable | None = g.pop("kept_body", None)
        response.set_data(kept.packed if kept is not None else _packed(data))
        response.headers["Content-Encoding"] = "gzip"
    return response


def as_routed(app: Wsgi) -> Wsgi:
    """Split paths as the original's router did: before decoding them.

    Matrix parameters (`;name=value`) go, an encoded semicolon stays; an encoded slash does not begin a segment, it
    stays encoded, so that a name with one is an unknown job and not an unknown path.
    """

    def routed(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raw = environ.get("RAW_URI", "").partition("?")[0]
        if raw.startswith("/") and _ROUTED.search(raw):
            segments = (segment.partition(";")[0] for segment in raw.split("/"))
            decoded = (unquote_to_bytes(segment).decode("latin-1") for segment in segments)
            environ["PATH_INFO"] = "/".join(segment.replace("/", "%2F") for segment in decoded)
        return app(environ, start_response)

    return routed
