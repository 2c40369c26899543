"""Sentry, by the protocol that Raven spoke: POST /api/<project>/store/."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson

from chronos_py import __version__
from chronos_py.model.notice import Notice
from chronos_py.notify import web
from chronos_py.notify.webhook import ONLY_IN_2

TAGS = ("job", "command")


@dataclass(frozen=True, slots=True)
class Dsn:
    """Where events go and with which keys; newer servers give no secret key."""

    url: str
    key: str
    secret: str = ""

    @classmethod
    def parse(cls, text: str) -> Dsn:
        """Read `https://<key>[:<secret>]@<host>[/<path>]/<project>`; raven's own options after it do not count.
        Raises ValueError."""
        parts = urlsplit(text.removeprefix("sync+").removeprefix("async+"))
        path, _, project = parts.path.rpartition("/")
        if parts.scheme not in ("http", "https") or not parts.hostname or not parts.username or not project.isalnum():
            raise ValueError("must be of the form https://<key>:<secret>@<host>/<project>")
        netloc = parts.netloc.rpartition("@")[2]
        url = f"{parts.scheme}://{netloc}{path}/api/{project}/store/"
        return cls(url, unquote(parts.username), unquote(parts.password or ""))


class SentryChannel:
    name = "sentry"

    def __init__(self, dsn: Dsn, server: str, dialect: int = 3) -> None:
        self._dsn = dsn
        self._server = server
        self._dialect = dialect

    def send(self, notice: Notice, owner: str) -> bool:
        """See Channel."""
        secret = f", sentry_secret={self._dsn.secret}" if self._dsn.secret else ""
        keys = f"sentry_version=7, sentry_client=chronos-py/{__version__}, sentry_key={self._dsn.key}{secret}"
        headers = {"Content-Type": "application/json", "X-Sentry-Auth": f"Sentry {keys}"}
        web.post(self._dsn.url, orjson.dumps(event(notice, owner, self._server, self._dialect)), headers)
        return True


def event(notice: Notice, owner: str, server: str, dialect: int = 3) -> dict[str, Any]:
    """Return the event. One notice to one owner is one event, however often it is sent."""
    fields = dict(notice.fields)
    left_out = set(TAGS) if dialect == 2 else ONLY_IN_2.union(TAGS)
    return {
        "event_id": hashlib.sha256(f"{notice.number} {notice.job} {owner}".encode()).hexdigest()[:32],
        "timestamp": datetime.fromtimestamp(notice.at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "level": "error",
        "logger": "chronos",
        "platform": "other",
        "server_name": server,
        "message": f"{notice.subject}\n\n{notice.body or ''}",
        "tags": {"owner": owner} | {name: fields.get(name, "") for name in TAGS},
        "extra": {name: value for name, value in notice.fields if name not in left_out},
    }
