"""Slack's and Mattermost's incoming webhooks."""

from __future__ import annotations

from chronos_py.model import java
from chronos_py.model.notice import Notice
from chronos_py.notify import web


class ChatChannel:
    """Posts `{"text":"<subject>: <body>"}`. An event without a text has nothing to post: Chronos sent `{}` then, which
    the receivers refuse."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self._url = url

    def send(self, notice: Notice, owner: str) -> bool:
        """See Channel."""
        if notice.body is None:
            return False
        web.post(self._url, payload(notice), {"Content-Type": "application/json"})
        return True


def payload(notice: Notice) -> bytes:
    """Return the body of the request."""
    return f'{{"text":{java.string_json(f"{notice.subject}: {notice.body}")}}}'.encode()
