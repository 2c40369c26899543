"""For tests/ and compat_tests/ alike."""

from __future__ import annotations

import os
import random
from collections.abc import Generator

import kazoo.client
import kazoo.protocol.connection
import kazoo.retry
import pytest
from hypothesis import settings

# A client of ZooKeeper that still looks for its servers draws random numbers, from threads of its own; hypothesis will
# not have the common ones moved while it draws. So kazoo gets some of its own.
for module in (kazoo.client, kazoo.retry, kazoo.protocol.connection):
    if getattr(module, "random", None) is random:
        module.random = random.Random()

settings.register_profile("steady", deadline=None, print_blob=True)  # a slow machine is no bug
settings.load_profile("steady")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail an `external` test that would be skipped in CI: there, what it needs must be present."""
    report = yield
    if (
        report.skipped
        and os.environ.get("CI")
        and item.get_closest_marker("external")
        and not hasattr(report, "wasxfail")
    ):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where nothing may be missing: {report.longrepr[2]}"  # type: ignore[index]
    return report
