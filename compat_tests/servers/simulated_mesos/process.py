"""The simulated master in a process of its own, for tests and benchmarks."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import requests

from compat_tests.servers.simulated_mesos.settings import Settings

ROOT = Path(__file__).resolve().parents[3]


class SimulatedMesos:
    """A master at `address` ("127.0.0.1:port"); `pid` is its process, which does not outlive this one.

    Start it in a thread that lives as long as it is needed. Any command of `control.Control` is a method here, with
    keyword arguments: `simulator.lose_agent(agent=0)`. It raises RuntimeError with the answer if it is refused.
    """

    def __init__(self, settings: Settings | None = None, **changes: Any) -> None:
        """Start it and wait until it listens. `changes` are fields of Settings."""
        chosen = settings or Settings()
        known = {entry.name for entry in fields(Settings)}
        for name, value in changes.items():
            if name not in known:
                raise ValueError(f"there is no setting {name!r}")
            setattr(chosen, name, value)
        command = [sys.executable, "-m", "compat_tests.servers.simulated_mesos", "--owner", str(os.getpid())]
        for name, value in asdict(chosen).items():
            if value is not None:
                command.append(f"--{name.replace('_', '-')}={':'.join(value) if name == 'credential' else value}")
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
        self.pid = self._process.pid
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], 30)
        line = self._process.stdout.readline() if readable else b""
        if not line:
            self.stop()
            raise RuntimeError(f"the simulated master did not come up; exit status {self._process.returncode}")
        told = json.loads(line)
        self.address: str = told["address"]
        self._control = f"http://{told['control']}/simulator/"
        self._session = requests.Session()
        self._session.trust_env = False

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def control(self, command: str, **arguments: Any) -> Any:
        """Give a command of `control.Control` and return its result."""
        answer = self._session.post(self._control + command, data=json.dumps(arguments), timeout=60)
        if answer.status_code != 200:
            raise RuntimeError(f"{command}: {answer.status_code} {answer.text}")
        return answer.json()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda **arguments: self.control(name, **arguments)

    def stop(self, seconds: float = 10) -> int:
        """End it and return its exit code."""
        self._process.terminate()
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        if "_session" in self.__dict__:
            self._session.close()
        return code

    def __enter__(self) -> SimulatedMesos:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
