"""gunicorn around the server: one worker, for there is one writer; many threads.

The master holds the data folder's lock and the port; the worker holds everything else and is started anew when it
ends. When the master ends, however it ends, the system ends the worker: a new server finds lock and port free at once.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import signal
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import structlog
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers import gthread
from gunicorn.workers.gthread import ThreadWorker

from chronos_py import __version__, logs
from chronos_py.config import BadSetting, Settings
from chronos_py.errors import StoreUnavailable
from chronos_py.persistence.lockfile import LockFile
from chronos_py.tls import BadCertificate, ServerTls

log = structlog.get_logger(__name__)

PR_SET_PDEATHSIG = 1
PATIENCE_S = 5.0  # for lock and port of a server that is just ending
SILENCE_S = 20  # of a client in the middle of a request, or while it should take the answer
HANDSHAKE_S = 10.0  # for a client of HTTPS to come to terms
DRAIN_S = 3  # for requests under way when the server is told to stop
STOP_S = 20  # until the worker is killed that was told to stop
SWITCH_INTERVAL_S = 0.001  # the service's thread should not wait long for one that computes
FAILED = 1
ACCESS = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(M)sms'  # NCSA combined, and the duration


T = TypeVar("T")


class CannotServe(Exception):
    """The port is not to be had; `lasting` when waiting will not help."""

    def __init__(self, sentence: str, *, lasting: bool) -> None:
        super().__init__(sentence)
        self.lasting = lasting


class QuietLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Sends gunicorn's messages where all others go; what it says at every start is for debugging."""

    def setup(self, cfg: Any) -> None:
        for logger in (self.error_log, self.access_log):
            logger.handlers.clear()
            logger.propagate = True
            logger.setLevel(logging.NOTSET)

    def info(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        self.debug(msg, *args, **kwargs)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Log an error with its traceback, unless it is just a client that fell silent."""
        if isinstance(sys.exc_info()[1], BlockingIOError):
            self.debug("a client fell silent")
        else:
            super().exception(msg, *args, **kwargs)


class OneWorkerArbiter(Arbiter):  # type: ignore[misc]
    """Keeps exactly one worker: there can be only one writer, and settings are read once, at the start."""

    def handle_int(self) -> None:
        """End gracefully, as for TERM."""
        raise StopIteration

    handle_quit = handle_int

    def _ignore(self) -> None:
        log.warning("a signal is ignored: to change settings, stop the server and start it again; tasks run on")

    handle_hup = handle_ttin = handle_ttou = handle_usr2 = _ignore

    def handle_winch(self) -> None:
        """The terminal's window has another size."""


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker. It leaves Ctrl-C, which a terminal sends to all processes, to the master."""

    tls: ServerTls | None = None
    tls_port = 0

    def handle_request(self, req: Any, conn: Any) -> Any:
        if isinstance(conn.sock, ssl.SSLSocket):
            req.scheme = "https"
        return super().handle_request(req, conn)

    def init_signals(self) -> None:
        super().init_signals()
        signal.signal(signal.SIGINT, lambda *_: None)  # not SIG_IGN: tasks would inherit that

    def handle_exit(self, sig: int, frame: Any) -> None:
        self.app.stopping.set()  # streams end
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        self.handle_exit(sig, frame)


class Connection(gthread.TConn):  # type: ignore[misc]
    """A connection; at the port for HTTPS it begins with a handshake, in the thread that serves it."""

    sock: socket.socket
    server: Any

    def init(self) -> None:
        tls = Worker.tls
        if tls is not None and self.server[1] == Worker.tls_port and not isinstance(self.sock, ssl.SSLSocket):
            self.sock.settimeout(HANDSHAKE_S)
            self.sock = tls.context().wrap_socket(self.sock, server_side=True)
            self.sock.settimeout(None)
        super().init()


gthread.TConn = Connection  # what ThreadWorker makes for each socket that it accepts


class ChronosServer(BaseApplication):  # type: ignore[misc]
    """Starts gunicorn without its own command line; the parts are built in the worker, never before the fork."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.server: Any = None
        self.port = settings.http_port
        self.tls_port = 0
        self.stopping = threading.Event()
        super().__init__()

    def load_config(self) -> None:
        options = {
            "bind": [f"{_bracketed(address)}:{port}" for address, port in listening_at(self.settings)],
            "worker_class": Worker,
            "workers": 1,
            "threads": self.settings.http_threads,
            "worker_connections": 1000,
            "backlog": 2048,
            "keepalive": 75,
            "timeout": 60,  # of the worker's main thread; its other threads may take any time, as streams do
            "graceful_timeout": STOP_S,
            "limit_request_line": 8190,
            "limit_request_fields": 100,
            "limit_request_field_size": 16380,
            "logger_class": QuietLogger,
            "proc_name": "chronos-py",
            "when_ready": self._ready,
            "post_fork": self._forked,
            "post_worker_init": self._started,
            "worker_exit": self._exit,
            "control_socket_disable": True,
        }
        if self.settings.access_log:
            options |= {"accesslog": "-", "access_log_format": ACCESS}
        for name, value in options.items():
            if name in self.cfg.settings:  # the control socket is newer than the oldest version that will do
                self.cfg.set(name, value)

    def load(self) -> Any:
        """Build all parts, in the worker."""
        from chronos_py.app import build

        sys.setswitchinterval(SWITCH_INTERVAL_S)
        Worker.tls, Worker.tls_port = tls_of(self.settings), self.tls_port
        self.server = build(self.settings, self.port, self.stopping)
        return self.server.wsgi

    def run(self) -> None:
        OneWorkerArbiter(self).run()

    def _ready(self, arbiter: Any) -> None:
        listeners = [listener.sock for listener in arbiter.LISTENERS]
        for listener in listeners:
            _guard(listener)
        self.port = listeners[0].getsockname()[1]
        if self.settings.ssl_keystore_path:
            self.tls_port = listeners[-1].getsockname()[1]
            (self.settings.folder / "https_port").write_text(f"{self.tls_port}\n")
            log.info("listening for HTTPS", port=self.tls_port)
        (self.settings.folder / "http_port").write_text(f"{self.port}\n")
        log.info("listening", address=self.settings.http_address, port=self.port, pid=os.getpid(), version=__version__)

    def _forked(self, arbiter: Any, worker: Any) -> None:
        """Let the worker end with the master."""
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != arbiter.pid:
            os.kill(os.getpid(), signal.SIGKILL)
        worker.cfg.set("graceful_timeout", DRAIN_S)  # the worker's own copy: the rest of STOP_S is for the service

    def _started(self, worker: Any) -> None:
        settings = self.settings
        if settings.examples and (settings.disable_http or (settings.access_file and settings.credentials is None)):
            log.warning(
                "the examples are not loaded: that needs HTTP, and --http_credentials where credentials are asked"
            )
        elif settings.examples:
            from chronos_py.examples import load_when_empty

            url = f"http://{self.settings.own_address}:{self.port}"
            arguments = (self.server.service, url, self.settings.credentials, self.settings.folder, self.settings.user)
            threading.Thread(target=load_when_empty, args=arguments, name="examples", daemon=True).start()

    def _exit(self, arbiter: Any, worker: Any) -> None:
        """Stop the parts; and end without waiting for threads whose requests have had their time."""
        if self.server is None:
            return  # in the master, or never built
        server, self.server = self.server, None
        try:
            server.stop()
            log.info("stopped")
        except Exception:
            log.exception("the server did not stop as it should; it will find its state again")
        logging.shutdown()
        os._exit(0 if self.stopping.is_set() else FAILED)


def listening_at(settings: Settings) -> list[tuple[str, int]]:
    """Return addresses and ports, the one for HTTPS last."""
    places = [] if settings.disable_http else [(settings.http_address, settings.http_port)]
    if settings.ssl_keystore_path:
        places.append((settings.https_address or settings.http_address, settings.https_port))
    return places


def tls_of(settings: Settings) -> ServerTls | None:
    """Return what HTTPS needs, None without it. Raises BadSetting."""
    if not settings.ssl_keystore_path:
        return None
    try:
        return ServerTls(Path(settings.ssl_keystore_path), settings.ssl_keystore_password, settings.ssl_client_ca_file)
    except BadCertificate as error:
        raise BadSetting("ssl_keystore_path", settings.ssl_keystore_path, str(error)) from None


def run_server(settings: Settings) -> int:
    """Serve until told to stop; return the process's exit code."""
    logs.set_up(settings.log_format, settings.log_level)
    for flag in settings.idle:
        source = settings.sources[flag.name] or "command line"
        log.warning("a flag has no effect in this version", flag=f"--{flag.name}", source=source)
    try:
        settings.folder.mkdir(mode=0o711, parents=True, exist_ok=True)  # users whose tasks run below it pass through
        lock = _patiently(lambda: LockFile(settings.folder / "server.pid"))
        _patiently(lambda: _try_port(settings))
    except (CannotServe, StoreUnavailable) as error:
        log.critical("the server cannot start", reason=str(error))
        return FAILED
    except OSError as error:
        log.critical("the server cannot start", reason=f"--data_dir {settings.folder}: {error.strerror}")
        return FAILED
    master = os.getpid()
    try:
        ChronosServer(settings).run()
    except SystemExit as end:
        if os.getpid() != master:
            raise  # the worker's exit code tells the master why it ended
        return FAILED if end.code else 0
    finally:
        if os.getpid() == master:
            _forget(settings.folder)
            lock.release()
    return 0


def _guard(listener: socket.socket) -> None:
    """Keep clients that say nothing, or stop in the middle, from occupying threads; connections inherit all of this."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, SILENCE_S)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", SILENCE_S, 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SILENCE_S, 0))


def _forget(folder: Path) -> None:
    """Take back what would name a server that has ended."""
    (folder / "http_port").unlink(missing_ok=True)
    (folder / "server.pid").write_text("")  # the file itself is the lock


def _patiently(attempt: Callable[[], T]) -> T:
    """Return what the attempt gives; try again for a while what a server that is just ending may hinder."""
    deadline = time.monotonic() + PATIENCE_S
    told = False
    while True:
        try:
            return attempt()
        except (CannotServe, StoreUnavailable) as error:
            if time.monotonic() > deadline or (isinstance(error, CannotServe) and error.lasting):
                raise
            if not told:
                log.info("waiting for a server that may be ending", reason=str(error))
            told = True
            time.sleep(0.05)


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _try_port(settings: Settings) -> None:
    """See that the port can be had. Raises CannotServe."""
    for address, port in listening_at(settings):
        _try(address, port, "https" if port == settings.https_port and settings.ssl_keystore_path else "http")


def _try(address: str, port: int, scheme: str) -> None:
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        sentence = f"--{scheme}_address {address} --{scheme}_port {port}: {error.strerror or error}"
        raise CannotServe(sentence, lasting=error.errno != errno.EADDRINUSE) from None
