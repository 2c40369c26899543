"""Makes pictures of every page: light, dark, phone, Chinese. `python -m tests.browser.screenshots [folder]`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import sync_playwright

from tests.browser import rig
from tests.browser.pages import all_pages

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True},
    "chinese": {"locale": "zh-CN"},
}


LAYERS = (
    ("orders", "customers", "stock", "prices"),
    ("join", "check"),
    ("facts",),
    ("sales", "margins", "forecast"),
    ("board",),
)
MORE = {
    "job-failing": "/ui/job?name=flaky",
    "job-dated": "/ui/job?name=midnight",
    "graph-etl": "/ui/graph?job=etl.facts",
    "timeline-close": "/ui/timeline?span=15m",
}
LASTING = {"long", "too-large", "nowhere", "immediate:cut"}  # runs that do not end
ROUNDS = 7  # of runs, so that there is a history to see


def more() -> Iterator[dict[str, Any]]:
    """Yield jobs beside those of the tests: a graph, one that fails now and then, one with retries, some that wait."""
    above: tuple[str, ...] = ()
    for layer in LAYERS:
        for name in layer:
            when: dict[str, Any] = {"parents": list(above)} if above else {"schedule": "R/2026-01-01T02:30:00Z/P1D"}
            yield {"name": f"etl.{name}", "command": f"sleep 0.{len(name)}; echo {name}", "owner": "data@example.org",
                   "labels": {"team": "data"}, **when}  # fmt: skip
        above = tuple(f"etl.{name}" for name in layer)
    far = {"schedule": "R/2026-01-01T04:00:00Z/P1D", "owner": "web@example.org"}
    yield {"name": "flaky", "command": "sleep 0.3; exit $(( $(date +%N | cut -c 7) % 2 ))", "retries": 0, **far}
    yield {"name": "stubborn", "command": "echo no >&2; exit 7", "retries": 3, "retryDelay": 1, **far}
    yield {"name": "too-large", "command": "true", "cpus": 64, "schedule": "R1//PT1H", "owner": "ops@example.org"}
    yield {"name": "nowhere", "command": "true", "constraints": [["rack", "EQUALS", "r7"]], "schedule": "R1//PT1H"}


def enrich(server: rig.Server) -> None:
    """Make those jobs, and let them run several times."""
    for job in more():
        server.post(job)
    for _ in range(ROUNDS):
        for name in ("flaky", "etl.orders", "etl.customers", "etl.stock", "etl.prices", "midnight"):
            answer = requests.put(f"{server.url}/v1/scheduler/job/{name}", timeout=20)
            assert answer.status_code == 204, answer.text
        rig.until(lambda: {run["job"] for run in server.get("/api/runs?state=active")["runs"]} <= LASTING)
    requests.put(f"{server.url}/v1/scheduler/job/stubborn", timeout=20)
    rig.until(lambda: bool(server.get("/api/runs?state=active&job=stubborn")["runs"]))


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        server = rig.Server(Path(data))
        browser = playwright.chromium.launch(executable_path=rig.CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            server.seed()
            enrich(server)
            for look, options in LOOKS.items():
                with rig.watched(browser, server, **options) as seen:
                    for name, path in {**all_pages(server), **MORE}.items():
                        page = seen.go(path)
                        page.wait_for_timeout(250)
                        page.screenshot(path=folder / f"{name}-{look}.png", full_page=True)
        finally:
            browser.close()
            server.stop()
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots"))
