"""A ZooKeeper and a PostgreSQL for the session, each started by the first test that needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from compat_tests.servers import postgresql
from compat_tests.servers.postgresql import PostgreSql
from compat_tests.servers.zookeeper import ZooKeeperEnsemble, missing


@pytest.fixture(scope="session")
def zookeeper_server() -> Iterator[ZooKeeperEnsemble]:
    reason = missing()
    if reason:
        pytest.skip(reason)
    with ZooKeeperEnsemble(sync=False) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSql]:
    reason = postgresql.missing()
    if reason:
        pytest.skip(reason)
    with PostgreSql() as server:
        yield server
