"""The binary that holds all of libmesos: fetched once from the package index, checked, unpacked.

The project `mesos.scheduler` ships, for Python 2.7, an extension module in which libmesos is linked as a whole and
every C++ symbol is exported. Only that module is used, as a library.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from pathlib import Path

from compat_tests.servers.mesos.errors import MesosError

PROJECT, VERSION = "mesos.scheduler", "1.11.0"
ARCHIVE = "mesos.scheduler-1.11.0.linux-x86_64.tar.gz"  # 26 MB
ARCHIVE_SHA256 = "1d376f20bca6d05ee8b90c1c123a452b28753497ccc2f1c80ea3ac94c12e8f6e"
LIBRARY_SHA256 = "84d7ee9af27e912636b139de40257df1ee4f56c201de6bba834278aa1e8fd64c"
MODULE = "/_scheduler.so"  # the end of its path in the archive


def cache_folder() -> Path:
    """Return where downloads and built files go: $MESOS_CLUSTER_HOME, or a folder in the user's cache."""
    given = os.environ.get("MESOS_CLUSTER_HOME")
    if given:
        return Path(given).absolute()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "mesos-cluster"


def library(home: Path) -> Path:
    """Return the verified library in `home`; the first time it is fetched and unpacked. The caller holds the lock."""
    path = home / f"libmesos-{VERSION}.so"
    if path.exists():
        return path
    part = path.with_suffix(".part")
    with tarfile.open(_archive(home)) as tar:
        member = next((member for member in tar if member.name.endswith(MODULE)), None)
        source = tar.extractfile(member) if member else None
        if source is None:
            raise MesosError(f"{ARCHIVE} has no file {MODULE}")
        with source, part.open("wb") as sink:
            shutil.copyfileobj(source, sink)
    _verify(part, LIBRARY_SHA256)
    return part.replace(path)


def _archive(home: Path) -> Path:
    """Return the verified archive; $MESOS_CLUSTER_ARCHIVE names a copy for machines without a package index."""
    given = os.environ.get("MESOS_CLUSTER_ARCHIVE")
    path = Path(given) if given else home / ARCHIVE
    if not path.exists():
        if given:
            raise MesosError(f"MESOS_CLUSTER_ARCHIVE: no such file: {given}")
        part = path.with_name(f"{ARCHIVE}.part")
        _download(part)
        part.replace(path)
    _verify(path, ARCHIVE_SHA256)
    return path


def _download(target: Path) -> None:
    try:
        from pypi_simple import PyPISimple  # an extra: needed once per machine only
    except ImportError as error:
        raise MesosError("pypi-simple is needed to fetch Mesos (pip install '.[test]')") from error
    try:
        with PyPISimple() as index:
            packages = index.get_project_page(PROJECT, timeout=60).packages
            package = next((package for package in packages if package.filename == ARCHIVE), None)
            if package is None:
                raise MesosError(f"the package index has no {ARCHIVE}")
            index.download_package(package, target, timeout=60)
    except MesosError:
        raise
    except Exception as error:  # of the network, the index, the library: each means that Mesos is missing here
        raise MesosError(f"{ARCHIVE} could not be fetched: {type(error).__name__}: {error}") from error


def _verify(path: Path, expected: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise MesosError(f"{path} has the sha256 {found}, expected {expected}")
