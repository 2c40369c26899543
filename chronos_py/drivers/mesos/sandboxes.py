"""Tasks' sandboxes on their agents: where to look, and reading what tasks have written.

A task without an executor of the user's own has a sandbox that is named after it. Any other lies in the one of its
executor, of which there may have been many of one name: which it was, the agent's /state tells.
"""

from __future__ import annotations

import base64
import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

from chronos_py.drivers.base import OutputChunk
from chronos_py.drivers.mesos.agents import AgentDirectory
from chronos_py.drivers.mesos.executors import Executors
from chronos_py.drivers.mesos.stream import Endpoint
from chronos_py.drivers.mesos.web import NoAnswer
from chronos_py.errors import Unavailable, UnknownTask

STREAMS = ("stdout", "stderr")
REMEMBERED = 10_000  # tasks whose executor, or whose folder, is known
Look = Callable[[Endpoint, str], Any]  # gets a JSON document of an agent by its path; raises NoAnswer
Ask = Callable[[Endpoint, dict[str, Any]], Any]  # a call of an agent's v1 API and its answer; raises NoAnswer


class Sandboxes:
    """Reads through agents' own HTTP. Paths are virtual ones (`/frameworks/F/executors/E/runs/latest`), which agents
    keep for as long as they keep the sandbox."""

    def __init__(
        self,
        directory: AgentDirectory,
        ask: Ask,
        look: Look,
        tls: ssl.SSLContext | None,
        executors: Executors,
    ) -> None:
        self._directory = directory
        self._ask = ask
        self._look = look
        self._tls = tls
        self._ours = executors
        self._executors: OrderedDict[str, str] = OrderedDict()  # the names of executors of users' own, by task
        self._found: OrderedDict[str, str] = OrderedDict()  # folders that an agent has told, by task
        self._lock = threading.Lock()

    def note(self, task_id: str, executor_id: str) -> None:
        """Take note that a task is launched on an executor of the user's own."""
        self._remember(self._executors, task_id, executor_id)

    def _remember(self, notes: OrderedDict[str, str], task_id: str, what: str) -> None:
        with self._lock:
            notes[task_id] = what
            notes.move_to_end(task_id)
            while len(notes) > REMEMBERED:
                notes.popitem(last=False)

    def folder(self, framework_id: str, task_id: str) -> str:
        """Return where to look first: what the agent has told, or the newest sandbox of that executor."""
        found = self._found.get(task_id)
        if found is not None:
            return found
        own = self._executors.get(task_id)
        executor, inside = self._ours.folder(task_id) or (own or task_id, "")
        path = f"/frameworks/{framework_id}/executors/{executor}/runs/latest"
        return f"{path}/{inside}" if inside else path

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
        return f"{endpoint.url}/files/browse?{urlencode({'path': self.folder(framework_id, task_id)})}"

    def read(
        self, framework_id: str, task_id: str, agent_id: str, stream: str, offset: int, length: int
    ) -> OutputChunk:
        """Read up to `length` bytes; a negative `offset` counts from the end.

        Raises UnknownTask when the agent has no such sandbox or is gone, Unavailable when it does not answer.
        """
        endpoint = self._endpoint(agent_id)
        if endpoint is None or stream not in STREAMS:
            raise UnknownTask(task_id)
        if task_id in self._executors and task_id not in self._found:
            with suppress(UnknownTask, Unavailable):
                self._search(endpoint, framework_id, task_id)
        try:
            return self._chunk(endpoint, framework_id, task_id, stream, offset, length)
        except UnknownTask:
            if task_id in self._found:
                raise
        self._search(endpoint, framework_id, task_id)  # noted by an earlier process of ours, or not by us at all
        return self._chunk(endpoint, framework_id, task_id, stream, offset, length)

    def _search(self, endpoint: Endpoint, framework_id: str, task_id: str) -> None:
        """Ask the agent for a task's folder. Raises UnknownTask, Unavailable."""
        try:
            found = find_executor(self._look(endpoint, "/state"), framework_id, task_id)
        except NoAnswer as error:
            raise Unavailable(f"the agent of {task_id} does not tell where it ran: {error}") from None
        if found is None:
            raise UnknownTask(task_id)
        executor, folder = found
        inside = self._ours.inside(executor, task_id)
        self._remember(self._found, task_id, f"{folder}/{inside}" if inside else folder)

    def _chunk(
        self, endpoint: Endpoint, framework_id: str, task_id: str, stream: str, offset: int, length: int
    ) -> OutputChunk:
        path = f"{self.folder(framework_id, task_id)}/{stream}"
        size = None
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


def find_executor(state: Any, framework_id: str, task_id: str) -> tuple[str, str] | None:
    """Return a task's executor and its sandbox from an agent's /state, None when it is not there."""
    for framework in _entries(state, "frameworks", "completed_frameworks"):
        if framework.get("id") != framework_id:
            continue
        for executor in _entries(framework, "executors", "completed_executors"):
            tasks = _entries(executor, "tasks", "queued_tasks", "completed_tasks")
            folder = executor.get("directory")
            if isinstance(folder, str) and folder and any(task.get("id") == task_id for task in tasks):
                return str(executor.get("id", "")), folder
    return None


def _entries(holder: Any, *names: str) -> Iterator[dict[str, Any]]:
    """Yield the objects in lists of these names; what is no object is left out."""
    for name in names:
        found = holder.get(name) if isinstance(holder, dict) else None
        yield from (entry for entry in (found if isinstance(found, list) else ()) if isinstance(entry, dict))
