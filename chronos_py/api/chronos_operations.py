"""The paths of both lines of Chronos, as the OpenAPI document describes them."""

from __future__ import annotations

TEXT = "text/plain"
Answer = str | list[str] | None
Operation = tuple[str, str, str, Answer]  # path, method, what it does, schema of the answer

# Path below the prefix, methods of 2.x, methods of 3.x (blanks between them), what it does, schema of the answer.
_BOTH: tuple[tuple[str, str, str, str, Answer], ...] = (
    ("/iso8601", "post put", "post", "Create or replace a schedule-based job", None),
    ("/dependency", "post put", "post", "Create or replace a dependency-based job", None),
    ("/jobs", "get", "get", "All jobs", ["Job"]),
    ("/jobs/search", "get", "get", "Jobs by name or by any of their texts", ["Job"]),
    ("/jobs/summary", "", "get", "Name, state and last result of all jobs", "JobSummaries"),
    ("/job/{name}", "", "get", "One job", "Job"),
    ("/job/{name}", "put", "put", "Run a job now; `arguments` go behind the job's own", None),
    ("/job/{name}", "delete", "delete", "Delete a job; its children keep running by its schedule or parents", None),
    ("/job/stat/{name}", "get", "get", "Run times of a job and its newest attempts", "JobStatistics"),
    ("/job/success/{name}", "put", "put", "Count a success, so that children are released", TEXT),
    ("/job/{name}/task/{task_id}/progress", "post", "post", "Report how far a task has come", None),
    ("/task/kill/{name}", "delete", "delete", "Stop a job's tasks", None),
    ("/task/{task_id}", "put", "", "Report how an asynchronous task ended", None),
    ("/task/all", "delete", "", "Forget all runs that wait", None),
    ("/graph/dot", "get", "get", "Jobs and their parents for Graphviz", TEXT),
    ("/graph/csv", "get", "get", "Last result and state of each job, and the edges", TEXT),
    ("/stats/{percentile}", "get", "get", "Run times of all jobs: median, mean, 75thPercentile, ...", ["RunTime"]),
    ("/leader", "get", "get", "Who leads", "ChronosLeader"),
)
QUERY: dict[tuple[str, str], tuple[str, ...]] = {
    ("get", "/jobs/search"): ("name", "command", "any", "limit", "offset"),
    ("put", "/job/{name}"): ("arguments",),
}
PREFIXES = {2: "/scheduler", 3: "/v1/scheduler"}


def operations() -> tuple[Operation, ...]:
    """Return the operations of both lines, 3.x first."""
    return tuple(
        (PREFIXES[line] + path, method, summary, answer)
        for line in (3, 2)
        for path, old, new, summary, answer in _BOTH
        for method in (old if line == 2 else new).split()
    )


def below_prefix(path: str) -> str:
    """Return a Chronos path without its line's prefix; other paths become empty."""
    return next((path.removeprefix(prefix) for prefix in PREFIXES.values() if path.startswith(f"{prefix}/")), "")


BODIES = {"/job/{name}/task/{task_id}/progress": "Progress", "/task/{task_id}": "TaskResult"}
WITH_BODY = {("put", "/iso8601"), ("put", "/dependency"), ("put", "/task/{task_id}")}  # besides every POST


def _object(**properties: str) -> dict[str, object]:
    return {"type": "object", "properties": {name: {"type": kind} for name, kind in properties.items()}}


SCHEMAS: dict[str, dict[str, object]] = {
    "JobSummaries": {
        "type": "object",
        "properties": {
            "jobs": {"type": "array", "items": {"$ref": "#/components/schemas/JobSummary"}},
        },
    },
    "JobSummary": _object(name="string", status="string", state="string", schedule="string", disabled="boolean")
    | {"description": "and parents, a list of names"},
    "JobStatistics": {
        "type": "object",
        "properties": {
            "histogram": {"type": "object"},
            "taskStatHistory": {"type": "array", "items": {"type": "object"}},
        },
    },
    "RunTime": _object(jobNameLabel="string", time="number"),
    "ChronosLeader": _object(leader="string"),
    "Progress": _object(numAdditionalElementsProcessed="integer"),
    "TaskResult": _object(statusCode="integer"),
}  # fmt: skip
