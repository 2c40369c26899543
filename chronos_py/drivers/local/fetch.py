"""Bringing a task's files into its sandbox before it starts, by the rules of the Mesos fetcher."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import tarfile
import threading
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests

from chronos_py.model.job import Fetch

CONNECT_S, READ_S, TOTAL_S = 10.0, 60.0, 3600.0
CACHE_BYTES = 2 * 1024**3
MAX_BYTES = 10 * 1024**3
BLOCK = 256 * 1024
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_TROUBLE = (OSError, EOFError, ValueError, requests.RequestException, tarfile.TarError, zipfile.BadZipFile)


class FetchFailed(Exception):
    """A file could not be brought; the sentence names its uri."""


class Stopped(Exception):
    """The task was told to stop meanwhile."""


class Fetcher:
    """Fetches into sandboxes; files asked for with `cache` are kept in `folder` and brought once."""

    def __init__(self, folder: Path, cache_bytes: int = CACHE_BYTES, max_bytes: int = MAX_BYTES) -> None:
        """`max_bytes` bounds each file that comes over a network."""
        self._folder = folder
        self._cache_bytes = cache_bytes
        self._max_bytes = max_bytes
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def fetch_all(
        self, files: Iterable[Fetch], sandbox: str, become: tuple[str, ...], stopped: Callable[[], bool]
    ) -> None:
        """Bring every file; local ones are read as the task's user. Raises FetchFailed, Stopped."""
        end = time.monotonic() + TOTAL_S
        for file in files:
            try:
                self._fetch(file, Path(sandbox), become, lambda: stopped() or time.monotonic() > end)
            except Stopped:
                if stopped():
                    raise
                raise FetchFailed(f"Could not fetch {without_password(file.uri)}: it took too long") from None
            except _TROUBLE as error:
                raise FetchFailed(f"Could not fetch {without_password(file.uri)}: {_brief(error)}") from error

    def _fetch(self, file: Fetch, sandbox: Path, become: tuple[str, ...], stopped: Callable[[], bool]) -> None:
        target = _inside(sandbox, file.output_file or _file_name(file.uri))
        target.parent.mkdir(parents=True, exist_ok=True)
        scheme = urlsplit(file.uri).scheme.lower()
        if scheme in ("", "file"):
            _copy(unquote(urlsplit(file.uri).path) if scheme else file.uri, target, become)
        elif file.cache:
            self._from_cache(file.uri, target, stopped)
        else:
            _bring(file.uri, target, stopped, self._max_bytes)
        if file.executable:
            target.chmod(0o755)
        elif file.extract:
            _extract(target, sandbox)

    # --- the cache

    def _from_cache(self, uri: str, target: Path, stopped: Callable[[], bool]) -> None:
        kept = self._folder / hashlib.sha256(uri.encode()).hexdigest()
        with self._guard:
            lock = self._locks.setdefault(kept.name, threading.Lock())
        with lock:
            if not kept.exists():
                self._folder.mkdir(parents=True, exist_ok=True)
                partial = self._folder / f"{kept.name}.{threading.get_ident()}.partial"
                try:
                    _bring(uri, partial, stopped, self._max_bytes)
                    partial.rename(kept)
                finally:
                    partial.unlink(missing_ok=True)
                self._shrink(kept)
            os.utime(kept)
            shutil.copyfile(kept, target)
        with self._guard:
            if len(self._locks) > 1000:  # an unlocked one that somebody waits for costs a second fetch at worst
                self._locks = {name: lock for name, lock in self._locks.items() if lock.locked()}

    def _shrink(self, newest: Path) -> None:
        """Remove the files that were not used for longest until the rest fits."""
        files = []
        for path in self._folder.iterdir():
            with suppress(OSError):
                state = path.stat()
                files.append((state.st_mtime, state.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self._cache_bytes:
                return
            if path != newest and path.suffix != ".partial":
                path.unlink(missing_ok=True)
                total -= size


def without_password(uri: str) -> str:
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return uri.replace(parts.netloc, f"***@{parts.netloc.rpartition('@')[2]}", 1)


def _brief(error: BaseException) -> str:
    """Say what went wrong without the uri, which may hold a password, and without the libraries' own words for it."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def _file_name(uri: str) -> str:
    name = unquote(urlsplit(uri).path).rstrip("/").rpartition("/")[2]
    if name in ("", ".", ".."):
        raise ValueError("it names no file; outputFile would")
    return name


def _inside(sandbox: Path, name: str) -> Path:
    root = sandbox.resolve()
    target = (root / name).resolve()
    if not target.is_relative_to(root) or target == root:
        raise ValueError(f"{name!r} would lie outside the sandbox")
    return target


def _copy(path: str, target: Path, become: tuple[str, ...]) -> None:
    """Copy a local file with its mode; as the task's user, who may read what it may read and no more."""
    if not path.startswith("/"):
        raise ValueError("a local path must be absolute")
    if not become:
        shutil.copyfile(path, target)
    else:
        with target.open("wb") as file:
            done = subprocess.run(
                [*become, "cat", "--", path], stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.PIPE,
                timeout=TOTAL_S, check=False, cwd="/",
            )  # fmt: skip
        if done.returncode != 0:
            raise ValueError(done.stderr.decode(errors="replace").strip().rpartition(": ")[2].lower() or "unreadable")
    target.chmod(0o644 | (os.stat(path).st_mode & 0o111))


def _bring(uri: str, target: Path, stopped: Callable[[], bool], limit: int) -> None:
    scheme = urlsplit(uri).scheme.lower()
    if scheme in ("http", "https"):
        with requests.get(uri, stream=True, timeout=(CONNECT_S, READ_S)) as answer:
            answer.raise_for_status()
            _write(answer.iter_content(BLOCK), target, stopped, limit)
    elif scheme in ("ftp", "ftps"):
        with urllib.request.urlopen(uri, timeout=READ_S) as reply:
            _write(iter(lambda: reply.read(BLOCK), b""), target, stopped, limit)
    else:
        raise ValueError(f"there is no way to fetch by {scheme!r}")


def _write(blocks: Iterable[bytes], target: Path, stopped: Callable[[], bool], limit: int) -> None:
    """Count what arrives: a server's word for the length may be absent, wrong, or that of compressed content."""
    size = 0
    with target.open("wb") as file:
        for block in blocks:
            if stopped():
                raise Stopped
            size += len(block)
            if size > limit:
                raise ValueError(f"it is larger than {limit} bytes")
            file.write(block)


def _extract(archive: Path, sandbox: Path) -> None:
    """Unpack an archive into the sandbox, by its name; members that would land elsewhere are refused."""
    name = archive.name.lower()
    if name.endswith(TARS):
        with tarfile.open(archive) as tar:
            if hasattr(tarfile, "data_filter"):
                tar.extractall(sandbox, filter="data")
            else:  # Python before 3.11.4
                tar.extractall(sandbox, members=_harmless(tar, sandbox))
    elif name.endswith(".zip"):
        with zipfile.ZipFile(archive) as packed:
            for member in packed.infolist():
                place = _inside(sandbox, member.filename.rstrip("/")) if member.filename.strip("./") else sandbox
                packed.extract(member, sandbox)
                if mode := member.external_attr >> 16 & 0o777:
                    place.chmod(mode | (0o700 if member.is_dir() else 0o600))
    elif name.endswith(".gz"):
        with gzip.open(archive) as source, _inside(sandbox, archive.name[:-3]).open("wb") as plain:
            shutil.copyfileobj(source, plain)


def _harmless(tar: tarfile.TarFile, sandbox: Path) -> Iterable[tarfile.TarInfo]:
    """Return the members as the data filter has them: plain files and folders, and links, that stay inside."""
    for member in tar:
        place = _inside(sandbox, member.name.lstrip("/")) if member.name.strip("./") else sandbox
        if member.issym():
            _inside(sandbox, str(place.parent / member.linkname))
        elif member.islnk():
            _inside(sandbox, member.linkname)
        elif not (member.isfile() or member.isdir()):
            raise ValueError(f"{member.name!r} is no plain file")
        member.name = member.name.lstrip("/")
        member.mode = (member.mode & 0o755) | (0o700 if member.isdir() else 0o600)
        member.uid, member.gid, member.uname, member.gname = os.geteuid(), os.getegid(), "", ""
        yield member
