"""Status updates that the agent has not acknowledged, and tasks it may not know that we have."""

from __future__ import annotations

import time
import uuid
from base64 import b64encode
from collections import deque
from typing import Any

Json = dict[str, Any]


class Updates:
    """Every update stays until it is acknowledged; each is sent in order, and all of them again on a subscription.

    Bounded by the tasks that exist: a task has at most four updates, and ends with its last one.
    """

    def __init__(self, executor_id: str) -> None:
        self._executor_id = {"value": executor_id}
        self._kept: dict[str, Json] = {}  # by uuid, in order
        self._tasks: dict[str, Json] = {}  # TaskInfo of tasks without any acknowledged update, by id
        self._unsent: deque[str] = deque()
        self._in_flight: deque[str] = deque()

    def launched(self, task: Json) -> None:
        self._tasks[task["task_id"]["value"]] = task

    def add(self, task_id: str, state: str, message: str = "", reason: str = "") -> None:
        identity = uuid.uuid4()
        status: Json = {
            "task_id": {"value": task_id},
            "executor_id": self._executor_id,
            "state": state,
            "source": "SOURCE_EXECUTOR",
            "uuid": b64encode(identity.bytes).decode(),
            "timestamp": time.time(),
        }
        if message:
            status["message"] = message
        if reason:
            status["reason"] = reason
        self._kept[status["uuid"]] = {"status": status}
        self._unsent.append(status["uuid"])

    def acknowledged(self, identity: str) -> Json | None:
        """Forget an update; return its status, None when it was acknowledged before."""
        update = self._kept.pop(identity, None)
        if update is None:
            return None
        status: Json = update["status"]
        self._tasks.pop(status["task_id"]["value"], None)
        return status

    def next(self) -> Json | None:
        """Return the next update to send, None when there is none."""
        while self._unsent:
            identity = self._unsent.popleft()
            update = self._kept.get(identity)
            if update is not None:  # else acknowledged meanwhile
                self._in_flight.append(identity)
                return update
        return None

    def accepted(self) -> None:
        """Note that the agent has taken the one that was sent first."""
        if self._in_flight:
            self._in_flight.popleft()

    def refused(self) -> None:
        """Send again all that the agent has not taken, in their order."""
        self._unsent.extendleft(reversed(self._in_flight))
        self._in_flight.clear()

    def handed_over(self) -> None:
        """Note that all went along with a subscription: nothing has to be sent but what comes after."""
        self._unsent.clear()
        self._in_flight.clear()

    @property
    def in_flight(self) -> int:
        """Return how many updates were sent whose answers have not come."""
        return len(self._in_flight)

    def unacknowledged(self) -> tuple[list[Json], list[Json]]:
        """Return tasks and updates as a subscription tells them."""
        return list(self._tasks.values()), list(self._kept.values())

    def __len__(self) -> int:
        return len(self._kept)
