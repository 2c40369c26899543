"""TCP ports on loopback."""

from __future__ import annotations

import contextlib
import random
import socket

from compat_tests.servers.mesos.errors import MesosError

# Below those that the system gives to outgoing connections: none takes the port of a process that is started again.
LOWEST, HIGHEST, TRIES = 10_240, 30_000, 100


def check_free(port: int) -> None:
    """Raise MesosError when a server could not listen on the port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise MesosError(f"port {port} cannot be used: {error.strerror}") from error


def free_port() -> int:
    """Return a port nobody listens on."""
    for _ in range(TRIES):
        port = random.SystemRandom().randrange(LOWEST, HIGHEST)
        with contextlib.suppress(MesosError):
            check_free(port)
            return port
    raise MesosError("no free port")
