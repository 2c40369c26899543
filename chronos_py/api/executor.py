"""The executor's file, for agents to fetch: the one path that asks for no credentials, for agents have none to give."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chronos_py.api.transport import Wsgi
from chronos_py.executor.archive import Archive

PREFIX = "/executor/"


def with_executor(app: Wsgi, archive: Archive) -> Wsgi:
    """Answer GET and HEAD of `/executor/<archive.name>`; all else is `app`'s. The name tells the content, for ever."""
    path = PREFIX + archive.name
    headers = [
        ("Content-Type", "application/octet-stream"),
        ("Content-Length", str(len(archive.content))),
        ("Cache-Control", "public, max-age=31536000, immutable"),
    ]

    def serving(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method = environ.get("REQUEST_METHOD")
        if environ.get("PATH_INFO") != path or method not in ("GET", "HEAD"):
            return app(environ, start_response)
        start_response("200 OK", headers)
        return [] if method == "HEAD" else [archive.content]

    return serving
