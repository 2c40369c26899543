"""The `docker` command of one agent.

An agent stops all containers of Mesos that it does not know. So each gets a command that labels what it starts and
lists nothing else: agents, and clusters, can share an engine. The keeper removes containers by the label.
"""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from compat_tests.servers.mesos.errors import MesosError

# Called as `docker -H unix:///path command ...`.
SCRIPT = """#!/bin/sh
docker={docker} label={label}
[ $# -gt 2 ] || exec "$docker" "$@"
host=$2 command=$3
shift 3
case $command in
    run) exec "$docker" -H "$host" run --label "$label" "$@" ;;
    ps) exec "$docker" -H "$host" ps --filter "label=$label" "$@" ;;
    *) exec "$docker" -H "$host" "$command" "$@" ;;
esac
"""


@dataclass(frozen=True, slots=True)
class DockerCommand:
    """Where the script is; `socket` of the engine; `command` is the real one, with the engine's address."""

    script: Path
    socket: str
    command: list[str]
    label: str

    @property
    def flags(self) -> dict[str, str]:
        """Flags of mesos-agent."""
        return {"containerizers": "docker,mesos", "docker": str(self.script), "docker_socket": self.socket}


def write_docker_command(script: Path, docker_host: str, label: str, path: str) -> DockerCommand:
    """Write the script; `path` is the PATH on which docker is looked for."""
    socket = docker_host.removeprefix("unix://")
    if not socket.startswith("/") or not Path(socket).exists():
        raise MesosError(f"docker_host: must be the unix:///path of a running engine, not {docker_host}")
    docker = shutil.which("docker", path=path)
    if docker is None:
        raise MesosError("docker_host: needs the docker command, which is not installed")
    if not re.fullmatch(r"[\w./+-]+", str(script)):  # agents run it unquoted, with sh
        raise MesosError(f"docker_host: needs a work folder with a plain name, not {script.parent}")
    script.write_text(SCRIPT.format(docker=shlex.quote(docker), label=shlex.quote(label)))
    script.chmod(0o755)
    return DockerCommand(script, socket, [docker, "-H", f"unix://{socket}"], label)
