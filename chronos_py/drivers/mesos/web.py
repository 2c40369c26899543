"""Short questions to the HTTP servers of masters and agents."""

from __future__ import annotations

import json
from http.client import HTTPException
from typing import Any

from chronos_py.drivers.mesos.stream import SHOWN, Endpoint, said
from chronos_py.errors import ChronosError

LARGEST_ANSWER = 256 * 1024 * 1024


class NoAnswer(ChronosError):
    """A master or agent could not be asked, or did not answer as it should. `status` is 0 when it said nothing."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status


def get_json(endpoint: Endpoint, path: str, headers: dict[str, str], timeout: float) -> Any:
    """GET a document. Raises NoAnswer."""
    return _ask(endpoint, "GET", path, None, headers, timeout)


def post_json(endpoint: Endpoint, path: str, body: Any, headers: dict[str, str], timeout: float) -> Any:
    """POST a document; return the one that is answered. Raises NoAnswer."""
    sent = {**headers, "Content-Type": "application/json", "Accept": "application/json"}
    return _ask(endpoint, "POST", path, json.dumps(body).encode(), sent, timeout)


def _ask(
    endpoint: Endpoint, method: str, path: str, body: bytes | None, headers: dict[str, str], timeout: float
) -> Any:
    connection = endpoint.connection(timeout)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read(LARGEST_ANSWER)
        if answer.status != 200:
            raise NoAnswer(f"HTTP {answer.status}: {text[:SHOWN].decode(errors='replace')}", answer.status)
        return json.loads(text)
    except (OSError, HTTPException, ValueError) as error:
        raise NoAnswer(f"{endpoint}{path}: {said(error)}") from None
    finally:
        connection.close()
