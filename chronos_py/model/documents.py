"""From a job document to a Job: which kind it is, what the dialect knows, what cannot be bound at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from chronos_py.clock import Millis, iso_utc
from chronos_py.errors import BadDocument, InvalidInput
from chronos_py.model import java
from chronos_py.model.java_regex import UnsupportedRegex
from chronos_py.model.job import (
    Constraint,
    Container,
    Counters,
    ExternalVolume,
    Fetch,
    Job,
    Network,
    Pair,
    PortMapping,
    Variable,
    Volume,
)
from chronos_py.model.operators import OPERATORS, PATTERNS, WITHOUT_VALUE, wrong_value
from chronos_py.model.patterns import java_pattern
from chronos_py.model.schemas import ContainerSchema, JobSchema

Line = Literal[2, 3]  # Chronos 2.x (2.5) or 3.x (3.0.2, with the head's maxCompletionTime)
Kind = Literal["scheduled", "dependent", "now"]

NETWORKS = {2: ("HOST", "BRIDGE"), 3: ("HOST", "BRIDGE", "USER")}
NAME_RULES = {2: r"([\w\s\.#_-]+)", 3: r"([\w\.-]+)"}
_NAMES = {2: re.compile(r"[\w \t\n\v\f\r.#-]+", re.ASCII), 3: re.compile(r"[\w.-]+", re.ASCII)}
_JOB, _CONTAINER = JobSchema(), ContainerSchema()


@dataclass(frozen=True, slots=True)
class JobDefaults:
    """What the server's options give a job that says nothing: cores, MiB, MiB, user."""

    cpus: float = 0.1
    mem: float = 128.0
    disk: float = 256.0
    user: str = "root"


@dataclass(frozen=True, slots=True)
class Read:
    """A document that was read. `kind` "now": neither schedule nor parents were given."""

    job: Job
    counters: Counters
    kind: Kind


def name_allowed(name: str, line: Line) -> bool:
    """Tell whether a new job may have this name in a line of Chronos; ASCII only, as Java's classes are."""
    return _NAMES[line].fullmatch(name) is not None


def read_job(
    document: Any, line: Line, defaults: JobDefaults, now: Millis, *, every_field: bool = False, stored: bool = False
) -> Read:
    """Read a job document by the deserializer's rules. `every_field` keeps what only the other line knows, too.

    A document that is `stored` was taken once: patterns are not checked again.

    Raises BadDocument for what the original could not bind, InvalidInput for what we refuse on top of it.
    """
    if not isinstance(document, dict):
        raise BadDocument("body", document, "must be a JSON object")
    values: dict[str, Any] = _JOB.load(document)
    if values["name"] is None:
        raise BadDocument("name", document.get("name"), "is required")
    kind: Kind = "dependent" if "parents" in document else "scheduled" if "schedule" in document else "now"
    counters = Counters(
        **{name: values.pop(name) for name in ("success_count", "error_count", "errors_since_last_success")},
        **{name: values.pop(name) for name in ("last_success", "last_error")},
    )
    _settle_kind(values, kind, line, now)
    if not every_field:
        _settle_line(values, line)
    return Read(make_job(values, document, line, defaults, stored=stored), counters, kind)


def make_job(
    values: dict[str, Any], document: Mapping[str, Any], line: Line, defaults: JobDefaults, *, stored: bool = False
) -> Job:
    """Make a job of what a schema has read of a document; `values` are used up. Raises BadDocument, InvalidInput."""
    values["command"] = values["command"] or ""
    values["run_as_user"] = defaults.user if values["run_as_user"] is None else values["run_as_user"]
    for name in ("cpus", "mem", "disk"):
        values[name] = getattr(defaults, name) if values[name] is None else values[name]
    values["gpus"], values["ports"] = values["gpus"] or 0.0, values["ports"] or 0
    values["labels"], values["preemptible"] = values["labels"] or (), values["preemptible"] or False
    values["fetch"] = tuple(_fetch(entry, line) for entry in values["fetch"])
    values["environment"] = tuple(Variable(**entry) for entry in values["environment"])
    job = Job(
        **values,
        container=_container(document, line),
        constraints=tuple(_constraint(entry, stored=stored) for entry in java.items(document.get("constraints"))),
    )
    _refuse_nul(job)
    return job


def _settle_kind(values: dict[str, Any], kind: Kind, line: Line, now: Millis) -> None:
    if kind == "dependent":
        values["parents"] = tuple(dict.fromkeys(values["parents"]))
        values["schedule"], values["schedule_zone"] = None, ""
        return
    values["parents"] = None
    if kind == "now":
        values["schedule"] = "R1//PT24H" if line == 2 else f"R1/{iso_utc(now)}/PT24H"
        values["concurrent"] = False


