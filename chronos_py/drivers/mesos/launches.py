"""Launches on the wire: one ACCEPT each, and what to do when the master takes it badly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import structlog

from chronos_py.drivers.mesos.amounts import Bag, NotEnough
from chronos_py.drivers.mesos.connection import Answer
from chronos_py.drivers.mesos.executors import Executors
from chronos_py.drivers.mesos.sender import Call
from chronos_py.drivers.mesos.settings import MesosSettings
from chronos_py.drivers.mesos.tasks import BadTask, task_info
from chronos_py.model.messages import Launch, StatusUpdate
from chronos_py.model.offer import Offer
from chronos_py.model.run import Task

log = structlog.get_logger(__name__)

MALFORMED = 400  # the master could not read the call, so it did nothing of it


class Launches:
    """Makes calls of launches. Whatever becomes of a call, each of its tasks is told of: here, when it surely never
    started or cannot be expressed; by the master's updates, when it took the call; by reconciliation after the next
    subscription, when nobody can tell."""

    def __init__(
        self,
        settings: MesosSettings,
        executors: Executors,
        tell: Callable[[StatusUpdate], None],
        again: Callable[[Call], object],
    ) -> None:
        """`again` queues a further call."""
        self._settings = settings
        self._executors = executors
        self._tell = tell
        self._again = again

    def call(self, launch: Launch, framework_id: Callable[[], str]) -> Call:
        """Return the call for a launch; its tasks' resources are picked from the offers when it is sent."""
        return self._accept(launch, launch.tasks, framework_id)

    def _accept(self, launch: Launch, tasks: tuple[Task, ...], framework_id: Callable[[], str]) -> Call:
        told: set[str] = set()

        def make() -> dict[str, Any]:
            infos = list(self._infos(launch, tasks, told, framework_id()))
            offers = [{"value": offer.id} for offer in launch.offers]
            filters = {"refuse_seconds": launch.refuse_seconds}
            owner = {"value": framework_id()}
            if not infos:
                return {
                    "type": "DECLINE",
                    "framework_id": owner,
                    "decline": {"offer_ids": offers, "filters": filters},
                }
            operations = [{"type": "LAUNCH", "launch": {"task_infos": infos}}]
            return {
                "type": "ACCEPT",
                "framework_id": owner,
                "accept": {"offer_ids": offers, "operations": operations, "filters": filters},
            }

        def done(answer: Answer) -> None:
            left = tuple(task for task in tasks if task.id not in told)
            if not left or answer.accepted:
                return
            if answer.unknown:
                log.warning("whether tasks were launched is not known", tasks=len(left), reason=answer.text)
            elif answer.status != MALFORMED or answer.disowned:
                self._dropped(launch, left, f"the launch was not carried out: {answer.text or answer.status}")
            elif len(left) == 1:
                self._say(launch, left[0], "TASK_ERROR", "TASK_INVALID", f"Mesos cannot read it: {answer.text}")
            else:  # one of them is bad, and nothing says which: the offers are still ours, so the first goes alone
                self._dropped(launch, left[1:], f"launched together with what Mesos cannot read: {answer.text}")
                self._again(self._accept(launch, left[:1], framework_id))

        return Call(make, done)

    def _infos(
        self, launch: Launch, tasks: tuple[Task, ...], told: set[str], framework_id: str
    ) -> Iterator[dict[str, Any]]:
        bag = Bag([resource for offer in launch.offers for resource in offer.detail.resources])
        for task in tasks:
            try:
                yield self._info(task, bag, launch.offers[0], framework_id)
            except BadTask as error:
                told.add(task.id)
                self._say(launch, task, "TASK_ERROR", "TASK_INVALID", f"it cannot be launched: {error}")
            except NotEnough as error:  # of ports that it wants by number: another agent may have them
                told.add(task.id)
                self._dropped(launch, (task,), str(error))

    def _info(self, task: Task, bag: Bag, offer: Offer, framework_id: str) -> dict[str, Any]:
        agent_id, first = offer.agent_id, self._settings.order.reserved_first(offer.role, task.resource_order)
        plain = self._executors.plain(task)
        info = task_info(plain, bag, agent_id, framework_id=framework_id, reserved_first=first)
        return self._executors.dressed(task, info, framework_id) if self._executors.chosen(task) else info

    def _dropped(self, launch: Launch, tasks: tuple[Task, ...], message: str) -> None:
        for task in tasks:
            self._say(launch, task, "TASK_DROPPED", "INVALID_OFFERS", message)

    def _say(self, launch: Launch, task: Task, state: str, reason: str, message: str) -> None:
        offer = launch.offers[0]
        self._tell(StatusUpdate(task.id, state, offer.agent_id, offer.host, reason=reason, message=message))
