"""Status updates that the agent has not acknowledged, and tasks it may not know that we have."""

from __future__ import annotations

import time
import uuid
from base64 import b64encode
from collections import deque
from typing import Any

Json = dict[str, Any]


class Updates:
    """Every update stays until it is acknowledged, and goes along with every subscription until then.

    Many are sent at once, but of each task one: an agent that refuses the first and takes the second would tell them in
    the wrong order. Bounded by the tasks that exist: one has at most four updates, and ends with its last.
    """

    def __init__(self, executor_id: str) -> None:
        self._executor_id = {"value": executor_id}
        self._kept: dict[str, Json] = {}  # by uuid, in order
        self._tasks: dict[str, Json] = {}  # TaskInfo of tasks without any acknowledged update, by id
        self._unsent: dict[str, deque[str]] = {}  # uuids by task id, of the tasks in the next two
        self._ready: deque[str] = deque()  # task ids
        self._in_flight: deque[tuple[str, str]] = deque()  # task id and uuid, in the order of sending

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
        if task_id in self._unsent:
            self._unsent[task_id].append(status["uuid"])
        else:
            self._unsent[task_id] = deque([status["uuid"]])
            self._ready.append(task_id)

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
        while self._ready:
            task_id = self._ready.popleft()
            unsent = self._unsent[task_id]
            while unsent:
                identity = unsent.popleft()
                update = self._kept.get(identity)
                if update is not None:  # else acknowledged meanwhile
                    self._in_flight.append((task_id, identity))
                    return update
            del self._unsent[task_id]
        return None

    def accepted(self) -> None:
        """Note that the agent has taken the one that was sent first."""
        if self._in_flight:
            task_id, _ = self._in_flight.popleft()
            if self._unsent[task_id]:
                self._ready.append(task_id)
            else:
                del self._unsent[task_id]

    def refused(self) -> None:
        """Send again all that the agent has not taken, in their order."""
        while self._in_flight:
            task_id, identity = self._in_flight.pop()
            self._unsent[task_id].appendleft(identity)
            self._ready.appendleft(task_id)

    def handed_over(self) -> None:
        """Note that all went along with a subscription: nothing has to be sent but what comes after."""
        self._unsent.clear()
        self._ready.clear()
        self._in_flight.clear()

    @property
    def ready(self) -> bool:
        """Tell whether there may be an update to send."""
        return bool(self._ready)

    @property
    def in_flight(self) -> int:
        """Return how many updates were sent whose answers have not come."""
        return len(self._in_flight)

    def unacknowledged(self) -> tuple[list[Json], list[Json]]:
        """Return tasks and updates as a subscription tells them."""
        return list(self._tasks.values()), list(self._kept.values())

    def __len__(self) -> int:
        return len(self._kept)
