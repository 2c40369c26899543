"""kill -9 at random moments: every due run happens exactly once, by the jobs' own account, and history agrees.

The jobs write a line when they begin and one when they end, to files of their own. Half of them catch up on every due
time they missed (`catchUp: all`), so what must be in their files is known beforehand. The others let one run stand for
all that were missed, and their files are compared with the ledger.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from compat_tests.mortal import MortalServer, until
from compat_tests.work import account_of, command, millis

JOBS, KILLS, RUNS, PERIOD_S = 50, 50, 18, 6
PATIENCE_S = 150


def a_document(number: int, start: datetime, folder: Path, rng: random.Random) -> dict[str, Any]:
    name = f"job-{number}"
    return {
        "name": name,
        "command": command(folder / "out" / name, f"sleep {rng.choice((1, 1, 2, 3))}"),
        "schedule": f"R{RUNS}/{start.strftime('%Y-%m-%dT%H:%M:%S.000Z')}/PT{PERIOD_S}S",
        "catchUp": "all" if number % 2 == 0 else "one",
        "retries": 0,
        "cpus": 0.1,
        "mem": 32,
    }


@pytest.mark.timeout(600)
def test_every_due_run_happens_exactly_once(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--url", default=None):
        pytest.skip("kills its own server only")
    rng = random.Random(20_261_124)
    (tmp_path / "out").mkdir()
    options = ("--resources", "cpus:64;mem:65536;disk:100000", "--failure_retry", "500")
    server = MortalServer(tmp_path, *options)
    server.start()
    try:
        server.wait()
        start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
        for number in range(JOBS):
            document = a_document(number, start, tmp_path, rng)
            server.post_job(document)
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.0, 2.5))  # the moment of death is what is tested
            server.kill(workers=rng.random() < 0.5)
            server.start()
            if rng.random() < 0.7:
                server.wait()
        server.wait()
        until(lambda: all(job["disabled"] for job in server.jobs().values()), "all jobs are done", PATIENCE_S)
        until(lambda: not server.active_runs(), "all runs have ended", PATIENCE_S)
        check(server, tmp_path, millis(start))
    finally:
        server.stop()


def check(server: MortalServer, folder: Path, start: int) -> None:
    jobs = server.jobs()
    assert len(jobs) == JOBS
    for number in range(JOBS):
        name = f"job-{number}"
        account = account_of(folder / "out" / name)
        begun, ended = (Counter(due for due, _ in lines.elements()) for lines in (account.begun, account.ended))
        assert set(begun.values()) == {1}, f"{name} began a due time twice: {begun}"
        assert begun == ended, f"{name} has runs that never ended"
        rows = server.all_runs(name)
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
