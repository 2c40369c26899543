"""A task of the model as Mesos' TaskInfo. scheduler/tasks.py decides what is launched; here it is only translated.

The two containerizers differ in what `arguments` are when there is no shell. Mesos' own takes them as the whole argv,
the program's name included; Docker's puts `value` and `arguments` behind the image's entry point, so there the name
must not come twice.

A port mapping of a container is only sent for a job that asks for `ports`; Chronos kept mappings and never sent them.
Its host port must be among the offered ports; host port 0 stands for the next of those the task was given.

A custom executor may outlive its task and take the job's next one, which Mesos allows only when nothing about the
executor differs: so its environment holds nothing that belongs to one task.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any

from chronos_py.drivers.mesos.amounts import Bag, port_numbers
from chronos_py.drivers.mesos.calls import duration
from chronos_py.errors import ChronosError
from chronos_py.model.job import Container, Network, Pair, Volume
from chronos_py.model.run import Task

_LONGEST_ID = 255  # bytes; Mesos makes folders of ids
_HIGHEST_PORT = 65535
PER_TASK = frozenset({"mesos_task_id", "MESOS_TASK_ID", "CHRONOS_JOB_RUN_TIME", "CHRONOS_JOB_RUN_ATTEMPT"})


class BadTask(ChronosError):
    """The task cannot be expressed in Mesos' terms: no other try of it will do better."""


def task_info(
    task: Task, bag: Bag, agent_id: str, *, framework_id: str = "", reserved_first: bool = False
) -> dict[str, Any]:
    """Return the TaskInfo of a task, its resources taken from `bag`, which is that agent's.

    `framework_id` is needed for custom executors only. Raises BadTask, or NotEnough when the bag does not hold what the
    task needs; then nothing was taken.
    """
    info: dict[str, Any] = {
        "name": f"ChronosTask:{_text(task.job, 'name')}",
        "task_id": {"value": _id(task.id, "task id")},
        "agent_id": {"value": agent_id},
        "kill_policy": {"grace_period": duration(task.kill_grace)},
        "labels": {"labels": [{"key": "job", "value": task.job}, {"key": "run", "value": str(task.run)}]},
    }
    if task.time_limit > 0:
        info["max_completion_time"] = duration(task.time_limit)
    mappings = _mappings(task)
    container = _container(task.container) if task.container else None
    own = PER_TASK if task.executor else frozenset[str]()
    variables = [_variable(name, value) for name, value in task.environment if name not in own]
    command = _custom_executor(task) if task.executor else _command(task)
    executor_id = _id(task.job, "executor id") if task.executor else ""

    resources = bag.take(task.resources, reserved_first=reserved_first, ports=[port for port in mappings if port])
    ports = port_numbers(resources)
    info["resources"] = resources
    built_in = {} if task.executor else _port_variables(ports)
    variables = [variable for variable in variables if variable["name"] not in built_in]
    variables += [{"name": name, "value": value} for name, value in built_in.items()]
    command["environment"] = {"variables": variables}
    if container is not None and task.container is not None:
        _map_ports(container, task.container, mappings, ports)
    if task.executor:
        executor: dict[str, Any] = {"type": "CUSTOM", "executor_id": {"value": executor_id}, "command": command}
        if framework_id:
            executor["framework_id"] = {"value": framework_id}
        if container is not None:
            executor["container"] = container
        info["executor"] = executor
        if task.data:
            info["data"] = b64encode(task.data).decode("ascii")
        return info
    info["command"] = command
    if container is not None:
        info["container"] = container
    return info


def _text(value: str, what: str) -> str:
    """Return a text that JSON and protobuf can carry."""
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadTask(f"{what}: holds half of a surrogate pair: {value[:200]!r}") from None
    return value


def _id(value: str, what: str) -> str:
    """Return a text that Mesos takes for an id (its common::validation::validateID)."""
    _text(value, what)
    if not value or value in (".", ".."):
        raise BadTask(f"{what}: Mesos takes no id {value!r}")
    if len(value.encode()) > _LONGEST_ID:
        raise BadTask(f"{what}: longer than {_LONGEST_ID} bytes: {value[:100]}...")
    if any(character in "/\\\x7f" or character < " " for character in value):
        raise BadTask(f"{what}: may not hold slashes or control characters: {value!r}")
    return value


def _command(task: Task) -> dict[str, Any]:
    command = _common(task)
    arguments = [_text(argument, "arguments") for argument in task.arguments]
    program = _text(task.command, "command")
    if task.shell and (program or task.container is None):
        return command | {"shell": True, "value": program}
    command["shell"] = False
    if program:
        command["value"] = program
        if task.container is None or task.container.type != "DOCKER":
            arguments = [program, *arguments]
    elif task.container is None:
        raise BadTask("command: there is none, and without a shell or a container nothing can run")
    if arguments:
        command["arguments"] = arguments
    return command


def _custom_executor(task: Task) -> dict[str, Any]:
    return _common(task) | {"shell": True, "value": _text(task.executor, "executor")}


