"""Write docs/rest.md from the OpenAPI document.

Usage: `python -m scripts.rest_doc`
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chronos_py.api.chronos_operations import PREFIXES
from chronos_py.api.openapi import openapi_document

PAGE = Path(__file__).parents[1] / "docs" / "rest.md"
PLACE = "#/components/schemas/"

HEAD = """\
# REST
This page is made from the OpenAPI document that the server gives at `/api/openapi.json`: change `chronos_py/api/`, then
run `python -m scripts.rest_doc`.

Bodies and answers are JSON in UTF-8, instants ISO 8601 in UTC. On the Chronos paths what changes something is answered
204 without a body, and errors have the original's shapes, see [compatibility.md](compatibility.md#requests). Below
`/api` an error is described by [Error](#error). Besides 400 and 404 any path may answer 401, 403 and 429
([security.md](security.md)), 413 to a body above 16 MiB, 502 and 503 ([operations.md](operations.md#several-nodes)).
`/ping`, `/health`, `/metrics` and `/logging` are in [operations.md](operations.md#health).
"""
SECTIONS = (
    ("Our own paths", "/api/", "What Chronos had no path for."),
    ("Chronos 3.x", f"{PREFIXES[3]}/", "As Chronos 3.0.2 answers; POST alone makes and replaces jobs."),
    ("Chronos 2.x", f"{PREFIXES[2]}/", "As Chronos 2.5 answers, over the same jobs."),
)
COLUMNS = "| | does | query | body | answer |\n|---|---|---|---|---|\n"
FORMS = """\
## Schemas
What is sent and answered. `?` behind a type: may be null. Of Job, the Chronos paths show each line's own fields.
"""


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _kind(schema: dict[str, Any]) -> str:
    """Name a type, with a link for one of ours."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(PLACE)
        return f"[{name}](#{name.lower()})"
    for several in ("oneOf", "anyOf", "allOf"):
        if several in schema:
            return " or ".join(map(_kind, schema[several]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), dict) and "properties" not in schema:
        return f"object of {_kind(schema['additionalProperties'])}"
    return str(schema.get("type", "any"))


def _content(described: dict[str, Any]) -> str:
    for media_type, one in described.get("content", {}).items():
        return _kind(one["schema"]) if media_type == "application/json" else f"`{media_type}`"
    return ""


def _row(path: str, method: str, operation: dict[str, Any]) -> str:
    query = ", ".join(f"`{one['name']}`" for one in operation.get("parameters", ()) if one["in"] == "query")
    status = min(operation["responses"])
    answer = f"{status} {_content(operation['responses'][status])}".strip()
    body = _content(operation.get("requestBody", {}))
    summary = _escaped(operation["summary"])
    return f"| `{method.upper()} {path}` | {summary} | {query} | {body} | {answer} |\n"


def _sections() -> Iterator[str]:
    paths = openapi_document()["paths"]
    for title, prefix, sentence in SECTIONS:
        rows = [
            _row(path, method, operation)
            for path, operations in paths.items()
            if path.startswith(prefix)
            for method, operation in operations.items()
        ]
        yield f"## {title}\n{sentence}\n\n{COLUMNS}{''.join(rows)}"


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = "".join(
        f"| `{field}`{' (required)' if field in required else ''} | {_kind(one)}{'?' if one.get('nullable') else ''} | "
        f"{_escaped(one.get('description', ''))} |\n"
        for field, one in schema.get("properties", {}).items()
    )
    return f"### {name}\n| field | type | |\n|---|---|---|\n{rows}"


def document() -> str:
    """Return the page."""
    schemas = openapi_document()["components"]["schemas"]
    page = "\n".join([HEAD, *_sections(), FORMS, *(_schema(name, schemas[name]) for name in sorted(schemas))])
    return re.sub(r"[ \t]+$", "", page, flags=re.MULTILINE)


if __name__ == "__main__":
    PAGE.write_text(document(), "utf-8")
