"""Whether a server with some settings could start and work on this machine: what can be seen without starting it."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from zoneinfo import TZPATH

import psutil

from chronos_py import __version__
from chronos_py.config import Settings
from chronos_py.doctor.checkup import CheckUp
from chronos_py.persistence import history, sqlite
from chronos_py.scheduler.moments import zone_named

REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "ceph", "glusterfs", "fuse.glusterfs"})
LITTLE = 200 * 1024 * 1024  # bytes
LOOPBACK = ("127.0.0.1", "::1", "localhost")
SHOWN_ZONES = ("Europe/Berlin", "America/New_York", "Asia/Tokyo")
PATIENCE_S = 5


def check_installation(settings: Settings) -> CheckUp:
    """Check flags, data folder, store, ports and zones. Nothing is changed, made or started."""
    found = CheckUp({"Version": __version__})
    _flags(found, settings)
    running = _folder(found, settings.folder)
    _stores(found, settings)
    _ports(found, settings, running)
    check_zones(found, datetime.now(UTC).year)
    return found


def _flags(found: CheckUp, settings: Settings) -> None:
    found.facts["Flags"] = ", ".join(f"--{name}" for name in sorted(settings.sources)) or "none but defaults"
    for flag in settings.idle:
        found.add("idle_flag", "note", f"--{flag.name} has no effect: {flag.text}", "leave it out")
    is_open = settings.credentials is None and not settings.access_file
    if is_open and settings.http_address not in LOOPBACK:
        found.add(
            "open",
            "warning",
            f"nobody is asked for a password on {settings.http_address}: who reaches the port may run commands",
            "give --http_credentials or --access_file, or --http_address 127.0.0.1",
        )
    if settings.master == "local" and os.geteuid() != 0:
        found.add("not_root", "note", "not started by root: all jobs run as this user, whatever their runAsUser says")
    if settings.master == "local" and os.geteuid() == 0 and not settings.run_as_users:
        found.add(
            "any_user",
            "note",
            "started by root, jobs may name any user, root too",
            "give --run_as_users with those that are meant",
        )


def _folder(found: CheckUp, folder: Path) -> str:
    """Check the data folder; return the id of the process of a server that runs on it."""
    found.facts["Data folder"] = str(folder)
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not there.is_dir():
        found.add("folder", "fatal", f"{there} is no folder", "give --data_dir")
        return ""
    if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        found.add("folder", "fatal", f"{there} may not be written", f"give --data_dir, or chown {there}")
    free = shutil.disk_usage(there).free
    if free < LITTLE:
        text = f"{folder} has {free // 2**20} MiB free: when the disk is full nothing can be stored, and nothing starts"
        found.add("disk", "warning", text, "make room, or give another --data_dir")
    kind = _filesystem(there)
    if kind in REMOTE:
        text = f"{folder} lies on {kind}: SQLite and its locks do not work there"
        found.add("filesystem", "fatal", text, "give a --data_dir on a local disk")
    for name in ("state.sqlite", "history.sqlite"):
        file = folder / name
        if os.access(file, os.F_OK) and stat.S_IMODE(file.stat().st_mode) & 0o077:
            fix = f"chmod 600 {file}"
            found.add("readable", "warning", f"{file} may be read by others; it can hold secrets", fix)
    return _holder(found, folder / "server.pid")


def _filesystem(path: Path) -> str:
    resolved = path.resolve()
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    return next((mounts[parent] for parent in (resolved, *resolved.parents) if parent in mounts), "")


def _holder(found: CheckUp, lock: Path) -> str:
    """Return the id of the process that has the folder, empty when nobody has."""
    try:
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = file.read(32).decode("ascii", "replace").strip() or "unknown"
                text = f"a server runs on this folder, process {holder}"
                found.add("running", "note", text, "stop it before another one starts here")
                return holder
    except OSError:
        pass  # no such file: nobody has been here
    return ""


def _stores(found: CheckUp, settings: Settings) -> None:
    if settings.zookeeper is None:
        _database(found, settings.folder / "state.sqlite", sqlite.VERSION)
    if not settings.history_url:
        _database(found, settings.folder / "history.sqlite", history.VERSION)
        if settings.zookeeper is not None:
            text = "each node keeps the history of what ended while it led"
            found.add("history", "note", text, "give --history_url, the same to all nodes")
    else:
        _history(found, str(settings.history_url))


def _database(found: CheckUp, file: Path, newest: int) -> None:
    if not file.exists():
        return
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=PATIENCE_S)) as database:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        found.add("store", "fatal", f"{file} cannot be read: {error}", "restore it: docs/operations.md, Backup")
        return
    if version > newest:
        text = f"{file} was written by a newer version, form {version}; this one knows {newest}"
        found.add("store", "fatal", text, "install that version again")
    if verdict != "ok":
        found.add("store", "fatal", f"{file} is damaged: {verdict}", "restore it: docs/operations.md, Backup")


def _history(found: CheckUp, url: str) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    options = {"connect_timeout": PATIENCE_S} if url.startswith("postgresql") else {}
    engine = create_engine(url, connect_args=options)
    try:
        engine.connect().close()
    except SQLAlchemyError as error:
        text = f"the history's database cannot be reached: {str(error.__cause__ or error).splitlines()[0]}"
        found.add("history", "warning", text, "check --history_url; until then records wait in the store")
    finally:
        engine.dispose()


def _ports(found: CheckUp, settings: Settings, running: str) -> None:
    wanted = [] if settings.disable_http else [("http_port", settings.http_address, settings.http_port)]
    if settings.ssl_keystore_path:
        wanted.append(("https_port", settings.https_address or settings.http_address, settings.https_port))
    for flag, address, port in wanted:
        found.facts["HTTP" if flag == "http_port" else "HTTPS"] = f"{address or '0.0.0.0'}:{port}"
        try:
            family, kind, protocol, _, place = socket.getaddrinfo(address or "0.0.0.0", port, type=socket.SOCK_STREAM)[
                0
            ]
            with socket.socket(family, kind, protocol) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind(place)
                trial.listen(1)
        except OSError as error:
            if running:
                continue  # by the server that is there already, most likely
            found.add("port", "fatal", f"port {port} of {address} cannot be had: {error.strerror}", f"give --{flag}")


def check_zones(found: CheckUp, year: int) -> None:
    """Check that there are zones, and that their rules are of this `year` or the one before."""
    version = tzdata_version()
    found.facts["Zones"] = f"tzdata {version or 'of unknown version'}"
    missing = [name for name in SHOWN_ZONES if zone_named(name) is None]
    if missing:
        text = "time zones cannot be read: jobs with scheduleTimeZone would be refused, or never be due"
        found.add("zones", "fatal", text, "pip install tzdata, or the system's package of that name", missing)
    elif version[:4].isdigit() and int(version[:4]) < year - 1:
        text = f"the rules of time zones are of {version[:4]}: clocks that changed their mind since then are not known"
        found.add("old_zones", "warning", text, "update the system's tzdata, or pip install --upgrade tzdata")


def tzdata_version() -> str:
    """Return the version of the rules that are used: the system's come before Python's package. Empty: unknown."""
    for folder in TZPATH:
        for name, mark in (("tzdata.zi", "# version "), ("+VERSION", "")):
            try:
                line = (Path(folder) / name).read_text("utf-8").partition("\n")[0]
            except (OSError, UnicodeDecodeError):
                continue
            if line.startswith(mark):
                return line.removeprefix(mark).strip()
        if Path(folder, "Europe", "Berlin").exists():
            return ""
    try:
        return metadata.version("tzdata")
    except metadata.PackageNotFoundError:
        return ""
