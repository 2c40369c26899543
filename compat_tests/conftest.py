"""A server to test: the one named with --url, or chronos_py started for the session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from compat_tests.dialects import DIALECTS, Api, Dialect, unique_name
from compat_tests.servers.chronos import ChronosServer

LOG_TAIL = 20_000


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--url", default=None, help="test this running server, for example http://127.0.0.1:4400")


@dataclass(frozen=True)
class Server:
    """The server under test; what only a local one has is None with --url."""

    url: str
    pid: int | None
    data_dir: Path | None
    log: Path | None

    @property
    def is_ours(self) -> bool:
        return self.pid is not None


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    url = request.config.getoption("--url")
    if url:
        yield Server(url.rstrip("/"), None, None, None)
        return
    chronos = ChronosServer(tmp_path_factory.mktemp("chronos"))
    failed_before = request.session.testsfailed
    try:
        chronos.wait(30)
        yield Server(chronos.url, chronos.pid, chronos.data_dir, chronos.log)
    finally:
        chronos.stop()
        if request.session.testsfailed > failed_before:
            show_log(request.config, chronos.log)


def show_log(config: pytest.Config, log: Path) -> None:
    """Write the end of the server's log to the terminal."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None:
        text = log.read_text(errors="replace")[-LOG_TAIL:]
        reporter.write_line("")
        reporter.write_sep("-", "log of the server")
        reporter.write_line(text)


@pytest.fixture(scope="session")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture(params=DIALECTS, ids=lambda dialect: dialect.label)
def dialect(request: pytest.FixtureRequest, server: Server, session: requests.Session) -> Dialect:
    """Each line of Chronos in turn; skipped when the server does not serve it."""
    dialect: Dialect = request.param
    if session.get(server.url + dialect.prefix + "/jobs", timeout=30).status_code == 404:
        assert not server.is_ours
        pytest.skip(f"the server has no {dialect.prefix}")
    return dialect


@pytest.fixture
def api(server: Server, session: requests.Session, dialect: Dialect) -> Iterator[Api]:
    """Requests in the dialect; the jobs made through it are deleted afterwards."""
    api = Api(server.url, dialect, session)
    yield api
    api.clean()


@pytest.fixture
def name(api: Api) -> str:
    """A job name nobody has used; the job is deleted afterwards, however it was made."""
    name = unique_name()
    api.made.append(name)
    return name
