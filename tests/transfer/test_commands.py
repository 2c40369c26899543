"""export, import and sync as a person uses them: against our server, ones that answer like Chronos, and ZooKeeper."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from click.testing import CliRunner, Result
from kazoo.client import KazooClient

from chronos_py.cli import main
from chronos_py.transfer.definitions import COUNTERS
from compat_tests.servers.chronos import ChronosServer
from compat_tests.servers.chronos_state import plant, tree
from compat_tests.servers.old_chronos import OldChronos, Version
from compat_tests.servers.zookeeper import ZooKeeperEnsemble, missing
from tests.transfer.corpus import corpus

DEFINITIONS = 500
JOB: dict[str, Any] = {
    "name": "a",
    "command": "true",
    "schedule": "R/2040-01-01T00:00:00Z/PT1H",
    "owner": "me@example.org",
}


def run(*words: object, status: int = 0, answer: str = "") -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words], input=answer)
    assert result.exit_code == status, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def write(file: Path, documents: list[dict[str, Any]]) -> Path:
    file.write_text("".join(f"{json.dumps(document)}\n" for document in documents))
    return file


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ChronosServer]:
    server = ChronosServer(tmp_path)
    server.wait()
    yield server
    server.stop()


@pytest.fixture(params=["2.4", "3.0.2"])
def chronos(request: pytest.FixtureRequest) -> Iterator[OldChronos]:
    version: Version = request.param
    chronos = OldChronos(version)
    yield chronos
    chronos.close()


@pytest.fixture(scope="module")
def ensemble() -> Iterator[ZooKeeperEnsemble]:
    if missing():
        pytest.skip(missing())
    with ZooKeeperEnsemble() as ensemble:
        yield ensemble


@pytest.mark.parametrize("form", ["jsonl", "yaml"])
def test_a_corpus_comes_back_as_it_went(server: ChronosServer, tmp_path: Path, form: str):
    """Export, import into an empty server, export: no difference; and syncing twice changes nothing the second time."""
    given, first, second = write(tmp_path / "given.jsonl", corpus(DEFINITIONS)), tmp_path / "first", tmp_path / "second"
    assert f"{DEFINITIONS} of {DEFINITIONS} done" in run("import", given, "--url", server.url).output
    run("export", first, "--url", server.url, "--format", form)
    assert "0 of 0 done" in run("import", first, "--url", server.url).output
    if form == "jsonl":
        for document in reversed(lines(first)):
            answer = requests.delete(f"{server.url}/v1/scheduler/job/{document['name']}", timeout=30)
            assert answer.status_code == 204
    else:
        empty = tmp_path / "empty"
        for folder in ("scheduled", "dependent"):
            (empty / folder).mkdir(parents=True)
        assert "Delete 500 jobs?" in run("sync", empty, "--url", server.url, "--prune", answer="n\n", status=2).output
        run("sync", empty, "--url", server.url, "--prune", "--yes")
    assert requests.get(f"{server.url}/v1/scheduler/jobs", timeout=30).json() == []
    run("sync", first, "--url", server.url)
    assert run("sync", first, "--url", server.url).output == "nothing to do\n"
    run("export", second, "--url", server.url, "--format", form)
    if form == "jsonl":
        assert lines(second) == lines(first)
        assert len(lines(first)) == DEFINITIONS
    else:
        files = {file.relative_to(first): file.read_bytes() for file in first.rglob("*.yaml")}
        assert files == {file.relative_to(second): file.read_bytes() for file in second.rglob("*.yaml")}
        assert len(files) == DEFINITIONS


def test_a_chronos_is_exported_and_synced(chronos: OldChronos, tmp_path: Path):
    documents: list[dict[str, Any]] = [
        JOB | {"uris": ["http://x/y.tgz"]},
        {"name": "b", "command": "true", "parents": ["a"], "owner": ""},
        JOB | {"name": "c", "epsilon": "PT5M", "async": False, "concurrent": True},
    ]
    wanted = write(tmp_path / "wanted.jsonl", documents[::-1])
    run("sync", wanted, "--url", chronos.url)
    assert [path.rpartition("/")[2] for _, path in chronos.changes] == ["iso8601", "iso8601", "dependency"]
    assert run("sync", wanted, "--url", chronos.url, "--check").output == "nothing to do\n"
    chronos.jobs["a"] |= {"successCount": 7, "schedule": "R/2040-01-01T05:00:00.000Z/PT1H", "disabled": True}
    run("export", tmp_path / "tree", "--url", chronos.url)
    found = yaml.safe_load((tmp_path / "tree" / "scheduled" / "a.yaml").read_text())
    assert found["uris"] in ([], ["http://x/y.tgz"])
    assert not set(COUNTERS) & set(found)
    shown = run("sync", write(wanted, [documents[0] | {"cpus": 2}]), "--url", chronos.url, "--check", status=1).output
    assert shown == "update a\n    - cpus: 0.1\n    + cpus: 2\n"
    run("sync", wanted, "--url", chronos.url)
    job = chronos.jobs["a"]
    assert (job["cpus"], job["successCount"], job["disabled"]) == (2, 7, True)
    assert job["schedule"] == "R/2040-01-01T05:00:00.000Z/PT1H"
    assert run("sync", wanted, "--url", chronos.url).output == "nothing to do\n"


def test_what_a_server_refuses_is_told_and_the_rest_is_done(chronos: OldChronos, tmp_path: Path):
    chronos.refuse = {"a"}
    child, other = {"name": "b", "command": "true", "parents": ["a"]}, JOB | {"name": "c"}
    result = run("sync", write(tmp_path / "x.jsonl", [JOB, child, other]), "--url", chronos.url, status=1)
    assert "a: POST" in result.stderr
    assert "requirement failed: the job's name is invalid" in result.stderr
    assert "scala.Predef" not in result.stderr
    assert "b: not sent, for its parent a could not be" in result.stderr
    assert set(chronos.jobs) == {"c"}


def test_an_import_replaces_nothing_unasked(chronos: OldChronos, tmp_path: Path):
    file = write(tmp_path / "x.jsonl", [JOB | {"successCount": 5}])
    run("import", file, "--url", chronos.url)
    assert chronos.jobs["a"]["successCount"] == 5
    write(file, [JOB | {"command": "false"}])
    assert "give --replace" in run("import", file, "--url", chronos.url, status=2).stderr
    assert chronos.jobs["a"]["command"] == "true"
    run("import", file, "--url", chronos.url, "--replace")
    assert (chronos.jobs["a"]["command"], chronos.jobs["a"]["successCount"]) == ("false", 0)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"scheduled/a.yaml": "name: [a"}, "a.yaml"),
        ({"scheduled/a.yaml": "- a"}, "no JSON object"),
        ({"scheduled/a.yaml": "command: x"}, "a.yaml: name None"),
        ({"scheduled/a.yaml": "{name: a, parents: [b]}"}, "a.yaml: a job without a schedule"),
        ({"dependent/a.yaml": "{name: a, parents: [b]}"}, "'b' is neither among the files"),
        ({"other/a.yaml": ""}, "neither scheduled/ nor dependent/"),
    ],
)
def test_files_that_cannot_be_used_change_nothing(chronos: OldChronos, tmp_path: Path, files, message):
    for name, text in files.items():
        (tmp_path / "jobs" / name).parent.mkdir(parents=True)
        (tmp_path / "jobs" / name).write_text(text)
    assert message in run("sync", tmp_path / "jobs", "--url", chronos.url, status=2).stderr
    assert chronos.changes == []


def test_a_server_that_is_not_there(tmp_path: Path):
    result = run("export", tmp_path / "x", "--url", "http://127.0.0.1:1", status=2)
    assert "http://127.0.0.1:1: cannot be reached" in result.stderr
    assert not (tmp_path / "x").exists()
    assert "either --url or --zk_hosts" in run("export", tmp_path / "x", status=2).stderr


def test_credentials_are_sent(tmp_path: Path):
    server = ChronosServer(tmp_path, "--http_credentials", "me:pässword")
    server.wait()
    try:
        assert "401" in run("export", tmp_path / "x", "--url", server.url, status=2).stderr
        run("export", tmp_path / "x", "--url", server.url, "--credentials", "me:pässword")
    finally:
        server.stop()


@pytest.mark.external
@pytest.mark.parametrize("version", ["2.4", "3.0.2"])
def test_the_jobs_in_zookeeper_are_exported(ensemble: ZooKeeperEnsemble, tmp_path: Path, version: str):
    path, made = f"/{uuid.uuid4().hex}/state", tree(version, 60, "2040-01-01T00:00:00.000Z", "2041-01-01T00:00:00.000Z")
    client = KazooClient(ensemble.hosts)
    client.start(30)
    try:
        plant(client, path, made)
        client.create(f"{path}/state/J_broken" if client.exists(f"{path}/state") else f"{path}/J_broken", b"\x00")
        file = tmp_path / "x.jsonl"
        result = run("export", file, "--zk_hosts", ensemble.hosts, "--zk_path", path, status=1)
        assert "J_broken" in result.stderr
        assert {found["name"]: found for found in lines(file)} == {
            name: json.loads(text) for name, text in made.jobs.items()
        }
    finally:
        client.stop()
        client.close()


def test_a_crontab_becomes_jobs(server: ChronosServer, tmp_path: Path):
    (tmp_path / "crontab").write_text("MAILTO=ops@example.org\n15 4 * * 1-5 echo hello\n0 0 31 * * never\n")
    words = ["convert", "crontab", tmp_path / "crontab", tmp_path / "jobs", "--zone", "Europe/Berlin"]
    result = run(*words, "--start", "2040-01-01", status=1)
    assert "line 3: a day after the 28th" in result.stderr
    assert "1 of 2 lines became 5 jobs" in result.stdout
    assert "5 of 5 done" in run("sync", tmp_path / "jobs", "--url", server.url).output
    assert run("sync", tmp_path / "jobs", "--url", server.url).output == "nothing to do\n"
