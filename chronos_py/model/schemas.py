"""The JSON forms of a job's parts, as marshmallow schemas: one place for names, types and defaults.

Fields coerce as the original did (see `java`), so a schema hardly ever refuses. Our own optional fields are strict:
a wrong value is refused with the field's name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import EXCLUDE, Schema, fields, missing

from chronos_py.errors import BadDocument, InvalidInput
from chronos_py.model import java
from chronos_py.model.job import Avoid, CatchUp, OnUncertain, Pair


class _Coerced(fields.Field):  # type: ignore[type-arg]
    """Reads any JSON value at all. `null` counts as absent unless `null` gives it a meaning."""

    def __init__(self, *, null: Any = missing, **options: Any) -> None:
        super().__init__(**options)
        self.null = null

    def deserialize(self, value: Any, attr: str | None = None, data: Mapping[str, Any] | None = None, **_: Any) -> Any:
        if value is missing or (value is None and self.null is missing):
            default = self.load_default
            return default() if callable(default) else default
        return self.null if value is None else self.read(value)

    def read(self, value: Any) -> Any:
        """Return what a value other than null means."""
        return value

    @property
    def label(self) -> str:
        """Return the field's name as users write it."""
        return self.data_key or self.name or ""


class Text(_Coerced, fields.String):
    def read(self, value: Any) -> str:
        return java.text(value)


class Whole(_Coerced, fields.Integer):
    """A whole number; null is 0, as in the original."""

    def __init__(self, *, largest: int = java.LONG, **options: Any) -> None:
        super().__init__(null=0, **options)
        self.largest = largest

    def read(self, value: Any) -> int:
        return java.integer(value, self.largest)


class Amount(_Coerced, fields.Float):
    """Cores or MiB; None stands for the server's default."""

    def __init__(self, **options: Any) -> None:
        super().__init__(load_default=None, **options)

    def read(self, value: Any) -> float | None:
        number = java.double(value, 0.0)
        return number or None


class Truth(_Coerced, fields.Boolean):
    """A truth value; null is false, even where absence is true."""

    def __init__(self, **options: Any) -> None:
        super().__init__(null=False, **options)

    def read(self, value: Any) -> bool:
        return java.truth(value)


class TruthText(_Coerced, fields.Boolean):
    """True when the literal text is true, in any case; never an error."""

    def read(self, value: Any) -> bool:
        return java.text(value).lower() == "true"


