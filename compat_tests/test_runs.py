"""Jobs that really run: how often, after what, and what is seen of it."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from compat_tests.conftest import Server
from compat_tests.dialects import FAR, V2, V3, Api, eventually

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def in_seconds(seconds: float) -> str:
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def run_now(api: Api, name: str, query: str = "") -> None:
    assert api.send("PUT", f"/job/{name}{query}").status_code == 204


def finished(api: Api, name: str, runs: int = 1, seconds: float = 30) -> dict[str, Any]:
    """Wait until so many runs have ended, well or badly, and return the job."""
    return eventually(
        lambda: api.job(name), lambda job: int(job["successCount"]) + int(job["errorCount"]) >= runs, seconds
    )


def lines(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def state(api: Api, name: str) -> str:
    """Return the last column of the job's row in the CSV graph."""
    rows = (row.split(",") for row in api.get("/graph/csv").text.splitlines())
    return next(row[3] for row in rows if row[:2] == ["node", name])


@pytest.fixture
def local(server: Server) -> None:
    """The tests that read what a job wrote need a server on this machine."""
    if not server.is_ours:
        pytest.skip("needs a server on this machine")


def test_three_repetitions_run_three_times(api: Api, name: str, tmp_path: Path, local: None) -> None:
    file = tmp_path / "out"
    api.create(name, schedule="R3//PT2S", command=f"echo x >> {file}")
    job = eventually(lambda: api.job(name), lambda job: bool(job["disabled"]))
    assert (job["successCount"], job["errorCount"]) == (3, 0)
    assert job["schedule"].startswith("R0/")
    assert lines(file) == ["x"] * 3
    with pytest.raises(AssertionError):
        eventually(lambda: lines(file), lambda seen: len(seen) > 3, 3)
    assert api.job(name) == job


def test_schedule_is_echoed_until_the_first_launch(api: Api, name: str) -> None:
    sent = f"R2/{in_seconds(4)}/PT60M"
    api.create(name, schedule=sent)
    assert api.job(name)["schedule"] == sent
    job = finished(api, name)
    assert job["schedule"] != sent
    assert re.fullmatch(r"R1/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/PT60M", job["schedule"])
    first, second = (datetime.fromisoformat(text.split("/")[1]) for text in (sent, job["schedule"]))
    assert second - first == timedelta(hours=1)


def test_numeric_offset_of_the_zone_is_printed(api: Api, name: str) -> None:
    api.create(name, schedule="R/2020-01-01T09:00:00/P1D", scheduleTimeZone="Asia/Kolkata")
    job = finished(api, name)
    assert re.fullmatch(r"R/\d{4}-\d\d-\d\dT09:00:00\.000\+05:30/P1D", job["schedule"])
    assert datetime.fromisoformat(job["schedule"].split("/")[1]) > datetime.now(UTC)


def test_run_once_now_runs_once_and_is_disabled(api: Api, name: str, tmp_path: Path, local: None) -> None:
    file = tmp_path / "out"
    assert api.post("/iso8601", {"name": name, "command": f"echo x >> {file}"}).status_code == 204
    job = eventually(lambda: api.job(name), lambda job: bool(job["disabled"]))
    assert job["successCount"] == 1
    assert re.fullmatch(r"R0/.*/PT24H", job["schedule"])
    assert lines(file) == ["x"]


def test_counters_of_a_success(api: Api, name: str) -> None:
    api.create(name, errorsSinceLastSuccess=4, successCount=7, errorCount=2, lastError="2015-07-12T02:00:44.871Z")
    before = datetime.now(UTC) - timedelta(seconds=1)
    run_now(api, name)
    job = eventually(lambda: api.job(name), lambda job: job["successCount"] == 8)
    assert (job["errorCount"], job["errorsSinceLastSuccess"], job["lastError"]) == (2, 0, "2015-07-12T02:00:44.871Z")
    assert STAMP.fullmatch(job["lastSuccess"])
    assert before <= datetime.fromisoformat(job["lastSuccess"]) <= datetime.now(UTC) + timedelta(seconds=1)
    assert (job["schedule"], job["disabled"]) == (FAR, False)
    assert state(api, name) == "idle"
    stat = api.get(f"/job/stat/{name}").json()
    assert stat["histogram"]["count"] == 1
    assert stat["histogram"]["mean"] == stat["histogram"]["median"] > 0


def test_counters_of_a_failure(api: Api, name: str) -> None:
    api.create(name, command="exit 3", retries=0, successCount=1)
    run_now(api, name)
    job = finished(api, name, 2)
    assert (job["successCount"], job["errorCount"], job["errorsSinceLastSuccess"]) == (1, 1, 1)
    assert STAMP.fullmatch(job["lastError"])
    assert job["lastSuccess"] == ""
    assert f"node,{name},failure,idle" in api.get("/graph/csv").text.splitlines()