def _common(task: Task) -> dict[str, Any]:
    """Return what the commands of tasks and of executors have alike, but the environment."""
    command: dict[str, Any] = {}
    if task.user:
        command["user"] = _text(task.user, "runAsUser")
    uris = []
    for fetch in task.fetch:
        uri: dict[str, Any] = {
            "value": _text(fetch.uri, "uri"),
            "executable": fetch.executable,
            "extract": fetch.extract,
            "cache": fetch.cache,
        }
        if fetch.output_file:
            uri["output_file"] = _text(fetch.output_file, "output_file")
        uris.append(uri)
    if uris:
        command["uris"] = uris
    return command


def _variable(name: str, value: str) -> dict[str, str]:
    return {"name": _text(name, "environmentVariables"), "value": _text(value, f"environmentVariables.{name}")}


def _port_variables(ports: Sequence[int]) -> dict[str, str]:
    """Return PORT0 and so on, and PORTS; like all built-in variables they win over a job's own."""
    if not ports:
        return {}
    named = {f"PORT{number}": str(port) for number, port in enumerate(ports)}
    return named | {"PORTS": ",".join(named.values())}


def _mappings(task: Task) -> list[int]:
    """Return the host ports of the mappings that are to be sent, in order; 0 where any will do."""
    if not task.resources.ports or task.container is None or task.container.network == "HOST":
        return []
    wanted = [mapping for network in task.container.networks for mapping in network.port_mappings]
    for mapping in wanted:
        _check_port(mapping.host_port, "hostPort", 0)
        _check_port(mapping.container_port, "containerPort", 1)
    found = [mapping.host_port for mapping in wanted]
    distinct = len(set(found) - {0}) + found.count(0)
    if distinct > task.resources.ports:
        raise BadTask(f"portMappings: need {distinct} ports, the task has {task.resources.ports}")
    return found


def _check_port(port: int, what: str, lowest: int) -> None:
    if not lowest <= port <= _HIGHEST_PORT:
        raise BadTask(f"portMappings.{what}: must be from {lowest} to {_HIGHEST_PORT}, is {port}")


def _map_ports(info: dict[str, Any], container: Container, host_ports: Sequence[int], given: Sequence[int]) -> None:
    """Write port mappings into a ContainerInfo; `given` are the task's ports."""
    if not host_ports:
        return
    spare = iter(port for port in given if port not in host_ports)
    chosen = iter([port or next(spare) for port in host_ports])
    for position, network in enumerate(container.networks):
        written = [
            {
                "host_port": next(chosen),
                "container_port": mapping.container_port,
                **({"protocol": mapping.protocol.lower()} if mapping.protocol else {}),
            }
            for mapping in network.port_mappings
        ]
        if not written:
            continue
        if container.type == "DOCKER":
            info["docker"].setdefault("port_mappings", []).extend(written)
        else:
            info["network_infos"][position]["port_mappings"] = written


def _container(container: Container) -> dict[str, Any]:
    if not container.image:
        raise BadTask("container.image: is empty")
    info: dict[str, Any] = {"type": container.type}
    networks = [_network(network) for network in container.networks]
    if container.network_name and container.network_name not in {network.name for network in container.networks}:
        networks.append({"name": _text(container.network_name, "networkName")})
    if container.type == "DOCKER":
        if container.network == "USER" and len(networks) != 1:
            raise BadTask(f"container.networkInfos: network USER needs one named network, there are {len(networks)}")
        info["docker"] = {
            "image": _text(container.image, "container.image"),
            "network": container.network,
            "force_pull_image": container.force_pull_image,
            "privileged": False,
            "parameters": _parameters(container.parameters, "container.parameters"),
        }
    else:
        image = {"type": "DOCKER", "docker": {"name": _text(container.image, "container.image")}}
        info["mesos"] = {"image": image | {"cached": not container.force_pull_image}}
    if container.volumes:
        info["volumes"] = [_volume(volume) for volume in container.volumes]
    if networks:
        info["network_infos"] = networks
    return info


def _network(network: Network) -> dict[str, Any]:
    for mapping in network.port_mappings:
        _text(mapping.protocol or "", "portMappings.protocol")
    info: dict[str, Any] = {"name": _text(network.name, "networkInfos.name")}
    if network.labels:
        info["labels"] = {"labels": _parameters(network.labels, "networkInfos.labels")}
    return info


def _parameters(pairs: Iterable[Pair], what: str) -> list[dict[str, str]]:
    return [{"key": _text(pair.key, what), "value": _text(pair.value, what)} for pair in pairs]


def _volume(volume: Volume) -> dict[str, Any]:
    info: dict[str, Any] = {
        "container_path": _text(volume.container_path, "containerPath"),
        "mode": volume.mode or "RW",
    }
    external = volume.external
    if external is not None:
        source: dict[str, Any] = {
            "driver": _text(external.provider, "external.provider"),
            "name": _text(external.name, "external.name"),
        }
        if external.options:
            source["driver_options"] = {"parameter": _parameters(external.options, "external.options")}
        return info | {"source": {"type": "DOCKER_VOLUME", "docker_volume": source}}
    if not volume.host_path:
        raise BadTask(f"container.volumes: {volume.container_path[:200]!r} has neither hostPath nor external")
    return info | {"host_path": _text(volume.host_path, "hostPath")}
