"""A data folder with many jobs and much history, as a server that has run for a week would have left it.

    .venv/bin/python -m benchmarks.crowd FOLDER [jobs [runs]]     # 50,000 and 1,000,000 by default
    .venv/bin/chronos-py serve --data_dir FOLDER

Written through the stores themselves, in batches larger than a server's. What is made, the same each time but for the
hour: a component of 500 jobs (`etl-000` and after it), independent jobs, a tenth of them with a child; owners, labels,
some disabled. The first due times are an hour ahead and later, so that nothing starts while pages are measured. Half of
the runs are spread over all jobs, half over one job in fifty, and `busy` has ten thousand; nineteen of twenty
succeeded.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from chronos_py.clock import Millis, iso_utc
from chronos_py.model.history import AttemptRecord, HistoryRecord, RunRecord
from chronos_py.model.job import Job, JobState, Pair
from chronos_py.model.messages import Put
from chronos_py.model.run import Outcome, Trigger
from chronos_py.model.statistics import DAY
from chronos_py.persistence.history import SqlHistoryStore, sqlite_url
from chronos_py.persistence.sqlite import SqliteJobStore

JOBS, RUNS = 50_000, 1_000_000
COMPONENT, LAYER = 500, 25  # jobs that hang together, and how many of them stand side by side
BUSY = 10_000  # runs of the busiest job
DAYS, HOSTS, OWNERS = 7, 100, 200
HOUR: Millis = 3_600_000
AT_ONCE = 100_000  # records
OUTCOMES = (*[Outcome.SUCCESS] * 95, *[Outcome.FAILED] * 3, Outcome.TIMED_OUT, Outcome.KILLED)
KINDS = ("load", "clean", "export", "index", "mail", "backup", "check", "sync")


def some_jobs(rng: random.Random, count: int, now: Millis) -> Iterator[Job]:
    """Yield jobs, parents before their children."""
    for number in range(min(COMPONENT, count)):
        above = range(max(0, number - number % LAYER - LAYER), number - number % LAYER)
        parents = tuple(f"etl-{n:03}" for n in sorted(rng.sample(above, min(len(above), 1 + number % 2))))
        yield _job(rng, f"etl-{number:03}", number, now, parents)
    yield _job(rng, "busy", 0, now)
    name = "busy"
    for number in range(COMPONENT + 1, count):
        parents = (name,) if number % 10 == 0 else ()
        name = f"{KINDS[number % len(KINDS)]}-{number}"
        yield _job(rng, name, number, now, parents)


def _job(rng: random.Random, name: str, number: int, now: Millis, parents: tuple[str, ...] = ()) -> Job:
    first = iso_utc(now + HOUR + rng.randrange(DAY // 60_000) * 60_000)
    return Job(
        name=name, command=f"/opt/batch/bin/{name.partition('-')[0]} --part {number} --day $(date +%F)",
        schedule=None if parents else f"R/{first}/P1D", parents=parents or None,
        owner=f"team-{number % OWNERS}@example.org", description=f"part {number} of the nightly work",
        labels=(Pair("team", f"team-{number % OWNERS}"),), cpus=0.1, mem=64, disabled=number % 40 == 7,
    )  # fmt: skip


def some_runs(rng: random.Random, names: list[str], count: int, now: Millis) -> Iterator[list[HistoryRecord]]:
    """Yield batches of ended runs with one attempt each, in the order in which they ended."""
    often, span, batch = names[::50], DAYS * DAY, list[HistoryRecord]()
    busy = max(1, count // BUSY)
    for number in range(1, count + 1):
        job = "busy" if number % busy == 0 else rng.choice(often if number % 2 else names)
        ended = now - span + number * span // (count + 1)
        started = ended - min(HOUR, int(rng.lognormvariate(9.5, 1.3)))
        due = started - min(HOUR, int(rng.lognormvariate(5, 2)))
        host, outcome = f"host-{rng.randrange(HOSTS)}", rng.choice(OUTCOMES)
        task, code = f"ct:{due}:0:{job}:", 1 if outcome is Outcome.FAILED else 0
        batch.append(
            AttemptRecord(number, 0, task, job, f"agent-{host}", host, due, started, ended, outcome, "TASK_FINISHED",
                          owner="", exit_code=code)
        )  # fmt: skip
        batch.append(
            RunRecord(number, job, Trigger.SCHEDULE, due, due, ended, outcome, "", 1, started, number, number,
                      task_id=task, host=host, first_started=started, exit_reason="exit 1" if code else outcome.value)
        )  # fmt: skip
        if len(batch) >= AT_ONCE:
            yield batch
            batch = []
    yield batch


def make(folder: Path, jobs: int = JOBS, runs: int = RUNS) -> None:
    """Fill a data folder that has neither jobs nor history. Raises FileExistsError when it has."""
    state = folder / "state.sqlite"
    if state.exists():
        raise FileExistsError(f"{state} exists: choose a folder of its own")
    folder.mkdir(parents=True, exist_ok=True)
    rng, now = random.Random(1), int(time.time() * 1000)
    names = _make_jobs(SqliteJobStore(state), rng, jobs, runs, now)
    history = SqlHistoryStore(sqlite_url(folder))
    sa.event.listen(history._engine, "connect", _set_up_for_bulk)
    for batch in some_runs(rng, names, runs, now):
        history.write(batch)
    history.close()


def _set_up_for_bulk(connection: Any, record: Any) -> None:
    """Nothing of a file that is being made has to outlive a crash; and its indexes are better kept in memory."""
    del record
    for pragma in ("journal_mode = MEMORY", "synchronous = OFF", "cache_size = -1500000"):
        connection.execute(f"PRAGMA {pragma}")


def _make_jobs(store: SqliteJobStore, rng: random.Random, jobs: int, runs: int, now: Millis) -> list[str]:
    epoch, names, changes = store.open_epoch(), list[str](), list[Put]()
    for number, job in enumerate(some_jobs(rng, jobs, now), 1):
        names.append(job.name)
        ended, failed = iso_utc(now - rng.randrange(DAY)), number % 20 == 3
        state = JobState(
            sequence=number, version=number, success_count=runs // jobs, error_count=int(failed),
            errors_since_last_success=int(failed), last_error=ended if failed else "",
            last_success="" if failed else ended,
        )  # fmt: skip
        changes.append(Put("job", job.name, job))
        changes.append(Put("state", job.name, state))
        if len(changes) >= AT_ONCE:
            store.commit(epoch, changes)
            changes = []
    changes.append(Put("meta", "counters", {"run": runs + 1, "record": 1, "job": jobs + 1, "id_floor": now}))
    store.commit(epoch, changes)
    store.close()
    return names


def main() -> None:
    began = time.perf_counter()
    given = [int(word) for word in sys.argv[2:]]
    folder, jobs, runs = Path(sys.argv[1]), given[0] if given else JOBS, given[1] if len(given) > 1 else RUNS
    make(folder, jobs, runs)
    took = time.perf_counter() - began
    print(f"{jobs:,} jobs and {runs:,} runs in {folder}, {took:.0f} s")


if __name__ == "__main__":
    main()
