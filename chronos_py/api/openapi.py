"""The OpenAPI document of /api and of the Chronos paths, made from the marshmallow schemas."""

from __future__ import annotations

from functools import cache
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

from chronos_py import __version__
from chronos_py.api.forms import AttemptForm, ErrorForm, RunForm, WaitForm
from chronos_py.model.schemas import ContainerSchema, JobSchema

API_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>chronos_py API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2733}
code{background:#eef2f6;padding:.1em .3em;border-radius:3px}li{margin:.3rem 0}</style></head>
<body><h1>chronos_py API</h1>
<p>The machine-readable description is <a href="/api/openapi.json">/api/openapi.json</a>.</p>
<ul>
<li><code>GET /api/jobs</code>, <code>GET</code> and <code>PATCH /api/jobs/{name}</code>,
<code>/api/jobs/{name}/why</code></li>
<li><code>GET /api/runs</code>, <code>GET</code> and <code>DELETE /api/runs/{run}</code>,
<code>/api/runs/{run}/why</code></li>
<li><code>GET /api/runs/{run}/attempts/{n}/stdout</code> (or <code>stderr</code>), <code>?offset=</code>,
<code>?length=</code>, <code>?follow=1</code></li>
<li><code>GET /api/queue</code>, <code>/api/quarantine</code>, <code>/api/events</code></li>
<li>Chronos 2.x below <code>/scheduler</code>, Chronos 3.x below <code>/v1/scheduler</code></li>
</ul></body></html>
"""

_QUERY = {
    "/api/jobs": ("q", "owner", "kind", "disabled", "limit", "offset"),
    "/api/runs": ("job", "outcome", "trigger", "owner", "state", "from", "to", "limit", "cursor"),
    "/api/queue": ("limit",),
    "/api/runs/{run}/attempts/{attempt}/{stream}": ("offset", "length", "follow"),
}
# path, method, what it does, schema of the answer (None: nothing)
_OPERATIONS: tuple[tuple[str, str, str, str | None], ...] = (
    ("/api/jobs", "get", "List jobs", "Job"),
    ("/api/jobs/{name}", "get", "One job, with the fields of both lines and its state", "Job"),
    ("/api/jobs/{name}", "patch", "Change single fields; null sets the default", None),
    ("/api/jobs/{name}/why", "get", "When the job runs next and what its runs wait for", "Wait"),
    ("/api/runs", "get", "List runs, newest first", "Run"),
    ("/api/runs/{run}", "get", "One run with its attempts", "Run"),
    ("/api/runs/{run}", "delete", "Stop a run", None),
    ("/api/runs/{run}/why", "get", "Why the run does not run", "Wait"),
    ("/api/runs/{run}/attempts", "get", "The run's attempts", "Attempt"),
    ("/api/runs/{run}/attempts/{attempt}/{stream}", "get", "Output: stdout or stderr, by offset or followed", "Text"),
    ("/api/queue", "get", "What waits for a place, with reasons", "Run"),
    ("/api/quarantine", "get", "Stored records that could not be read", "Text"),
    ("/api/events", "get", "A stream of what changes (server-sent events)", "Text"),
    ("/v1/scheduler/iso8601", "post", "Create or replace a schedule-based job", None),
    ("/v1/scheduler/dependency", "post", "Create or replace a dependency-based job", None),
    ("/v1/scheduler/jobs", "get", "All jobs as Chronos 3 shows them", "Job"),
    ("/v1/scheduler/job/{name}", "get", "One job as Chronos 3 shows it", "Job"),
    ("/v1/scheduler/job/{name}", "put", "Run a job now", None),
    ("/v1/scheduler/job/{name}", "delete", "Delete a job", None),
    ("/scheduler/iso8601", "put", "Create or replace, as Chronos 2", None),
    ("/scheduler/jobs", "get", "All jobs as Chronos 2 shows them", "Job"),
)


def _parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    in_path = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    in_query = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in _QUERY.get(path, ())]
    return [*in_path, *in_query]


def _responses(schema: str | None) -> dict[str, Any]:
    error = {
        "description": "refused",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    if schema is None:
        return {"204": {"description": "done"}, "400": error}
    if schema == "Text":
        return {"200": {"description": "text", "content": {"text/plain": {"schema": {"type": "string"}}}}, "404": error}
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"200": {"description": "done", "content": content}, "404": error}


@cache
def openapi_document() -> dict[str, Any]:
    """Return the document, version 3.0.3."""
    spec = APISpec(title="chronos_py", version=__version__, openapi_version="3.0.3", plugins=[MarshmallowPlugin()])
    for name, schema in (
        ("Job", JobSchema),
        ("Container", ContainerSchema),
        ("Run", RunForm),
        ("Attempt", AttemptForm),
        ("Wait", WaitForm),
        ("Error", ErrorForm),
    ):
        spec.components.schema(name, schema=schema)
    paths: dict[str, dict[str, Any]] = {}
    for path, method, summary, answer in _OPERATIONS:
        operation: dict[str, Any] = {"summary": summary, "responses": _responses(answer)}
        if _parameters(path):
            operation["parameters"] = _parameters(path)
        if method in ("post", "patch") or path.endswith("iso8601"):
            content = {"application/json": {"schema": {"$ref": "#/components/schemas/Job"}}}
            operation["requestBody"] = {"required": True, "content": content}
        paths.setdefault(path, {})[method] = operation
    for path, operations in paths.items():
        spec.path(path=path, operations=operations)
    document: dict[str, Any] = spec.to_dict()
    return document
