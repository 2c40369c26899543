"""A store as it was, and a turn that changes it in every way: for tests of what a fault in its midst leaves."""

from __future__ import annotations

from typing import Any

from chronos_py.model.job import Job, JobState
from chronos_py.model.messages import Change, Delete, Put
from tests.persistence.test_job_store_suite import a_record, a_run

State = dict[str, Any]

BEFORE: list[Change] = [
    *(Put("job", name, Job(name=name, schedule="R/2026-01-01T00:00:00Z/PT1H")) for name in "abc"),
    *(Put("state", name, JobState(success_count=1)) for name in "abc"),
    *(Put("run", number, a_run(number)) for number in range(3)),
    *(Put("outbox", number, a_record(number)) for number in range(1, 4)),
    Put("meta", "framework_id", "first"),
]
TURN: list[Change] = [
    Put("job", "d", Job(name="d", command="x" * 9000)),
    Delete("job", "a"),
    Delete("state", "a"),
    Put("state", "b", JobState(success_count=2)),
    Put("state", "c", JobState(success_count=2)),
    Put("job", "c", Job(name="c", command="y" * 900)),
    Delete("run", 1),
    Put("run", 100, a_run(100)),
    Delete("outbox", 2),
    Put("outbox", 9, a_record(9)),
    Put("meta", "framework_id", "second"),
]


def after(state: State) -> State:
    """Return what the turn makes of a state."""
    expected = {kind: dict(values) for kind, values in state.items()}
    for change in TURN:
        if isinstance(change, Put):
            expected[change.kind][change.key] = change.value
        elif change.kind == "outbox":
            expected["outbox"] = {n: record for n, record in expected["outbox"].items() if n > int(change.key)}
        else:
            expected[change.kind].pop(change.key, None)
    return expected
