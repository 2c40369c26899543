"""HTTP Basic authentication for every path, as Chronos 3 has it."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from chronos_py.api.pages import PAGE, error_page
from chronos_py.api.transport import Wsgi


def with_credentials(app: Wsgi, user: str, password: str, realm: str) -> Wsgi:
    """Let only requests with this user and password through; others get 401 and the challenge.

    Clients encode what is not ASCII as UTF-8 or, as the original understood it, as Latin-1: either will do.
    """
    together = f"{user}:{password}"
    expected = [together.encode()]
    with suppress(UnicodeEncodeError):
        expected.append(together.encode("latin-1"))
    challenge = f'basic realm="{realm}"'

    def guarded(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        given = _given(environ.get("HTTP_AUTHORIZATION", ""))
        if any([hmac.compare_digest(given, form) for form in expected]):  # noqa: C419 - always compare with all
            return app(environ, start_response)
        page = error_page(401, environ.get("PATH_INFO", "/"), "Unauthorized")
        body = page.get_data()
        headers = [
            ("WWW-Authenticate", challenge),
            ("Content-Type", PAGE),
            ("Cache-Control", page.headers["Cache-Control"]),
            ("Content-Length", str(len(body))),
        ]
        start_response("401 Unauthorized", headers)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]

    return guarded


def _given(header: str) -> bytes:
    """Return the `user:password` of an Authorization header, empty when it has none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
