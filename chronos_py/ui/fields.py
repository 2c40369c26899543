"""The fields of the editor's form: kinds and demands come from the schema that reads jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from marshmallow import fields as schema_fields

from chronos_py.model.job import Avoid, CatchUp, OnUncertain
from chronos_py.model.schemas import JobSchema, Own, Texts

_FIELDS: dict[str, Any] = {field.data_key or name: field for name, field in JobSchema().fields.items()}
_CHOICES: dict[str, tuple[str, ...]] = {
    "catchUp": tuple(CatchUp),
    "onUncertain": tuple(OnUncertain),
    "avoidFailedAgents": tuple(Avoid),
}
_SPECIAL = {"environmentVariables": "variables", "constraints": "constraints", "labels": "labels", "command": "text"}


@dataclass(frozen=True, slots=True)
class FormField:
    """One field. `kind`: line, text, number, truth, choice, lines, variables, labels or constraints."""

    name: str
    label: str
    kind: str
    hint: str
    choices: tuple[str, ...] = ()
    whole: bool = False


# Group, then field, label and hint; texts are keys of translations.
GROUPS: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "What",
        (
            ("command", "Command", "what a shell runs"),
            ("arguments", "Arguments", "one a line"),
            ("environmentVariables", "Environment", "NAME=value, one a line"),
            ("description", "Description", ""),
        ),
    ),
    (
        "Who",
        (
            ("owner", "Owner", "mail addresses, separated by commas"),
            ("ownerName", "Owner's name", ""),
            ("runAsUser", "Run as user", "empty: the server's own choice"),
            ("labels", "Labels", "key=value, one a line"),
        ),
    ),
    (
        "Where and how much",
        (
            ("cpus", "Cores", ""),
            ("mem", "Memory", "MiB"),
            ("disk", "Disk", "MiB"),
            ("gpus", "GPUs", ""),
            ("constraints", "Constraints", "attribute OPERATOR value, one a line"),
            ("priority", "Priority", "higher first"),
        ),
    ),
    (
        "When it fails, or takes long",
        (
            ("retries", "Retries", ""),
            ("retryDelay", "Delay before a retry", "seconds"),
            ("maxCompletionTime", "Time limit", "seconds, 0: none"),
            ("catchUp", "Missed due times", ""),
            ("onUncertain", "When a run's fate is unknown", ""),
            ("epsilon", "How late it may start", "an ISO 8601 period, for example PT15M"),
            ("startWithin", "Promise: starts within", "seconds"),
            ("finishWithin", "Promise: ends within", "seconds"),
        ),
    ),
    (
        "Switches",
        (
            ("disabled", "Disabled", ""),
            ("concurrent", "Runs of it may overlap", ""),
            ("softError", "Children run though it failed", ""),
            ("preemptible", "May be stopped for more urgent runs", ""),
            ("shell", "The command is for a shell", ""),
            ("async", "Its program reports the result itself", ""),
        ),
    ),
)


def _kind(name: str) -> str:
    field = _FIELDS.get(name)
    if name in _SPECIAL:
        return _SPECIAL[name]
    if name in _CHOICES:
        return "choice"
    if isinstance(field, Texts):
        return "lines"
    if isinstance(field, Own):
        return {"boolean": "truth", "string": "line"}.get(field.kind, "number")
    if isinstance(field, schema_fields.Boolean):
        return "truth"
    return "number" if isinstance(field, schema_fields.Integer | schema_fields.Float) else "line"


def form_groups() -> list[tuple[str, list[FormField]]]:
    """Return the form's groups of fields. Raises KeyError for a field that jobs do not have."""
    return [(title, [_form_field(*entry) for entry in entries]) for title, entries in GROUPS]


def _form_field(name: str, label: str, hint: str) -> FormField:
    if name != "constraints":
        field = _FIELDS[name]
        whole = isinstance(field, schema_fields.Integer) or (isinstance(field, Own) and field.kind == "integer")
    else:
        whole = False
    return FormField(name, label, _kind(name), hint, _CHOICES.get(name, ()), whole)
