"""What tests of drivers must not leave behind, whether they pass or fail."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from chronos_py.drivers.local.processes import all_shims, send, sessions


@pytest.fixture(autouse=True)
def no_task_outlives_its_test(tmp_path: Path) -> Iterator[None]:
    """End the tasks whose sandbox lies in the test's folder."""
    yield
    for sandbox, shim in all_shims().items():
        if Path(sandbox).is_relative_to(tmp_path):
            send(sessions([shim]).get(shim, ()), signal.SIGKILL)
