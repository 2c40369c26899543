"""The arguments of `docker run` that Mesos would use for a task."""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MEGABYTE = 1 << 20
LEAST_SHARES, LEAST_QUOTA, LEAST_MEMORY_MB = 2, 1000, 32
SHARES_PER_CPU, QUOTA_PER_CPU = 1024, 100_000


def run_arguments(task: dict[str, Any], flags: dict[str, str]) -> list[str]:
    """Return what follows `docker run` for a TaskInfo; `flags` are the executor's.

    Raises ValueError, in Mesos' words, for a task that cannot be run.
    """
    container, command = task["container"], task.get("command", {})
    if "docker" not in container:
        raise ValueError("No docker info found in container info")
    info, resources = container["docker"], task.get("resources", [])
    options = ["--privileged"] if info.get("privileged") else []
    options += _limits(task, flags.get("cgroups_enable_cfs") == "true")
    options += _environment(command, flags, resources)
    options += _volumes(container, info.get("volume_driver"), flags)
    network = _network(container, info)
    options += ["--net", network]
    if "hostname" in container:
        if network == "host":
            raise ValueError("Unable to set hostname with host network mode")
        options += ["--hostname", container["hostname"]]
    options += _ports(info.get("port_mappings", []), network, resources)
    if command.get("shell", True):
        if "value" not in command:
            raise ValueError("Shell specified but no command value provided")
        options += ["--entrypoint", "/bin/sh"]
    options += ["--name", flags["container"]]
    options += [f"--{item['key']}={item['value']}" for item in info.get("parameters", [])]
    return [*options, info["image"], *in_container(command)]


def in_container(command: dict[str, Any]) -> list[str]:
    """Return what follows the image's name, its entry point being /bin/sh for a shell command."""
    if command.get("shell", True):
        return ["-c", command["value"]]
    return [*([command["value"]] if "value" in command else []), *command.get("arguments", [])]


def _scalar(resources: list[dict[str, Any]], name: str) -> float | None:
    """Return the sum of a resource, None if there is none of that name."""
    found = [item["scalar"]["value"] for item in resources if item["name"] == name and "scalar" in item]
    return sum(found) if found else None


def _limits(task: dict[str, Any], cfs: bool) -> list[str]:
    options = []
    resources, limit = task.get("resources", []), task.get("limits", {})
    cpus, mem = _scalar(resources, "cpus"), _scalar(resources, "mem")
    most = {name: float(limit[name]["value"]) for name in ("cpus", "mem") if name in limit}
    if cpus is not None:
        options += ["--cpu-shares", str(max(int(SHARES_PER_CPU * cpus), LEAST_SHARES))]
    quota = most.get("cpus", cpus if cfs else None)
    if quota is not None and quota != float("inf"):
        options += ["--cpu-quota", str(max(int(QUOTA_PER_CPU * quota), LEAST_QUOTA))]
    if "mem" in most and mem is not None:
        options += ["--memory-reservation", _bytes(mem)]
    memory = most.get("mem", mem)
    if memory is not None and memory != float("inf"):
        options += ["--memory", _bytes(memory)]
    return options


def _bytes(megabytes: float) -> str:
    return str(max(int(megabytes), LEAST_MEMORY_MB) * MEGABYTE)


def _environment(command: dict[str, Any], flags: dict[str, str], resources: list[dict[str, Any]]) -> list[str]:
    named = command.get("environment", {}).get("variables", [])
    env = {item["name"]: item.get("value", "") for item in named}
    env.update(json.loads(flags.get("task_environment") or "{}"))
    env["MESOS_SANDBOX"] = flags["mapped_directory"]
    env["MESOS_CONTAINER_NAME"] = flags["container"]
    if resources:
        env["MESOS_ALLOCATION_ROLE"] = resources[0].get("allocation_info", {}).get("role", "")
    return [word for name in sorted(env) for word in ("-e", f"{name}={env[name]}")]


def _volumes(container: dict[str, Any], driver: str | None, flags: dict[str, str]) -> list[str]:
    sandbox, mapped = flags["sandbox_directory"], flags["mapped_directory"]
    options, drivers = [], {driver} if driver else set()
    for item in container.get("volumes", []):
        mount = _volume(item, driver, sandbox, mapped)
        if mount:
            options += ["-v", mount[0]]
            drivers |= {mount[1]} if mount[1] else set()
    if len(drivers) > 1:
        raise ValueError("Only one volume driver per task is supported")
    return [*options, "-v", f"{sandbox}:{mapped}", *(f"--volume-driver={name}" for name in drivers)]


def _volume(item: dict[str, Any], driver: str | None, sandbox: str, mapped: str) -> tuple[str, str | None] | None:
    """Return (host:container:mode, volume driver) of one Volume; None if it is not for Docker."""
    inside, outside = item["container_path"], item.get("host_path")
    named = None
    if outside is not None:
        if not outside.startswith("/"):
            if not inside.startswith("/"):
                raise ValueError(f"Both host_path '{outside}' and container_path '{inside}' of a volume are relative")
            if not driver:
                outside = os.path.join(sandbox, outside)
    elif "source" in item:
        if item["source"].get("type") != "DOCKER_VOLUME":
            return None
        outside = item["source"]["docker_volume"]["name"]
        named = item["source"]["docker_volume"].get("driver")
    else:
        raise ValueError("Host path or volume source is required")
    target = os.path.join(mapped, inside)  # an absolute path stays as it is
    return f"{outside}:{target}:{'ro' if item.get('mode') == 'RO' else 'rw'}", named


def _network(container: dict[str, Any], info: dict[str, Any]) -> str:
    network: str = info.get("network", "HOST").lower()
    if network != "user":
        return network
    infos = container.get("network_infos", [])
    if len(infos) != 1 or "name" not in infos[0]:
        raise ValueError("A user-defined network needs one network info with a name")
    name: str = infos[0]["name"]
    return name


def _ports(mappings: list[dict[str, Any]], network: str, resources: list[dict[str, Any]]) -> list[str]:
    if mappings and network in ("host", "none"):
        raise ValueError("Port mappings are only supported for bridge and user-defined networks")
    offered = [item.get("ranges", {}).get("range", []) for item in resources if item["name"] == "ports"]
    ranges = [(int(item["begin"]), int(item["end"])) for listed in offered for item in listed]
    if mappings and not ranges:
        raise ValueError("Port mappings require port resources")
    options = []
    for mapping in mappings:
        port, protocol = int(mapping["host_port"]), mapping.get("protocol")
        if not any(begin <= port <= end for begin, end in ranges):
            raise ValueError(f"Port [{port}] not included in resources")
        suffix = f"/{protocol.lower()}" if protocol else ""
        options += ["-p", f"{port}:{int(mapping['container_port'])}{suffix}"]
    return options
