"""Immediate jobs: what runs once, as soon as there is room. No schedule, no graph; job and run are one record."""

from __future__ import annotations

from dataclasses import dataclass

from chronos_py.model.job import Job

PREFIX = "immediate:"  # of what their runs are called; no name of a Chronos job has a colon
TASK_PREFIX = "im:"  # of their tasks' ids; those of Chronos's jobs begin with ct:
UNNAMED = "unnamed"


@dataclass(frozen=True, slots=True)
class Immediate:
    """What a client asked for under `id`. A run carries it, so that no job has to be stored beside the run.

    `job.name` is PREFIX and the name that history and statistics know it by: of few, not one for each id. The result
    is kept for `retention` seconds.
    """

    id: str
    job: Job
    retention: float


def shown_name(job: str) -> str:
    """Return the name that a client gave, from that of its runs."""
    return job.removeprefix(PREFIX)


def id_of_task(task_id: str) -> str | None:
    """Return the client's id from a task's id, None for the task of another job."""
    return task_id.split(":", 4)[4] if task_id.startswith(TASK_PREFIX) else None
