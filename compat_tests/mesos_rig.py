"""A real Mesos cluster, a chronos_py server on it that may be killed, and work whose outcome is checked."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compat_tests.mortal import MortalServer, until
from compat_tests.servers.mesos import MesosCluster
from compat_tests.work import Work

QUICK = {"allocation_interval": "100ms", "agent_ping_timeout": "1secs", "max_agent_ping_timeouts": 3}
LOG_TAIL = 20_000


@dataclass
class Rig:
    cluster: MesosCluster
    server: MortalServer
    work: Work

    @property
    def driver(self) -> dict[str, Any]:
        """Return what the server says of its connection to Mesos; nothing while it does not answer."""
        found: dict[str, Any] = self.server.health()["driver"]
        return found

    @property
    def framework_id(self) -> str:
        return str(self.driver.get("frameworkId", ""))

    @property
    def problem(self) -> str:
        return str(self.driver.get("problem", ""))

    @property
    def live(self) -> bool:
        return bool(self.driver.get("live"))

    def frameworks(self) -> dict[str, bool]:
        """Return our frameworks that are registered with the master, and whether each is active."""
        found = self.cluster.get("/master/state")["frameworks"]
        return {framework["id"]: framework["active"] for framework in found if framework["name"] == "chronos"}

    def tasks_on(self, host: str) -> int:
        """Return how many tasks of ours the master knows on an agent, those that have ended left out."""
        state = self.cluster.get("/master/state")
        (agent,) = [agent["id"] for agent in state["slaves"] if agent["hostname"] == host]
        return sum(task["slave_id"] == agent for framework in state["frameworks"] for task in framework["tasks"])

    def finish(self, attempts: int | None = 1) -> None:
        """Let all work end; check the ledger, and that one framework of ours is there and takes part."""
        self.work.wait_until_done()
        self.work.check(attempts)
        until(lambda: self.live, "the server has a subscription")
        assert self.frameworks() == {self.framework_id: True}
        assert self.driver["failedCallbacks"] == 0


@contextmanager
def a_rig(folder: Path, cluster: MesosCluster, *options: str, ready: bool = True) -> Iterator[Rig]:
    """Start the cluster and a server on it. The server's log is shown when a test fails."""
    with cluster:
        options = ("--master", cluster.zk_url or cluster.master_address, "--user", getpass.getuser(), *options)
        server = MortalServer(folder, "--failure_retry", "500", *options)
        rig = Rig(cluster, server, Work(server, folder / "work"))
        server.start()
        try:
            if ready:
                server.wait()
            yield rig
        except BaseException:
            print(server.log.read_text(errors="replace")[-LOG_TAIL:], file=sys.stderr)
            raise
        finally:
            rig.work.open_gates()
            server.stop()
