"""A Chronos server, or ours, spoken with over REST as its clients do."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import requests

from chronos_py.errors import ChronosError
from chronos_py.transfer.definitions import BadDefinition, Document, is_dependent, name_of, parents_of, unmirrored

PREFIXES = ("/v1/scheduler", "/scheduler")  # of 3.x, of 2.x


class RemoteError(ChronosError):
    """The server cannot be reached, or refused something; the text has what it said."""


class Remote:
    """One server. `prefix` is that of the line that it speaks: 3.x is asked for first."""

    def __init__(self, url: str, credentials: str = "", timeout: float = 30) -> None:
        self.url = (url if "://" in url else f"http://{url}").rstrip("/")
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy, and no password of a .netrc that nobody named
        if credentials:
            user, _, password = credentials.partition(":")
            self.session.auth = requests.auth.HTTPBasicAuth(user.encode(), password.encode())  # the server reads UTF-8
        self.timeout = timeout
        self.prefix = ""

    def jobs(self) -> list[Document]:
        """Return all jobs, as they may be sent again. Raises RemoteError."""
        for prefix in PREFIXES:
            answer = self._ask("GET", f"{prefix}/jobs")
            if answer.status_code == 200:
                self.prefix = prefix
                return self._documents(answer)
            if answer.status_code not in (404, 405):
                break
        raise RemoteError(f"{self.url}{prefix}/jobs: {_said(answer)}")

    def _documents(self, answer: requests.Response) -> list[Document]:
        try:
            found = answer.json()
        except (ValueError, RecursionError) as error:
            raise RemoteError(f"{answer.url}: no JSON: {error}") from None
        if not isinstance(found, list) or not all(isinstance(document, dict) for document in found):
            raise RemoteError(f"{answer.url}: no list of jobs")
        for document in found:
            try:
                name_of(document)
                parents_of(document)
            except BadDefinition as error:
                raise RemoteError(f"{answer.url}: {error}") from None
            if not isinstance(document.get("schedule", ""), str):
                raise RemoteError(f"{answer.url}: {document['name']}: schedule {document['schedule']!r} is no text")
        return [unmirrored(document) for document in found]

    def send(self, document: Mapping[str, Any]) -> None:
        """Add or replace a job. Raises RemoteError with the job's name and what the server says."""
        kind = "dependency" if is_dependent(document) else "iso8601"
        self._change("POST", f"{self.prefix}/{kind}", name_of(document), document)

    def delete(self, name: str) -> None:
        """Delete a job; one that is not there any more is fine. Raises RemoteError."""
        self._change("DELETE", f"{self.prefix}/job/{quote(name, safe='')}", name)

    def _change(self, method: str, path: str, name: str, document: Mapping[str, Any] | None = None) -> None:
        answer = self._ask(method, path, document)
        if answer.status_code != 204:
            raise RemoteError(f"{name}: {method} {path}: {_said(answer)}")

    def _ask(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> requests.Response:
        try:
            return self.session.request(method, f"{self.url}{path}", json=document, timeout=self.timeout)
        except (requests.RequestException, ValueError) as error:
            raise RemoteError(f"{self.url}: cannot be reached: {error}") from None


def _said(answer: requests.Response) -> str:
    """Return status and message: a 3.x server sends a whole stack trace, of which the first line matters."""
    text = answer.text
    if "json" in answer.headers.get("Content-Type", ""):
        with suppress(ValueError, KeyError, TypeError):
            text = str(answer.json()["message"])
    return f"{answer.status_code} {text.partition(chr(10))[0][:500]}".strip()
