"""Real ZooKeeper servers on loopback, from Debian's packages zookeeper and default-jre-headless.

Every server is a process with data and ports of its own, so that a test can stop, kill or freeze one of them.

    with ZooKeeperEnsemble(size=3) as zookeeper:
        ...  # zookeeper.hosts: "127.0.0.1:40001,127.0.0.1:40003,..."
        zookeeper.kill(0)  # SIGKILL one server
        zookeeper.start(0)  # again, on the same data
        zookeeper.pause(1)  # a server that hangs, until resume(1)

They do not outlive their owner, whatever becomes of it. Users of the scheme digest need no preparation in ZooKeeper.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

SERVER = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
JARS = (Path("/usr/share/java"), Path("/usr/share/zookeeper"))
TICK_MS = 500  # a session lasts 2 ticks at least


class ZooKeeperError(Exception):
    """A server could not be started."""


def missing() -> str:
    """Say what stands in the way of ZooKeeper, nothing when all is there."""
    if shutil.which("java") is None:
        return "Java is not installed (Debian: default-jre-headless)"
    return "" if _jars() else "ZooKeeper is not installed (Debian: zookeeper)"


def command(
    folder: Path, port: int, lines: Sequence[str] = (), *, memory: str = "128m", options: Sequence[str] = ()
) -> list[str]:
    """Write a configuration into `folder`, which also gets the data; return what to run. `options` are Java's.
    Raises ZooKeeperError."""
    lacking = missing()
    if lacking:
        raise ZooKeeperError(lacking)
    given = [f"tickTime={TICK_MS}", f"dataDir={folder}", f"clientPort={port}", "clientPortAddress=127.0.0.1"]
    given += ["admin.enableServer=false", "maxClientCnxns=0", f"minSessionTimeout={2 * TICK_MS}", *lines]
    config = folder / "zoo.cfg"
    config.write_text("\n".join(given) + "\n")
    classes = ":".join(f"{folder}/*" for folder in _jars())
    return [shutil.which("java") or "java", f"-Xmx{memory}", *options, "-cp", classes, SERVER, str(config)]


def answers(port: int) -> bool:
    """Tell whether a server talks on the port."""
    return bool(_status(port))


class ZooKeeperEnsemble:
    """`size` servers; one alone needs no others. `hosts` is for clients. Use as a context manager.

    Without `sync` a write does not wait for the disk.
    """

    def __init__(self, size: int = 1, *, memory: str = "256m", sync: bool = True) -> None:
        self.size = size
        self._memory = memory
        self._options = [] if sync else ["-Dzookeeper.forceSync=no"]
        self.ports = _free_ports(size)
        self._peer_ports = _free_ports(2 * size)
        self._folder = Path(tempfile.mkdtemp(prefix="zookeeper-"))
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * size
        self._guards: list[subprocess.Popen[bytes] | None] = [None] * size

    @property
    def hosts(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def __enter__(self) -> ZooKeeperEnsemble:
        with ExitStack() as stack:
            stack.callback(self.close)
            for index in range(self.size):
                self.start(index)
            self.wait()
            stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self, index: int) -> None:
        """Start a server on the data it left; nothing happens while it runs."""
        process = self._processes[index]
        if process is not None and process.poll() is None:
            return
        data = self._folder / str(index)
        data.mkdir(exist_ok=True)
        (data / "myid").write_text(f"{index + 1}\n")
        lines = ["4lw.commands.whitelist=*", "initLimit=20", "syncLimit=10"]
        if self.size > 1:
            peers = zip(self._peer_ports[::2], self._peer_ports[1::2], strict=True)
            lines += [f"server.{number}=127.0.0.1:{a}:{b}" for number, (a, b) in enumerate(peers, 1)]
        with self._log(index).open("ab") as output:
            program = command(data, self.ports[index], lines, memory=self._memory, options=self._options)
            process = subprocess.Popen(
                program, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        self._processes[index] = process
        # Its standard input ends with us, however we end.
        self._guards[index] = subprocess.Popen(
            ["sh", "-c", f"read _; kill -9 {process.pid}"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip

    def stop(self, index: int) -> None:
        self._signal(index, signal.SIGTERM)
        self._wait_for_end(index)

    def kill(self, index: int) -> None:
        self._signal(index, signal.SIGKILL)
        self._wait_for_end(index)

    def pause(self, index: int) -> None:
        """Freeze a server: it keeps its connections, and says nothing. Return when every thread of it stands still,
        which is a moment after the signal was sent. Raises ZooKeeperError."""
        self._signal(index, signal.SIGSTOP)
        process, deadline = self._processes[index], time.monotonic() + 10
        while process is not None and not stands_still(process.pid):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ZooKeeperError(f"server {index} could not be frozen")
            time.sleep(0.005)

    def resume(self, index: int) -> None:
        self._signal(index, signal.SIGCONT)

    def wait(self, timeout: float = 60.0) -> None:
        """Return once more than half of the servers serve. Raises ZooKeeperError."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.serving() > self.size // 2:
                return
            time.sleep(0.05)
        raise ZooKeeperError("\n".join(f"server {index}:\n{self.log(index)[-1500:]}" for index in range(self.size)))

    def serving(self) -> int:
        """Return how many servers serve."""
        return sum(b"Mode:" in _status(port) for port in self.ports)

    def log(self, index: int) -> str:
        """Return what a server has printed."""
        return self._log(index).read_text(errors="replace")

    def folders(self) -> list[Path]:
        """Return where the servers keep their data."""
        return [self._folder / str(index) for index in range(self.size)]

    def leader(self) -> int:
        """Return which server leads the others; only one that runs can. Raises ZooKeeperError when none does."""
        for index, port in enumerate(self.ports):
            if b"Mode: leader" in _status(port):
                return index
        raise ZooKeeperError("no server leads")

    def close(self) -> None:
        for index in range(self.size):
            self.resume(index)
            self.kill(index)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _log(self, index: int) -> Path:
        return self._folder / f"{index}.log"

    def _signal(self, index: int, number: int) -> None:
        process = self._processes[index]
        if process is not None and process.poll() is None:
            process.send_signal(number)

    def _wait_for_end(self, index: int) -> None:
        guard, self._guards[index] = self._guards[index], None
        if guard is not None:
            guard.kill()  # before the number can belong to another process
            guard.wait()
            if guard.stdin is not None:
                guard.stdin.close()
        process = self._processes[index]
        if process is not None:
            process.wait(timeout=30)


def stands_still(pid: int) -> bool:
    """Tell whether no thread of a process runs."""
    try:
        stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:  # a thread that ended meanwhile
        return False
    return bool(stats) and all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


def _status(port: int) -> bytes:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(b"srvr")
        return b"".join(iter(lambda: connection.recv(4096), b""))
    return b""


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def _jars() -> list[Path]:
    return [folder for folder in JARS if any(folder.glob("zookeeper*.jar"))]
