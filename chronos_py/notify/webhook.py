"""The HTTP notification: a job's values as JSON, all of them text."""

from __future__ import annotations

import base64

from chronos_py.model import java
from chronos_py.model.notice import Notice
from chronos_py.notify import web

ONLY_IN_2 = frozenset({"async", "epsilon"})


class WebhookChannel:
    """`credentials` is `user:password`, or empty; `dialect` the line of Chronos, 2 or 3, whose fields are sent."""

    name = "http"

    def __init__(self, url: str, credentials: str = "", dialect: int = 3) -> None:
        self._url = url
        self._dialect = dialect
        self._headers = {"Content-Type": "application/json"}
        if credentials:
            self._headers["Authorization"] = "Basic " + base64.b64encode(credentials.encode()).decode()

    def send(self, notice: Notice, owner: str) -> bool:
        """See Channel."""
        web.post(self._url, payload(notice, owner, self._dialect), self._headers)
        return True


def payload(notice: Notice, owner: str, dialect: int = 3) -> bytes:
    """Return the body of the request, in UTF-8."""
    pairs = [("subject", notice.subject)]
    if notice.body is not None:
        pairs.append(("message", notice.body))
    if owner:
        pairs.append(("to", owner))
    pairs += [(name, value) for name, value in notice.fields if dialect == 2 or name not in ONLY_IN_2]
    inside = ",".join(f"{java.string_json(name)}:{java.string_json(value)}" for name, value in pairs)
    return f"{{{inside}}}".encode()
