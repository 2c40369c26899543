"""A ZooKeeper server of a cluster's own."""

from __future__ import annotations

from pathlib import Path

from compat_tests.servers import zookeeper
from compat_tests.servers.mesos.errors import MesosError
from compat_tests.servers.zookeeper import answers

__all__ = ["answers", "missing_zookeeper", "zookeeper_command"]

missing_zookeeper = zookeeper.missing


def zookeeper_command(folder: Path, port: int) -> list[str]:
    """Write a configuration into `folder`, which also gets the data; return what to run."""
    try:
        return zookeeper.command(folder, port)
    except zookeeper.ZooKeeperError as error:
        raise MesosError(str(error)) from error
