"""Jobs that account for themselves: each writes a line to a file of its own when it begins and one when it ends.

So what really happened is known beside what the server says, and both can be compared.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from compat_tests.mortal import MortalServer, until


def millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


@dataclass(frozen=True)
class Account:
    """What a job's file says: how often each (due time, attempt) began, and how often it ended."""

    begun: Counter[tuple[int, int]]
    ended: Counter[tuple[int, int]]


def account_of(file: Path) -> Account:
    account = Account(Counter(), Counter())
    for line in file.read_text().splitlines() if file.exists() else ():
        kind, due, attempt = line.split()
        (account.begun if kind == "begin" else account.ended)[int(due), int(attempt)] += 1
    return account


def command(file: Path, between: str) -> str:
    """Return a command that writes its lines to `file` and does `between` meanwhile."""
    what = '"%s $CHRONOS_JOB_RUN_TIME $CHRONOS_JOB_RUN_ATTEMPT"'
    return f"echo {what % 'begin'} >> {file}; {between}; echo {what % 'end'} >> {file}"


class Gate:
    """Holds tasks between their two lines until it is opened; whoever comes later passes."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._held: int | None = os.open(file, os.O_CREAT | os.O_RDWR, 0o666)
        fcntl.flock(self._held, fcntl.LOCK_EX)

    def open(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            os.close(held)


class Work:
    """Finite jobs of one server and what must be in their files once all are done."""

    def __init__(self, server: MortalServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.runs: dict[str, int] = {}
        self.gates: dict[str, Gate] = {}
        folder.mkdir()

    def gate(self, name: str = "gate") -> Gate:
        if name not in self.gates:
            self.gates[name] = Gate(self.folder / f".{name}")
        return self.gates[name]

    def open_gates(self) -> None:
        for gate in self.gates.values():
            gate.open()

    def add(
        self, name: str, *, runs: int = 1, every_s: int = 1, in_s: float = 0, gate: str = "gate", **fields: Any
    ) -> None:
        """Post a job that is due in `in_s` seconds, and `runs` times. Its tasks wait for a gate, if one is named."""
        between = f"flock -s {self.gate(gate).file} true" if gate else "true"
        start = (datetime.now(UTC) + timedelta(seconds=in_s)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        self.runs[name] = runs
        self.server.post_job(
            {
                "name": name,
                "command": command(self.folder / name, between),
                "schedule": f"R{runs}/{start}/PT{every_s}S",
                "catchUp": "all",
                "retries": 0,
                "cpus": 0.1,
                "mem": 32,
                "disk": 16,
                **fields,
            }
        )

    def add_many(self, stem: str, count: int, **fields: Any) -> None:
        for number in range(count):
            self.add(f"{stem}-{number}", **fields)

    def begun(self) -> int:
        """Return how many attempts have begun."""
        return sum(account_of(self.folder / name).begun.total() for name in self.runs)

    def ended(self) -> int:
        return sum(account_of(self.folder / name).ended.total() for name in self.runs)

    def wait_until_running(self, count: int) -> None:
        """Return once so many runs have begun and the server knows of it."""
        until(lambda: self.begun() >= count, f"{count} tasks began")
        until(lambda: self.states()["running"] >= count, f"{count} runs are shown as running")

    def states(self) -> Counter[str]:
        """Return how many runs there are in each state, of those that have not ended."""
        return Counter(run["state"] for run in self.server.active_runs())

    def wait_until_done(self, seconds: float = 60) -> None:
        """Open the gates; return once nothing is left to do."""
        self.open_gates()

        def done() -> bool:
            jobs = self.server.jobs()
            return all(jobs[name]["disabled"] for name in self.runs) and not any(
                run["job"] in self.runs for run in self.server.active_runs()
            )

        until(done, "all work is done", seconds)

    def check(self, attempts: int | None = 1) -> None:
        """Compare the files, the counters and the ledger: each due time was done once, whatever happened meanwhile.

        No job may have spent a retry, for it has none. `attempts` is the most that a run may have taken.
        """
        jobs = self.server.jobs()
        for name, runs in self.runs.items():
            account, rows = account_of(self.folder / name), self.server.all_runs(name)
            assert {row["outcome"] for row in rows} == {"success"}, f"{name}: {rows}"
            assert sorted(row["index"] for row in rows) == list(range(runs)), f"{name}: {rows}"
            taken = {millis(datetime.fromisoformat(row["due"])): row["attempts"] for row in rows}
            assert len(taken) == runs, f"{name}: two runs of one due time: {rows}"
            assert set(account.begun.values()) == {1}, f"{name} began an attempt twice: {account}"
            ended = Counter(due for due, _ in account.ended.elements())
            assert ended == dict.fromkeys(taken, 1), f"{name}: what ended is not what was to be done: {account}, {rows}"
            assert {due for due, _ in account.begun} == set(taken), f"{name}: {account}, {rows}"
            assert all(attempt < taken[due] for due, attempt in account.begun), f"{name}: unknown attempts: {account}"
            assert attempts is None or max(taken.values()) <= attempts, f"{name}: too many attempts: {rows}"
            assert (jobs[name]["successCount"], jobs[name]["errorCount"]) == (runs, 0), f"{name}: {jobs[name]}"
