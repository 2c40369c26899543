"""A job as each line of Chronos shows it: keys in its order, numbers in its form, on one line."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from chronos_py.model.documents import Line
from chronos_py.model.java import double_text, string_json
from chronos_py.model.job import Container, Fetch, Job, JobState, Network, Pair, Volume
from chronos_py.model.view import JobView

DEFAULT_EPSILON = "PT60S"  # what 2.x shows for a job without one


def render_job(view: JobView, line: Line, *, mirrored: bool = False, default_epsilon: str = DEFAULT_EPSILON) -> bytes:
    """Return the document as UTF-8, made once per record. `mirrored`: uris and fetch fill each other, as in a list."""
    mirrored = mirrored and bool(view.job.fetch or view.job.uris)  # else it is the same document, kept once
    key = f"{line}{'m' if mirrored else ''}"
    cached = view.cache.get(key)
    if cached is None:
        text = _object(_job(view, line, mirrored, default_epsilon))
        cached = view.cache[key] = text.encode("utf-8", "replace")
    return cached


def render_around(job: Job, varying: Collection[str]) -> tuple[list[str], list[str]]:
    """Return Chronos 3's document of a job in pieces, and the keys of `varying` whose values go between them, in order:
    what is the same in every state of the job has to be made once only."""
    pieces, keys = ["{"], list[str]()
    for number, (key, value) in enumerate(_job(JobView(job, JobState(), job.schedule), 3, False, DEFAULT_EPSILON)):
        pieces[-1] += f'{"," if number else ""}"{key}":'
        if key in varying:
            keys.append(key)
            pieces.append("")
        else:
            pieces[-1] += value
    pieces[-1] += "}"
    return pieces, keys


def _object(pairs: Iterable[tuple[str, str]]) -> str:
    return "{" + ",".join(f'"{key}":{value}' for key, value in pairs) + "}"


def _array(values: Iterable[str]) -> str:
    return "[" + ",".join(values) + "]"


def _truth(value: bool) -> str:
    return "true" if value else "false"


def _texts(values: Iterable[str]) -> str:
    return _array(map(string_json, values))


def _job(view: JobView, line: Line, mirrored: bool, default_epsilon: str) -> Iterator[tuple[str, str]]:
    job, state = view.job, view.state
    yield "name", string_json(job.name)
    yield "command", string_json(job.command)
    yield "shell", _truth(job.shell)
    if line == 2:
        yield "epsilon", string_json(job.epsilon if job.epsilon is not None else default_epsilon)
    yield "executor", string_json(job.executor)
    yield "executorFlags", string_json(job.executor_flags)
    yield "taskInfoData", string_json(job.task_info_data)
    yield "retries", str(job.retries)
    yield "owner", string_json(job.owner)
    yield "ownerName", string_json(job.owner_name)
    yield "description", string_json(job.description)
    if line == 2:
        yield "async", _truth(job.is_async)
    yield "successCount", str(state.success_count)
    yield "errorCount", str(state.error_count)
    yield "lastSuccess", string_json(state.last_success)
    yield "lastError", string_json(state.last_error)
    yield "cpus", double_text(job.cpus)
    yield "disk", double_text(job.disk)
    yield "mem", double_text(job.mem)
    yield "disabled", _truth(job.disabled)
    yield "softError", _truth(job.soft_error)
    yield "dataProcessingJobType", _truth(job.data_processing)
    yield "errorsSinceLastSuccess", str(state.errors_since_last_success)
    yield from _files(job, line, mirrored)
    yield (
        "environmentVariables",
        _array(
            _object((("name", string_json(entry.name)), ("value", string_json(entry.value))))
            for entry in job.environment
        ),
    )
    yield "arguments", _texts(job.arguments)
    yield "highPriority", _truth(job.high_priority)
    yield "runAsUser", string_json(job.run_as_user)
    if line == 3:
        yield "concurrent", _truth(job.concurrent)
        yield "maxCompletionTime", str(job.max_completion_time)
    if job.container is not None:
        yield "container", _container(job.container, line)
    yield "constraints", _array(_texts((c.attribute, c.operator, c.value)) for c in job.constraints)
    yield from _own(job)
    if job.parents is not None:
        yield "parents", _texts(job.parents)
    else:
        yield "schedule", string_json(view.schedule or "")
        yield "scheduleTimeZone", string_json(job.schedule_zone)


def _own(job: Job) -> Iterator[tuple[str, str]]:
    """Our own fields, only where the job has them."""
    if job.priority is not None:
        yield "priority", str(job.priority)
    for key, number in (
        ("retryDelay", job.retry_delay),
        ("retryBackoff", job.retry_backoff),
        ("retryMaxDelay", job.retry_max_delay),
        ("killGrace", job.kill_grace),
    ):
        if number is not None:
            yield key, double_text(number)
    if job.catch_up is not None:
        yield "catchUp", string_json(job.catch_up)
    if job.on_uncertain is not None:
        yield "onUncertain", string_json(job.on_uncertain)
    if job.gpus:
        yield "gpus", double_text(job.gpus)
    if job.ports:
        yield "ports", str(job.ports)
    if job.avoid_failed_agents is not None:
        yield "avoidFailedAgents", string_json(job.avoid_failed_agents)
    if job.labels:
        yield "labels", _object((string_json(pair.key)[1:-1], string_json(pair.value)) for pair in job.labels)
    if job.preemptible:
        yield "preemptible", "true"
    if job.start_within is not None:
        yield "startWithin", double_text(job.start_within)
    if job.finish_within is not None:
        yield "finishWithin", double_text(job.finish_within)
    if job.resource_order is not None:
        yield "resourceOrder", string_json(job.resource_order)


def _files(job: Job, line: Line, mirrored: bool) -> Iterator[tuple[str, str]]:
    fetch, uris = job.fetch, job.uris
    if mirrored and not fetch:
        fetch = tuple(Fetch(uri, extract=line == 3) for uri in uris)
    elif mirrored:
        uris = tuple(entry.uri for entry in fetch)
    yield "fetch", _array(_object(_fetch(entry, line)) for entry in fetch)
    yield "uris", _texts(uris)


def _fetch(entry: Fetch, line: Line) -> Iterator[tuple[str, str]]:
    yield "uri", string_json(entry.uri)
    yield "executable", _truth(entry.executable)
    yield "cache", _truth(entry.cache)
    yield "extract", _truth(entry.extract)
    if entry.output_file and line == 3:
        yield "output_file", string_json(entry.output_file)


def _pairs(pairs: Iterable[Pair]) -> str:
    return _array(_object((("key", string_json(pair.key)), ("value", string_json(pair.value)))) for pair in pairs)


def _container(container: Container, line: Line) -> str:
    def parts() -> Iterator[tuple[str, str]]:
        yield "type", string_json(container.type if line == 3 else "docker")
        yield "image", string_json(container.image)
        yield "network", string_json(container.network)
        if line == 3:
            if container.network_name is not None:
                yield "networkName", string_json(container.network_name)
            yield "networkInfos", _array(_object(_network(network)) for network in container.networks)
        yield "volumes", _array(_object(_volume(volume, line)) for volume in container.volumes)
        yield "forcePullImage", _truth(container.force_pull_image)
        yield "parameters", _pairs(container.parameters)

    return _object(parts())


def _network(network: Network) -> Iterator[tuple[str, str]]:
    yield "name", string_json(network.name)
    if network.protocol is not None:
        yield "protocol", string_json(network.protocol)
    yield "labels", _pairs(network.labels)
    yield (
        "portMappings",
        _array(
            _object(
                (
                    ("hostPort", f'"{mapping.host_port}"'),
                    ("containerPort", f'"{mapping.container_port}"'),
                    *((("protocol", string_json(mapping.protocol)),) if mapping.protocol is not None else ()),
                )
            )
            for mapping in network.port_mappings
        ),
    )


def _volume(volume: Volume, line: Line) -> Iterator[tuple[str, str]]:
    if volume.host_path is not None:
        yield "hostPath", string_json(volume.host_path)
    yield "containerPath", string_json(volume.container_path)
    if volume.mode is not None:
        yield "mode", string_json(volume.mode)
    if volume.external is not None and line == 3:
        external = volume.external
        yield (
            "external",
            _object(
                (
                    ("name", string_json(external.name)),
                    ("provider", string_json(external.provider)),
                    ("options", _pairs(external.options)),
                )
            ),
        )
