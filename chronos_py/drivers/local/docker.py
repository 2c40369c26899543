"""A task in a container, through the docker command: that is the task's program, so all else is as for any task."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from chronos_py.drivers.local.limits import memory_bytes
from chronos_py.model.job import Container, Volume
from chronos_py.model.run import Task

log = structlog.get_logger(__name__)

SANDBOX = "/mnt/mesos/sandbox"  # where Mesos mounts it
NETWORKS = {"HOST": "host", "BRIDGE": "bridge"}
PATIENCE_S = 30.0  # with the engine, when a container must go
_CLIENTS_OWN = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "SSH_AUTH_SOCK")  # what the docker command goes by
_PREFIXES = ("DOCKER_", "BUILDKIT_", "XDG_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy")


def container_name(task_id: str) -> str:
    """Return the container's name: the same for the same attempt, whoever asks."""
    return f"chronos-{hashlib.sha1(task_id.encode('utf-8', 'replace'), usedforsecurity=False).hexdigest()[:24]}"


def docker_command() -> str | None:
    return shutil.which("docker")


@dataclass(frozen=True, slots=True)
class Client:
    """The docker command of a task: its words and its own environment."""

    words: list[str]
    environment: dict[str, str]


def client(docker: str, task: Task, sandbox: str, base: Mapping[str, str]) -> Client:
    """Return the `docker run` of a task. Memory is limited, CPU shared, as for tasks without a container.

    A variable goes by its name alone where it can, so that its value shows in no list of processes; one that the
    docker command would obey itself goes with its value.
    """
    container = task.container
    assert container is not None
    environment = dict(base)
    environment.update((name, value) for name, value in os.environ.items() if _clients(name))
    need = task.resources
    words = [docker, "run", "--rm", f"--name={container_name(task.id)}", f"--network={_network(container)}"]
    words += [f"--memory={memory_bytes(need)}b", f"--cpu-shares={max(2, need.cpus * 1024 // 1000)}"]
    if container.force_pull_image:
        words.append("--pull=always")
    words += [f"--volume={sandbox}:{SANDBOX}:rw", f"--workdir={SANDBOX}"]
    for volume in container.volumes:
        words += _volume(volume, sandbox)
    inside = {"MESOS_SANDBOX": SANDBOX, "SANDBOX": SANDBOX, "MESOS_CONTAINER_NAME": container_name(task.id)}
    for name, value in ({**dict(task.environment), **inside}).items():
        if name in inside or _clients(name) or not name.isidentifier() or name.startswith("LD_"):
            words += ["--env", f"{name}={value}"]
        else:
            environment[name] = value
            words += ["--env", name]
    words += [f"--{parameter.key}={parameter.value}" for parameter in container.parameters]
    if not task.command:
        words += [container.image, *task.arguments]
    elif task.shell:
        words += ["--entrypoint=/bin/sh", container.image, "-c", task.command]
    else:
        words += [f"--entrypoint={task.command}", container.image, *task.arguments]
    return Client(words, environment)


def _clients(name: str) -> bool:
    return name in _CLIENTS_OWN or name.startswith(_PREFIXES)


def _network(container: Container) -> str:
    if container.network in NETWORKS:
        return NETWORKS[container.network]
    return container.network_name or (container.networks[0].name if container.networks else "bridge")


def _volume(volume: Volume, sandbox: str) -> list[str]:
    mode = (volume.mode or "RW").lower()
    if volume.external is not None:
        options = [f"--volume-driver={volume.external.provider}"] if volume.external.provider else []
        return [*options, f"--volume={volume.external.name}:{volume.container_path}:{mode}"]
    if volume.host_path is None:
        return [f"--volume={volume.container_path}"]
    source = volume.host_path
    if not source.startswith("/"):
        source = os.path.normpath(f"{sandbox}/{source}")
        if not source.startswith(f"{sandbox}/"):
            raise ValueError(f"the volume {volume.host_path!r} would lie outside the sandbox")
    return [f"--volume={source}:{volume.container_path}:{mode}"]


def remove_container(task_id: str) -> None:
    """End a container and remove it; one that is gone is no error. Waits for it at most PATIENCE_S."""
    docker = docker_command()
    if docker is None:
        return
    words = [docker, "rm", "--force", "--volumes", container_name(task_id)]
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S, check=False
            )
            problem = "" if done.returncode == 0 or "No such container" in done.stderr else done.stderr.strip()[-300:]
        except (OSError, subprocess.TimeoutExpired) as error:
            problem = str(error)
        if problem and "already in progress" in problem and time.monotonic() < deadline:
            time.sleep(0.1)
            continue
        if problem:
            log.warning("a container could not be removed", task=task_id, reason=problem)
        return
