"""A ZooKeeper for the session, started by the first test that needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from compat_tests.servers.zookeeper import ZooKeeperEnsemble, missing


@pytest.fixture(scope="session")
def zookeeper_server() -> Iterator[ZooKeeperEnsemble]:
    reason = missing()
    if reason:
        pytest.skip(reason)
    with ZooKeeperEnsemble(sync=False) as server:
        yield server
