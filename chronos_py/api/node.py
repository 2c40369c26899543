"""What the leader asks of this node: paths below /internal, for nodes of the group alone, which sign what they send."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from chronos_py.api.transport import BROKEN, CLOSE, Wsgi
from chronos_py.drivers.group import Answer, GroupDriver, answer_to
from chronos_py.drivers.group.wire import LARGEST, SIGNATURE

PREFIX = "/internal/"
AT_ONCE = 4  # bodies in memory whose signature has not been looked at yet
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 405: "Method Not Allowed"}
REASONS |= {409: "Conflict", 411: "Length Required", 413: "Content Too Large", 503: "Service Unavailable"}


def with_node(app: Wsgi, group: GroupDriver) -> Wsgi:
    """Answer what lies below /internal/; all else is `app`'s."""
    readers = threading.BoundedSemaphore(AT_ONCE)

    def serving(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not environ.get("PATH_INFO", "").startswith(PREFIX):
            return app(environ, start_response)
        answer = _answer(environ, group, readers)
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(answer.body)))]
        headers.append(("Cache-Control", "no-store"))
        if answer.signature:
            headers.append((SIGNATURE, answer.signature))
        start_response(f"{answer.status} {REASONS[answer.status]}", headers)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [answer.body]

    return serving


def _answer(environ: dict[str, Any], group: GroupDriver, readers: threading.BoundedSemaphore) -> Answer:
    signature = environ.get("HTTP_" + SIGNATURE.upper().replace("-", "_"), "")
    length = environ.get("CONTENT_LENGTH") or ""
    if environ.get("REQUEST_METHOD") != "POST":
        return _refused(environ, 405, "only nodes ask here, by POST")
    if not signature:
        return _refused(environ, 401, "this request is not signed by a node of this group")
    if not length.isdecimal():
        return _refused(environ, 411, "a length is needed")
    if int(length) > LARGEST:
        return _refused(environ, 413, f"more than {LARGEST} bytes")
    if not readers.acquire(blocking=False):
        return _refused(environ, 503, "too much is sent at once")
    try:
        try:
            body = environ["wsgi.input"].read(int(length))
        except BROKEN:
            return _refused(environ, 400, "the body broke off")
        if len(body) != int(length):
            return _refused(environ, 400, "the body broke off")
    finally:
        readers.release()
    return answer_to(group.node, group.instance, group.key(), environ["PATH_INFO"], body, signature)


def _refused(environ: dict[str, Any], status: int, sentence: str) -> Answer:
    environ[CLOSE] = True  # what may follow belongs to this request
    return Answer(status, b'{"error":"%b"}' % sentence.encode())
