"""On a real master: whatever raises inside a callback, the framework stays active and its tasks run to their ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chronos_py.drivers.mesos import MesosDriver, MesosSettings
from chronos_py.drivers.mesos.callbacks import Callbacks
from chronos_py.model.messages import (
    Acknowledge,
    DriverEvent,
    DriverReady,
    Launch,
    OffersReceived,
    Resubscribe,
    StatusUpdate,
)
from compat_tests.servers.mesos import AgentSpec, MesosCluster, missing
from tests.drivers.rig import Listener, a_task, ends_soon

pytestmark = pytest.mark.external


def raising_once(monkeypatch: pytest.MonkeyPatch, name: str, raised: set[str]) -> None:
    """Let a callback raise the first time it is called."""
    kept: Callable[..., None] = getattr(Callbacks, name)

    def first(self: Callbacks, *arguments: Any) -> None:
        if name not in raised:
            raised.add(name)
            raise RuntimeError(f"thrown on purpose in {name}")
        kept(self, *arguments)

    monkeypatch.setattr(Callbacks, name, first)


@pytest.mark.parametrize("name", ["registered", "disconnected", "resourceOffers", "statusUpdate", "slaveLost"])
def test_a_framework_lives_through_an_exception(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    lacking = missing()
    if lacking:
        pytest.skip(lacking)
    flags = {"allocation_interval": "100ms", "agent_ping_timeout": "1secs", "max_agent_ping_timeouts": "2"}
    raised: set[str] = set()
    raising_once(monkeypatch, name, raised)
    listener = Listener()
    agents = [AgentSpec(hostname="a", resources="cpus:2;mem:512;disk:512"), AgentSpec(hostname="lost")]
    with MesosCluster(agents, master_flags=flags) as cluster:
        driver = MesosDriver(MesosSettings(cluster.master_address, longest_back_off=0.2))

        def take(event: DriverEvent) -> None:
            if isinstance(event, StatusUpdate) and event.uuid:
                driver.perform(Acknowledge(event))
            listener.events.put(event)

        driver.start(take, "")
        try:
            listener.wait(lambda event: isinstance(event, DriverReady))
            if name in ("disconnected", "resourceOffers"):  # offers that nobody took come again with a new subscription
                assert ends_soon(lambda: name == "resourceOffers" and name not in raised)
                driver.perform(Resubscribe("a test"))
                listener.wait(lambda event: isinstance(event, DriverReady))
                listener.seen.clear()  # what came before is void
            if name == "slaveLost":
                cluster.stop_agent(1)
                assert ends_soon(lambda: name not in raised)
            offers: OffersReceived = listener.wait(
                lambda event: isinstance(event, OffersReceived) and any(offer.host == "a" for offer in event.offers)
            )
            offer = next(offer for offer in offers.offers if offer.host == "a")
            task = a_task("one", "exit 3")
            driver.perform(Launch((offer,), (task,)))
            end = listener.end_of(task.id)
            assert (end.state, end.exit_code) == ("TASK_FAILED", 3)
            assert raised == {name}
            assert driver.status().live
            assert [framework["active"] for framework in cluster.get("/master/state")["frameworks"]] == [True]
        finally:
            driver.stop()
