"""Jobs that are due again and again, whose tasks themselves write down when they began, and what must hold of them:
each due time ran once, late only where that was to be expected, and file, ledger and counters say the same."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from compat_tests.mortal import MortalServer, until

PERIOD_MS = 1000
LATE_MS = 3000  # what a busy machine may take where nothing is wrong


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Start:
    """A task began; times in milliseconds since 1970."""

    due: int
    attempt: int
    at: int


@dataclass(frozen=True, slots=True)
class Window:
    """Runs that were due between these times may have been late."""

    begin: int
    end: int


class DueWork:
    """`count` jobs that are due every second, spread over the second."""

    def __init__(self, folder: Path, count: int = 2) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.first: dict[str, int] = {}
        self.windows: list[Window] = []
        self._count = count

    def begin(self, server: MortalServer) -> None:
        """Post the jobs; return when all of them run."""
        begin = now_ms() // 1000 * 1000 + 2000
        for number in range(self._count):
            name, first = f"{self.folder.name}-{number}", begin + number * PERIOD_MS // self._count
            start = datetime.fromtimestamp(first / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            line = "$CHRONOS_JOB_RUN_TIME $CHRONOS_JOB_RUN_ATTEMPT $(date +%s%3N)"
            job: dict[str, Any] = {
                "name": name,
                "command": f"echo {line} >> {self.folder / name}",
                "schedule": f"R/{start}/PT1S",
            }
            job |= {"catchUp": "all", "concurrent": True, "retries": 0, "cpus": 0.1, "mem": 32, "disk": 16}
            server.post_job(job)
            self.first[name] = first
        until(lambda: all(len(self.starts(name)) > 1 for name in self.first), "the jobs run")

    def starts(self, name: str) -> list[Start]:
        file = self.folder / name
        lines = file.read_text().splitlines() if file.exists() else []
        return [Start(*map(int, line.split())) for line in lines]

    def first_start(self, since: int) -> int | None:
        """Return when the first of those runs began that were due at `since` or later; None before."""
        found = [start.at for name in self.first for start in self.starts(name) if start.due >= since]
        return min(found, default=None)

    def wait_for_start(self, since: int, seconds: float = 60) -> int:
        """Return how many milliseconds after `since` the first run that was due since then began."""
        until(lambda: self.first_start(since) is not None, "runs that are due begin again", seconds)
        found = self.first_start(since)
        assert found is not None
        return found - since

    def wait_until_calm(self, seconds: float = 60) -> None:
        """Return once everything that was due has begun."""
        until(lambda: not self._missing(now_ms() - 500), "all that was due has begun", seconds)

    def excuse(self, since: int, until_now: int | None = None) -> None:
        """Runs due since then, and until now, may have been late."""
        self.windows.append(Window(since - PERIOD_MS, until_now or now_ms()))

    def _due(self, name: str, up_to: int) -> set[int]:
        return set(range(self.first[name], up_to, PERIOD_MS))

    def _missing(self, up_to: int) -> list[tuple[str, int]]:
        found = []
        for name in self.first:
            begun = {start.due for start in self.starts(name)}
            found += [(name, due) for due in self._due(name, up_to) - begun]
        return found

    def finish(self, server: MortalServer) -> None:
        """End the jobs; compare what they wrote with the ledger and the counters."""
        self.wait_until_calm()
        stopped = now_ms()
        for name in self.first:
            answer = requests.patch(f"{server.url}/api/jobs/{name}", json={"disabled": True}, timeout=30)
            assert answer.status_code == 204, answer.text
        until(lambda: not any(run["job"] in self.first for run in server.active_runs()), "all runs have ended", 90)
        until(lambda: not server.health()["historyLag"], "history has all of them")
        jobs = server.jobs()
        for name in self.first:
            self._check(name, ledger(server, name), jobs[name], stopped)

    def _check(self, name: str, rows: list[dict[str, Any]], job: dict[str, Any], stopped: int) -> None:
        starts = self.starts(name)
        begun = Counter(start.due for start in starts)
        done = Counter(_due_of(row) for row in rows if row["outcome"] == "success")
        twice = {due: [start for start in starts if start.due == due] for due, count in begun.items() if count > 1}
        assert not twice, f"{name} ran twice: {twice}, {[row for row in rows if _due_of(row) in twice]}"
        assert not set(done) - set(begun), f"{name}: of successes its own file knows nothing: {set(done) - set(begun)}"
        failed = [row for row in rows if row["outcome"] != "success" and _due_of(row) < stopped - PERIOD_MS]
        assert not failed, f"{name}: not all succeeded: {failed}"
        assert done == begun, f"{name}: ledger and file differ: {done - begun}, {begun - done}"
        lost = self._due(name, stopped - PERIOD_MS) - set(begun)
        assert not lost, f"{name}: due times that never ran: {sorted(lost)}"
        assert (job["successCount"], job["errorCount"]) == (len(done), 0), f"{name}: {job}, {len(done)} successes"
        late = [start for start in starts if start.at - start.due > LATE_MS and not self._excused(start.due)]
        assert not late, f"{name} was late without a reason: {late}; {self.windows}"
        early = [start for start in starts if start.at < start.due]
        assert not early, f"{name} began before it was due: {early}"

    def _excused(self, due: int) -> bool:
        return any(window.begin <= due <= window.end for window in self.windows)


def ledger(server: MortalServer, job: str) -> list[dict[str, Any]]:
    """Return all runs of a job."""
    rows: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = server.get("/api/runs", job=job, limit="1000", **cursor)
        rows += page["runs"]
        if not page["cursor"]:
            return rows
        cursor = {"cursor": str(page["cursor"])}


def _due_of(row: dict[str, Any]) -> int:
    return round(datetime.fromisoformat(row["due"]).timestamp() * 1000)
