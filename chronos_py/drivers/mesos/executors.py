"""Which tasks run in our long-lived executor, and where their files are then."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from threading import Lock
from typing import Any

from chronos_py.executor.info import NAME, Setup, executor_info, output_folder, task_data, uses_own_executor
from chronos_py.model.run import Task

REMEMBERED = 100_000  # tasks


class Executors:
    """Asked by the sender (launches), the link (news) and HTTP threads (folders)."""

    def __init__(self, setup: Setup, *, by_default: bool) -> None:
        self._setup = setup
        self._by_default = by_default
        self._lock = Lock()
        self._of_task: OrderedDict[str, str] = OrderedDict()

    def chosen(self, task: Task) -> bool:
        return uses_own_executor(task, by_default=self._by_default)

    def plain(self, task: Task) -> Task:
        """Return the task for the command executor when it names ours and cannot run there."""
        return replace(task, executor="", data=b"") if task.executor == NAME else task

    def dressed(self, task: Task, info: dict[str, Any], framework_id: str) -> dict[str, Any]:
        """Turn the TaskInfo of a command task into one for our executor; resources and time limit stay."""
        variables = info["command"]["environment"]["variables"]
        environment = tuple((str(entry["name"]), str(entry["value"])) for entry in variables)
        executor = executor_info(framework_id, task.user, self._setup)
        self.note(task.id, {"value": executor["executor_id"]["value"]})
        rest = {key: value for key, value in info.items() if key != "command"}
        return {**rest, "executor": executor, "data": task_data(replace(task, environment=environment))}

    def note(self, task_id: str, executor_id: Mapping[str, Any] | None) -> None:
        """Take note of which executor has a task; of those that are not ours there is nothing to remember."""
        name = str((executor_id or {}).get("value", ""))
        if not name.startswith(f"{NAME}."):
            return
        with self._lock:
            self._of_task[task_id] = name
            self._of_task.move_to_end(task_id)
            while len(self._of_task) > REMEMBERED:
                self._of_task.popitem(last=False)

    def folder(self, task_id: str) -> tuple[str, str] | None:
        """Return which of our executors has a task and where in its sandbox; None when that is not known."""
        with self._lock:
            known = self._of_task.get(task_id)
        return (known, output_folder(task_id)) if known else None

    @staticmethod
    def inside(executor_id: str, task_id: str) -> str:
        """Return where a task's files lie in an executor's sandbox, empty for executors that are not ours."""
        return output_folder(task_id) if executor_id.startswith(f"{NAME}.") else ""
