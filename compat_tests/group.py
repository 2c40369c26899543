"""Several servers that share a ZooKeeper and a history: any of them may be asked, one leads, all run tasks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import requests

from compat_tests.mortal import MortalServer, until

SESSION_MS = 3000


class Group:
    """`size` nodes with `resources` each. `options` are flags of all of them."""

    def __init__(self, folder: Path, hosts: str, size: int, *options: str, resources: str) -> None:
        folder.mkdir(parents=True)
        path = f"/{folder.parent.name}-{folder.name}/state"
        given = ["--zk_hosts", hosts, "--zk_path", path, "--zk_timeout", str(SESSION_MS), "--hostname", "127.0.0.1"]
        given += ["--history_url", f"sqlite:///{folder / 'history.sqlite'}", "--resources", resources, *options]
        self.nodes = [self._node(folder / f"node{number}", given) for number in range(size)]

    @staticmethod
    def _node(folder: Path, options: list[str]) -> MortalServer:
        folder.mkdir()
        return MortalServer(folder, *options)

    @classmethod
    def started(cls, folder: Path, hosts: str, size: int, *options: str, resources: str) -> Group:
        """Return a group all of whose nodes are reached; what was started of it is stopped when that fails."""
        group = cls(folder, hosts, size, *options, resources=resources)
        try:
            group.start()
        except BaseException:
            group.close()
            raise
        return group

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            until(lambda node=node: self.ready(node), "the node is ready", 60)  # type: ignore[misc]
        self.wait_for(len(self.nodes))

    def close(self) -> None:
        for node in self.nodes:
            node.stop()

    @staticmethod
    def ready(node: MortalServer) -> bool:
        try:
            return requests.get(f"{node.url}/health", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def leader(self, *candidates: MortalServer) -> MortalServer:
        """Return the node that leads, of all or of `candidates`; wait until there is one."""
        found: list[MortalServer] = []

        def one_leads() -> bool:
            found[:] = [node for node in candidates or self.nodes if node.health().get("leading")]
            return len(found) == 1

        until(one_leads, "one node leads", 60)
        return found[0]

    def others(self, node: MortalServer) -> list[MortalServer]:
        return [other for other in self.nodes if other is not node]

    @staticmethod
    def agent(node: MortalServer) -> str:
        """Return the name of a node's agent."""
        return (node.folder / "data" / "agent_id").read_text().strip()

    @staticmethod
    def live(leader: MortalServer) -> set[str]:
        """Return the agents that a leader reaches."""
        nodes: dict[str, Any] = leader.health()["driver"].get("nodes", {})
        return {agent for agent, node in nodes.items() if node["live"]}

    def wait_for(self, count: int, *candidates: MortalServer) -> MortalServer:
        """Return the leader once it reaches so many nodes."""
        leader = self.leader(*candidates)
        until(lambda: len(self.live(leader)) == count, f"{count} nodes are reached", 60)
        return leader


def agent_of(server: MortalServer, run: int) -> str:
    """Return where a run's last attempt was launched, empty when it waits."""
    attempts = server.get(f"/api/runs/{run}")["attemptList"]
    return str(attempts[-1]["agent"] or "") if attempts else ""


def by_agent(server: MortalServer) -> Counter[str]:
    """Return how many runs that have not ended each agent has."""
    return Counter(agent_of(server, run["run"]) for run in server.active_runs())
