"""Where a task's output lies on its agent."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from chronos_py.drivers.base import OutputChunk
from chronos_py.drivers.mesos.agents import AgentDirectory
from chronos_py.drivers.mesos.sandboxes import Sandboxes, find_folder
from chronos_py.drivers.mesos.stream import Endpoint
from chronos_py.drivers.mesos.web import NoAnswer
from chronos_py.errors import Unavailable, UnknownTask

TASK, OLDER = "ct:2:0:own:", "ct:1:0:own:"
NEWEST = "/frameworks/f/executors/own/runs/latest"


def a_state(**folders: str) -> dict[str, Any]:
    """Return what an agent says of executors that have ended, by folder; each ran one task."""
    executors = [{"id": "own", "directory": path, "completed_tasks": [{"id": task}]} for path, task in folders.items()]
    return {"frameworks": [{"id": "other"}, {"id": "f", "executors": None, "completed_executors": executors}]}


class Agent:
    """An agent's files by path, and its /state, which may be refused."""

    def __init__(self, files: dict[str, bytes], state: Any = None) -> None:
        self.files, self.state, self.looks = files, state, 0
        directory = AgentDirectory(lambda endpoint, path: None)
        directory.note("s", "host", "http://127.0.0.1:5051")
        self.sandboxes = Sandboxes(directory, self.ask, self.look, None, lambda task_id: None)

    def ask(self, endpoint: Endpoint, question: dict[str, Any]) -> Any:
        asked = question["read_file"]
        if asked["path"] not in self.files:
            raise NoAnswer("no such file", 404)
        data = self.files[asked["path"]]
        part = data[asked["offset"] : asked["offset"] + asked["length"]]
        return {"read_file": {"data": b64encode(part).decode(), "size": len(data)}}

    def look(self, endpoint: Endpoint, path: str) -> Any:
        assert path == "/state"
        self.looks += 1
        if self.state is None:
            raise NoAnswer("refused", 403)
        return self.state

    def read(self, task_id: str = TASK) -> OutputChunk:
        return self.sandboxes.read("f", task_id, "s", "stdout", 0, 100)


def test_a_task_of_its_own_executor_is_found_by_its_name() -> None:
    agent = Agent({f"/frameworks/f/executors/{TASK}/runs/latest/stdout": b"text"})
    assert agent.read() == OutputChunk(b"text", 0, 4, False)
    assert agent.looks == 0


def test_a_task_of_a_users_executor_is_found_in_the_right_one_of_many() -> None:
    files = {f"{NEWEST}/stdout": b"new", "/a/stdout": b"old", "/b/stdout": b"new"}
    agent = Agent(files, a_state(**{"/a": OLDER, "/b": TASK}))
    for task in (OLDER, TASK):
        agent.sandboxes.note(task, "own")
    assert agent.sandboxes.url("f", OLDER, "s").endswith("executors%2Fown%2Fruns%2Flatest")
    assert (agent.read(OLDER).data, agent.read(TASK).data, agent.read(OLDER).data) == (b"old", b"new", b"old")
    assert agent.looks == 2
    assert agent.sandboxes.url("f", OLDER, "s").endswith("path=%2Fa")


def test_after_a_restart_the_agent_is_asked() -> None:
    agent = Agent({"/a/stdout": b"old"}, a_state(**{"/a": TASK}))
    assert agent.read().data == b"old"
    assert agent.read().data == b"old"
    assert agent.looks == 1


def test_an_agent_that_does_not_tell_its_state() -> None:
    agent = Agent({f"{NEWEST}/stdout": b"newest"})
    agent.sandboxes.note(TASK, "own")
    assert agent.read().data == b"newest"
    with pytest.raises(Unavailable):
        agent.read("ct:3:0:else:")


def test_a_task_that_the_agent_does_not_know() -> None:
    with pytest.raises(UnknownTask):
        Agent({}, a_state(**{"/a": OLDER})).read()


@pytest.mark.parametrize(
    "state", [None, [], {"frameworks": 3}, {"frameworks": [3, {"id": "f", "executors": [{"directory": 3}, None]}]}]
)
def test_a_state_that_makes_no_sense_has_no_folder(state: Any) -> None:
    assert find_folder(state, "f", TASK) is None
