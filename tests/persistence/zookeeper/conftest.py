from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from kazoo.client import KazooClient

from chronos_py.persistence.zookeeper import ZooKeeperJobStore
from compat_tests.servers.zookeeper import ZooKeeperEnsemble

Open = Callable[..., ZooKeeperJobStore]


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


@pytest.fixture
def opened(hosts: str, root: str) -> Iterator[Open]:
    stores: list[ZooKeeperJobStore] = []

    def make(**options: Any) -> ZooKeeperJobStore:
        stores.append(ZooKeeperJobStore(hosts, root, **options))
        return stores[-1]

    yield make
    for store in stores:
        store.close()
