"""One server and one browser for all tests of the pages; each test has a page of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser import rig


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rig.Server]:
    if reason := rig.missing():
        pytest.skip(reason)
    started = rig.Server(tmp_path_factory.mktemp("browser"))
    try:
        yield started.seed()
    finally:
        started.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[rig.Browser]:
    if reason := rig.missing():
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=rig.CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture
def seen(browser: rig.Browser, server: rig.Server) -> Iterator[rig.Watched]:
    with rig.watched(browser, server) as page:
        yield page
