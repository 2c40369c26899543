from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from kazoo.client import KazooClient

from compat_tests.servers.zookeeper import ZooKeeperEnsemble


@pytest.fixture(scope="session")
def client(zookeeper_server: ZooKeeperEnsemble) -> Iterator[KazooClient]:
    """A session of the tests' own, beside the stores'."""
    connected = KazooClient(zookeeper_server.hosts)
    connected.start(30)
    yield connected
    connected.stop()
    connected.close()


@pytest.fixture
def root() -> str:
    """A path that nobody else uses."""
    return f"/tests/{uuid4().hex}"


@pytest.fixture
def hosts(zookeeper_server: ZooKeeperEnsemble) -> str:
    return zookeeper_server.hosts
