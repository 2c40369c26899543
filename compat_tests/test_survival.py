"""kill -9 at random moments: every due run happens exactly once, by the jobs' own account, and history agrees.

The jobs write a line when they begin and one when they end, to files of their own. Half of them catch up on every due
time they missed (`catchUp: all`), so what must be in their files is known beforehand. The others let one run stand for
all that were missed, and their files are compared with the ledger.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from compat_tests.servers.chronos import free_port

JOBS, KILLS, RUNS, PERIOD_S = 50, 50, 18, 6
PATIENCE_S = 150


class MortalServer:
    """A server that is killed and started again on the same port and data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "chronos_py", "serve", "--http_address", "127.0.0.1"]
        command += ["--http_port", str(self.port), "--data_dir", str(self.folder / "data")]
        command += ["--resources", "cpus:64;mem:65536;disk:100000", "--failure_retry", "500"]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def wait(self) -> None:
        deadline = time.monotonic() + 30
        while not self.ready():
            assert time.monotonic() < deadline, "the server did not come up"
            time.sleep(0.05)

    def ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/health", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def kill(self, rng: random.Random) -> None:
        """Kill the master, or its worker with it; the tasks are in sessions of their own and live on."""
        assert self.process is not None
        victims = [self.process.pid]
        if rng.random() < 0.5:
            victims += [child.pid for child in psutil.Process(self.process.pid).children()]
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def a_document(number: int, start: datetime, folder: Path, rng: random.Random) -> dict[str, Any]:
    name = f"job-{number}"
    file = folder / "out" / name
    seconds = rng.choice((1, 1, 2, 3))
    return {
        "name": name,
        "command": f'echo "begin $CHRONOS_JOB_RUN_TIME $CHRONOS_JOB_RUN_ATTEMPT" >> {file}; sleep {seconds}; '
        f'echo "end $CHRONOS_JOB_RUN_TIME $CHRONOS_JOB_RUN_ATTEMPT" >> {file}',
        "schedule": f"R{RUNS}/{start.strftime('%Y-%m-%dT%H:%M:%S.000Z')}/PT{PERIOD_S}S",
        "catchUp": "all" if number % 2 == 0 else "one",
        "retries": 0,
        "cpus": 0.1,
        "mem": 32,
    }


def all_runs(url: str, job: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = requests.get(f"{url}/api/runs", {"job": job, "limit": "1000"}, timeout=10).json()[
        "runs"
    ]
    return rows


def lines_of(file: Path) -> tuple[Counter[int], Counter[int]]:
    """Return how often each due time began and ended."""
    begun: Counter[int] = Counter()
    ended: Counter[int] = Counter()
    for line in file.read_text().splitlines():
        kind, due, _ = line.split()
        (begun if kind == "begin" else ended)[int(due)] += 1
    return begun, ended


@pytest.mark.timeout(600)
def test_every_due_run_happens_exactly_once(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--url", default=None):
        pytest.skip("kills its own server only")
    rng = random.Random(20_261_124)
    (tmp_path / "out").mkdir()
    server = MortalServer(tmp_path)
    server.start()
    try:
        server.wait()
        start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
        for number in range(JOBS):
            document = a_document(number, start, tmp_path, rng)
            answer = requests.post(f"{server.url}/v1/scheduler/iso8601", json=document, timeout=10)
            assert answer.status_code == 204, answer.text
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.0, 2.5))  # the moment of death is what is tested
            server.kill(rng)
            server.start()
            if rng.random() < 0.7:
                server.wait()
        server.wait()
        wait_until_done(server)
        check(server, tmp_path, millis(start))
    finally:
        server.stop()


def wait_until_done(server: MortalServer) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        jobs = requests.get(f"{server.url}/v1/scheduler/jobs", timeout=10).json()
        active = requests.get(f"{server.url}/api/runs", {"state": "active"}, timeout=10).json()["runs"]
        if all(job["disabled"] for job in jobs) and not active:
            return
        assert time.monotonic() < deadline, [job["name"] for job in jobs if not job["disabled"]]
        time.sleep(0.5)


def check(server: MortalServer, folder: Path, start: int) -> None:
    jobs = {job["name"]: job for job in requests.get(f"{server.url}/v1/scheduler/jobs", timeout=10).json()}
    assert len(jobs) == JOBS
    for number in range(JOBS):
        name = f"job-{number}"
        begun, ended = lines_of(folder / "out" / name)
        assert set(begun.values()) == {1}, f"{name} began a due time twice: {begun}"
        assert begun == ended, f"{name} has runs that never ended"
        rows = all_runs(server.url, name)
        ran = {row["due"]: row for row in rows if row["outcome"] == "success"}
        assert len(ran) == len(begun), f"{name}: history has {len(ran)} successes, the files {len(begun)}"
        assert {millis(datetime.fromisoformat(due)) for due in ran} == set(begun)
        odd = [row for row in rows if row["outcome"] not in ("success", "merged")]
        assert jobs[name]["successCount"] == RUNS, f"{name}: {jobs[name]['successCount']} successes, and {odd}"
        assert jobs[name]["errorCount"] == 0
        assert {row["outcome"] for row in rows} <= {"success", "merged"}
        if number % 2 == 0:
            assert set(begun) == {start + index * PERIOD_S * 1000 for index in range(RUNS)}
        covered = Counter(
            index for row in rows for index in range(row["index"], (row["lastIndex"] or row["index"]) + 1)
        )
        assert set(covered.values()) == {1}, f"{name}: due times with more than one row"
        assert set(covered) == set(range(max(covered) + 1)), f"{name}: due times without a row"
