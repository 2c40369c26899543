"""An executor as an agent starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.executor.agent import PATIENCE, FakeAgent

ROOT = Path(__file__).parents[2]
Starter = Callable[..., "Executing"]


class Executing:
    """An executor's process, its sandbox and its agent."""

    def __init__(self, agent: FakeAgent, sandbox: Path, words: list[str], environment: dict[str, str]) -> None:
        self.agent, self.sandbox = agent, sandbox
        sandbox.mkdir()
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("MESOS_", "LIBPROCESS_"))
        }
        given = {
            "MESOS_AGENT_ENDPOINT": f"127.0.0.1:{agent.port}",
            "MESOS_SLAVE_PID": f"slave(1)@127.0.0.1:{agent.port}",
            "MESOS_FRAMEWORK_ID": "framework",
            "MESOS_EXECUTOR_ID": "executor",
            "MESOS_CHECKPOINT": "1",
            "MESOS_RECOVERY_TIMEOUT": "15mins",
            "MESOS_SUBSCRIPTION_BACKOFF_MAX": "100ms",
            "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": "5secs",
            "MESOS_SANDBOX": str(sandbox),
            "PYTHONPATH": str(ROOT),
        }
        with open(sandbox / "stderr", "wb") as log:
            self.process = subprocess.Popen(
                words,
                cwd=sandbox,
                env={name: value for name, value in {**inherited, **given, **environment}.items() if value},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return (self.sandbox / "stderr").read_text()

    def worker(self) -> int:
        """Return the process id of the executor proper, the guardian's only child; 0 as long as there is none."""
        pid = self.process.pid
        return int((Path(f"/proc/{pid}/task/{pid}/children").read_text().split() or ["0"])[0])

    def output(self, task_id: str, stream: str = "stdout") -> str:
        return (self.sandbox / "tasks" / task_id / stream).read_text()

    def end(self) -> int:
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@pytest.fixture
def agent() -> Iterator[FakeAgent]:
    made = FakeAgent()
    yield made
    made.down()


@pytest.fixture
def start(agent: FakeAgent, tmp_path: Path) -> Iterator[Starter]:
    """Return a function that starts an executor with options, and waits until it has subscribed."""
    running: list[Executing] = []

    def starter(
        *options: str, words: tuple[str, ...] = (), environment: dict[str, str] | None = None, wait: bool = True
    ) -> Executing:
        program = [*(words or (sys.executable, "-m", "chronos_py.executor.runtime")), *options]
        made = Executing(agent, tmp_path / f"sandbox{len(running)}", program, environment or {})
        running.append(made)
        if wait:
            agent.wait_subscribed()
        return made

    yield starter
    for made in running:
        made.close()


def gone(pid: int) -> bool:
    """Tell whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def settled(what: str, test: Callable[[], Any]) -> None:
    """Wait for what no event tells."""
    end = time.monotonic() + PATIENCE
    while not test():
        assert time.monotonic() < end, f"not {what}"
        time.sleep(0.01)
