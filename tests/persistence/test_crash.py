"""kill -9 at any moment: what was acknowledged is there, and of no turn only a part."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from chronos_py.model.history import RunRecord
from chronos_py.persistence.base import RunQuery
from chronos_py.persistence.history import SqlHistoryStore, sqlite_url
from chronos_py.persistence.sqlite import SqliteJobStore

TURNS = """
import sys
from chronos_py.model.history import RunRecord
from chronos_py.model.job import Job, JobState
from chronos_py.model.messages import Delete, Put
from chronos_py.model.run import Outcome, Run, Trigger
from chronos_py.persistence.sqlite import SqliteJobStore

store = SqliteJobStore(sys.argv[1])
epoch = store.open_epoch()
turn = store.load().meta.get("turn", 0)
while True:
    turn += 1
    store.commit(epoch, [
        Put("run", turn, Run(turn, "a", Trigger.MANUAL, turn, turn, turn)),
        Delete("run", turn - 3),
        Put("job", "a", Job(name="a", description="x" * (turn % 5000))),
        Put("state", "a", JobState(sequence=turn)),
        Put("outbox", turn, RunRecord(turn, "a", Trigger.MANUAL, turn, turn, turn, Outcome.SUCCESS)),
        Delete("outbox", turn - 3),
        Put("meta", "turn", turn),
    ])
    print(turn, flush=True)
"""


def run_and_kill(script: str, path: Path, seconds: float) -> int:
    """Run the script, kill it `seconds` after its first line, and return the last number that it printed."""
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
        lines = [first, *process.stdout.read().split("\n")]
    return int([line.strip() for line in lines[:-1] if line.strip().isdigit()][-1])  # the very last may be cut short


def test_every_acknowledged_turn_is_there_and_no_part_of_another(tmp_path: Path) -> None:
    chance, path, last = random.Random(1), tmp_path / "state.sqlite", 0
    for _ in range(8):
        acknowledged = run_and_kill(TURNS, path, chance.uniform(0, 0.3))
        assert acknowledged > last
        with closing(SqliteJobStore(path)) as store:
            snapshot = store.load()
        last = snapshot.meta["turn"]
        assert last >= acknowledged
        assert snapshot.quarantined == []
        newest = {number for number in range(last - 2, last + 1) if number > 0}
        assert snapshot.states["a"].sequence == last
        assert len(snapshot.jobs["a"].description) == last % 5000
        assert set(snapshot.runs) == set(snapshot.outbox) == newest


HISTORY = """
import queue, sys
from pathlib import Path
from chronos_py.model.history import RunRecord
from chronos_py.model.messages import Delete, Put
from chronos_py.model.run import Outcome, Trigger
from chronos_py.persistence.history import SqlHistoryStore, sqlite_url
from chronos_py.persistence.outbox import HistoryWriter
from chronos_py.persistence.sqlite import SqliteJobStore

path = Path(sys.argv[1])
store = SqliteJobStore(path)
epoch, snapshot, written = store.open_epoch(), store.load(), queue.SimpleQueue()
writer = HistoryWriter(
    SqlHistoryStore(sqlite_url(path.parent)), written.put, store.read_outbox, limit=50, batch=20, gather=0.002
)
writer.start()
writer.submit(sorted(snapshot.outbox.items()))
last = snapshot.meta.get("last", 0)
while True:
    records = [
        (n, RunRecord(n, "a", Trigger.SCHEDULE, n, n, n, Outcome.SUCCESS, index=n, version=1))
        for n in range(last + 1, last + 8)
    ]
    last += len(records)
    changes = [Put("outbox", n, record) for n, record in records] + [Put("meta", "last", last)]
    while not written.empty():
        changes.append(Delete("outbox", written.get()))
    store.commit(epoch, changes)
    writer.submit(records)
    print(last, flush=True)
"""


def test_every_record_is_in_history_or_still_in_the_outbox(tmp_path: Path) -> None:
    chance, path = random.Random(2), tmp_path / "state.sqlite"
    history = SqlHistoryStore(sqlite_url(tmp_path))
    for _ in range(6):
        acknowledged = run_and_kill(HISTORY, path, chance.uniform(0.05, 0.4))
        with closing(SqliteJobStore(path)) as store:
            snapshot = store.load()
        last = snapshot.meta["last"]
        assert last >= acknowledged
        found = {record.run for record in history.runs(RunQuery(limit=1_000_000))}
        assert found | set(snapshot.outbox) == set(range(1, last + 1))
        history.write([record for record in snapshot.outbox.values() if isinstance(record, RunRecord)])
        assert history.gaps("a", 1, last, start=1) == []
    history.close()
