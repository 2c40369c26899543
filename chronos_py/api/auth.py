"""HTTP Basic authentication for every path, as Chronos 3 has it."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable
from typing import Any

from chronos_py.api.pages import PAGE, error_page
from chronos_py.api.transport import Wsgi


def with_credentials(app: Wsgi, user: str, password: str, realm: str) -> Wsgi:
    """Let only requests with this user and password through; others get 401 and the challenge."""
    expected = f"{user}:{password}".encode()
    challenge = f'basic realm="{realm}"'

    def guarded(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if hmac.compare_digest(_given(environ.get("HTTP_AUTHORIZATION", "")), expected):
            return app(environ, start_response)
        page = error_page(401, environ.get("PATH_INFO", "/"), "Unauthorized").get_data()
        headers = [("WWW-Authenticate", challenge), ("Content-Type", PAGE), ("Content-Length", str(len(page)))]
        start_response("401 Unauthorized", headers)
        return [page]

    return guarded


def _given(header: str) -> bytes:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