def test_retries(api: Api, name: str, tmp_path: Path, local: None) -> None:
    file = tmp_path / "out"
    command = f"echo $CHRONOS_JOB_RUN_ATTEMPT >> {file}; exit 1"
    api.create(name, command=command, retries=2, retryDelay=0.5)
    run_now(api, name)
    job = finished(api, name)
    assert (job["errorCount"], job["successCount"], job["errorsSinceLastSuccess"]) == (1, 0, 1)
    assert lines(file) == ["0", "1", "2"]


def test_a_retry_that_succeeds_is_no_error(api: Api, name: str, tmp_path: Path, local: None) -> None:
    file = tmp_path / "out"
    api.create(name, command=f"echo x >> {file}; test $(wc -l < {file}) = 2", retries=2, retryDelay=0.5)
    run_now(api, name)
    job = finished(api, name)
    assert (job["errorCount"], job["successCount"], job["lastError"]) == (0, 1, "")
    assert lines(file) == ["x", "x"]


def test_run_now_of_a_disabled_job_runs(api: Api, name: str) -> None:
    api.create(name, disabled=True)
    run_now(api, name)
    job = finished(api, name)
    assert (job["successCount"], job["disabled"], job["schedule"]) == (1, True, FAR)


def test_run_now_of_a_finite_schedule_uses_up_nothing(api: Api, name: str) -> None:
    api.create(name, schedule="R2/2090-01-01T00:00:00Z/P1D")
    run_now(api, name)
    job = finished(api, name)
    assert job["schedule"].startswith("R2/2090-01-01T00:00:00")
    assert job["disabled"] is False


@pytest.mark.parametrize(
    ("query", "wanted"),
    [("", ["a", "b"]), ("?arguments=c%20d", ["c", "d"]), ("?arguments=%20", ["a", "b"])],
    ids=["none", "given", "blank"],
)
def test_arguments(api: Api, name: str, tmp_path: Path, local: None, query: str, wanted: list[str]) -> None:
    file = tmp_path / "out"
    api.create(name, command=f"cd {tmp_path}; printf '%s\\n' > out", arguments=["a", "b"])
    run_now(api, name, query)
    finished(api, name)
    assert lines(file) == wanted


def test_arguments_lose_their_semicolons_in_3x(api: Api, name: str, tmp_path: Path, local: None) -> None:
    if api.dialect == V2:
        pytest.skip("3.x only")
    file = tmp_path / "out"
    api.create(name, command=f"cd {tmp_path}; printf '%s\\n' > out")
    run_now(api, name, "?arguments=a%3B%20b")
    finished(api, name)
    assert lines(file) == ["a", "b"]


def test_environment(api: Api, name: str, tmp_path: Path, local: None) -> None:
    file = tmp_path / "out"
    variables = [{"name": "OWN", "value": "ä b"}, {"name": "CHRONOS_JOB_NAME", "value": "no"}]
    api.create(name, command=f"env > {file}", owner="a@example.org", cpus=0.5, mem=64, environmentVariables=variables)
    run_now(api, name)
    finished(api, name)
    seen = dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)
    assert (seen["OWN"], seen["CHRONOS_JOB_NAME"], seen["CHRONOS_JOB_OWNER"]) == ("ä b", name, "a@example.org")
    assert seen["CHRONOS_JOB_RUN_ATTEMPT"] == "0"
    assert float(seen["CHRONOS_RESOURCE_CPU"]) == 0.5
    assert float(seen["CHRONOS_RESOURCE_MEM"]) == 64
    assert float(seen["CHRONOS_RESOURCE_DISK"]) == 256
    assert abs(int(seen["CHRONOS_JOB_RUN_TIME"]) / 1000 - time.time()) < 60
    assert seen["HOST"]
    task = rf"ct:{seen['CHRONOS_JOB_RUN_TIME']}:0:{re.escape(name)}:"
    assert re.fullmatch(task, seen["mesos_task_id"])
    assert seen["MESOS_TASK_ID"] == seen["mesos_task_id"]


def runs_of(server: Server, session: requests.Session, name: str) -> list[dict[str, Any]]:
    answer = session.get(f"{server.url}/api/runs", params={"job": name}, timeout=30)
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()["runs"]
    return found


def test_output_can_be_read(server: Server, session: requests.Session, api: Api, name: str, local: None) -> None:
    api.create(name, command="echo out ä; echo err >&2")
    run_now(api, name)
    finished(api, name)
    (run,) = eventually(lambda: runs_of(server, session, name), lambda runs: len(runs) == 1)
    base = f"{server.url}/api/runs/{run['run']}/attempts/0"
    out = eventually(lambda: session.get(f"{base}/stdout", timeout=30), lambda answer: answer.text != "")
    assert (out.status_code, out.content.decode()) == (200, "out ä\n")
    assert out.headers["Content-Type"].startswith("text/plain")
    assert session.get(f"{base}/stderr", timeout=30).content.decode() == "err\n"
    if api.dialect == V3:
        assert session.get(f"{server.url}/api/runs/{run['run']}/attempts/99/stdout", timeout=30).status_code == 404
