"""The OpenAPI document of /api and of the Chronos paths, made from the marshmallow schemas."""

from __future__ import annotations

from functools import cache
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.common import resolve_schema_cls
from marshmallow import Schema

from chronos_py import __version__
from chronos_py.api import chronos_operations
from chronos_py.api.forms import (
    AttemptForm,
    AttemptListForm,
    AuditForm,
    ErrorForm,
    HeldUpForm,
    JobForm,
    JobListForm,
    JobWhyForm,
    LeaderForm,
    NextPlaceForm,
    PlacementForm,
    QuarantineForm,
    QueueForm,
    QuotasForm,
    RunChangeForm,
    RunDetailForm,
    RunForm,
    RunListForm,
    WaitForm,
)
from chronos_py.api.immediate_forms import (
    ImmediateDetailForm,
    ImmediateForm,
    ImmediateIdsForm,
    ImmediateKillForm,
    ImmediateListForm,
    ImmediateStartedForm,
    ImmediateStatusForm,
    ImmediateStoppedForm,
)
from chronos_py.api.plan_forms import PLAN_FORMS
from chronos_py.api.planning_forms import FORMS as PLANNING_FORMS
from chronos_py.api.report_forms import (
    AgentCapacityForm,
    AmountsForm,
    AttributeCapacityForm,
    CapacityForm,
    FiguresForm,
    PercentilesForm,
    ResourcesForm,
    ServiceLevelForm,
    ServiceLevelsForm,
    StatisticsForm,
    WaitingForm,
    WaitingLevelForm,
)
from chronos_py.api.transport import JSON
from chronos_py.model.schemas import ContainerSchema, Own, Part, Parts, Texts

TEXT, EVENTS = "text/plain", "text/event-stream"
_FORMS: tuple[type[Schema], ...] = (
    *(NextPlaceForm, HeldUpForm, PlacementForm),
    *(ContainerSchema, JobForm, AttemptForm, RunForm, WaitForm, ErrorForm, RunDetailForm),
    *(RunChangeForm, JobListForm, RunListForm, AttemptListForm, JobWhyForm, QueueForm, QuotasForm, QuarantineForm),
    *(LeaderForm, AuditForm),
    *(ImmediateForm, ImmediateStartedForm, ImmediateStatusForm, ImmediateDetailForm, ImmediateListForm),
    *(ImmediateIdsForm, ImmediateKillForm, ImmediateStoppedForm),
    *(PercentilesForm, ServiceLevelForm, ServiceLevelsForm, FiguresForm, StatisticsForm),
    *(AmountsForm, CapacityForm, AttributeCapacityForm, AgentCapacityForm, WaitingLevelForm, WaitingForm),
    ResourcesForm,
    *PLAN_FORMS,
    *PLANNING_FORMS,
)

