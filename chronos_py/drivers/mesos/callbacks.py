"""What pymesos calls on the link's thread. Nothing is decided here: news is translated and passed on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog

from chronos_py.drivers.base import Post
from chronos_py.drivers.mesos.agents import AgentDirectory
from chronos_py.drivers.mesos.executors import Executors
from chronos_py.drivers.mesos.offers import read_inverse_offer, read_offer
from chronos_py.drivers.mesos.sender import Call, Route, Sender
from chronos_py.drivers.mesos.statuses import read_status
from chronos_py.model.messages import (
    AgentLost,
    DriverLost,
    DriverReady,
    InverseOffersReceived,
    OfferRescinded,
    OffersReceived,
)

if TYPE_CHECKING:
    from chronos_py.drivers.mesos.link import Link

log = structlog.get_logger(__name__)

UNREADABLE_S = 300.0  # for which an offer that cannot be read stays away


class Callbacks:
    """pymesos's Scheduler; its names are pymesos's, and those of the Mesos of old."""

    def __init__(
        self,
        tell: Post,
        sender: Sender,
        directory: AgentDirectory,
        executors: Executors,
        headers: dict[str, str],
        monotonic: Callable[[], float],
    ) -> None:
        self._tell = tell
        self._sender = sender
        self._directory = directory
        self._executors = executors
        self._headers = headers
        self._monotonic = monotonic

    def registered(self, link: Link, framework_id: Any, master_info: Any) -> None:
        del framework_id, master_info
        if link.endpoint is None:
            raise RuntimeError("a subscription without a master")
        log.info("subscribed to Mesos", master=str(link.endpoint), framework_id=link.state.framework_id)
        self._sender.connect(Route(link.endpoint, {**self._headers, "Mesos-Stream-Id": link.stream_id or ""}))
        self._directory.connected(link.endpoint)
        self._tell(DriverReady(link.state.framework_id))

    reregistered = registered

    def disconnected(self, link: Link) -> None:
        self._sender.disconnect()
        self._tell(DriverLost(link.state.problem))

    def resourceOffers(self, link: Link, offers: Sequence[dict[str, Any]]) -> None:
        link.state.last_offer = self._monotonic()
        self._directory.first_reading()
        totals = self._directory.totals()
        good, bad, problem = [], list[dict[str, Any]](), ""
        for offer in offers:
            try:
                read = read_offer(offer, totals)
            except ValueError as error:
                bad, problem = [*bad, offer], str(error)
                continue
            self._directory.note(read.agent_id, read.host, read.detail.url)
            good.append(read)
        if good:
            self._tell(OffersReceived(good))
        if bad:
            log.error("offers cannot be read and are declined", offers=len(bad), reason=problem)
            self._give_back(link, [offer["id"] for offer in bad if "id" in offer])

    def _give_back(self, link: Link, offer_ids: list[Any]) -> None:
        """Decline offers of which nobody else knows: until then no other framework has them."""
        if offer_ids:
            decline = {"offer_ids": offer_ids, "filters": {"refuse_seconds": UNREADABLE_S}}
            body = {"type": "DECLINE", "framework_id": {"value": link.state.framework_id}, "decline": decline}
            self._sender.give(Call(lambda: body))

    def inverseOffers(self, link: Link, offers: Sequence[dict[str, Any]]) -> None:
        del link
        self._tell(InverseOffersReceived([read_inverse_offer(offer) for offer in offers]))

    def offerRescinded(self, link: Link, offer_id: dict[str, Any]) -> None:
        del link
        self._tell(OfferRescinded(str(offer_id["value"])))

    def inverseOfferRescinded(self, link: Link, offer_id: dict[str, Any]) -> None:
        """The outage that it announced may come all the same; the agent's next offers tell."""

    def statusUpdate(self, link: Link, status: dict[str, Any]) -> None:
        del link
        update = read_status(status)
        self._executors.note(update.task_id, status.get("executor_id"))
        self._tell(replace(update, host=self._directory.get(update.agent_id).host))

    def operationStatusUpdate(self, link: Link, status: dict[str, Any]) -> None:
        """We start no operations that are reported on."""

    def slaveLost(self, link: Link, agent_id: dict[str, Any]) -> None:
        del link
        self._tell(AgentLost(str(agent_id["value"])))

    def executorLost(self, link: Link, executor_id: Any, agent_id: Any, status: Any) -> None:
        """Its tasks' own updates tell what became of them."""
        del link
        log.debug("an executor ended", executor_id=executor_id, agent_id=agent_id, exit_status=status)

    def frameworkMessage(self, link: Link, executor_id: Any, agent_id: Any, data: Any) -> None:
        """Nobody of ours sends any."""

    def processHeartBeat(self, link: Link) -> None:
        """The link notes the time of every event."""
