"""The scheduler API: one function per call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson

from compat_tests.servers.simulated_mesos.http import ACCEPTED, Connection, Request, answer
from compat_tests.servers.simulated_mesos.ids import is_uuid
from compat_tests.servers.simulated_mesos.launching import accept
from compat_tests.servers.simulated_mesos.master import Master
from compat_tests.servers.simulated_mesos.model import Framework, Message, Offer, Task
from compat_tests.servers.simulated_mesos.reconciling import reconcile, reconcile_one
from compat_tests.servers.simulated_mesos.shapes import PARTS, Malformed, check_part, framework_of, roles_error


class SchedulerApi:
    """Answers POST /api/v1/scheduler."""

    def __init__(self, master: Master) -> None:
        self._master = master
        self._handlers: dict[str, Callable[[Framework, Message], None]] = {
            "ACCEPT": self._accept,
            "DECLINE": self._decline,
            "ACCEPT_INVERSE_OFFERS": self._accept_inverse,
            "DECLINE_INVERSE_OFFERS": self._decline_inverse,
            "REVIVE": self._revive,
            "SUPPRESS": self._suppress,
            "KILL": self._kill,
            "ACKNOWLEDGE": self._acknowledge,
            "RECONCILE": self._reconcile,
            "TEARDOWN": self._teardown,
            "MESSAGE": self._ignore,
            "REQUEST": self._ignore,
        }

    def parse(self, request: Request) -> Message | bytes:
        """Return the call, or the answer that refuses it."""
        if request.method != "POST":
            words = f"405 Method Not Allowed. Expecting one of {{ 'POST' }}, but received '{request.method}'."
            return answer(405, words)
        kind = request.headers.get(b"content-type")
        if kind is None:
            return answer(400, "Expecting 'Content-Type' to be present")
        if kind.split(b";")[0].strip() != b"application/json":
            return answer(415, "Expecting 'Content-Type' of application/json or application/x-protobuf")
        try:
            call = orjson.loads(request.body)
        except orjson.JSONDecodeError as error:
            return answer(400, f"Failed to parse body into JSON: {error}")
        if not isinstance(call, dict):
            return answer(400, "Failed to parse body into JSON: not an object")
        return call

    def handle(self, call: Message, request: Request) -> bytes | None:
        """Carry out a call; None when its connection has become a stream."""
        kind = call.get("type")
        if not isinstance(kind, str) or kind not in PARTS:
            return answer(400, "Failed to validate scheduler::Call: Expecting 'type' to be present")
        try:
            if kind == "SUBSCRIBE":
                return self._subscribe(call, request.connection)
            framework_id = framework_of(call)
            if framework_id is None:
                raise Malformed("Failed to validate scheduler::Call: Expecting 'framework_id' to be present")
            part = check_part(kind, call)
            if kind == "ACKNOWLEDGE" and not is_uuid(part.get("uuid")):
                raise Malformed("Failed to validate scheduler::Call: Not a valid UUID")
        except Malformed as error:
            return answer(400, str(error))
        framework = self._master.frameworks.get(framework_id)
        if framework is None:
            return answer(400, "Framework cannot be found")
        if not framework.connected:
            return answer(403, "Framework is not subscribed")
        stream_id = request.headers.get(b"mesos-stream-id", b"").decode("latin-1")
        if not stream_id:
            return answer(400, "All non-subscribe calls should include the 'Mesos-Stream-Id' header")
        if stream_id != framework.stream_id:
            return answer(
                400,
                f"The stream ID '{stream_id}' included in this request didn't match the stream ID currently "
                f"associated with framework ID {framework.id}",
            )
        unknown = _unknown_operation(part) if kind == "ACCEPT" else None
        handler = self._handlers.get(kind)
        if handler is None or unknown:
            return answer(501, f"the simulator does not know {unknown or kind}")
        handler(framework, part)
        return ACCEPTED

    def _subscribe(self, call: Message, connection: Connection) -> bytes | None:
        part = check_part("SUBSCRIBE", call)
        info = part["framework_info"]
        own = info.get("id", {}).get("value")
        named = framework_of(call)
        if own != named:
            text = "'framework_id' differs from 'subscribe.framework_info.id'"
            return answer(400, f"Failed to validate scheduler::Call: {text}")
        error = roles_error(info)
        if error is not None:
            self._master.reject(connection, error)
            return None
        self._master.subscribe(own, info, set(part.get("suppressed_roles", [])), connection)
        return None

    # --- offers ----------------------------------------------------------------------
    def _accept(self, framework: Framework, part: Message) -> None:
        accept(self._master, framework, part)

    def _decline(self, framework: Framework, part: Message) -> None:
        seconds = part.get("filters", {}).get("refuse_seconds")
        offers = [self._master.offers.get(entry["value"]) for entry in part.get("offer_ids", [])]
        mine: list[Offer] = [offer for offer in offers if offer is not None and offer.framework is framework]
        self._master.trace.declines.append({"time": time.time(), "offers": len(mine), "refuse_seconds": seconds})
        for offer in mine:
            self._master.withdraw(offer, rescind=False, how="declined")
            self._master.allocator.refuse(framework, offer.role, offer.agent, offer.bag, seconds)

    def _revive(self, framework: Framework, part: Message) -> None:
        roles = set(part.get("roles") or framework.roles)
        framework.suppressed -= roles
        for key in [key for key in framework.filters if key[1] in roles]:
            del framework.filters[key]
        framework.filtered.clear()
        self._master.allocate_soon()

    def _suppress(self, framework: Framework, part: Message) -> None:
        framework.suppressed |= set(part.get("roles") or framework.roles)

    def _accept_inverse(self, framework: Framework, part: Message) -> None:
        self._answer_inverse(framework, part, "ACCEPT")

    def _decline_inverse(self, framework: Framework, part: Message) -> None:
        self._answer_inverse(framework, part, "DECLINE")

    def _answer_inverse(self, framework: Framework, part: Message, how: str) -> None:
        for entry in part.get("inverse_offer_ids", []):
            offer = framework.inverse_offers.get(entry["value"])
            if offer is not None:
                self._master.answer_inverse_offer(offer, how)

    # --- tasks -----------------------------------------------------------------------
    def _kill(self, framework: Framework, part: Message) -> None:
        task_id = part["task_id"]["value"]
        agent_id = part.get("agent_id", {}).get("value")
        task = framework.tasks.get(task_id)
        if task is None:
            reconcile_one(self._master, framework, task_id, agent_id)
        elif agent_id in (None, task.agent.id) and task.agent.state == "registered":
            self._master.executors.kill(task, framework)

    def _acknowledge(self, framework: Framework, part: Message) -> None:
        agent = self._master.agents.get(part["agent_id"]["value"])
        if agent is None or agent.state != "registered":
            return
        task: Task | None = agent.tasks.get((framework.id, part["task_id"]["value"]))
        if task is not None and self._master.executors.acknowledge(task, part["uuid"]):
            self._master.forget(task, framework)

    def _reconcile(self, framework: Framework, part: Message) -> None:
        reconcile(self._master, framework, part.get("tasks", []))

    def _teardown(self, framework: Framework, part: Message) -> None:
        self._master.remove_framework(framework)

    def _ignore(self, framework: Framework, part: Message) -> None:
        """MESSAGE and REQUEST: fake executors take no messages, and Mesos' allocator ignores requests."""


def _unknown_operation(part: Message) -> str | None:
    kinds: list[Any] = [operation.get("type") for operation in part.get("operations", [])]
    return next((f"the operation {kind}" for kind in kinds if kind != "LAUNCH"), None)