class Texts(_Coerced):
    """A list of texts; anything but a list is an empty one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(load_default=tuple, null=(), **options)

    def read(self, value: Any) -> tuple[str, ...]:
        return tuple(java.text(item) for item in value) if isinstance(value, list) else ()


class Parts(_Coerced):
    """A list of objects of one schema. `required` keys must be there; a part that is no object cannot be bound."""

    def __init__(self, schema: type[Schema], *, required: tuple[str, ...] = (), **options: Any) -> None:
        super().__init__(load_default=list, null=[], **options)
        self.schema = schema()
        self.required_keys = required

    def read(self, value: Any) -> list[dict[str, Any]]:
        if isinstance(value, str | int | float):
            raise BadDocument(self.label, value, "must be a list of objects")
        return [self._part(item) for item in java.items(value)]

    def _part(self, item: Any) -> dict[str, Any]:
        name = self.label
        if not isinstance(item, dict):
            raise BadDocument(name, item, "each entry must be an object")
        for key in self.required_keys:
            if key not in item:
                raise BadDocument(f"{name}.{key}", item, "is missing")
        loaded: dict[str, Any] = self.schema.load(item)
        return loaded


class Part(_Coerced):
    """One object of a schema, or None."""

    def __init__(self, schema: type[Schema], **options: Any) -> None:
        super().__init__(load_default=None, null=None, **options)
        self.schema = schema()

    def read(self, value: Any) -> Any:
        return self.schema.load(value) if isinstance(value, dict) else None


class Lenient(Schema):
    class Meta:
        unknown = EXCLUDE


class PairSchema(Lenient):
    key = Text(load_default="")
    value = Text(load_default="")


class VariableSchema(Lenient):
    name = Text(load_default="")
    value = Text(load_default="")


class FetchSchema(Lenient):
    uri = Text(load_default="")
    executable = Truth(load_default=False)
    cache = Truth(load_default=False)
    extract = Truth(load_default=None)  # the default differs between the lines of Chronos
    output_file = Text(load_default="")


class ExternalVolumeSchema(Lenient):
    name = Text(load_default=None)
    provider = Text(load_default=None)
    options = Parts(PairSchema, required=("key", "value"))


class VolumeSchema(Lenient):
    container_path = Text(data_key="containerPath", load_default="")
    host_path = Text(data_key="hostPath", load_default=None)
    mode = Text(load_default=None)
    external = Part(ExternalVolumeSchema)


class PortMappingSchema(Lenient):
    host_port = Whole(data_key="hostPort", load_default=0, largest=java.INT)
    container_port = Whole(data_key="containerPort", load_default=0, largest=java.INT)
    protocol = Text(load_default=None)


class NetworkSchema(Lenient):
    name = Text(load_default="")
    protocol = Text(load_default=None)
    labels = Parts(PairSchema, required=("key", "value"))
    port_mappings = Parts(PortMappingSchema, data_key="portMappings", required=("hostPort", "containerPort"))


class ContainerSchema(Lenient):
    type = Text(load_default=None)
    image = Text(load_default="")
    network = Text(load_default="HOST", null="null")
    network_name = Text(data_key="networkName", load_default=None)
    networks = Parts(NetworkSchema, data_key="networkInfos", required=("name",))
    volumes = Parts(VolumeSchema, required=("containerPath",))
    force_pull_image = TruthText(data_key="forcePullImage", load_default=False)
    parameters = Parts(PairSchema, required=("key", "value"))


class Own(fields.Field):  # type: ignore[type-arg]
    """A field that only we have: null or absent is the default, all else must be right. `kind` is its JSON type."""

    def __init__(self, check: Callable[[Any], Any], demand: str, kind: str = "number", **options: Any) -> None:
        super().__init__(load_default=None, metadata={"description": demand}, **options)
        self.kind = kind
        self._check = check
        self._demand = demand

    def deserialize(self, value: Any, attr: str | None = None, data: Mapping[str, Any] | None = None, **_: Any) -> Any:
        if value is missing or value is None:
            return None
        try:
            return self._check(value)
        except (TypeError, ValueError, OverflowError):
            raise InvalidInput(self.data_key or self.name or "", value, f"must be {self._demand}") from None


def _number(low: float, high: float) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise TypeError
        number = float(value)
        if not math.isfinite(number) or not low <= number <= high:
            raise ValueError
        return number

    return check


def _priority(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError
    if not re.fullmatch(r"-?\d{1,9}", str(value), re.ASCII):
        raise ValueError
    return int(value)


def _gpus(value: Any) -> float:
    """A number that is whole: Mesos refuses parts of GPUs."""
    number = _number(0, 1000)(value)
    if not number.is_integer():
        raise ValueError
    return number


def _ports(value: Any) -> int:
    count = _priority(value)
    if not 0 <= count <= 1000:
        raise ValueError
    return count


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _labels(value: Any) -> tuple[Pair, ...]:
    if not isinstance(value, dict):
        raise TypeError
    if len(value) > MOST_LABELS or not all(_is_label(key) and isinstance(text, str) for key, text in value.items()):
        raise ValueError
    if any(len(text) > LONGEST_LABEL for text in value.values()):
        raise ValueError
    return tuple(Pair(key, value[key]) for key in sorted(value))


def _is_label(key: Any) -> bool:
    return isinstance(key, str) and 0 < len(key) <= LONGEST_LABEL and "=" not in key


MOST_LABELS, LONGEST_LABEL = 50, 255
_SECONDS = _number(0, 10 * 365 * 86_400)


class JobSchema(Lenient):
    """A whole job document, both dialects' fields at once. `container` and `constraints` are read by `documents`."""

    name = Text(load_default=None)
    command = Text(load_default=None)
    shell = Truth(load_default=True)
    schedule = Text(load_default=None, null="null")
    schedule_zone = Text(data_key="scheduleTimeZone", load_default="")
    parents = Texts()
    epsilon = Text(load_default=None, null="null")
    executor = Text(load_default="")
    executor_flags = Text(data_key="executorFlags", load_default="")
    task_info_data = Text(data_key="taskInfoData", load_default="")
    retries = Whole(load_default=2, largest=java.INT)
    owner = Text(load_default="")
    owner_name = Text(data_key="ownerName", load_default="")
    description = Text(load_default="")
    is_async = Truth(data_key="async", load_default=False)
    success_count = Whole(data_key="successCount", load_default=0)
    error_count = Whole(data_key="errorCount", load_default=0)
    errors_since_last_success = Whole(data_key="errorsSinceLastSuccess", load_default=0)
    last_success = Text(data_key="lastSuccess", load_default="")
    last_error = Text(data_key="lastError", load_default="")
    cpus = Amount()
    mem = Amount()
    disk = Amount()
    disabled = Truth(load_default=False)
    soft_error = Truth(data_key="softError", load_default=False)
    data_processing = Truth(data_key="dataProcessingJobType", load_default=False)
    fetch = Parts(FetchSchema)
    uris = Texts()
    environment = Parts(VariableSchema, data_key="environmentVariables", required=("name", "value"))
    arguments = Texts()
    high_priority = Truth(data_key="highPriority", load_default=False)
    run_as_user = Text(data_key="runAsUser", load_default=None)
    concurrent = Truth(load_default=False)
    max_completion_time = Whole(data_key="maxCompletionTime", load_default=0)
    priority = Own(_priority, "a whole number of at most nine digits", "integer")
    retry_delay = Own(_SECONDS, "a number of seconds, 0 or more", data_key="retryDelay")
    retry_backoff = Own(_number(1, 1000), "a factor from 1 to 1000", data_key="retryBackoff")
    retry_max_delay = Own(_SECONDS, "a number of seconds, 0 or more", data_key="retryMaxDelay")
    kill_grace = Own(_SECONDS, "a number of seconds, 0 or more", data_key="killGrace")
    catch_up = Own(CatchUp, "skip, one or all", "string", data_key="catchUp")
    on_uncertain = Own(OnUncertain, "skip or rerun", "string", data_key="onUncertain")
    gpus = Own(_gpus, "a whole number of GPUs from 0 to 1000")
    ports = Own(_ports, "a whole number of network ports from 0 to 1000", "integer")
    avoid_failed_agents = Own(Avoid, "soft or hard", "string", data_key="avoidFailedAgents")
    labels = Own(_labels, "an object of at most 50 texts of at most 255 characters, no = in their names", "object")
    preemptible = Own(_truth, "true or false", "boolean")
    start_within = Own(_SECONDS, "a number of seconds, 0 or more", data_key="startWithin")
    finish_within = Own(_SECONDS, "a number of seconds, 0 or more", data_key="finishWithin")


