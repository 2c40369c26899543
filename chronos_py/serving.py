"""gunicorn around the server: one worker, for there is one writer; many threads."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import structlog
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from chronos_py import logs
from chronos_py.config import Settings

log = structlog.get_logger(__name__)

PR_SET_PDEATHSIG = 1
GRACE_S = 5  # for requests under way when the server is told to stop


class QuietLogger(Logger):  # type: ignore[misc]
    """Sends gunicorn's messages where all others go."""

    def setup(self, cfg: Any) -> None:
        for logger in (self.error_log, self.access_log):
            logger.handlers.clear()
            logger.propagate = True
            logger.setLevel("INFO")


class ChronosServer(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """Starts gunicorn without its own command line; the parts are built in the worker, never before the fork."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.server: Any = None
        self.port = settings.http_port
        super().__init__()

    def load_config(self) -> None:
        options = {
            "bind": f"{self.settings.http_address}:{self.settings.http_port}",
            "worker_class": "gthread",
            "workers": 1,
            "threads": self.settings.http_threads,
            "worker_connections": 1000,
            "keepalive": 75,
            "timeout": 60,
            "graceful_timeout": GRACE_S,
            "logger_class": QuietLogger,
            "proc_name": "chronos-py",
            "when_ready": self._ready,
            "post_fork": self._forked,
            "post_worker_init": self._started,
            "worker_exit": self._exit,
            "control_socket_disable": True,
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        """Build all parts, in the worker."""
        from chronos_py.app import build

        sys.setswitchinterval(0.001)

        self.server = build(self.settings, self.port)
        return self.server.wsgi

    def _ready(self, arbiter: Any) -> None:
        self.port = arbiter.LISTENERS[0].sock.getsockname()[1]
        folder = self.settings.folder
        (folder / "server.pid").write_text(f"{os.getpid()}\n")
        (folder / "http_port").write_text(f"{self.port}\n")
        log.info("listening", address=self.settings.http_address, port=self.port)

    def _forked(self, arbiter: Any, worker: Any) -> None:
        """End with the master, however that ends: a new server must find port and store free at once."""
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != arbiter.pid:
            os.kill(os.getpid(), signal.SIGKILL)

    def _started(self, worker: Any) -> None:
        if self.settings.examples:
            from chronos_py.examples import load_when_empty

            arguments = (self.server.service, f"http://127.0.0.1:{self.port}", self.settings.credentials)
            threading.Thread(target=load_when_empty, args=arguments, name="examples", daemon=True).start()

    def _exit(self, arbiter: Any, worker: Any) -> None:
        if self.server is not None:
            self.server.stop()
            self.server = None


def run_server(settings: Settings) -> None:
    """Serve until told to stop."""
    logs.set_up(settings.log_format, settings.log_level)
    Path(settings.folder).mkdir(parents=True, exist_ok=True)
    ChronosServer(settings).run()
