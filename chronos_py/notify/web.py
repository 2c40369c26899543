"""A POST, and what its answer means."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import requests

from chronos_py.notify.base import Failed, Refused

TIMEOUT_S = (5.0, 20.0)  # to connect, and for the answer
LONGEST_WAIT_S = 3600.0
AGAIN = frozenset({401, 403, 404, 408, 425, 429})  # what an operator, or time, may repair


def post(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    """POST a body. Raises Failed, Refused, whose sentences do not show the URL, for it may be a secret."""
    try:
        with requests.post(url, body, headers=dict(headers), timeout=TIMEOUT_S, stream=True) as answer:
            status, after = answer.status_code, answer.headers.get("Retry-After", "")
    except requests.RequestException as error:
        raise Failed(f"{type(error).__name__} at {urlsplit(url).hostname or 'no host'}") from None
    if status in AGAIN or status >= 500:
        seconds = min(float(after), LONGEST_WAIT_S) if after.isascii() and after.isdigit() else 0.0
        raise Failed(f"the receiver answers {status}", seconds)
    if not 200 <= status < 300:
        raise Refused(f"the receiver answers {status}")
