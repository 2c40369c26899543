"""The owner's side of the keeper: orders to it, and the processes it started."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from compat_tests.servers.mesos.errors import MesosError
from compat_tests.servers.zookeeper import stands_still

KEEPER = Path(__file__).with_name("keeper.py")
PAUSE_S = 10
CLOSE_S = 120  # killing takes milliseconds, removing containers may take a minute


class Keeper:
    """A running keeper (see keeper.py). Usable from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        command = [sys.executable, "-I", "-S", str(KEEPER)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def order(self, op: str, **details: Any) -> Any:
        """Have an order followed; return the answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._lock:
            line = b""
            with contextlib.suppress(OSError, ValueError):  # closed, or dead
                self._process.stdin.write(json.dumps({**details, "op": op}).encode() + b"\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
        if not line:
            raise MesosError("the cluster is stopped")
        return json.loads(line)

    def close(self) -> None:
        """End every process, and return when they are gone."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._lock:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            self._process.wait(CLOSE_S)
            self._process.stdout.close()


class Process:
    """A process of the cluster; its output goes to the end of `log`."""

    def __init__(
        self, keeper: Keeper, name: str, command: list[str], env: dict[str, str], cwd: Path, log: Path
    ) -> None:
        self.name = name
        self._keeper, self._log = keeper, log
        self._log_start = log.stat().st_size if log.exists() else 0
        self.pid: int = keeper.order("start", argv=command, env=env, cwd=str(cwd), log=str(log))

    def exit_code(self) -> int | None:
        """Return its exit code, negative for a signal; None while it runs."""
        code: int | None = self._keeper.order("exit code", pid=self.pid)
        return code

    def signal(self, number: int, tree: bool = False) -> None:
        """Send it a signal; with `tree` to all its descendants too."""
        self._keeper.order("signal", pid=self.pid, number=int(number), tree=tree)

    def pause(self) -> None:
        """Freeze it; return when every thread stands still, which is a moment after the signal was sent."""
        self.signal(signal.SIGSTOP)
        end = time.monotonic() + PAUSE_S
        while not stands_still(self.pid):
            if self.exit_code() is not None or time.monotonic() > end:
                raise MesosError(f"{self.name} could not be frozen\n{self.tail()}")
            time.sleep(0.005)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def wait(self, seconds: float) -> int:
        """Return its exit code. Raises MesosError when it does not end in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            code = self.exit_code()
            if code is not None:
                return code
            time.sleep(0.01)
        raise MesosError(f"{self.name} did not end within {seconds} seconds\n{self.tail()}")

    def tail(self, lines: int = 25) -> str:
        """Return the last lines it wrote since it was started."""
        with self._log.open(errors="replace") as file:
            file.seek(self._log_start)
            return "\n".join(file.read().splitlines()[-lines:])