def _settle_line(values: dict[str, Any], line: Line) -> None:
    """Drop what the line does not know, as it does."""
    if line == 2:
        values["concurrent"], values["max_completion_time"] = False, 0
    else:
        values["is_async"], values["epsilon"] = False, None


def _fetch(entry: Mapping[str, Any], line: Line) -> Fetch:
    extract = entry["extract"]
    return Fetch(
        uri=entry["uri"],
        executable=entry["executable"],
        cache=entry["cache"],
        extract=line == 3 if extract is None else extract,
        output_file=entry["output_file"] if line == 3 else "",
    )


def _constraint(entry: Any, *, stored: bool = False) -> Constraint:
    """Read one constraint. A stored one may hold a value that we cannot use: it is kept, and no agent meets it."""
    parts = [java.text(part) for part in java.items(entry)]
    if len(parts) < 2:
        raise BadDocument("constraints", entry, "needs an attribute, an operator and a value")
    attribute, operator = parts[0], parts[1]
    if operator not in OPERATORS:
        raise InvalidInput("constraints", operator, "is no operator", f"one of {', '.join(OPERATORS)}")
    if len(parts) < 3:
        if operator not in WITHOUT_VALUE:
            raise BadDocument("constraints", entry, "has no value")
        parts.append("")
    problem = wrong_value(operator, parts[2])
    if problem and not stored:
        raise InvalidInput("constraints", parts[2], problem)
    if operator in PATTERNS and not stored:
        try:
            java_pattern(parts[2])
        except UnsupportedRegex as error:
            raise InvalidInput("constraints", parts[2], str(error)) from None
        except ValueError as error:
            raise BadDocument("constraints", parts[2], str(error)) from None
    return Constraint(attribute, operator, parts[2])


def _container(document: Mapping[str, Any], line: Line) -> Container | None:
    given = document.get("container")
    if line == 3 and not (isinstance(given, dict) and "image" in given):
        return None
    if line == 2 and "container" not in document:
        return None
    if not isinstance(given, dict) or "image" not in given:
        raise BadDocument("container.image", given, "is required")
    values: dict[str, Any] = _CONTAINER.load(given)
    if values["network"] not in NETWORKS[line]:
        raise BadDocument("container.network", values["network"], f"must be one of {', '.join(NETWORKS[line])}")
    kind = (values["type"] or "DOCKER").upper() if line == 3 else "DOCKER"
    if kind not in ("DOCKER", "MESOS"):
        raise BadDocument("container.type", values["type"], "must be DOCKER or MESOS")
    return Container(
        image=values["image"],
        type=kind,
        network=values["network"],
        network_name=values["network_name"] if line == 3 else None,
        networks=tuple(_network(entry) for entry in values["networks"]) if line == 3 else (),
        volumes=tuple(_volume(entry, line) for entry in values["volumes"]),
        force_pull_image=values["force_pull_image"],
        parameters=_pairs(values["parameters"]),
    )


def _pairs(entries: list[dict[str, Any]]) -> tuple[Pair, ...]:
    return tuple(Pair(entry["key"], entry["value"]) for entry in entries)


def _network(entry: Mapping[str, Any]) -> Network:
    protocol = entry["protocol"]
    if protocol not in (None, "IPv4", "IPv6"):
        raise BadDocument("container.networkInfos.protocol", protocol, "must be IPv4 or IPv6")
    return Network(
        name=entry["name"],
        protocol=protocol,
        labels=_pairs(entry["labels"]),
        port_mappings=tuple(PortMapping(**mapping) for mapping in entry["port_mappings"]),
    )


def _volume(entry: Mapping[str, Any], line: Line) -> Volume:
    mode = entry["mode"].upper() if entry["mode"] is not None else None
    if mode not in (None, "RW", "RO"):
        raise BadDocument("container.volumes.mode", entry["mode"], "must be RW or RO")
    external = entry["external"] if line == 3 else None
    if external is not None and (external["name"] is None or external["provider"] is None):
        raise BadDocument("container.volumes.external", external, "needs a name and a provider")
    return Volume(
        container_path=entry["container_path"],
        host_path=entry["host_path"],
        mode=mode,
        external=external and ExternalVolume(external["name"], external["provider"], _pairs(external["options"])),
    )


def _refuse_nul(job: Job) -> None:
    """Refuse what no program could be given: a NUL in its command, arguments, environment or user."""
    texts = {
        "command": (job.command,),
        "arguments": job.arguments,
        "runAsUser": (job.run_as_user,),
        "environmentVariables": tuple(part for entry in job.environment for part in (entry.name, entry.value)),
    }
    for field, parts in texts.items():
        for part in parts:
            if "\0" in part:
                raise InvalidInput(field, part, "may not contain a NUL character")
