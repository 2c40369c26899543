"""The service under test."""

from __future__ import annotations

import pytest

from tests.bench import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()
