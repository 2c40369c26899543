"""Three servers of one group on three ZooKeeper servers, each with a gate of its own on the way there."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from compat_tests.mortal import MortalServer, until
from compat_tests.servers.tcp_gate import TcpGate
from compat_tests.servers.zookeeper import ZooKeeperEnsemble, stands_still
from compat_tests.servers.zookeeper_log import Write, writes_of

SESSION_MS = 4000
LOG_TAIL = 15_000


class Trio:
    """Use as a context manager. `options` are flags of all nodes, `reached` how many machines a leader reaches."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.root = f"/{folder.name}"
        self.local = "--master" not in options
        self.zookeeper = ZooKeeperEnsemble(3, memory="128m")
        self.gates: list[TcpGate] = []
        self.nodes: list[MortalServer] = []
        self._options = options
        self._stack = ExitStack()

    def __enter__(self) -> Trio:
        with ExitStack() as stack:
            stack.enter_context(self.zookeeper)
            for number in range(3):
                self.gates.append(stack.enter_context(TcpGate(self.zookeeper.ports)))
                self.nodes.append(self._node(number))
                stack.callback(self.nodes[-1].stop)
                self.nodes[-1].start()
            self.wait_until_whole()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def show_logs(self) -> None:
        """Print what may explain a failure."""
        for node in self.nodes:
            print(f"--- {node.url}\n{node.log.read_text(errors='replace')[-LOG_TAIL:]}", file=sys.stderr)
        for index in range(self.zookeeper.size):
            print(f"--- ZooKeeper {index}\n{self.zookeeper.log(index)[-LOG_TAIL:]}", file=sys.stderr)

    def _node(self, number: int) -> MortalServer:
        folder = self.folder / f"node{number}"
        folder.mkdir(parents=True)
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.gates[number].ports)
        options = ["--zk_hosts", hosts, "--zk_path", self.root, "--zk_timeout", str(SESSION_MS)]
        options += ["--hostname", "127.0.0.1", "--history_url", f"sqlite:///{self.folder / 'history.sqlite'}"]
        return MortalServer(folder, *options, *self._options)

    def gate(self, node: MortalServer) -> TcpGate:
        return self.gates[self.nodes.index(node)]

    def others(self, node: MortalServer) -> list[MortalServer]:
        return [other for other in self.nodes if other is not node]

    def leader(self, *candidates: MortalServer, seconds: float = 60) -> MortalServer:
        """Return the node that leads, of all or of `candidates`, once there is one."""
        found: list[MortalServer] = []

        def one_leads() -> bool:
            found[:] = [node for node in candidates or self.nodes if node.health().get("leading")]
            return len(found) == 1

        until(one_leads, "one node leads", seconds)
        return found[0]

    def hand_over(self, leader: MortalServer) -> float:
        """Tell a leader to stop; return how many seconds it took until another one led."""
        others, began = self.others(leader), time.monotonic()
        assert leader.process is not None
        leader.process.terminate()
        while not any(node.health().get("leading") for node in others):
            assert time.monotonic() - began < 30, "nobody leads"
            time.sleep(0.005)
        return time.monotonic() - began

    def wait_until_whole(self) -> MortalServer:
        """Return the leader once every node is ready, and the leader reaches all machines."""

        def whole() -> bool:
            health = [node.health() for node in self.nodes]
            leaders = [each for each in health if each.get("leading")]
            if len(leaders) != 1 or not all(each.get("ready") for each in health):
                return False
            machines = leaders[0]["driver"].get("nodes", {}).values()
            return not self.local or sum(bool(each["live"]) for each in machines) == len(self.nodes)

        until(whole, "all nodes are ready, one leads", 60)
        return self.leader()

    def freeze(self, node: MortalServer) -> list[int]:
        """Stop all threads of a server; return what `thaw` needs."""
        pids = node.pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        until(lambda: all(map(stands_still, pids)), "it stands still")
        return pids

    @staticmethod
    def thaw(pids: list[int]) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

    # --- what ZooKeeper's own logs say

    def state_writes(self) -> list[Write]:
        """Return what was written of the group's state, in order; members and candidates left out."""
        below = (f"{self.root}/state", f"{self.root}/x/")
        return [write for write in writes_of(self.zookeeper.folders()) if write.path.startswith(below)]

    def epochs(self) -> list[Write]:
        """Return the writes with which nodes became the writer."""
        return [write for write in self.state_writes() if write.path.endswith("/x/epoch") and write.kind == "set"]

    def check_writers(self) -> None:
        """Each write was of the session that had opened the newest epoch, or asked for that epoch itself, as its leader
        does with a new session: one that was deposed wrote nothing."""
        writer, epoch, strangers = 0, -1, []
        for write in self.state_writes():
            if write.path.endswith("/x/epoch") and write.kind == "set":
                writer, epoch = write.session, write.version
                continue
            asked = any(path.endswith("/x/epoch") and version == epoch for path, version in write.checked)
            if writer not in (0, write.session) and not asked and not write.ephemeral:
                strangers.append(write)
        assert writer, "nobody ever wrote"
        assert not strangers, f"written by others than the leader: {strangers[:20]}"
