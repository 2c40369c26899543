"""A real server over HTTP: starts of tasks, writes, lists, and a hundred thousand jobs."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from benchmarks.rows import Row, percentile
from compat_tests.servers.chronos import free_port

CLIENTS = 8
ROOM = ("--resources", "cpus:1000;mem:1000000;disk:1000000")


class Server:
    """The command itself, as anybody would start it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.port = free_port()
        command = [sys.executable, "-m", "chronos_py", "serve", "--http_address", "127.0.0.1"]
        command += ["--http_port", str(self.port), "--data_dir", str(folder), *(options or ROOM)]
        with (folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while self.get("/health")[0] != 200:
            assert time.monotonic() < deadline, (folder / "server.log").read_text()
            time.sleep(0.02)

    def get(self, path: str) -> tuple[int, bytes]:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 0, b""

    @property
    def worker(self) -> psutil.Process:
        return psutil.Process(self.process.pid).children()[0]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@contextmanager
def a_server(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    try:
        yield server
    finally:
        server.stop()


def post_all(port: int, documents: list[dict[str, object]]) -> list[float]:
    """Post documents with several clients at once; return each request's seconds."""
    durations: list[float] = []

    def client(part: list[dict[str, object]]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for document in part:
            body = json.dumps(document)
            began = time.perf_counter()
            connection.request("POST", "/v1/scheduler/iso8601", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 204, answer.status
            durations.append(time.perf_counter() - began)

    threads = [threading.Thread(target=client, args=(documents[n::CLIENTS],)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return durations


def a_document(name: str, schedule: str, command: str = "true") -> dict[str, object]:
    return {"name": name, "command": command, "schedule": schedule, "owner": "bench", "cpus": 0.1, "mem": 32, "disk": 1}


def stamp(moment: datetime) -> str:
    return f"{moment.strftime('%Y-%m-%dT%H:%M:%S')}.{moment.microsecond // 1000:03d}Z"


def start_delays(folder: Path, due: dict[str, float], patience_s: float) -> list[float]:
    """Return seconds from due time to the moment at which each task's process had begun."""
    deadline = time.monotonic() + patience_s
    while True:
        started = list(folder.glob("runs/*/*/stdout"))
        if len(started) >= len(due) or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    delays = []
    for file in started:
        job = file.parent.name.split("_")[3]
        delays.append(file.stat().st_ctime - due[job])
    assert len(delays) == len(due), f"{len(delays)} of {len(due)} tasks started"
    return delays


def starts(spread_s: float, jobs: int = 1000) -> tuple[list[float], float]:
    """Let jobs come due over `spread_s` seconds; return their delays, and the slowest answer meanwhile (seconds)."""
    with tempfile.TemporaryDirectory() as temporary, a_server(Path(temporary)) as server:
        first = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=25)  # spare sandboxes are there by then
        moments = [first + timedelta(seconds=spread_s * number / jobs) for number in range(jobs)]
        documents = [a_document(f"j{n}", f"R1/{stamp(moment)}/PT1S") for n, moment in enumerate(moments)]
        post_all(server.port, documents)
        assert datetime.now(UTC) < first, "the machine is too slow to post the jobs in time"
        slowest, over = [0.0], threading.Event()

        def ask() -> None:
            while not over.wait(0.05):
                began = time.perf_counter()
                server.get("/v1/scheduler/job/j1")
                slowest[0] = max(slowest[0], time.perf_counter() - began)

        time.sleep(max(0.0, (first - datetime.now(UTC)).total_seconds() - 0.5))
        asking = threading.Thread(target=ask)
        asking.start()
        due = {f"j{n}": moment.timestamp() for n, moment in enumerate(moments)}
        delays = start_delays(Path(temporary), due, spread_s + 30)
        over.set()
        asking.join()
        return delays, slowest[0]


def raw_spawns(count: int = 1000) -> float:
    """Return the seconds that bare spawns of a shell with one command take: the floor at this moment."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        for _ in range(count):
            arguments = ["sh", "-c", f"date > {folder}/out"]
            os.waitpid(os.posix_spawn("/bin/sh", arguments, {"PATH": "/usr/bin:/bin"}), 0)
        return time.perf_counter() - began


def start_rows() -> Iterator[Row]:
    delays, _ = starts(10.0)
    note = f"p50 {percentile(delays, 0.5) * 1000:.0f} ms"
    yield Row(
        "due time -> process started, local, 1,000 jobs at 100/s: p99",
        percentile(delays, 0.99) * 1000,
        50,
        "ms",
        note=note,
    )
    floor = raw_spawns()
    delays, slowest = starts(0.0)
    note = f"p50 {percentile(delays, 0.5) * 1000:.0f} ms; slowest answer meanwhile {slowest * 1000:.0f} ms; "
    note += f"bare posix_spawn of a shell, one after the other: {floor:.1f} s"
    yield Row("1,000 jobs due in the same second, local: p99", percentile(delays, 0.99) * 1000, 2500, "ms", note=note)


def write_rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as temporary, a_server(Path(temporary)) as server:
        far = "R/2030-01-01T00:00:00Z/P1D"
        post_all(server.port, [a_document(f"warm{n}", far) for n in range(200)])
        began = time.perf_counter()
        durations = post_all(server.port, [a_document(f"job{n}", far) for n in range(9800)])
        took = time.perf_counter() - began
        yield Row("POST /v1/scheduler/iso8601, durable, 8 clients", 9800 / took, 500, "/s", higher=True)
        yield Row("  the same: p99", percentile(durations, 0.99) * 1000, 50, "ms")
        lists = []
        for number in range(21):
            began = time.perf_counter()
            status, body = server.get("/v1/scheduler/jobs")
            lists.append((time.perf_counter() - began) * 1000)
            assert status == 200
            if number % 3 == 2:
                post_all(server.port, [a_document("job1", far, f"echo {number}")])  # a list that changed meanwhile
        yield Row(
            "GET /v1/scheduler/jobs, 10,000 jobs: p50", percentile(lists, 0.5), 30, "ms", note=f"{len(body):,} bytes"
        )


def crowd_rows(jobs: int = 100_000) -> Iterator[Row]:
    """Start with many stored jobs; they are put into the store directly, for posting them is not what is measured."""
    from chronos_py.model.job import Job, JobState
    from chronos_py.model.messages import Put
    from chronos_py.persistence.sqlite import SqliteJobStore

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        store = SqliteJobStore(folder / "state.sqlite")
        epoch = store.open_epoch()
        far = "R/2030-01-01T00:00:00Z/P1D"
        for begin in range(0, jobs, 10_000):
            changes = []
            for number in range(begin, begin + 10_000):
                name = f"job-{number}"
                changes.append(Put("job", name, Job(name=name, command="true", schedule=far, owner="bench")))
                changes.append(Put("state", name, JobState(sequence=number + 1, version=number + 1)))
            store.commit(epoch, changes)
        due = Job(name="due", command="true", schedule="R/2026-01-01T00:00:00Z/P1D")
        store.commit(
            epoch, [Put("job", "due", due), Put("state", "due", JobState(sequence=jobs + 1, version=jobs + 1))]
        )
        store.close()
        began = time.time()
        server = Server(folder)
        try:
            deadline = time.monotonic() + 60
            while not (started := list(folder.glob("runs/*/*/stdout"))) and time.monotonic() < deadline:
                time.sleep(0.02)
            yield Row("100,000 jobs: start of the command -> first launch", started[0].stat().st_mtime - began, 5, "s")
            time.sleep(2)
            yield Row("100,000 jobs: memory", server.worker.memory_info().rss / 2**20, 512, "MiB")
            before, began = server.worker.cpu_times(), time.monotonic()
            time.sleep(10)
            after, span = server.worker.cpu_times(), time.monotonic() - began
            used = (after.user + after.system - before.user - before.system) / span * 100
            yield Row("100,000 jobs: CPU when idle", used, 1, "%")
            delays = post_all(server.port, [a_document(f"more{n}", far) for n in range(500)])
            yield Row("100,000 jobs: a write's turn, p99", percentile(delays, 0.99) * 1000, 100, "ms")
        finally:
            server.stop()


def rows() -> Iterator[Row]:
    yield from start_rows()
    yield from write_rows()
    yield from crowd_rows()