API_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>chronos_py API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2733}
code{background:#eef2f6;padding:.1em .3em;border-radius:3px}li{margin:.3rem 0}</style></head>
<body><h1>chronos_py API</h1>
<p>The machine-readable description is <a href="/api/openapi.json">/api/openapi.json</a>.</p>
<ul>
<li><code>GET /api/jobs</code>, <code>GET</code> and <code>PATCH /api/jobs/{name}</code>,
<code>/api/jobs/{name}/why</code>, <code>/api/jobs/{name}/revisions</code></li>
<li><code>POST /api/validate</code>, <code>GET /api/schedule</code>, <code>/api/calendar</code>,
<code>/api/timeline</code></li>
<li><code>POST</code> and <code>GET /api/jobs/immediate</code>, <code>GET</code> and
<code>DELETE /api/jobs/immediate/{id}</code>, <code>POST /api/jobs/immediate/kill</code>, <code>/status</code></li>
<li><code>GET /api/runs</code>, <code>GET</code>, <code>PATCH</code> and <code>DELETE /api/runs/{run}</code>,
<code>/api/runs/{run}/why</code></li>
<li><code>GET /api/runs/{run}/attempts/{n}/stdout</code> (or <code>stderr</code>), <code>?offset=</code>,
<code>?length=</code>, <code>?follow=1</code></li>
<li><code>GET /api/queue</code>, <code>/api/quotas</code>, <code>/api/quarantine</code>, <code>/api/events</code>,
<code>/api/leader</code>, <code>/api/audit</code></li>
<li><code>GET /api/statistics</code>: <code>from</code>, <code>to</code>, <code>by</code>, <code>per</code></li>
<li><code>GET /api/resources</code>: <code>cpus</code>, <code>mem</code>, <code>attribute</code>,
<code>agents</code></li>
<li><code>POST /api/plan</code>: what would happen</li>
<li>Chronos 2.x below <code>/scheduler</code>, Chronos 3.x below <code>/v1/scheduler</code></li>
</ul></body></html>
"""

_INTEGERS = {"revision", "count", "names", "limit", "offset", "length", "cursor", "run", "attempt"}
_QUERY = {
    "/api/jobs": ("q", "owner", "kind", "disabled", "limit", "cursor", "offset"),
    "/api/runs": ("job", "outcome", "trigger", "owner", "state", "from", "to", "limit", "cursor"),
    "/api/schedule": ("schedule", "zone", "count"),
    "/api/jobs/{name}/revisions": ("limit", "cursor"),
    "/api/calendar": ("from", "to", "per", "zone", "owner", "names"),
    "/api/timeline": ("from", "to", "by", "q", "limit"),
    "/api/jobs/immediate": ("ids", "label", "state", "owner", "name", "limit", "cursor"),
    "/api/queue": ("limit",),
    "/api/audit": ("limit",),
    "/api/resources": ("cpus", "mem", "disk", "gpus", "attribute", "agents"),
    "/api/statistics": (
        *("from", "to", "by", "per", "job", "owner", "host", "exit", "label", "limit", "target", "format"),
    ),
    "/api/runs/{run}/attempts/{attempt}/{stream}": ("offset", "length", "follow"),
}
_BODIES = {
    "/api/validate": "Check",
    "/api/runs/{run}": "RunChange",
    "/api/jobs/immediate": "Immediate",
    "/api/jobs/immediate/status": "ImmediateIds",
    "/api/jobs/immediate/kill": "ImmediateKill",
    "/api/plan": "PlanQuestion",
}
# path, method, what it does, schema of the answer (None: nothing, a list: an array of it)
_OPERATIONS: tuple[tuple[str, str, str, str | list[str] | None], ...] = (
    ("/api/jobs", "get", "List jobs", "JobList"),
    ("/api/jobs/{name}", "get", "One job, with the fields of both lines and its state", "Job"),
    ("/api/jobs/{name}", "patch", "Change single fields; null sets the default", None),
    ("/api/jobs/{name}/why", "get", "When the job runs next and what its runs wait for", "JobWhy"),
    ("/api/jobs", "post", "Make a job; one of that name that is there stays as it is", "Created"),
    ("/api/validate", "post", "What would be wrong with a job, field by field; changes nothing", "Validation"),
    ("/api/schedule", "get", "When a schedule is due", "Upcoming"),
    ("/api/jobs/{name}/revisions", "get", "Who changed the job, newest first", "RevisionList"),
    ("/api/jobs/{name}/revisions/{revision}", "get", "One change of a job", "RevisionDetail"),
    ("/api/jobs/{name}/revisions/{revision}/restore", "post", "Put a definition back in place", None),
    ("/api/calendar", "get", "How many runs will start when", "Calendar"),
    ("/api/timeline", "get", "The runs that were under way in a span, by job or agent", "Timeline"),
    ("/api/jobs/immediate", "post", "Run something now: one job, or all of a list", "ImmediateStarted"),
    ("/api/jobs/immediate", "get", "List immediate jobs, newest first", "ImmediateList"),
    ("/api/jobs/immediate/{name}", "get", "How far an immediate job has come, by its id", "ImmediateDetail"),
    ("/api/jobs/immediate/{name}", "delete", "Stop an immediate job and forget it", None),
    ("/api/jobs/immediate/status", "post", "How far many have come, by their ids", "ImmediateList"),
    ("/api/jobs/immediate/kill", "post", "Stop many, by ids or labels", "ImmediateStopped"),
    ("/api/runs", "get", "List runs, newest first", "RunList"),
    ("/api/runs/{run}", "get", "One run with its attempts", "RunDetail"),
    ("/api/runs/{run}", "delete", "Stop a run", None),
    ("/api/runs/{run}", "patch", "Change the priority of a run that has not ended", None),
    ("/api/runs/{run}/why", "get", "Why the run does not run", "Wait"),
    ("/api/runs/{run}/attempts", "get", "The run's attempts", "AttemptList"),
    ("/api/runs/{run}/attempts/{attempt}/{stream}", "get", "Output: stdout or stderr, by offset or followed", TEXT),
    ("/api/queue", "get", "What waits for a place, with reasons", "Queue"),
    ("/api/quotas", "get", "What is guaranteed by label, used and waited for", "Quotas"),
    ("/api/quarantine", "get", "Stored records that could not be read", "Quarantine"),
    ("/api/leader", "get", "Who leads, as the node that is asked sees it; never passed on", "Leader"),
    ("/api/audit", "get", "Who changed, ran and killed what, newest first; for admins", "Audit"),
    ("/api/events", "get", "A stream of what changes (server-sent events)", EVENTS),
    ("/api/statistics", "get", "Sums of ended runs; also as CSV", "Statistics"),
    ("/api/resources", "get", "What the cluster has, what is free, what would fit, what waits", "Resources"),
    ("/api/plan", "post", "What would happen with some changes, and without them; changes nothing", "Plan"),
    *chronos_operations.operations(),
)


def _parameter(name: str, place: str) -> dict[str, Any]:
    kind = "integer" if name in _INTEGERS else "string"
    parameter: dict[str, Any] = {"name": name, "in": place, "schema": {"type": kind}}
    return parameter | {"required": True} if place == "path" else parameter


def _parameters(path: str, method: str) -> list[dict[str, Any]]:
    query = _QUERY.get(path, ()) if method == "get" else ()
    query += chronos_operations.QUERY.get((method, chronos_operations.below_prefix(path)), ())
    in_path = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [
        *(_parameter(name, "path") for name in in_path),
        *(_parameter(name, "query") for name in query),
    ]


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _body(path: str) -> dict[str, Any]:
    """Describe what a path is sent."""
    found = _reference(
        _BODIES.get(path) or chronos_operations.BODIES.get(chronos_operations.below_prefix(path)) or "Job"
    )
    if path != "/api/jobs/immediate":
        return found
    return {"oneOf": [found, {"type": "array", "items": found}]}


def _refusal(path: str) -> dict[str, Any]:
    """Describe the 4xx of a path: our own JSON object below /api, the original's shape elsewhere."""
    described: dict[str, Any] = {"description": "refused"}
    if path.startswith("/api/"):
        described["content"] = {JSON: {"schema": _reference("Error")}}
    return described


def _responses(path: str, form: str | list[str] | None) -> dict[str, Any]:
    refused = _refusal(path)
    status = "404" if path.startswith("/api/") else "400"
    if form is None:
        return {"204": {"description": "done"}, "400": refused} | {status: refused}
    if form in (TEXT, EVENTS):
        content: dict[str, Any] = {form: {"schema": {"type": "string"}}}
    elif isinstance(form, list):
        content = {JSON: {"schema": {"type": "array", "items": _reference(form[0])}}}
    else:
        content = {JSON: {"schema": _reference(str(form))}}
    done = "201" if form == "Created" else "200"
    return {done: {"description": "done", "content": content}, status: refused}


def _describe(field: Any) -> dict[str, Any]:
    """Describe the fields that marshmallow has no name for."""
    if isinstance(field, Texts):
        return {"type": "array", "items": {"type": "string"}}
    if isinstance(field, Own):
        return {"type": field.kind}
    return {}


def _form_name(schema: Any) -> str:
    """Return a schema's name in the document: VolumeSchema and VolumeForm are Volume."""
    kind = resolve_schema_cls(schema)
    assert isinstance(kind, type)
    return kind.__name__.removesuffix("Form").removesuffix("Schema")


@cache
def openapi_document() -> dict[str, Any]:
    """Return the document, version 3.0.3."""
    plugin = MarshmallowPlugin(schema_name_resolver=_form_name)
    spec = APISpec(title="chronos_py", version=__version__, openapi_version="3.0.3", plugins=[plugin])
    converter: Any = plugin.converter  # made by APISpec

    def attributes(_: Any, field: Any, **__: Any) -> dict[str, Any]:
        if isinstance(field, Parts):
            return {"type": "array", "items": converter.resolve_nested_schema(field.schema)}
        if isinstance(field, Part):
            return {"allOf": [converter.resolve_nested_schema(field.schema)]}
        return _describe(field)

    converter.add_attribute_function(attributes)
    for form in _FORMS:
        spec.components.schema(_form_name(form), schema=form)
    for name, described in chronos_operations.SCHEMAS.items():
        spec.components.schema(name, component=described)
    paths: dict[str, dict[str, Any]] = {}
    for path, method, summary, answer in _OPERATIONS:
        operation: dict[str, Any] = {"summary": summary, "responses": _responses(path, answer)}
        if _parameters(path, method):
            operation["parameters"] = _parameters(path, method)
        if (method in ("post", "patch") and not path.endswith("/restore")) or (
            method,
            chronos_operations.below_prefix(path),
        ) in chronos_operations.WITH_BODY:
            operation["requestBody"] = {"required": True, "content": {JSON: {"schema": _body(path)}}}
        paths.setdefault(path, {})[method] = operation
    for path, operations in paths.items():
        spec.path(path=path, operations=operations)
    document: dict[str, Any] = spec.to_dict()
    return document
