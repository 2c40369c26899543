"""Parts of a page that are kept up to date: computed once for all who look, sent when they have changed.

A stream occupies a thread, so only a few are held open. Whoever finds no place gets what has changed, is told to ask
again in a few seconds, and the stream ends: a browser's EventSource does that by itself. Nobody is refused.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from flask import Response, request, stream_with_context

from chronos_py.api.proxy import PASSED_ON
from chronos_py.ui.i18n import language

EVERY_S = 2.0  # the least time between two computations
SHARE = 0.008  # of a core's time that computing may take, for each language
LONGEST_REST_S = 10.0
AGAIN_MS = 5000
HEARTBEAT_S = 15.0
LONGEST_S = 300.0  # then the browser connects anew, and another may have the place

Parts = Mapping[str, str]


class Live:
    """The parts of one page, by language. `make` renders them all, in the request of whoever asks first."""

    def __init__(self, make: Callable[[], Parts], streams: int, stopping: threading.Event) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, Parts]] = {}  # by language: until when it is good
        self._streams = threading.BoundedSemaphore(max(1, streams))
        self._stopping = stopping

    def parts(self) -> Parts:
        """Return the parts, which are computed again when they are old."""
        with self._lock:
            until, parts = self._kept.get(language(), (0.0, {}))
            if time.monotonic() < until:
                return parts
            began = time.thread_time()
            parts = self._make()
            rest = min(max(EVERY_S, (time.thread_time() - began) / SHARE), LONGEST_REST_S)
            self._kept[language()] = (time.monotonic() + rest, parts)
            return parts

    def respond(self) -> Response:
        """Answer as server-sent events: `parts`, a JSON object of HTML by name, with what is new to the browser."""
        seen = request.headers.get("Last-Event-ID") or request.args.get("seen", "")
        held = PASSED_ON not in request.headers and self._streams.acquire(blocking=False)
        if not held:
            body = f"retry: {AGAIN_MS}\n\n{self._event(seen)[0]}"
            return _stream(Response(body))
        release = _once(self._streams.release)
        response = _stream(Response(stream_with_context(self._events(seen))))
        response.call_on_close(release)
        return response

    def _events(self, seen: str) -> Iterator[str]:
        began = quiet = time.monotonic()
        yield f"retry: {AGAIN_MS}\n\n"
        while not self._stopping.is_set() and time.monotonic() - began < LONGEST_S:
            event, seen = self._event(seen)
            if event:
                yield event
                quiet = time.monotonic()
            elif time.monotonic() - quiet > HEARTBEAT_S:
                yield ": still here\n\n"
                quiet = time.monotonic()
            self._stopping.wait(EVERY_S)

    def _event(self, seen: str) -> tuple[str, str]:
        """Return an event with the parts that a browser has not seen, and the mark of what it has seen then."""
        parts = self.parts()
        marks = {name: hashlib.sha256(html.encode("utf-8", "replace")).hexdigest()[:10] for name, html in parts.items()}
        mark = ".".join(marks.values())
        if mark == seen:
            return "", seen
        known = set(seen.split("."))
        new = {name: html for name, html in parts.items() if marks[name] not in known}
        return f"id: {mark}\nevent: parts\ndata: {json.dumps(new)}\n\n", mark


def _once(release: Callable[[], None]) -> Callable[[], None]:
    done = threading.Lock()

    def first() -> None:
        if done.acquire(blocking=False):
            release()

    return first


def _stream(response: Response) -> Response:
    response.content_type = "text/event-stream"
    response.headers["Cache-Control"] = "no-cache"
    return response