def read_priority(value: Any) -> int:
    """Return a priority that was given by itself. Raises InvalidInput."""
    priority: int | None = JobSchema().fields["priority"].deserialize(value)
    if priority is None:
        raise InvalidInput("priority", value, "must be a whole number of at most nine digits")
    return priority


def _immediate_id(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}", value, re.ASCII):
        raise ValueError
    return value


def _immediate_name(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", value, re.ASCII):
        raise ValueError
    return value


class ImmediateSchema(JobSchema):
    """The document of an immediate job: a job's, without what concerns a schedule, a graph or a stored job's state."""

    class Meta:
        exclude = (
            *("schedule", "schedule_zone", "parents", "epsilon", "catch_up", "disabled", "concurrent", "soft_error"),
            *("success_count", "error_count", "errors_since_last_success", "last_success", "last_error"),
            *("is_async", "data_processing", "start_within", "finish_within"),
        )

    id = Own(_immediate_id, "1 to 128 of A-Z a-z 0-9 _ . : - that begin with a letter or digit", "string")
    name = Own(_immediate_name, "1 to 64 of A-Z a-z 0-9 _ . -", "string")  # type: ignore[assignment]
    retention = Own(_SECONDS, "a number of seconds, 0 or more")


def read_labels(value: Any) -> tuple[Pair, ...]:
    """Return labels that were given by themselves, none for null. Raises InvalidInput."""
    labels: tuple[Pair, ...] | None = JobSchema().fields["labels"].deserialize(value)
    return labels or ()


# What a job document may hold; `container` and `constraints` have readers of their own.
JOB_FIELDS = frozenset(field.data_key or name for name, field in JobSchema().fields.items()) | {
    "container",
    "constraints",
}
