"""The web pages of a server with 50,000 jobs and 1,000,000 runs: time, size, and what viewers cost.

Only when it is named. The data folder is made first, which takes minutes; CHRONOS_CROWD names one that
`benchmarks.crowd` has made in the last hour, which then is used instead. First paint and the whole page are what
Debian's Chromium says of a fresh visit (`performance`), with nothing kept from before; without a browser those rows
are left out.
"""

from __future__ import annotations

import gzip
import http.client
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks import crowd
from benchmarks.rows import Row, median_ms, percentile
from benchmarks.serving import Server

CHROMIUM = "/usr/bin/chromium"
ASKED = 40  # requests of each page
VISITS = 10
VIEWERS, WATCHED_S = 20, 40.0
PAGES = (
    ("list page", "/ui/jobs"),
    ("list page, searched", "/ui/jobs?q=export+7"),
    ("list page, by last result", "/ui/jobs?sort=last&dir=desc"),
    ("job page", "/ui/job?name=etl-260"),
    ("job page of a job with 10,000 runs", "/ui/job?name=busy"),
)
OTHERS = (("overview", "/"), ("timeline of an hour", "/ui/timeline"), ("calendar", "/ui/calendar"))
GRAPH = "/ui/graph?job=etl-260"
_ASSET = re.compile(r'(?:src|href)="(/ui/[^"]*(?:static|\.svg)[^"]*)"')
# When the first pixels came, when all was there, and how many bytes came over the line; milliseconds.
_FIGURES = """() => {
  const page = performance.getEntriesByType('navigation')[0];
  const parts = [page, ...performance.getEntriesByType('resource')];
  const paint = performance.getEntriesByName('first-contentful-paint')[0];
  return [paint ? paint.startTime : null, page.loadEventEnd, parts.reduce((sum, part) => sum + part.transferSize, 0)];
}"""


def _ask(server: Server, path: str) -> bytes:
    status, body = server.get(path)
    if status != 200:
        raise RuntimeError(f"{path}: {status}")
    return body


def _times(server: Server, path: str, times: int) -> list[float]:
    found = []
    for _ in range(times):
        began = time.perf_counter()
        _ask(server, path)
        found.append((time.perf_counter() - began) * 1000)
    return found


def _size(server: Server, path: str) -> int:
    """Return the bytes of a page and of all that it loads, each as small as gzip makes it."""
    page = _ask(server, path)
    parts = [page, *(_ask(server, name.replace("&amp;", "&")) for name in set(_ASSET.findall(page.decode())))]
    return sum(len(gzip.compress(part, 6)) for part in parts)


def _cpu(worker: psutil.Process) -> float:
    """Return the seconds of CPU that the server has used."""
    times = worker.cpu_times()
    return times.user + times.system


def page_rows(server: Server) -> Iterator[Row]:
    for name, path in PAGES:
        first = _times(server, path, 1)[0]
        before = _cpu(server.worker)
        took = _times(server, path, ASKED)
        spent = (_cpu(server.worker) - before) / ASKED * 1000
        note = f"p50 {percentile(took, 0.5):.0f} ms, the first {first:.0f} ms; {spent:.0f} ms of CPU each"
        yield Row(f"{name}: HTML, p95", percentile(took, 0.95), 300, "ms", note=note)
        yield Row(f"{name}: with its assets, each by gzip", _size(server, path) / 1000, 200, "KB")
    for name, path in OTHERS:
        took = _times(server, path, VISITS)
        yield Row(f"{name}: HTML, p95", percentile(took, 0.95), 1000, "ms", note=f"p50 {percentile(took, 0.5):.0f} ms")
    first = _times(server, GRAPH, 1)[0]
    again = median_ms(lambda: _ask(server, GRAPH))
    yield Row("graph of 500 jobs: HTML, first time", first, 2000, "ms", note=f"again {again:.0f} ms")


def _visits(browser: Any, address: str, times: int) -> list[tuple[float, float, int]]:
    found = []
    for _ in range(times):
        context = browser.new_context(viewport={"width": 1280, "height": 850})
        try:
            page = context.new_page()
            page.goto(address, wait_until="load")
            deadline = time.monotonic() + 10
            while (figures := page.evaluate(_FIGURES))[0] is None or not figures[1]:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{address}: nothing was painted")
                time.sleep(0.02)
            found.append(tuple(figures))
        finally:
            context.close()
    return found


def browser_rows(server: Server) -> Iterator[Row]:
    if not Path(CHROMIUM).exists():
        print(f"no {CHROMIUM}: nothing is measured in a browser", file=sys.stderr)
        return
    from playwright.sync_api import sync_playwright

    origin = f"http://127.0.0.1:{server.port}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            for name, path in (PAGES[0], PAGES[3], PAGES[4], OTHERS[0]):
                found = _visits(browser, origin + path, VISITS)
                paint, whole, sent = ([visit[part] for visit in found] for part in range(3))
                note = f"p50 {percentile(paint, 0.5):.0f} ms"
                yield Row(f"{name} in a browser: first paint, p95", percentile(paint, 0.95), 1000, "ms", note=note)
                note = f"p50 {percentile(whole, 0.5):.0f} ms"
                yield Row(f"{name} in a browser: complete, p95", percentile(whole, 0.95), 300, "ms", note=note)
                yield Row(f"{name} in a browser: sent over the line", max(sent) / 1000, 200, "KB")
            found = _visits(browser, origin + GRAPH, 5)
            whole = [visit[1] for visit in found]
            yield Row("graph of 500 jobs in a browser: complete", percentile(whole, 0.5), 2000, "ms")
        finally:
            browser.close()


class Viewer(threading.Thread):
    """Follows the live view as a browser does: it asks again, with what it has seen, as soon as it is told to."""

    def __init__(self, port: int, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.events = 0
        self._port, self._over = port, over

    def run(self) -> None:
        seen, wait = "", 5.0
        while not self._over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=40)
            try:
                connection.request("GET", "/ui/live", headers={"Last-Event-ID": seen} if seen else {})
                answer = connection.getresponse()
                while line := answer.readline():
                    if self._over.is_set():
                        return
                    if line.startswith(b"id: "):
                        seen = line[4:].strip().decode()
                        self.events += 1
                    elif line.startswith(b"retry: "):
                        wait = int(line[7:]) / 1000
            except OSError:
                pass
            finally:
                connection.close()
            self._over.wait(wait)


def _used(worker: psutil.Process, seconds: float) -> float:
    """Return how much of a core the server takes, in percent, looked at for some seconds."""
    before, began = _cpu(worker), time.monotonic()
    time.sleep(seconds)
    return (_cpu(worker) - before) / (time.monotonic() - began) * 100


def viewer_rows(server: Server) -> Iterator[Row]:
    idle = _used(server.worker, WATCHED_S / 2)
    over = threading.Event()
    viewers = [Viewer(server.port, over) for _ in range(VIEWERS)]
    for viewer in viewers:
        viewer.start()
    time.sleep(5)  # all have connected
    used = _used(server.worker, WATCHED_S)
    over.set()
    note = f"{idle:.2f} % without viewers; {sum(viewer.events for viewer in viewers)} events were sent"
    yield Row(f"live view, {VIEWERS} viewers: what it adds, of a core", max(0.0, used - idle), 2, "%", note=note)


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as temporary:
        given = os.environ.get("CHRONOS_CROWD")
        folder = Path(given or temporary)
        if not given:
            crowd.make(folder)
        server = Server(folder)
        try:
            yield from page_rows(server)
            yield from browser_rows(server)
            yield from viewer_rows(server)
        finally:
            server.stop()
