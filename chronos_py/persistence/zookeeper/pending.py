"""Chronos 2's nodes `T_<task id>`: tasks that it had made and not started yet.

Chronos 3 neither reads nor writes them; what a Chronos 2 before it has left stays where it is, and so does what is no
task's id, or belongs to a job that cannot be read.
"""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Literal

from chronos_py.model.run import TaskId
from chronos_py.persistence.codec import BadRecord
from chronos_py.persistence.zookeeper.documents import read_variable
from chronos_py.persistence.zookeeper.layout import JOB_PREFIX, TASK_PREFIX

LAST_MOMENT = 253_402_300_799_999  # of the year 9999
MOST_ATTEMPTS = 2**31

Line = Literal["2.x", "3.x", ""]


def line_of(value: bytes) -> Line:
    """Return which line of Chronos wrote a job's document, empty: that cannot be told. Only 2.x knows `async`, and it
    always writes it."""
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(document, dict):
        return ""
    return "2.x" if {"async", "epsilon"} & document.keys() else "3.x"


@dataclass(slots=True)
class PendingTasks:
    """Collects nodes in any order. `uuids` are those of the readable ones, by task id; `wrong` says why others are not.

    `newest` is the document of the job that was written last: whoever wrote it was the last to lead.
    """

    uuids: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    newest: bytes = b""
    _newest_at: int = -1

    def job(self, value: bytes, changed: int) -> None:
        """Note a job's document; `changed` is the transaction that wrote it."""
        if changed > self._newest_at:
            self.newest, self._newest_at = value, changed

    def task(self, name: str, data: bytes) -> str:
        """Note a node T_...; return its uuid, empty when it cannot be read."""
        text = name[len(TASK_PREFIX) :]
        try:
            entry = read_variable(name, data)
            task = TaskId.parse(text)
            if task.millis > LAST_MOMENT or task.attempt > MOST_ATTEMPTS:
                raise ValueError(f"a time or attempt that no Chronos gave: {text[:200]!r}")
        except (BadRecord, ValueError) as error:
            self.wrong[text] = str(error)
            return ""
        self.uuids[text] = entry.uuid.hex()
        return self.uuids[text]

    def to_run(self, unreadable: Container[str]) -> tuple[str, ...]:
        """Return the tasks that are ours to run, in the order of their times; `unreadable` names jobs' variables."""
        if line_of(self.newest) != "2.x":
            return ()
        found = [(TaskId.parse(text), text) for text in self.uuids]
        return tuple(
            text
            for task, text in sorted(found, key=lambda pair: (pair[0].millis, pair[1]))
            if f"{JOB_PREFIX}{task.job}" not in unreadable
        )
