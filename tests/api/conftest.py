"""A fake service, and a client of the application over it."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.api.backend import FakeBackend, a_client


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def client(backend: FakeBackend) -> FlaskClient:
    return a_client(backend)
