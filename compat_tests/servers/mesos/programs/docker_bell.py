"""How the containerizer finds a Docker executor after a restart of the agent.

It looks only for executors of the old API, by trying to connect to the address in their libprocess.pid. So the
executor leaves such a file, and accepts; what it has to say goes over the HTTP API all the same.
"""

from __future__ import annotations

import os
import socket

from .values import ENV, log


class Bell:
    """Accepts connections and drops them."""

    def __init__(self, host: str) -> None:
        self.sock = socket.socket()
        self.sock.bind((host, 0))
        self.sock.listen(8)
        self._address = f"{host}:{self.sock.getsockname()[1]}"

    def hang(self) -> None:
        """Write the address where the containerizer looks for it."""
        work, _, run = ENV["MESOS_DIRECTORY"].rpartition("/slaves/")
        path = os.path.join(work, "meta", "slaves", run, "pids", "libprocess.pid")
        try:
            with open(path, "w") as file:
                file.write(f"docker-executor(1)@{self._address}")
        except OSError as error:
            log(f"the container will not survive a restart of the agent: {error}")

    def answer(self) -> None:
        try:
            caller, _ = self.sock.accept()
            with caller:
                caller.settimeout(0.2)
                caller.recv(65536)
        except OSError:
            pass
