"""Bringing a task's files into its sandbox before it starts, by the rules of the Mesos fetcher."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
import threading
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests

from chronos_py.model.job import Fetch

CONNECT_S, READ_S = 10, 60
BLOCK = 256 * 1024
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


class FetchFailed(Exception):
    """A file could not be brought; the sentence names its uri."""


class Stopped(Exception):
    """The task was told to stop meanwhile."""


class Fetcher:
    """Fetches into sandboxes; files asked for with `cache` are kept in `folder` and brought once."""

    def __init__(self, folder: Path, cache_bytes: int = 2 * 1024**3) -> None:
        self._folder = folder
        self._cache_bytes = cache_bytes
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def fetch_all(self, files: tuple[Fetch, ...], sandbox: str, stopped: Callable[[], bool]) -> None:
        """Bring every file. Raises FetchFailed, Stopped."""
        for file in files:
            try:
                self._fetch(file, Path(sandbox), stopped)
            except (OSError, ValueError, requests.RequestException, tarfile.TarError, zipfile.BadZipFile) as error:
                raise FetchFailed(f"could not fetch {_without_password(file.uri)}: {error}") from error

    def _fetch(self, file: Fetch, sandbox: Path, stopped: Callable[[], bool]) -> None:
        target = _inside(sandbox, file.output_file or _file_name(file.uri))
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.cache:
            shutil.copyfile(self._cached(file.uri, stopped), target)
        else:
            _bring(file.uri, target, stopped)
        if file.executable:
            target.chmod(0o755)
        elif file.extract:
            _extract(target, sandbox)

    def _cached(self, uri: str, stopped: Callable[[], bool]) -> Path:
        key = hashlib.sha256(uri.encode()).hexdigest()
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            kept = self._folder / key
            if not kept.exists():
                self._folder.mkdir(parents=True, exist_ok=True)
                partial = self._folder / f"{key}.partial"
                _bring(uri, partial, stopped)
                partial.rename(kept)
                self._shrink(kept)
            os.utime(kept)
        with self._guard:
            if not lock.locked():
                self._locks.pop(key, None)
        return kept

    def _shrink(self, newest: Path) -> None:
        """Remove the files that were not used for longest until the rest fits."""
        files = sorted(
            (path for path in self._folder.iterdir() if path != newest), key=lambda path: path.stat().st_mtime
        )
        total = newest.stat().st_size + sum(path.stat().st_size for path in files)
        for path in files:
            if total <= self._cache_bytes:
                return
            total -= path.stat().st_size
            path.unlink(missing_ok=True)


def _without_password(uri: str) -> str:
    parts = urlsplit(uri)
    return uri.replace(f"{parts.username}:{parts.password}@", "***@") if parts.password else uri


def _file_name(uri: str) -> str:
    name = unquote(urlsplit(uri).path).rstrip("/").rpartition("/")[2]
    if name in ("", ".", ".."):
        raise ValueError("the uri names no file")
    return name


def _inside(sandbox: Path, name: str) -> Path:
    target = (sandbox / name).resolve()
    if not target.is_relative_to(sandbox.resolve()) or target == sandbox.resolve():
        raise ValueError(f"{name!r} would lie outside the sandbox")
    return target


def _bring(uri: str, target: Path, stopped: Callable[[], bool]) -> None:
    scheme = urlsplit(uri).scheme.lower()
    if scheme in ("", "file"):
        shutil.copyfile(unquote(urlsplit(uri).path) if scheme else uri, target)
    elif scheme in ("http", "https"):
        with requests.get(uri, stream=True, timeout=(CONNECT_S, READ_S)) as answer:
            answer.raise_for_status()
            _write(answer.iter_content(BLOCK), target, stopped)
    elif scheme in ("ftp", "ftps"):
        with urllib.request.urlopen(uri, timeout=READ_S) as answer:
            _write(iter(lambda: answer.read(BLOCK), b""), target, stopped)
    else:
        raise ValueError(f"cannot fetch by {scheme!r}")


def _write(blocks: object, target: Path, stopped: Callable[[], bool]) -> None:
    with target.open("wb") as file:
        for block in blocks:  # type: ignore[attr-defined]
            if stopped():
                raise Stopped
            file.write(block)


def _extract(archive: Path, sandbox: Path) -> None:
    """Unpack an archive into the sandbox; members that would land elsewhere are refused."""
    name = archive.name.lower()
    if name.endswith(TARS):
        with tarfile.open(archive) as tar:
            tar.extractall(sandbox, filter="data")
    elif name.endswith(".zip"):
        with zipfile.ZipFile(archive) as packed:
            for member in packed.namelist():
                _inside(sandbox, member) if member.strip("./") else None
            packed.extractall(sandbox)
    elif name.endswith(".gz"):
        with gzip.open(archive) as packed_file, _inside(sandbox, archive.name[:-3]).open("wb") as target:
            shutil.copyfileobj(packed_file, target)
