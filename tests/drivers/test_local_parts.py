"""The local driver's parts, without processes: fetching, output, pruning, offers, repetitions."""

from __future__ import annotations

import functools
import io
import os
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from chronos_py.drivers.base import OutputChunk
from chronos_py.drivers.local import outcomes, output
from chronos_py.drivers.local.attempts import REPEAT_S, Attempts
from chronos_py.drivers.local.fetch import Fetcher, FetchFailed, Stopped
from chronos_py.drivers.local.fleet import Fleet
from chronos_py.drivers.local.offers import Offers
from chronos_py.drivers.local.prune import Pruner
from chronos_py.drivers.local.sandbox import Sandbox
from chronos_py.model.job import Fetch
from chronos_py.model.messages import DriverEvent, Launch, OffersReceived, StatusUpdate
from chronos_py.model.pools import AgentSpec, ResourceOrder
from chronos_py.model.resources import Resources
from tests.drivers.rig import ALL, a_task

# --- fetching


class Files(SimpleHTTPRequestHandler):
    asked: list[str]

    def log_message(self, format: str, *args: object) -> None:
        self.asked.append(self.path)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """A web server: its address, its folder, and the paths it was asked for."""
    folder, asked = tmp_path / "web", []
    folder.mkdir()
    handler = type("Handler", (Files,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder, asked
    server.shutdown()
    server.server_close()


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    folder = tmp_path / "sandbox"
    folder.mkdir()
    return folder


def fetch(tmp_path: Path, sandbox: Path, *files: Fetch) -> None:
    Fetcher(tmp_path / "cache").fetch_all(files, str(sandbox), (), lambda: False)


def test_archives_are_unpacked_by_their_names(web: tuple[str, Path, list[str]], tmp_path: Path, sandbox: Path) -> None:
    address, folder, _ = web
    with tarfile.open(folder / "a.tar.xz", "w:xz") as tar:
        tar.addfile(member := tarfile.TarInfo("in/tar"), io.BytesIO(b""))
        member.size = 0
    with zipfile.ZipFile(folder / "b.zip", "w") as packed:
        info = zipfile.ZipInfo("in/zip")
        info.external_attr = 0o755 << 16
        packed.writestr(info, "z")
    (folder / "c.tar").write_bytes((folder / "a.tar.xz").read_bytes())
    fetch(tmp_path, sandbox, Fetch(f"{address}/a.tar.xz?x=1"), Fetch(f"{address}/b.zip"))
    fetch(tmp_path, sandbox, Fetch(f"{address}/c.tar", extract=False), Fetch(f"{address}/b.zip", executable=True))
    assert (sandbox / "in/tar").exists()
    assert os.access(sandbox / "in/zip", os.X_OK)
    assert (sandbox / "c.tar").exists()


@pytest.mark.parametrize("name", ["../out", "/tmp/chronos-py-out"])
def test_an_archive_cannot_leave_the_sandbox(
    web: tuple[str, Path, list[str]], tmp_path: Path, sandbox: Path, name: str
) -> None:
    address, folder, _ = web
    with tarfile.open(folder / "a.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    with zipfile.ZipFile(folder / "b.zip", "w") as packed:
        packed.writestr(name, "z")
    for uri in (f"{address}/a.tar", f"{address}/b.zip"):
        try:
            fetch(tmp_path, sandbox, Fetch(uri))
        except FetchFailed as error:
            assert uri in str(error)  # else it was put inside the sandbox, as tar does with absolute names
    assert not (tmp_path / "out").exists()
    assert not Path("/tmp/chronos-py-out").exists()


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("{}/none", "404"),
        ("{}/", "names no file"),
        ("http://user:secret@127.0.0.1:1/file", "no connection"),
        ("hdfs://a/b", "hdfs"),
        ("relative/path", "absolute"),
        ("/no/such/file", "no such file"),
        ("file:///no/such/file", "no such file"),
    ],
)
def test_what_cannot_be_fetched_is_named(
    web: tuple[str, Path, list[str]], tmp_path: Path, sandbox: Path, uri: str, says: str
) -> None:
    uri = uri.format(web[0])
    with pytest.raises(FetchFailed) as failed:
        fetch(tmp_path, sandbox, Fetch(uri))
    assert says in str(failed.value)
    assert uri.replace("user:secret", "***") in str(failed.value)
    assert "secret" not in str(failed.value)


def test_a_cached_file_is_fetched_once_also_by_many_at_once(web: tuple[str, Path, list[str]], tmp_path: Path) -> None:
    address, folder, asked = web
    (folder / "file").write_text("x")
    fetcher, targets = Fetcher(tmp_path / "cache"), [tmp_path / f"s{number}" for number in range(8)]

    def one(target: Path) -> None:
        target.mkdir()
        fetcher.fetch_all([Fetch(f"{address}/file", cache=True)], str(target), (), lambda: False)

    threads = [threading.Thread(target=one, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked == ["/file"]
    assert {(target / "file").read_text() for target in targets} == {"x"}


@pytest.mark.parametrize("cache", [False, True])
def test_a_file_that_is_too_large_is_not_fetched(
    web: tuple[str, Path, list[str]], tmp_path: Path, sandbox: Path, cache: bool
) -> None:
    address, folder, _ = web
    (folder / "file").write_bytes(b"x" * 11)
    files = [Fetch(f"{address}/file", cache=cache)]
    with pytest.raises(FetchFailed, match="larger than 10 bytes"):
        Fetcher(tmp_path / "cache", max_bytes=10).fetch_all(files, str(sandbox), (), lambda: False)
    assert not list(tmp_path.glob("cache/*"))
    Fetcher(tmp_path / "cache", max_bytes=11).fetch_all(files, str(sandbox), (), lambda: False)
    assert (sandbox / "file").read_bytes() == b"x" * 11


def test_fetching_stops_when_the_task_does(web: tuple[str, Path, list[str]], tmp_path: Path, sandbox: Path) -> None:
    (web[1] / "file").write_text("x")
    with pytest.raises(Stopped):
        Fetcher(tmp_path / "cache").fetch_all([Fetch(f"{web[0]}/file")], str(sandbox), (), lambda: True)


# --- output


@pytest.fixture
def attempt(tmp_path: Path) -> Sandbox:
    for folder in ("runs", "live", "done"):
        (tmp_path / folder).mkdir()
    task = a_task("one", "true")
    sandbox = Sandbox.of(str(tmp_path), task.id)
    sandbox.reserve()
    sandbox.describe(task, "boot")
    return sandbox


def test_offsets_count_all_that_was_written(attempt: Sandbox) -> None:
    stdout = Path(attempt.path, "stdout")
    written = b""
    for number in range(5):
        piece = b"%d" % number * 30
        written += piece
        with stdout.open("ab") as file:
            file.write(piece)
        output.rotate(attempt, 20)
        kept = len(written) - 20
        chunk = output.read(attempt, "stdout", 0, 1000, ended=False)
        assert (chunk.offset, chunk.size, chunk.data) == (kept, len(written), written[kept:])
    with stdout.open("ab") as file:
        file.write(b"end")
    written += b"end"
    for offset in range(len(written) - 23, len(written) + 1):
        chunk = output.read(attempt, "stdout", offset, 4, ended=True)
        assert (chunk.offset, chunk.data) == (offset, written[offset : offset + 4])
    assert output.read(attempt, "stdout", -5, 100, ended=True).data == written[-5:]
    assert output.read(attempt, "stdout", 10**9, 100, ended=True) == OutputChunk(b"", 153, 153, True)


def test_no_link_in_place_of_an_output_is_followed(attempt: Sandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret" * 10)
    for make in (os.symlink, os.link):
        make(secret, f"{attempt.path}/stdout")
        assert output.read(attempt, "stdout", 0, 100, ended=False).data == b""
        output.rotate(attempt, 5)
        assert secret.read_text() == "secret" * 10
        os.unlink(f"{attempt.path}/stdout")
    os.mkfifo(f"{attempt.path}/stdout")
    assert output.read(attempt, "stdout", 0, 100, ended=False).data == b""


# --- pruning


def ended(root: Path, name: str, at: float, size: int) -> Sandbox:
    task = a_task(name, "true")
    sandbox = Sandbox.of(str(root), task.id)
    for folder in ("live", "done"):
        (root / folder).mkdir(exist_ok=True)
    sandbox.reserve()
    sandbox.describe(task, "boot")
    Path(sandbox.path, "stdout").write_bytes(b"x" * size)
    os.utime(sandbox.live, (at, at))
    sandbox.acknowledge()
    return sandbox


def test_old_sandboxes_go_and_the_oldest_when_they_are_too_much(tmp_path: Path) -> None:
    old, middle, young = (ended(tmp_path, str(age), 1000 - age, 100_000) for age in (900, 500, 10))
    pruner = Pruner(str(tmp_path), max_age_s=600, max_bytes=150_000)
    pruner.load()
    assert pruner.step(1000) == 2
    assert [Path(sandbox.path).exists() for sandbox in (old, middle, young)] == [False, False, True]
    assert [sandbox.is_done() for sandbox in (old, middle, young)] == [False, False, True]
    assert pruner.step(1000) == 0
    newest = ended(tmp_path, "newest", 1000, 100_000)
    pruner.add(newest.name)
    pruner.add(young.name)
    assert pruner.step(1000) == 1
    assert not Path(young.path).exists()


def test_a_task_whose_end_is_not_acknowledged_is_kept(tmp_path: Path, attempt: Sandbox) -> None:
    pruner = Pruner(str(tmp_path), max_age_s=0, max_bytes=0)
    pruner.load()
    assert pruner.step(1e12) == 0
    assert Path(attempt.path).exists()


# --- offers, repetitions


def test_offers_never_promise_more_than_there_is() -> None:
    told: list[DriverEvent] = []
    offers = Offers("agent", "host", AgentSpec(ALL), (), ResourceOrder(), told.append)
    for now in range(3):
        offers.refresh(now)
    assert len(told) == 1
    assert isinstance(told[0], OffersReceived)
    assert offers.use(Launch(tuple(told[0].offers), ()))
    half = Resources.of(2, 2048, 2048)
    assert offers.take(half) == {"*": half}
    assert offers.take(Resources.of(2.001, 1, 1)) is None
    assert offers.take(half) == {"*": half}
    assert offers.take(Resources.of(0.001, 0, 0)) is None
    offers.take_anyway({"*": half})
    assert offers.free == Resources()


def test_an_end_is_repeated_until_it_is_acknowledged(attempt: Sandbox) -> None:
    told: list[DriverEvent] = []
    attempts = Attempts(told.append, Fleet("agent", "host", [AgentSpec(ALL)], (), ResourceOrder(), told.append))
    task = attempts.add("ct:1:0:one:", attempt, "agent", {}, container=False)
    attempts.conclude(task, outcomes.failed("X", "x"))
    pause = attempts.pause(0)
    assert pause is not None
    attempts.repeat(pause - 1)
    assert len(told) == 1
    attempts.repeat(pause + 1)
    assert told[0] == told[1]
    assert isinstance(told[1], StatusUpdate)
    assert (attempts.pause(0) or 0) >= pause
    acknowledged: list[str] = []
    attempts.acknowledge(told[1], acknowledged.append)
    attempts.acknowledge(told[1], acknowledged.append)
    assert acknowledged == [attempt.name]
    attempts.repeat(pause + 10 * REPEAT_S)
    assert len(told) == 2
