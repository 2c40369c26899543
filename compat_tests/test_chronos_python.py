"""The chronos-python client, unchanged, against both lines: what its own integration tests rely on."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import chronos
import pytest

from compat_tests.conftest import Server
from compat_tests.dialects import FAR, V2, V3, Api, Dialect

httplib2: Any = chronos.httplib2
PERCENTILES = ["99th", "98th", "95th", "75th", "median", "mean"]
FRESH = dict.fromkeys(("75thPercentile", "95thPercentile", "98thPercentile", "99thPercentile", "median", "mean"), 0.0)


@pytest.fixture
def closing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The library leaves its connections open; they are closed after the test."""
    opened: list[Any] = []

    def open_one(*args: Any, **options: Any) -> Any:
        opened.append(httplib2.Http(*args, **options))
        return opened[-1]

    monkeypatch.setattr(chronos, "httplib2", SimpleNamespace(**{**vars(httplib2), "Http": open_one}))
    yield
    for http in opened:
        http.close()


@pytest.fixture
def client(server: Server, dialect: Dialect, closing: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the dialect. The library's list of required fields is its own in each test: it grows otherwise."""
    monkeypatch.setattr(chronos.ChronosJob, "fields", ["command", "name", "owner", "disabled"])
    version = "v1" if dialect == V3 else None
    return chronos.connect([urlsplit(server.url).netloc], scheduler_api_version=version)


def a_job(name: str, **fields: Any) -> dict[str, Any]:
    job = {"name": name, "command": "echo 1", "owner": "a@example.org", "disabled": False, "async": False, **fields}
    return job if "parents" in job else {"schedule": FAR, **job}


def by_name(client: Any, name: str) -> dict[str, Any] | None:
    return next((job for job in client.list() if job["name"] == name), None)


def test_add_list_and_delete(client: Any, name: str) -> None:
    assert client.add(a_job(name)) is None
    job = by_name(client, name)
    assert job is not None
    assert (job["command"], job["schedule"], job["disabled"], job["lastSuccess"]) == ("echo 1", FAR, False, "")
    assert client.delete(name) is None
    assert by_name(client, name) is None


def test_schedule_of_the_integration_tests(client: Any, name: str) -> None:
    assert client.add(a_job(name, schedule="R0/2014-01-01T00:00:00Z/PT60M")) is None
    assert by_name(client, name) is not None


def test_dependent_jobs(client: Any, name: str) -> None:
    client.add(a_job(name))
    assert client.add(a_job(f"{name}-child", parents=[name])) is None
    child = by_name(client, f"{name}-child")
    assert child is not None
    assert child["parents"] == [name]
    client.update(a_job(f"{name}-child", parents=[name], command="echo 2"))
    changed = by_name(client, f"{name}-child")
    assert changed is not None
    assert changed["command"] == "echo 2"


def test_update(client: Any, name: str) -> None:
    client.add(a_job(name))
    assert client.update(a_job(name, disabled=True, command="echo 2")) is None
    job = by_name(client, name)
    assert job is not None
    assert (job["disabled"], job["command"]) == (True, "echo 2")


def test_a_whole_document_goes_back(client: Any, name: str) -> None:
    client.add(a_job(name, successCount=3, environmentVariables=[{"name": "A", "value": "b"}]))
    job = by_name(client, name)
    assert job is not None
    client.update({"async": False, **job})
    assert by_name(client, name) == job


def test_search(client: Any, name: str) -> None:
    client.add(a_job(f"{name}-one", command=f"echo {name} first"))
    client.add(a_job(f"{name}-two", command=f"echo {name} second"))
    assert [job["name"] for job in client.search(name=f"{name}-one")] == [f"{name}-one"]
    assert [job["name"] for job in client.search(command=f"{name} second")] == [f"{name}-two"]
    assert client.search(name=f"{name}-one", command="second") == []


def test_run_and_kill(client: Any, name: str) -> None:
    client.add(a_job(name))
    assert client.run(name) is None
    assert client.delete_tasks(name) is None


def test_stat_of_a_fresh_job(client: Any, name: str) -> None:
    client.add(a_job(name))
    assert client.job_stat(name) == {"histogram": {**FRESH, "count": 0}, "taskStatHistory": []}


@pytest.mark.parametrize("percentile", PERCENTILES)
def test_percentiles(client: Any, name: str, percentile: str) -> None:
    client.add(a_job(name))
    rows = getattr(client, f"scheduler_stat_{percentile}")()
    assert {"jobNameLabel": name, "time": 0.0} in rows


def test_graph_of_two_unrelated_jobs(client: Any, name: str) -> None:
    client.add(a_job(f"{name}-a"))
    client.add(a_job(f"{name}-b"))
    rows = [row.split(",") for row in client.scheduler_graph().splitlines() if name in row]
    assert sorted(rows) == [["node", f"{name}-a", "fresh", "idle"], ["node", f"{name}-b", "fresh", "idle"]]


def test_metrics(client: Any) -> None:
    metrics = client.metrics()
    assert metrics["version"]
    assert isinstance(metrics["gauges"], dict)


def test_names_with_blanks(client: Any, name: str, dialect: Dialect) -> None:
    spaced = f"{name} with blanks"
    if dialect == V3:
        with pytest.raises(chronos.ChronosAPIError):
            client.add(a_job(spaced))
        assert by_name(client, spaced) is None
        return
    assert client.add(a_job(spaced)) is None
    assert by_name(client, spaced) is not None
    assert client.job_stat(spaced)["histogram"]["count"] == 0
    assert client.run(spaced) is None
    assert client.delete_tasks(spaced) is None
    assert client.delete(spaced) is None
    assert by_name(client, spaced) is None


def test_errors_are_the_librarys_own(client: Any, name: str) -> None:
    for call in (client.delete, client.run, client.delete_tasks, client.job_stat):
        with pytest.raises(chronos.ChronosAPIError):
            call(name)
    with pytest.raises(chronos.ChronosAPIError):
        client.add(a_job(name, schedule="nonsense"))
    with pytest.raises(chronos.ChronosAPIError):
        client.add(a_job(name, environmentVariables={"A": "b"}))


def test_the_next_server_is_tried(server: Server, api: Api, closing: None, name: str) -> None:
    if api.dialect == V2:
        pytest.skip("once is enough")
    address = urlsplit(server.url).netloc
    client = chronos.connect(["127.0.0.1:1", address], scheduler_api_version="v1")
    api.create(name)
    assert by_name(client, name) is not None


def test_paasta_document(client: Any, name: str, dialect: Dialect) -> None:
    if dialect == V3:
        pytest.skip("2.x only")
    paasta = a_job(
        f"{name} instance",
        command=None, arguments=None, scheduleTimeZone=None, epsilon="PT60S", retries=2, shell=False, cpus=0.1, mem=128,
        disk=256, uris=["file:///root/.dockercfg"], constraints=[["pool", "LIKE", "default"]],
        environmentVariables=[{"name": "A", "value": "b"}],
        container={"image": "i", "network": "BRIDGE", "type": "DOCKER", "volumes": [], "parameters": []},
    )  # fmt: skip
    assert client.update(paasta) is None
    job = by_name(client, f"{name} instance")
    assert job is not None
    assert (job["command"], job["arguments"], job["scheduleTimeZone"], job["shell"]) == ("", [], "", False)
    assert job["name"].split(" ") == [name, "instance"]


def test_galaxy_document(client: Any, name: str, dialect: Dialect) -> None:
    if dialect == V2:
        pytest.skip("3.x only")
    client.add(a_job(name, schedule="R1//PT1S", command="true", retries=0, cpus=0.1, mem=32, disk=10))
    job = by_name(client, name)
    assert job is not None, "a job that is not in the list counts as failed"
    assert {"successCount", "errorCount", "retries"} <= job.keys()
