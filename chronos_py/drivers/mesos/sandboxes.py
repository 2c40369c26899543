"""Tasks' sandboxes on their agents: where to look, and reading what tasks have written."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

from chronos_py.drivers.base import OutputChunk
from chronos_py.drivers.mesos.agents import AgentDirectory
from chronos_py.drivers.mesos.stream import Endpoint
from chronos_py.drivers.mesos.web import NoAnswer
from chronos_py.errors import Unavailable, UnknownTask

Folders = Callable[[str, str], list[tuple[str, str]]]  # (framework id, task id) -> (executor id, folder) ...
STREAMS = ("stdout", "stderr")
Ask = Callable[[Endpoint, dict[str, Any]], Any]  # a call of an agent's v1 API and its answer; raises NoAnswer


class Sandboxes:
    """Reads through agents' own HTTP. Paths are virtual ones (`/frameworks/F/executors/E/runs/latest`), which agents
    keep for as long as they keep the sandbox."""

    def __init__(
        self,
        directory: AgentDirectory,
        ask: Ask,
        tls: ssl.SSLContext | None,
        folders: Folders,
    ) -> None:
        """`folders` says, of a framework's task, in which executors' sandboxes its files may be, and where in them."""
        self._directory = directory
        self._ask = ask
        self._tls = tls
        self._folders = folders

    def _paths(self, framework_id: str, task_id: str) -> list[str]:
        return [
            f"/frameworks/{framework_id}/executors/{executor}/runs/latest{f'/{inside}' if inside else ''}"
            for executor, inside in self._folders(framework_id, task_id)
        ]

    def _endpoint(self, agent_id: str) -> Endpoint | None:
        url = self._directory.get(agent_id).url if agent_id else ""
        try:
            return Endpoint.of(url.partition("://")[2], self._tls, 5051) if url else None
        except ValueError:
            return None

    def url(self, framework_id: str, task_id: str, agent_id: str) -> str:
        """Return the address of the agent's listing of a sandbox, empty when the agent is not known."""
        endpoint = self._endpoint(agent_id)
        if endpoint is None:
            return ""
        return f"{endpoint.url}/files/browse?{urlencode({'path': self._paths(framework_id, task_id)[0]})}"

    def read(
        self, framework_id: str, task_id: str, agent_id: str, stream: str, offset: int, length: int
    ) -> OutputChunk:
        """Read up to `length` bytes; a negative `offset` counts from the end.

        Raises UnknownTask when the agent has no such sandbox or is gone, Unavailable when it does not answer.
        """
        endpoint = self._endpoint(agent_id)
        if endpoint is None or stream not in STREAMS:
            raise UnknownTask(task_id)
        for path in self._paths(framework_id, task_id):
            with suppress(UnknownTask):
                return self._read(endpoint, task_id, f"{path}/{stream}", offset, length)
        raise UnknownTask(task_id)

    def _read(self, endpoint: Endpoint, task_id: str, path: str, offset: int, length: int) -> OutputChunk:
        if offset < 0:
            size = self._part(endpoint, task_id, path, 0, 0)[1]
            offset = max(0, size + offset)
        data, size = self._part(endpoint, task_id, path, offset, max(0, length))
        return OutputChunk(data, min(offset, size), size, ended=False)

    def _part(self, endpoint: Endpoint, task_id: str, path: str, offset: int, length: int) -> tuple[bytes, int]:
        question = {"type": "READ_FILE", "read_file": {"path": path, "offset": offset, "length": length}}
        try:
            answer = self._ask(endpoint, question)
            found = answer["read_file"]
            return base64.b64decode(found.get("data", "")), int(found["size"])
        except NoAnswer as error:
            if error.status in (400, 404):
                raise UnknownTask(task_id) from None
            raise Unavailable(f"the agent of {task_id} does not give its output: {error}") from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unavailable(f"the agent of {task_id} gives no output that can be read: {error!r}") from None
