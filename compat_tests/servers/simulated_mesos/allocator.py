"""Who is offered what: per agent the role, and in it the framework, with the smallest share, gets all it may."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from compat_tests.servers.simulated_mesos.model import Agent, Filter, Framework, Message, Offer
from compat_tests.servers.simulated_mesos.resources import Bag

if TYPE_CHECKING:
    from compat_tests.servers.simulated_mesos.master import Master

DEFAULT_REFUSE_SECONDS = 5.0
LONGEST_REFUSAL = 365 * 86400.0


class Allocator:
    """Makes offers; holds no resources itself."""

    def __init__(self, master: Master) -> None:
        self._master = master
        self.withheld = False
        self._shuffle = random.Random(0)
        self._last: dict[tuple[str, str], int] = {}  # when a framework's role last got an offer; the rest are first
        self._turn = 0

    def allocate(self) -> None:
        """Offer everything that is free, to whom it is due."""
        if self.withheld:
            return
        master = self._master
        frameworks = [framework for framework in master.frameworks.values() if framework.connected]
        clients = [(role, f) for f in frameworks for role in f.roles if role not in f.suppressed]
        if not clients:
            return
        agents = [a for a in master.agents.values() if a.free and a.state == "registered"]
        self._shuffle.shuffle(agents)
        now = master.now()
        made: dict[Framework, list[Offer]] = {}
        alone = len(clients) == 1
        whole = {} if alone else self._whole()
        for agent in agents:
            for role, framework in (
                clients if alone else sorted(clients, key=lambda pair: self._due(pair[0], pair[1], whole))
            ):
                if agent.has_gpus and not framework.knows_gpus:
                    continue
                seen = framework.filtered.get((agent.id, role))
                if seen is not None and seen[0] == agent.changes and seen[1] > now:
                    continue
                bag = agent.free.allocatable_to(role, framework.is_refined)
                if not bag.is_allocatable() or self._is_filtered(framework, role, agent, bag, now):
                    continue
                made.setdefault(framework, []).append(master.make_offer(framework, role, agent, bag))
                self._turn += 1
                self._last[framework.id, role] = self._turn
                if not agent.free:
                    break
        for framework, offers in made.items():
            for start in range(0, len(offers), master.settings.offer_batch):
                batch = offers[start : start + master.settings.offer_batch]
                master.send(framework, "OFFERS", {"offers": [self._show(offer) for offer in batch]})
        self._inverse(frameworks)

    def _whole(self) -> dict[str, int]:
        """What shares are measured against: all that registered agents have."""
        agents = [agent for agent in self._master.agents.values() if agent.state == "registered"]
        return {name: max(1, sum(agent.total.total(name) for agent in agents)) for name in ("cpus", "mem", "disk")}

    def _due(self, role: str, framework: Framework, whole: dict[str, int]) -> tuple[float, int]:
        held = framework.allocated.get(role)
        share = max(held.total(name) / amount for name, amount in whole.items()) if held else 0.0
        return round(share, 9), self._last.get((framework.id, role), 0)

    def _is_filtered(self, framework: Framework, role: str, agent: Agent, bag: Bag, now: float) -> bool:
        filters = framework.filters.get((agent.id, role))
        if not filters:
            return False
        live = [entry for entry in filters if entry.until > now]
        if live:
            framework.filters[agent.id, role] = live
        else:
            del framework.filters[agent.id, role]
        until = max((entry.until for entry in live if entry.bag.contains(bag)), default=0.0)
        framework.filtered[agent.id, role] = (agent.changes, until)  # spares the next look at the same resources
        return until > now

    def refuse(self, framework: Framework, role: str, agent: Agent, bag: Bag, seconds: float | None) -> None:
        """Do not offer what the bag contains for a while; None is Mesos' default of 5 seconds."""
        if seconds is None or seconds < 0:
            seconds = DEFAULT_REFUSE_SECONDS
        if seconds > 0 and bag:
            now = self._master.now()
            until = now + min(seconds, LONGEST_REFUSAL)
            older = framework.filters.get((agent.id, role), ())
            kept = [f for f in older if f.until > now and (f.until > until or not bag.contains(f.bag))]
            framework.filters[agent.id, role] = [*kept, Filter(until, bag)]
            framework.filtered.pop((agent.id, role), None)

    def _show(self, offer: Offer) -> Message:
        framework, agent = offer.framework, offer.agent
        role = offer.role if framework.is_multi_role else None
        shown: Message = {
            "id": {"value": offer.id},
            "framework_id": {"value": framework.id},
            "agent_id": {"value": agent.id},
            "hostname": agent.hostname,
            "url": {
                "scheme": "http",
                "address": {"hostname": agent.hostname, "ip": "127.0.0.1", "port": 5051},
                "path": "/slave(1)",
            },
            "resources": offer.bag.to_json(framework.is_refined, role),
        }
        if agent.attributes:
            shown["attributes"] = agent.attributes
        if role is not None:
            shown["allocation_info"] = {"role": role}
        if agent.unavailability is not None:
            shown["unavailability"] = agent.unavailability
        return shown

    def _inverse(self, frameworks: list[Framework]) -> None:
        """Ask frameworks to leave agents that will be unavailable, once each."""
        agents = [a for a in self._master.agents.values() if a.unavailability and a.state == "registered"]
        for framework in frameworks if agents else ():
            asked = {offer.agent for offer in framework.inverse_offers.values()}
            found = []
            for agent in agents:
                uses = any(task.agent is agent for task in framework.tasks.values())
                if uses and agent not in asked and not self._master.has_answered(framework, agent):
                    found.append(self._master.make_inverse_offer(framework, agent))
            if found:
                self._master.send(framework, "INVERSE_OFFERS", {"inverse_offers": found})
