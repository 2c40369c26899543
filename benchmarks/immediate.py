"""Immediate jobs over HTTP: from the request to the command's own first line, and ten thousand at once."""

from __future__ import annotations

import http.client
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.rows import Row, percentile
from benchmarks.serving import CLIENTS, Server, a_server

IDLE, PER_SECOND, SECONDS, MANY = 100, 200, 10, 10_000
PATH = "/api/jobs/immediate"


class Client:
    """One connection to the server."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def call(self, method: str, path: str, document: Any = None) -> Any:
        body = None if document is None else json.dumps(document)
        self._connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        return json.loads(text)


def a_document(name: str, folder: Path) -> dict[str, Any]:
    return {
        "id": name,
        "command": f": > {folder / name}",
        "owner": "bench",
        "cpus": 0.01,
        "mem": 1,
        "disk": 1,
        "labels": {"k": "v"},
    }


def begun(folder: Path, sent: dict[str, float]) -> list[float]:
    """Wait for all commands; return each one's milliseconds from its request to the file that it makes first."""
    deadline, delays = time.monotonic() + 120, []
    for name, at in sent.items():
        file = folder / name
        while not file.exists():
            assert time.monotonic() < deadline, f"{name} has not begun"
            time.sleep(0.005)
        delays.append((file.stat().st_mtime - at) * 1000)
    return delays


def idle_delays(server: Server, folder: Path) -> list[float]:
    client, delays = Client(server.port), list[float]()
    for number in range(IDLE):
        name = f"idle-{number}"
        sent = {name: time.time()}
        client.call("POST", PATH, a_document(name, folder))
        delays += begun(folder, sent)
    return delays


def loaded_delays(server: Server, folder: Path) -> list[float]:
    """Send PER_SECOND requests a second, by several clients that each keep to their moments."""
    sent: dict[str, float] = {}
    start = time.monotonic() + 0.2

    def send(first: int) -> None:
        client = Client(server.port)
        for number in range(first, PER_SECOND * SECONDS, CLIENTS):
            time.sleep(max(0.0, start + number / PER_SECOND - time.monotonic()))
            name = f"loaded-{number}"
            sent[name] = time.time()
            client.call("POST", PATH, a_document(name, folder))

    threads = [threading.Thread(target=send, args=(first,)) for first in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return begun(folder, sent)


def ten_thousand(server: Server) -> tuple[float, float, float]:
    """Return the seconds until the answer, until all were launched, and until all had ended."""
    client = Client(server.port)
    documents = [{"id": f"many-{n}", "command": "true", "cpus": 0.01, "mem": 1, "disk": 1} for n in range(MANY)]
    began = time.monotonic()
    client.call("POST", PATH, documents)
    answered, launched = time.monotonic() - began, 0.0
    while True:
        counts = client.call("GET", f"{PATH}?limit=0")["byState"]
        if not launched and not counts.get("queued"):
            launched = time.monotonic() - began
        if not any(counts.get(state) for state in ("queued", "launching", "running", "retrying")):
            return answered, launched, time.monotonic() - began
        time.sleep(0.1)


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "out"
        (Path(root) / "data").mkdir()
        folder.mkdir()
        with a_server(Path(root) / "data") as server:
            delays = idle_delays(server, folder)
            yield Row(
                "immediate job: request to the command's first line, idle, p50", percentile(delays, 0.5), 30, "ms"
            )
            yield Row("the same, p99", percentile(delays, 0.99), 100, "ms")
            delays = loaded_delays(server, folder)
            name = f"the same under {PER_SECOND} requests a second, p50"
            yield Row(name, percentile(delays, 0.5), 100, "ms")
            yield Row("the same, p99", percentile(delays, 0.99), 1000, "ms")
    with tempfile.TemporaryDirectory() as root, a_server(Path(root)) as server:
        answered, launched, ended = ten_thousand(server)
        yield Row(f"{MANY:,} immediate jobs in one request: answered", answered, 2, "s")
        yield Row("the same, all launched", launched, 60, "s", note=f"{MANY / launched:.0f}/s")
        yield Row("the same, all ended", ended, 90, "s", note=f"{MANY / ended:.0f}/s")
