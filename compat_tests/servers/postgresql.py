"""A real PostgreSQL server on loopback, from Debian's package postgresql.

    with PostgreSql() as server:
        ...  # server.url("name"): a database of that name, made if it is not there
        server.stop()
        server.start()  # again, on the same data

It refuses to run as root: as root, the tests run it as the user `postgres` or `nobody`. It does not outlive its owner.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

PROGRAMS = Path("/usr/lib/postgresql")
START_S = 60.0


class PostgreSqlError(Exception):
    """The server could not be started."""


def missing() -> str:
    """Say what stands in the way of PostgreSQL, nothing when all is there."""
    return "" if _programs() else "PostgreSQL is not installed (Debian: postgresql)"


class PostgreSql:
    """One server with an empty folder of its own. Nothing waits for the disk. Use as a context manager."""

    def __init__(self) -> None:
        programs = _programs()
        if programs is None:
            raise PostgreSqlError(missing())
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = _another_user()
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._databases: set[str] = set()

    def __enter__(self) -> PostgreSql:
        with ExitStack() as stack:
            stack.callback(self.close)
            data = str(self._folder / "data")
            self._run("initdb", "-D", data, "-U", "chronos", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
            self.start()
            stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start it on the data it left, and wait until it answers. Raises PostgreSqlError."""
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off",
                    "max_connections": "50", "shared_buffers": "16MB"}  # fmt: skip
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as output:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._folder / "data", "-p", str(self.port), *options],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/", **self._as,
            )  # fmt: skip
        # Its standard input ends with us, however we end; the server's SIGQUIT is its end at once.
        self._guard = subprocess.Popen(
            ["sh", "-c", f"read _; kill -QUIT {self._process.pid}"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + START_S
        while subprocess.run(
            [self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False
        ).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise PostgreSqlError((self._folder / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.02)

    def stop(self) -> None:
        """End it at once, as a crash would; what was committed is there after the next start."""
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.kill()  # before the number can belong to another process
            guard.wait()
            if guard.stdin is not None:
                guard.stdin.close()
        process, self._process = self._process, None
        if process is not None:
            if process.poll() is None:
                process.send_signal(signal.SIGQUIT)
            process.wait(30)

    def url(self, database: str) -> str:
        """Return SQLAlchemy's URL of a database (a plain lower-case name), which is made when it is not there."""
        if database not in self._databases:
            self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "chronos", database)
            self._databases.add(database)
        return f"postgresql+psycopg://chronos@127.0.0.1:{self.port}/{database}"

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, cwd="/", timeout=START_S, **self._as,
        )  # fmt: skip
        if done.returncode:
            raise PostgreSqlError(f"{program}: {done.stdout[-1000:]}{done.stderr[-1000:]}")


def _programs() -> Path | None:
    found = sorted(PROGRAMS.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3].partition(".")[0]))
    return found[-1].parent if found else None


def _another_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgreSqlError("it does not run as root, and there is no user postgres or nobody")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
