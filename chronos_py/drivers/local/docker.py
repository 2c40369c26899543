"""A task in a container, through the docker command: it is the task's program, so all else is as for any task."""

from __future__ import annotations

import hashlib
import shutil
import subprocess

from chronos_py.model.job import Container, Volume
from chronos_py.model.run import Task

SANDBOX = "/mnt/mesos/sandbox"  # where Mesos mounts it
NETWORKS = {"HOST": "host", "BRIDGE": "bridge"}
STOP_TIMEOUT_S = 30


def container_name(task_id: str) -> str:
    """Return the container's name: the same for the same attempt, whoever asks."""
    return f"chronos-{hashlib.sha1(task_id.encode(), usedforsecurity=False).hexdigest()[:24]}"


def docker_command() -> str | None:
    return shutil.which("docker")


def _volume(volume: Volume, sandbox: str) -> list[str]:
    source = volume.host_path
    if volume.external is not None:
        options = [f"--volume-driver={volume.external.provider}"]
        return [*options, f"--volume={volume.external.name}:{volume.container_path}:{(volume.mode or 'RW').lower()}"]
    if source is None:
        return [f"--volume={volume.container_path}"]
    if not source.startswith("/"):
        source = f"{sandbox}/{source}"
    return [f"--volume={source}:{volume.container_path}:{(volume.mode or 'RW').lower()}"]


def _network(container: Container) -> str:
    if container.network in NETWORKS:
        return NETWORKS[container.network]
    return container.network_name or (container.networks[0].name if container.networks else "bridge")


def docker_program(docker: str, task: Task, sandbox: str) -> list[str]:
    """Return the `docker run` of a task. Memory is limited, CPU shared, as for tasks without a container."""
    container = task.container
    assert container is not None
    need = task.resources
    words = [docker, "run", "--rm", "--init", f"--name={container_name(task.id)}", f"--network={_network(container)}"]
    words += [f"--memory={max(6, need.mem // 1000)}m", f"--cpu-shares={max(2, need.cpus * 1024 // 1000)}"]
    words += ["--pull=always"] if container.force_pull_image else []
    words += [f"--volume={sandbox}:{SANDBOX}", f"--workdir={SANDBOX}"]
    for volume in container.volumes:
        words += _volume(volume, sandbox)
    for name, value in (*task.environment, ("MESOS_SANDBOX", SANDBOX)):
        words += ["--env", f"{name}={value}"]
    words += [f"--{parameter.key}={parameter.value}" for parameter in container.parameters]
    if task.shell and task.command:
        return [*words, "--entrypoint=/bin/sh", container.image, "-c", task.command]
    if task.command:
        return [*words, f"--entrypoint={task.command}", container.image, *task.arguments]
    return [*words, container.image, *task.arguments]


def remove_container(task_id: str, docker: str | None = None) -> None:
    """End a container and remove it; one that is gone is no error. Waits at most STOP_TIMEOUT_S."""
    docker = docker or docker_command()
    if docker is not None:
        try:
            subprocess.run(
                [docker, "rm", "--force", container_name(task_id)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=STOP_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return


def stop_container(task_id: str, grace: float) -> None:
    """Ask a container to end, and end it after `grace` seconds."""
    docker = docker_command()
    if docker is not None:
        try:
            subprocess.run(
                [docker, "stop", f"--time={max(0, round(grace))}", container_name(task_id)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=grace + STOP_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return
